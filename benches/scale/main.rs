//! One relay and very many devices, and one workspace that grows: what each costs, and where the first limit is. Must not know how
//! it is drawn.
//!
//! ```text
//! cargo bench -p comptoir-benches --bench scale                      all but the hour, in some ten minutes
//! cargo bench -p comptoir-benches --bench scale -- crowd             5,000 devices in 1,000 workspaces
//! cargo bench -p comptoir-benches --bench scale -- append            8 devices that push 100 changes at a time
//! cargo bench -p comptoir-benches --bench scale -- steady 60         their memory over so many minutes of edits
//! cargo bench -p comptoir-benches --bench scale -- growth 1000000    one workspace of 10,000 records, and tenfold to so many
//! ```
#![allow(missing_docs, reason = "a bench stops at the first thing that fails")]

mod append;
mod crowd;
mod curve;
mod growth;
mod process;
mod till;

/// As in the programs that are shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MINUTES: u64 = 3;
const RECORDS: u64 = 1_000_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // Without it this is a test run, and nothing is to be measured.
    if !words.iter().any(|word| word == "--bench") {
        return;
    }
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    let number = |at: usize, unsaid: u64| words.get(at).map_or(unsaid, |word| word.parse().expect("a number"));
    match words.first() {
        None => {
            append::append();
            crowd::levels();
            crowd::steady(MINUTES);
            growth::grow(RECORDS);
        }
        Some(&"append") => append::append(),
        Some(&"crowd") => crowd::levels(),
        Some(&"steady") => crowd::steady(number(1, MINUTES)),
        Some(&"growth") => growth::grow(number(1, RECORDS)),
        Some(other) => panic!("{other}: append, crowd, steady or growth"),
    }
}
