//! Wakes a flush that sled 0.34.7 has left waiting: when a write fails in one of sled's own threads just as a flush looks
//! for errors, nobody tells the flush, and it waits for ever. Another flush finds the error and wakes the first. Must not
//! know what is flushed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A flush that was under way at two looks so far apart gets another one beside it.
const LOOKS_EVERY_MS: u64 = 500;

#[derive(Default)]
struct Flushes {
    begun: AtomicU64,
    done: AtomicU64,
    closed: AtomicBool,
}

/// Looks after the flushes of one database until it is dropped.
pub(super) struct Nudge {
    flushes: Arc<Flushes>,
    thread: Option<JoinHandle<()>>,
}

impl Nudge {
    /// Starts to look. Without a thread to spare, flushes go unwatched.
    pub(super) fn start(db: sled::Db) -> Self {
        let flushes = Arc::new(Flushes::default());
        let watched = flushes.clone();
        let thread = thread::Builder::new().name("sled-nudge".to_owned()).spawn(move || look(&watched, &db)).ok();
        Self { flushes, thread }
    }

    /// Runs a flush.
    pub(super) fn flush(&self, db: &sled::Db) -> sled::Result<usize> {
        self.flushes.begun.fetch_add(1, Ordering::AcqRel);
        let flushed = db.flush();
        self.flushes.done.fetch_add(1, Ordering::AcqRel);
        flushed
    }
}

impl Drop for Nudge {
    fn drop(&mut self) {
        self.flushes.closed.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // What it found is found again by whoever flushes.
            let _ = thread.join();
        }
    }
}

fn look(flushes: &Flushes, db: &sled::Db) {
    let mut seen = 0;
    while !flushes.closed.load(Ordering::Acquire) {
        thread::park_timeout(Duration::from_millis(LOOKS_EVERY_MS));
        let done = flushes.done.load(Ordering::Acquire);
        let waits = flushes.begun.load(Ordering::Acquire) > done;
        if waits && done == seen {
            // Its outcome is that of the flush that waits.
            let _ = catch_unwind(AssertUnwindSafe(|| db.flush()));
        }
        seen = done;
    }
}
