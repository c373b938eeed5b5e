//! Work in a fresh process of its own: how much memory it holds, and edits for a tracer to look at. Must not know the table.
//!
//! By hand, with a store that `load SIDE FOLDER` made:
//! `COMPTOIR_BENCH_ALONE="edits SIDE FOLDER COUNT"` under strace, or `"profile comptoir FOLDER COUNT"`;
//! `"gets SIDE FOLDER COUNT"`, `lists` and `searches` likewise, under perf.

use crate::ours::Comptoir;
use crate::questions::{lists, typed};
use crate::shop::{SALE_PRODUCTS, products, turns};
use crate::side::Side;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What the process is asked to do.
const ASKED: &str = "COMPTOIR_BENCH_ALONE";
/// The mixed workload: reads, with an edit and a sale now and then.
const WORK_TURNS: usize = 20_000;
const EDIT_EVERY: usize = 10;
const SALE_EVERY: usize = 100;

/// Resident memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Before a store is opened.
    pub(crate) empty: u64,
    /// After the store was opened and a product read.
    pub(crate) opened: u64,
    /// After the mixed workload.
    pub(crate) worked: u64,
}

/// Whether this process is to do one thing and end.
pub(crate) fn is_asked() -> bool {
    std::env::var_os(ASKED).is_some()
}

/// Does it.
pub(crate) fn run() {
    let asked = std::env::var(ASKED).expect("a text");
    let words: Vec<&str> = asked.split(' ').collect();
    let [what, side, dir, rest @ ..] = words.as_slice() else { panic!("no task: {asked}") };
    let (side, dir) = (Side::named(side).expect("a side"), PathBuf::from(dir));
    let count = || rest.first().and_then(|count| count.parse().ok()).expect("a count");
    match *what {
        "memory" => {
            let Memory { empty, opened, worked } = held(side, &dir);
            println!("{empty} {opened} {worked}");
        }
        "load" => {
            std::fs::create_dir_all(&dir).expect("a folder");
            side.load(&dir, &products());
        }
        "edits" => {
            let (products, mut till) = (products(), side.open(&dir));
            turns(&products).take(count()).for_each(|product| till.sell(&product.id));
        }
        "profile" => {
            let (products, times) = (products(), count());
            print_profile(&Comptoir::profile(&dir, turns(&products).take(times).map(|product| product.id.as_str())));
        }
        "gets" | "lists" | "searches" => ask(what, side, &dir, count()),
        other => panic!("no such task: {other}"),
    }
}

/// Asks a question so many times, and says what one took.
fn ask(what: &str, side: Side, dir: &Path, count: usize) {
    let (products, mut till) = (products(), side.open(dir));
    let list = lists(&products);
    let (mut found, began) = (0, Instant::now());
    match what {
        "gets" => turns(&products).take(count).for_each(|product| {
            std::hint::black_box(till.get(&product.id));
            found += 1;
        }),
        "lists" => turns(&products).filter_map(&list).take(count).for_each(|list| found += till.list(&list).len()),
        _ => turns(&products).filter_map(typed).take(count).for_each(|typed| found += till.search(&typed).len()),
    }
    println!("{:?} each, {found} products found", began.elapsed() / count as u32);
}

/// Where the microseconds of an edit go: of each share, the tenth percentile, the median and the ninetieth.
fn print_profile(edits: &[[Duration; 4]]) {
    for (column, name) in ["an edit", "reading rows", "sled's apply", "flush"].iter().enumerate() {
        let mut times: Vec<_> = edits.iter().map(|edit| edit[column]).collect();
        times.sort_unstable();
        let [low, median, high] = [1, 5, 9].map(|tenth| times[times.len() * tenth / 10]);
        let mean = times.iter().sum::<Duration>() / times.len() as u32;
        println!("{name:14} {low:>10.1?} {median:>10.1?} {high:>10.1?} {mean:>10.1?}");
    }
}

/// How much memory the store in `dir` takes in a process of its own.
pub(crate) fn memory(side: Side, dir: &Path) -> Memory {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.env(ASKED, format!("memory {} {}", side.name(), dir.display()));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
    let ids: String = turns(&products()).take(WORK_TURNS).map(|product| format!("{}\n", product.id)).collect();
    child.stdin.take().expect("a pipe").write_all(ids.as_bytes()).expect("told");
    let output = child.wait_with_output().expect("an answer");
    let text = String::from_utf8(output.stdout).expect("text");
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [empty, opened, worked] = numbers[..] else { panic!("{text} {}", String::from_utf8_lossy(&output.stderr)) };
    Memory { empty, opened, worked }
}

fn held(side: Side, dir: &Path) -> Memory {
    // Told, so that the process never holds all products: what was freed may count as resident for a while.
    let ids: Vec<String> = std::io::stdin().lines().map(|id| id.expect("an id")).collect();
    let empty = resident();
    let mut till = side.open(dir);
    till.get(&ids[0]);
    let opened = resident();
    for (turn, id) in ids.iter().enumerate() {
        till.get(id);
        if turn % EDIT_EVERY == 0 {
            till.sell(id);
        }
        if turn % SALE_EVERY == 0 {
            let products: Vec<&str> = ids[turn..].iter().take(SALE_PRODUCTS).map(String::as_str).collect();
            till.sale(1_000_000_000 + turn as u64, &products);
        }
    }
    Memory { empty, opened, worked: resident() }
}

/// Bytes of this process in memory, as the system counts them.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("a Linux system");
    let pages: u64 = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("resident pages");
    pages * 4096
}
