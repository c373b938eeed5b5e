//! How many instructions the five steps take that everything else is made of, counted by valgrind's callgrind and held against a
//! ceiling each: a count is the same on a busy machine. Over its ceiling a step fails the run. Must not know how a step is done.
//!
//! `cargo bench -p comptoir-benches --bench instructions`
#![allow(missing_docs, reason = "a bench stops at the first thing that fails")]

mod paths;

use std::process::{Command, exit};

/// As in the programs that are shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a process of its own is asked: the step's name.
const ASKED: &str = "COMPTOIR_BENCH_PATH";
/// A step, and the instructions that each time may take.
type Ceiling = (&'static str, fn(u64), u64);
/// How often each step is taken while instructions are counted.
const TIMES: u64 = 200;
/// A count this much below its ceiling asks for a lower one.
const SLACK: f64 = 0.9;

const CEILINGS: [Ceiling; 5] = [
    ("an edit: commit of one increment, in memory", paths::edit, 184_000),
    ("a live edit of another device taken in", paths::follow, 196_000),
    ("a record of a first download taken in", paths::download, 395_000),
    ("an indexed query of 50 among 2,000", paths::query, 687_000),
    ("a change of a push of 100 appended by the relay", paths::append, 141_000),
];

fn main() {
    if let Ok(asked) = std::env::var(ASKED) {
        let place: usize = asked.parse().expect("a step");
        return CEILINGS[place].1(TIMES);
    }
    // Without it this is a test run, and nothing is to be measured.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    ensure_valgrind();
    println!("| step | instructions | ceiling |\n|---|---:|---:|");
    let mut over = 0;
    for (place, (name, _, ceiling)) in CEILINGS.iter().enumerate() {
        let instructions = count(place) / TIMES;
        println!("| {name} | {instructions} | {ceiling} |");
        over += u32::from(instructions > *ceiling);
        if (instructions as f64) < SLACK * *ceiling as f64 {
            println!("  lower its ceiling");
        }
    }
    if over > 0 {
        eprintln!("{over} of {} steps take more instructions than they may: see {}", CEILINGS.len(), file!());
        exit(1);
    }
}

/// Installs it where it is not there.
fn ensure_valgrind() {
    if Command::new("valgrind").arg("--version").output().is_ok() {
        return;
    }
    println!("valgrind is not here: installing it with apt-get");
    let installed = Command::new("apt-get").args(["install", "--yes", "--quiet", "valgrind"]).status();
    if !installed.is_ok_and(|status| status.success()) {
        eprintln!(
            "valgrind could not be installed: install it (on Debian: `sudo apt-get install valgrind`) and run this again"
        );
        exit(1);
    }
}

/// What is collected within [`paths::counted`], in a process of its own.
fn count(place: usize) -> u64 {
    let program = std::env::current_exe().expect("a path");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*paths::counted*"]);
    let output = valgrind.arg(program).env(ASKED, place.to_string()).output().expect("valgrind runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected :")).expect("a count").1;
    collected.trim().parse().expect("a number")
}
