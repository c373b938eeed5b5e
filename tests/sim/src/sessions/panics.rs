//! Panics of a run, in whatever task: tokio catches them, so the hook has to note them. Must not know what panics.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    /// What panicked first in this thread's run; `None` while nobody watches.
    static SAID: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

/// From now on this thread's panics are noted, and not printed.
pub(super) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let watched = SAID.with_borrow_mut(|said| match said {
                Some(said) => {
                    said.get_or_insert_with(|| info.to_string());
                    true
                }
                None => false,
            });
            if !watched {
                before(info);
            }
        }));
    });
    SAID.set(Some(None));
}

/// Whether something has panicked.
pub(super) fn any() -> bool {
    SAID.with_borrow(|said| matches!(said, Some(Some(_))))
}

/// What panicked first; from now on panics are printed again.
pub(super) fn unwatch() -> Option<String> {
    SAID.take().flatten()
}
