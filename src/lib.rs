//! sixwalk takes a testbed (a file: sites, segments, nodes, services, tunnels, policy), brings it through the phases of
//! an IPv6 migration, asks the same questions in every phase, and writes down what it found so that an auditor can
//! check it.
//!
//! ```text
//! testbed/*.toml ┐
//! phases/*.toml  ├─ input ─> Testbed ─ stage ─> Stage per phase ─ plan ─> Steps ─ apply ─> the lab
//! fault files    ┘                                │                                          │
//!                                                 └─ check.ask ─> Probes + Taps ─────────────┤
//!                                                                                            v
//! report <─ Document <─ Findings <─ check.judge <───────────────── Evidence (record, one JSON line each)
//! ```
//!
//! The modules stand in reading order, and **a module imports only from modules above it**. Down to `report` there is
//! no I/O, no clock and no async; below it, as little thinking as possible. `tests/layers.rs` holds both.

pub mod model;
pub mod wire;
pub mod engine;
pub mod input;
pub mod stage;
pub mod check;
pub mod plan;
pub mod report;

pub mod net;
pub mod serve;
pub mod probe;
pub mod lab;
pub mod record;
pub mod apply;
pub mod walk;
pub mod cli;
