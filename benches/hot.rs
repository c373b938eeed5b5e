//! A record that is edited all day: what its thousandth increment costs beside its first, by four devices in turn, in memory
//! alone. `cargo bench -p comptoir-benches --bench hot`; the results are in `docs/benchmarks.md`.
#![allow(missing_docs, reason = "a bench stops at the first thing that fails")]

use comptoir_benches::{NOW, product, record, settings};
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::{Batch, Disk, DiskError, Row};
use comptoir_engine::store::Store;
use comptoir_engine::wire::Style;
use comptoir_engine::{FieldEdit, RecordId, Value};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// As in the programs that are shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DEVICES: u64 = 4;
/// How many increments the record has when it is looked at.
const LOOKS: [u64; 4] = [4, 100, 1_000, 4_000];
/// Each step is measured so many times at each look.
const TIMES: usize = 15;

/// A disk that counts what is written.
struct Counted {
    disk: SimDisk,
    bytes: Arc<AtomicUsize>,
}

impl Disk for Counted {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.disk.get(key)
    }
    fn range(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        self.disk.range(from, until, rows_max)
    }
    fn range_back(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        self.disk.range_back(from, until, rows_max)
    }
    fn last(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
        self.disk.last(from, until)
    }
    fn apply(&self, batch: Batch) -> Result<(), DiskError> {
        let bytes = batch.rows.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.disk.apply(batch)
    }
    fn flush(&self) -> Result<(), DiskError> {
        self.disk.flush()
    }
}

struct Till {
    store: Store,
    bytes: Arc<AtomicUsize>,
}

impl Till {
    fn new(seed: u64) -> Self {
        let bytes = Arc::<AtomicUsize>::default();
        let disk = Box::new(Counted { disk: SimDisk::new(), bytes: bytes.clone() });
        let settings = settings().expect("names");
        let store = Store::create(disk, "bench", settings, &mut StdRng::seed_from_u64(seed)).expect("a store");
        Self { store, bytes }
    }

    fn sell(&mut self, hot: &RecordId) -> (Duration, usize) {
        let edit = FieldEdit::Increment { field: "stock".to_owned(), by: -1 };
        self.commit(hot, edit)
    }

    fn commit(&mut self, hot: &RecordId, edit: FieldEdit) -> (Duration, usize) {
        let (before, began) = (self.bytes.load(Ordering::Relaxed), Instant::now());
        self.store.commit_local(&[(hot.clone(), edit)], NOW.wall).expect("saved");
        (began.elapsed(), self.bytes.load(Ordering::Relaxed) - before)
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        let mut batches = Vec::new();
        while let Some(sent) = self.store.outgoing(0, Style::Explicit).expect("what waits") {
            self.store.acknowledge(sent.from, sent.through, &[], None, NOW.wall).expect("acknowledged");
            batches.push(sent.batch);
        }
        batches
    }

    fn hear(&mut self, batches: &[Vec<u8>]) -> Duration {
        let began = Instant::now();
        self.store.apply_remote(batches, None, NOW.wall).expect("merged");
        began.elapsed()
    }
}

fn tell(tills: &mut [Till], from: usize) {
    let batches = tills[from].sent();
    for (till, other) in tills.iter_mut().enumerate() {
        if till != from {
            other.hear(&batches);
        }
    }
}

fn median<T: Ord + Copy>(mut each: Vec<T>) -> T {
    each.sort_unstable();
    each[each.len() / 2]
}

/// An own edit and its bytes, one of another device that follows all, one that follows not all, and a read.
fn look(tills: &mut [Till], hot: &RecordId) -> ([Duration; 4], usize) {
    let (mut own, mut bytes, mut heard, mut crossed, mut read) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..TIMES {
        let (took, written) = tills[0].sell(hot);
        own.push(took);
        bytes.push(written);
        let batches = tills[0].sent();
        (1..tills.len()).for_each(|till| heard.push(tills[till].hear(&batches)));
        // Two at once, and each hears of the other's.
        (0..2).for_each(|till| _ = tills[till].sell(hot));
        let (zero, one) = (tills[0].sent(), tills[1].sent());
        crossed.extend([tills[0].hear(&one), tills[1].hear(&zero)]);
        (2..tills.len()).for_each(|till| _ = tills[till].hear(&[zero.clone(), one.clone()].concat()));
        let began = Instant::now();
        tills[0].store.get(hot).expect("read").expect("a record");
        read.push(began.elapsed());
    }
    ([own, heard, crossed, read].map(median), median(bytes))
}

fn main() {
    // Without it this is a test run, and nothing is to be measured.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let hot = record(0).expect("a name");
    let mut tills: Vec<Till> = (1..=DEVICES).map(Till::new).collect();
    tills[0].commit(&hot, product(0));
    tell(&mut tills, 0);
    println!("| increments | own edit | written, bytes | another's | at once with another's | read |");
    println!("|---:|---:|---:|---:|---:|---:|");
    let (mut sold, mut first) = (0, None);
    for due in LOOKS {
        while sold < due {
            let till = (sold % DEVICES) as usize;
            tills[till].sell(&hot);
            tell(&mut tills, till);
            sold += 1;
        }
        let (times, bytes) = look(&mut tills, &hot);
        sold += 3 * TIMES as u64;
        let first = first.get_or_insert(times);
        let cell = |place: usize| {
            let ratio = times[place].as_secs_f64() / first[place].as_secs_f64();
            format!("{:.1} µs ({ratio:.1}x)", times[place].as_secs_f64() * 1e6)
        };
        println!("| {due} | {} | {bytes} | {} | {} | {} |", cell(0), cell(1), cell(2), cell(3));
    }
    let shown: Vec<_> = tills.iter().map(|till| till.store.get(&hot).expect("read").expect("a record")).collect();
    let stock = |place: usize| shown[place].fields.get("stock").cloned();
    assert_eq!(stock(0), Some(Value::Counter(-(sold as i64))), "the exact sum");
    assert!((1..tills.len()).all(|place| shown[place] == shown[0]), "the same on all devices");
}
