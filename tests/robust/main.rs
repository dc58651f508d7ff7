//! Nothing breaks, nothing leaks: the built program under force, in want, and with contradicting wishes.
//!
//! Each test has namespaces of its own that stand for the machine, so that whatever the program leaves behind is seen.

#[path = "../support/mod.rs"]
mod support;

mod dice;
#[path = "../support/machine.rs"]
mod machine;
#[path = "../support/program.rs"]
mod program;

mod backwards;
mod killed;
mod rollback;
mod stopped;
mod together;
mod wanting;
