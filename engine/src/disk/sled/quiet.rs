//! Sled's panics kept off standard error. Must not know who calls sled.

use std::panic;

/// For programs: says nothing of sled's own panics, which are all caught here and told as a typed error; of others, what is
/// said anyway. Once, at the start.
pub fn quiet_panics() {
    let said_anyway = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let is_sled = |file: &str| file.split(['/', '\\']).any(|part| part.starts_with("sled-0."));
        if !info.location().is_some_and(|location| is_sled(location.file())) {
            said_anyway(info);
        }
    }));
}
