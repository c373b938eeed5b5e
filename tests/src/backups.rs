//! Backups of a relay by its own program: a place for them, and what is asked of it. Must not know what a test looks for.

use crate::device::Device;
use crate::program::run;
use crate::relay::command;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A place for backups, and the relay's data folder.
pub struct Place {
    /// The relay's data folder.
    pub data: PathBuf,
    /// Where its backups are.
    pub out: PathBuf,
}

impl Place {
    /// Both in a folder of the test's.
    pub fn new(folder: &Path) -> Self {
        Self { data: folder.join("relay"), out: folder.join("backups") }
    }

    /// `comptoir-relay backup` with more arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = command(&["backup", "--json"]);
        command.args(args).arg("--data").arg(&self.data).arg("--out").arg(&self.out);
        command
    }

    /// Takes a backup; what it says.
    pub fn take(&self, args: &[&str]) -> Value {
        serde_json::from_str(&run(&mut self.command(args)).success()).expect("JSON")
    }

    /// Verifies the newest backup: what it says, or the one line of the error.
    pub fn verify(&self) -> Result<String, String> {
        let mut command = command(&["verify"]);
        let outcome = run(command.arg("--from").arg(&self.out));
        if outcome.code == Some(0) { Ok(outcome.stdout) } else { Err(outcome.failure()) }
    }

    /// Restores into `to`: what it says, or the one line of the error.
    pub fn restore(&self, to: &Path, args: &[&str]) -> Result<String, String> {
        let mut command = command(&["restore"]);
        let outcome = run(command.args(args).arg("--from").arg(&self.out).arg("--data").arg(to));
        if outcome.code == Some(0) { Ok(outcome.stdout) } else { Err(outcome.failure()) }
    }

    /// The files in a folder of the place, in order.
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.out.join(folder)) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }

    /// The backups' names, oldest first.
    pub fn names(&self) -> Vec<String> {
        self.files("backups")
            .iter()
            .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
            .collect()
    }
}

/// The digest of a workspace in what was said of a restored or verified backup.
pub fn digest_said(said: &str, workspace: &str) -> String {
    let line = said.lines().find(|line| line.starts_with(workspace)).expect("the workspace's line");
    line.rsplit(' ').next().expect("a digest").to_owned()
}

/// Saves products on a device, and syncs it.
pub fn put(device: &Device, keys: std::ops::Range<u32>) {
    keys.for_each(|key| _ = device.ok(&["put", "products", &key.to_string(), r#"{"name":"Pils"}"#]));
    device.sync();
}
