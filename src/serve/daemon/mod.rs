//! Engines at work: a real program in the place of a built-in service, started inside the namespaces of its node.
//!
//! ```text
//! orders ─> job ─> post ─┬─> launch: files in a folder that is the program's own /run, then the program itself
//!                        ├─> ready:  the service is asked, as its users ask
//!                        └─> log:    what it says, in the run directory, up to a limit
//! ```
//!
//! What a phase changes is the job: the addresses that are bound, the zones, the servers that are asked. A program whose
//! job has changed is started anew, which takes some ten milliseconds and leaves nothing of the phase before. One that does
//! not come up, or ends by itself, is a trouble that the record tells; the walk goes on without it. One that hangs is waited for
//! once.

mod program;
mod trust;
mod log;
mod launch;
mod members;
mod guest;
mod ready;
mod running;
mod post;
mod career;

pub use program::{Engines, Mute, Program, Wanting, find, tunnel_version, version};

pub(super) use career::Career;
pub(super) use launch::{Call, lay_out};
pub(super) use members::{Memory, Vitals};
pub(super) use post::{FOLDERS, Post, written};
pub(super) use running::Process;
