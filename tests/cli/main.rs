//! The command line as a user meets it: the built program, what it prints, and how it ends.

#[path = "../support/machine.rs"]
#[allow(dead_code)] // not all of it is needed here
mod machine;
#[path = "../support/program.rs"]
#[allow(dead_code)]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod labs;
mod schema;
mod walks;
mod words;
