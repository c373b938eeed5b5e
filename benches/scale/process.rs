//! What a process takes, as the system says. Must not know which process.

use std::fs;
use std::path::Path;

/// Clock ticks a second: what Linux shows to programs, whatever it counts with itself.
const TICKS: f64 = 100.0;

/// The processor time of a process, in seconds.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("a process that runs");
    // The name before may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    ticks as f64 / TICKS
}

/// The bytes of all files in a folder.
pub(crate) fn disk_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        // Gone meanwhile.
        Err(_) => 0,
    });
    bytes.sum()
}

/// The machine, as a table's first line names it.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let names: Vec<&str> =
        cpu.lines().filter(|line| line.starts_with("model name")).filter_map(|line| line.split(": ").nth(1)).collect();
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    format!(
        "{} x {}, Linux {}, load average {} at the start",
        names.len(),
        names.first().unwrap_or(&"an unknown processor"),
        kernel.trim(),
        load.split(' ').next().unwrap_or("unknown")
    )
}
