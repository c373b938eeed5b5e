//! The two simulations: of what is sans-IO, and of sessions with their tasks and sockets. Must not know what a run does.

use crate::plan::Plan;
use crate::world::{self, Outcome};
use crate::{fault::Fault, sessions};

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Engines, the relay's log writer and the protocol, driven directly.
    Core,
    /// The SDK's and the relay's session code over turmoil's streams.
    Sessions,
}

impl Layer {
    /// The plan of a seed.
    pub fn draw(self, seed: u64) -> Plan {
        match self {
            Self::Core => Plan::draw(seed),
            Self::Sessions => Plan::draw_sessions(seed),
        }
    }

    /// Runs a plan to its end.
    pub fn run(self, plan: &Plan, traced: bool) -> Outcome {
        match self {
            Self::Core => world::run(plan, traced),
            Self::Sessions => sessions::run(plan, traced),
        }
    }

    /// Whether this kind of fault can take effect. Below a WebSocket nothing comes twice and nothing overtakes: TCP sees to
    /// that.
    pub fn has(self, fault: Fault) -> bool {
        self == Self::Core || !matches!(fault, Fault::Duplicate | Fault::Reorder | Fault::DuplicateConnection)
    }

    /// The command that replays a seed.
    pub fn replay(self, seed: u64) -> String {
        let option = if self == Self::Sessions { "--sessions " } else { "" };
        format!("cargo run --release --bin sim -- {option}--from {seed} --trace")
    }
}
