//! The built-in services, asked from another namespace over a real link.

#[path = "../support/mod.rs"]
mod support;

mod lab;
mod sockets;
mod faults;
mod web;
mod dns;
mod ssh;
mod syslog;
mod router;
mod cost;
