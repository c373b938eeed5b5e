//! What the system says of this process. Must not know what the relay does.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// This process.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    started_seconds: f64,
}

impl Process {
    /// Started now.
    pub fn starting() -> Self {
        Self { started_seconds: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() }
    }

    /// When it started, in seconds since 1970.
    pub fn started_seconds(self) -> f64 {
        self.started_seconds
    }

    /// Memory it holds, in bytes; 0 where the system does not say.
    pub fn resident_bytes(self) -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
        kib.unwrap_or_default() * 1024
    }

    /// Files and connections it has open; 0 where the system does not say.
    pub fn open_files(self) -> u64 {
        fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
    }
}
