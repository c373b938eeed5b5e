//! Waiting for a state, never for a time, and never without a deadline. Must not know what is waited for.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a state is waited for where nothing else is said.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Asks again and again until `state` gives something; panics with `what` when the deadline has passed.
pub fn until<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, what, &mut state)
}

/// As [`until`], with a deadline of one's own.
pub fn within<T>(deadline: Duration, what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(reached) = state() {
            return reached;
        }
        assert!(begun.elapsed() < deadline, "not within {deadline:?}: {what}");
        // wait: between two looks at a state of another process, which cannot tell when it is reached.
        sleep(Duration::from_millis(10));
    }
}
