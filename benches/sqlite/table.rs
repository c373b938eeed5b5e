//! The results as a table in `docs/benchmarks.md`, with the machine they come from. Must not measure anything.

use crate::alone::Memory;
use crate::side::{SIDES, Side};
use serde_json::Value;
use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

pub(crate) const EDIT: &str = "durable edit";
pub(crate) const SALE: &str = "durable transaction of 10 records";
pub(crate) const GET: &str = "get";
pub(crate) const LIST: &str = "indexed query";
pub(crate) const SEARCH: &str = "word search";
pub(crate) const LIVE: &str = "live query";
pub(crate) const REOPEN: &str = "reopen and read one";

/// The rows of the table, and what is done in each.
const ROWS: &[(&str, &str)] = &[
    (EDIT, "take one from a product's stock"),
    (SALE, "save a sale, take one from the stock of its 9 products"),
    (GET, "one product with all its fields"),
    (LIST, "50 of the 92,331, of one department from a price on, by price"),
    (SEARCH, "20 products by the beginnings of two words"),
    (LIVE, "one of 50 products that are shown changed: from the commit to the difference"),
    (REOPEN, "of a closed store"),
];

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md");
const FROM: &str = "<!-- written by the bench -->\n";
const UNTIL: &str = "<!-- end -->\n";

/// Puts the results of the last run between the marks of the page. `dir` lies on the disk that was measured.
pub(crate) fn write(results: &Path, dir: &Path, memory: &[Memory; 2]) {
    let page = read_to_string(PAGE).expect("docs/benchmarks.md");
    let (head, rest) = page.split_once(FROM).expect("where the table begins");
    let (_, tail) = rest.split_once(UNTIL).expect("where the table ends");
    let text = format!("{}\n{}", machine(dir), rows(results, memory));
    std::fs::write(PAGE, format!("{head}{FROM}{text}{UNTIL}{tail}")).expect("written");
    println!("{text}");
}

fn rows(results: &Path, memory: &[Memory; 2]) -> String {
    let mut text = "| work | Comptoir | SQLite | Comptoir / SQLite |\n|---|---:|---:|---:|\n".to_owned();
    for (name, what) in ROWS {
        let [ours, theirs] = SIDES.map(|side| Estimate::read(results, name, side));
        let (left, right, ratio) = (ours.show(), theirs.show(), ours.median_ns / theirs.median_ns);
        text += &format!("| {name}: {what} | {left} | {right} | {ratio:.2} |\n");
    }
    let above = |of: fn(&Memory) -> u64| memory.map(|memory| of(&memory).saturating_sub(memory.empty));
    for (what, [ours, theirs]) in [("opened", above(|m| m.opened)), ("after mixed work", above(|m| m.worked))] {
        let (left, right, ratio) = (mib(ours), mib(theirs), ours as f64 / theirs as f64);
        text += &format!("| resident memory, {what} | {left:.1} MiB | {right:.1} MiB | {ratio:.2} |\n");
    }
    text
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A median, with the bounds it lies in with a confidence of 95 %.
struct Estimate {
    median_ns: f64,
    from_ns: f64,
    through_ns: f64,
}

impl Estimate {
    fn read(results: &Path, name: &str, side: Side) -> Self {
        let path = results.join(name).join(side.name()).join("new").join("estimates.json");
        let text = read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let median = &serde_json::from_str::<Value>(&text).expect("criterion's estimates")["median"];
        let number = |value: &Value| value.as_f64().expect("a number");
        let within = &median["confidence_interval"];
        Self {
            median_ns: number(&median["point_estimate"]),
            from_ns: number(&within["lower_bound"]),
            through_ns: number(&within["upper_bound"]),
        }
    }

    fn show(&self) -> String {
        let (unit, scale) = match self.median_ns {
            ns if ns >= 1e6 => ("ms", 1e6),
            _ => ("µs", 1e3),
        };
        let [median, from, through] = [self.median_ns, self.from_ns, self.through_ns].map(|ns| round(ns / scale));
        format!("{median} {unit} ({from} to {through})")
    }
}

/// Three figures.
fn round(number: f64) -> String {
    match number {
        number if number >= 100.0 => format!("{number:.0}"),
        number if number >= 10.0 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    }
}

fn machine(dir: &Path) -> String {
    let cpu = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpu
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name)
        .collect();
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let rustc = Command::new("rustc").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let rustc = String::from_utf8_lossy(&rustc).trim().to_owned();
    format!(
        "Machine: {} × {}, Linux {}, {}, load average {}; {rustc}, SQLite {}.\n",
        models.len(),
        models.first().unwrap_or(&"unknown processor"),
        kernel.trim(),
        file_system(dir),
        load.split(' ').next().unwrap_or_default(),
        rusqlite::version(),
    )
}

/// The file system that `dir` lies on, with its options.
fn file_system(dir: &Path) -> String {
    let mounts = read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let (point, options) = (left.split(' ').nth(4)?.to_owned(), left.split(' ').nth(5)?.to_owned());
        Some((point, format!("{} ({options})", right.split(' ').next()?)))
    };
    let holding = mounts.lines().filter_map(mount).filter(|(point, _)| dir.starts_with(point));
    holding.max_by_key(|(point, _)| point.len()).map_or("an unknown file system".to_owned(), |(_, name)| name)
}
