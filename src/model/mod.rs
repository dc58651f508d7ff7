//! The nouns: plain values without I/O. One noun, one file.

pub mod family;
pub mod phase;
pub mod name;
pub mod mac;
pub mod impairment;
pub mod segment;
pub mod service;
pub mod node;
pub mod dhcp;
pub mod flow;
pub mod tunnel;
pub mod record;
pub mod policy;
pub mod testbed;
pub mod management;
pub mod probe;
pub mod tap;
pub mod answer;
pub mod experiment;
pub mod agenda;
pub mod evidence;
pub mod finding;
pub mod gate;
pub mod verdict;
pub mod step;
pub mod fault;
