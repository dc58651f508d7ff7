//! Files as they were written: every value with its place, nothing looked up yet. One noun, one file; each states the
//! keys that it takes and reads what was written under them.

pub(super) mod words;
pub(super) mod site;
pub(super) mod segment;
pub(super) mod service;
pub(super) mod node;
pub(super) mod zone;
pub(super) mod flow;
pub(super) mod claim;
pub(super) mod tunnel;
pub(super) mod translation;
pub(super) mod partial;
pub(super) mod testbed;
pub(super) mod phase;
pub(super) mod fault;
