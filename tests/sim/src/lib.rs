//! Deterministic simulation: real engines and the relay's real log and protocol in one thread, over simulated disks, clocks
//! and a simulated network. A seed decides everything that happens; an oracle watches every step.
//!
//! This is the layer without sockets and tasks: what it drives is sans-IO. `cargo run --release --bin sim -- --help`.

pub mod fault;
pub mod hunt;
pub mod oracle;
pub mod plan;
pub mod report;
pub mod shrink;
pub mod world;

mod edits;
mod ledger;
mod net;
mod post;
mod till;
