//! Deterministic simulation: real engines and the relay's real log and protocol in one thread, over simulated disks, clocks
//! and a simulated network. A seed decides everything that happens; an oracle watches every step.
//!
//! Two layers: [`world`] drives what is sans-IO, [`sessions`] the session code with its tasks and sockets.
//! `cargo run --release --bin sim -- --help`.

pub mod fault;
pub mod hunt;
pub mod layer;
pub mod oracle;
pub mod plan;
pub mod report;
pub mod sessions;
pub mod shrink;
pub mod world;

mod edits;
mod ledger;
mod net;
mod post;
mod till;
