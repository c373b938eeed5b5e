//! Automerge on bytes it may panic on: a panic becomes an error, and a program need not hear of it. Must not know what is
//! run.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<u32> = const { Cell::new(0) };
}

/// Runs Automerge on bytes it may panic on.
pub(super) fn guarded<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    GUARDED.set(GUARDED.get() + 1);
    let ended = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(GUARDED.get() - 1);
    ended.unwrap_or_else(|_| Err("Automerge gave up on it".to_owned()))
}

/// For programs: says nothing of Automerge's panics that are caught here and told as a reason; of others, what is said
/// anyway. Once, at the start.
pub fn quiet_panics() {
    let said_anyway = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if GUARDED.get() == 0 {
            said_anyway(info);
        }
    }));
}
