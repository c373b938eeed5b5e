//! libFuzzer's way to the target of the same name in `comptoir_fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: comptoir_fuzz::quiet_panics(), |bytes: &[u8]| {
    comptoir_fuzz::Target::named("archive").feed_or_abort(bytes)
});
