//! Sled and redb beside each other under the same engine, each in a process of its own: records in bulk, durable edits,
//! reads, opening again, memory, space. The results are in `docs/stores.md`:
//! `cargo bench -p comptoir-benches --bench stores`.
#![allow(missing_docs, reason = "a bench stops at the first thing that fails")]

use comptoir_benches::{NOW, product, record, settings};
use comptoir_engine::disk::{self, CACHE_BYTES, StoreKind};
use comptoir_engine::{Engine, FieldEdit};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// As in the programs that are shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the stores lie while they are measured: on the disk of the build.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");
/// What a process of its own is asked: the kind, the folder and whether it fills it.
const ASKED: &str = "COMPTOIR_BENCH_STORE";
const RECORDS: u64 = 100_000;
const RECORDS_A_COMMIT: u64 = 500;
const EDITS: u64 = 2_000;
const READS: u64 = 20_000;

fn main() {
    if let Ok(asked) = std::env::var(ASKED) {
        let words: Vec<&str> = asked.splitn(3, ' ').collect();
        let (kind, dir) = (words[1].parse().expect("a kind"), Path::new(words[2]));
        return if words[0] == "fill" { fill(kind, dir) } else { work(kind, dir) };
    }
    // Without it this is a test run, and nothing is to be measured.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for turn in 1..=3 {
        for kind in StoreKind::ALL {
            let dir = tempfile::tempdir_in(FOLDER).expect("a folder");
            print!("{turn} {kind}:");
            for what in ["fill", "work"] {
                let mut alone = Command::new(std::env::current_exe().expect("a path"));
                let asked = format!("{what} {kind} {}", dir.path().display());
                let output = alone.env(ASKED, asked).output().expect("a process");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                print!("{}", String::from_utf8_lossy(&output.stdout));
            }
            println!("; on disk {} MiB", bytes(dir.path()) >> 20);
        }
    }
}

fn open(kind: StoreKind, dir: &Path) -> Engine {
    let opened = disk::open(dir, Some(kind), CACHE_BYTES).expect("a folder");
    let mut rng = StdRng::seed_from_u64(1);
    Engine::create(opened.disk, &opened.identity, settings().expect("names"), &mut rng).expect("a store")
}

fn fill(kind: StoreKind, dir: &Path) {
    let mut engine = open(kind, dir);
    let began = Instant::now();
    for from in (0..RECORDS).step_by(RECORDS_A_COMMIT as usize) {
        let new = (from..from + RECORDS_A_COMMIT).map(|index| (record(index).expect("a name"), product(index)));
        engine.commit(&new.collect::<Vec<_>>(), NOW).expect("a commit");
    }
    print!(" {RECORDS} records {:.1?}", began.elapsed());
}

fn work(kind: StoreKind, dir: &Path) {
    let resident = memory();
    let began = Instant::now();
    let mut engine = open(kind, dir);
    engine.get(&record(7).expect("a name")).expect("a read");
    print!("; reopen and read one {:.1?}", began.elapsed());
    print!(", memory +{:.1} MiB", (memory() - resident) as f64 / f64::from(1 << 20));
    let mut edits = Vec::new();
    for turn in 0..EDITS {
        let began = Instant::now();
        let sale = FieldEdit::Increment { field: "stock".to_owned(), by: -1 };
        engine.commit(&[(record(turn * 7_919 % RECORDS).expect("a name"), sale)], NOW).expect("a sale");
        edits.push(began.elapsed());
    }
    edits.sort_unstable();
    let at = |percent: usize| edits[edits.len() * percent / 100];
    print!("; durable edit p50 {:.0?} p99 {:.0?}", at(50), at(99));
    let began = Instant::now();
    for turn in 0..READS {
        std::hint::black_box(engine.get(&record(turn * 7_919 % RECORDS).expect("a name")).expect("a read"));
    }
    print!("; read {:.1?}", Duration::from_nanos((began.elapsed().as_nanos() / u128::from(READS)) as u64));
    print!(", memory +{:.1} MiB", (memory() - resident) as f64 / f64::from(1 << 20));
}

/// What this process holds, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

fn bytes(path: &Path) -> u64 {
    if path.is_file() {
        return std::fs::metadata(path).expect("a file").len();
    }
    std::fs::read_dir(path).expect("a folder").map(|entry| bytes(&entry.expect("an entry").path())).sum()
}
