//! The second layer: the SDK's and the relay's real session code, with its tasks, timers, sockets, WebSocket and HTTP, over
//! turmoil's streams. A driver moves time on, carries out the plan between two steps, and looks on. Must not know how a plan
//! is drawn or what is reported.
//!
//! One thread runs all of it. What would be a thread is a task here: the loop of the device's owner, the loop of the
//! relay's committer, what is read beside it. The first two get their turn late now and then, as threads do.
//!
//! Why the same seed gives the same run: hosts take turns in a fixed order, every `select!` is `biased`, a link's latency is
//! set by the driver and not drawn for each message, and all randomness that steers anything is handed in.

mod desk;
mod driver;
mod faults;
mod finish;
mod machine;
mod office;
mod pace;
mod panics;
mod town;
mod wire;

use crate::oracle::{Kind, Violation};
use crate::plan::Plan;
use crate::world::Outcome;
use driver::Driver;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a plan to its end. What panics, in a task too, is a violation.
pub fn run(plan: &Plan, traced: bool) -> Outcome {
    panics::watch();
    let mut driver = Driver::new(plan.clone(), traced);
    let ended = catch_unwind(AssertUnwindSafe(|| driver.run()));
    let said = panics::unwatch();
    let mut outcome = driver.into_outcome();
    outcome.violation = match (ended, said) {
        (_, Some(what)) => Some(Violation { kind: Kind::Panic, what }),
        (Ok(Ok(())), None) => None,
        (Ok(Err(violation)), None) => Some(violation),
        (Err(_), None) => Some(Violation { kind: Kind::Panic, what: String::new() }),
    };
    outcome
}
