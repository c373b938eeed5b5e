//! Every door that takes bytes from somebody else, each as a plain function: [`libFuzzer`](../fuzz) feeds it for a campaign,
//! an ordinary test replays what was found. A target panics where something is wrong: a broken promise, or too much memory.
//! Must not know where its bytes come from.

pub mod apply;
pub mod archive;
pub mod change;
pub mod import;
pub mod mutate;
pub mod query;
pub mod schema;
mod seeds;
mod shop;
pub mod store;
pub mod token;
pub mod wire;

use std::cell::RefCell;
use std::panic;
use std::path::{Path, PathBuf};

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// One door.
pub struct Target {
    /// Its name, and its corpus's.
    pub name: &'static str,
    /// Takes the bytes; panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Honest bytes to begin with, out of the products' own formats.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The most memory that one input may take, in bytes.
    pub memory_bytes_max: u64,
}

/// All doors.
pub const TARGETS: [Target; 9] = [
    Target { name: "wire", run: wire::target, seeds: seeds::wire, memory_bytes_max: wire::MEMORY_BYTES_MAX },
    Target { name: "change", run: change::target, seeds: seeds::change, memory_bytes_max: change::MEMORY_BYTES_MAX },
    Target { name: "apply", run: apply::target, seeds: seeds::apply, memory_bytes_max: apply::MEMORY_BYTES_MAX },
    Target {
        name: "archive",
        run: archive::target,
        seeds: archive::seeds,
        memory_bytes_max: archive::MEMORY_BYTES_MAX,
    },
    Target { name: "import", run: import::target, seeds: seeds::import, memory_bytes_max: import::MEMORY_BYTES_MAX },
    Target { name: "store", run: store::target, seeds: seeds::store, memory_bytes_max: store::MEMORY_BYTES_MAX },
    Target { name: "token", run: token::target, seeds: seeds::token, memory_bytes_max: token::MEMORY_BYTES_MAX },
    Target { name: "query", run: query::target, seeds: seeds::query, memory_bytes_max: query::MEMORY_BYTES_MAX },
    Target { name: "schema", run: schema::target, seeds: seeds::schema, memory_bytes_max: schema::MEMORY_BYTES_MAX },
];

impl Target {
    /// The target with this name.
    pub fn named(name: &str) -> &'static Self {
        TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target is called {name}"))
    }

    /// Feeds it, and panics too where it took more memory than it may.
    pub fn feed(&self, bytes: &[u8]) {
        let took = allocation_counter::measure(|| (self.run)(bytes)).bytes_max;
        let limit = self.memory_bytes_max;
        assert!(took <= limit, "{}: {} bytes took {took} bytes of memory, {limit} are allowed", self.name, bytes.len());
    }

    /// As [`Target::feed`], for libFuzzer: a panic is told and ends the process, so that the input is kept.
    pub fn feed_or_abort(&self, bytes: &[u8]) {
        if panic::catch_unwind(|| self.feed(bytes)).is_err() {
            eprintln!("{}", last_panic());
            std::process::abort();
        }
    }

    /// The saved inputs.
    pub fn corpus(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name)
    }
}

/// Says nothing of panics that are caught, as the engine's around Automerge are; the last one is remembered.
pub fn quiet_panics() {
    panic::set_hook(Box::new(|info| LAST_PANIC.set(info.to_string())));
}

/// What the last panic of this thread said, after [`quiet_panics`].
pub fn last_panic() -> String {
    LAST_PANIC.with_borrow(String::clone)
}

/// A number source and a slice of what was given: what a structured target makes its plan of. Past the end come zeros.
struct Plan<'b> {
    bytes: &'b [u8],
}

impl<'b> Plan<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn below(&mut self, limit: usize) -> usize {
        let number = if limit > 256 { self.number(2) } else { self.number(1) };
        number as usize % limit.max(1)
    }

    fn number(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// At most `count` bytes.
    fn take(&mut self, count: usize) -> &'b [u8] {
        let (taken, rest) = self.bytes.split_at(count.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    /// All that is left.
    fn rest(&mut self) -> &'b [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// Bytes with their length in front.
    fn piece(&mut self) -> &'b [u8] {
        let length = self.number(2) as usize;
        self.take(length)
    }
}
