//! How much memory a process takes, as the system says. Must not know what the process does.

use std::fs;

/// The memory of a process that is in use, in bytes.
pub fn resident_bytes(process: u32) -> u64 {
    status(process, "VmRSS:")
}

/// Of that, what no file holds as well, in bytes.
pub fn own_bytes(process: u32) -> u64 {
    status(process, "RssAnon:")
}

/// The most it ever was, in bytes.
pub fn peak_bytes(process: u32) -> u64 {
    status(process, "VmHWM:")
}

fn status(process: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).expect("a process that runs");
    kib_of(&text, name).expect("a number of kB") << 10
}

/// As [`peak_bytes`]; `None` when the process has ended.
pub fn peak_bytes_if_it_runs(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    kib_of(&text, "VmHWM:").map(|kib| kib << 10)
}

fn kib_of(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().trim_end_matches(" kB").parse().ok()
}
