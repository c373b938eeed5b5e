//! Backups of a relay by its own program: a place for them, and what is asked of it. Must not know what a test looks for.

use crate::bucket::Server;
use crate::device::Device;
use crate::program::run;
use crate::relay::command;
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::disk::{self, Batch, CACHE_BYTES};
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
    /// The folder that has the place's files.
    pub stored: PathBuf,
    /// What the programs that open the place are told beside it.
    pub environment: Vec<(&'static str, String)>,
}

impl Place {
    /// Both in a folder of the test's.
    pub fn new(folder: &Path) -> Self {
        let out = folder.join("backups");
        Self { data: folder.join("relay"), out: out.clone(), stored: out, environment: Vec::new() }
    }

    /// As [`Place::new`], with the backups in a bucket.
    pub fn in_bucket(folder: &Path, server: &Server) -> Self {
        let (out, stored) = (PathBuf::from(server.place("relays/one")), server.folder().join("relays/one"));
        Self { data: folder.join("relay"), out, stored, environment: server.environment() }
    }

    /// `comptoir-relay` in this environment.
    pub fn program(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `comptoir-relay backup` with more arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(&["backup", "--json"]);
        command.args(args).arg("--data").arg(&self.data).arg("--out").arg(&self.out);
        command
    }

    /// Takes a backup; what it says.
    pub fn take(&self, args: &[&str]) -> Value {
        serde_json::from_str(&run(&mut self.command(args)).success()).expect("JSON")
    }

    /// Verifies all backups, the newest first: what it says, or the one line of the error.
    pub fn verify(&self) -> Result<String, String> {
        let mut command = self.program(&["verify"]);
        let outcome = run(command.arg("--from").arg(&self.out));
        if outcome.code == Some(0) { Ok(outcome.stdout) } else { Err(outcome.failure()) }
    }

    /// Restores into `to`: what it says, or the one line of the error.
    pub fn restore(&self, to: &Path, args: &[&str]) -> Result<String, String> {
        let mut command = self.program(&["restore"]);
        let outcome = run(command.args(args).arg("--from").arg(&self.out).arg("--data").arg(to));
        if outcome.code == Some(0) { Ok(outcome.stdout) } else { Err(outcome.failure()) }
    }

    /// The files in a folder of the place, in order.
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.stored.join(folder)) else { return Vec::new() };
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

/// Changes a row with this key.
pub type Spoiler = fn(&mut Txn<'_>, Vec<u8>);

/// Changes the last row of the log whose key begins so, in a store that holds good checksums for what it now holds.
pub fn spoil(data: &Path, prefix: &[u8], change: Spoiler) {
    let opened = disk::open(&data.join("log"), None, CACHE_BYTES).expect("a log");
    let (key, _) = txn::scan(&*opened.disk, prefix, &behind(prefix), usize::MAX).expect("rows").pop().expect("a row");
    let mut tx = Txn::new(&*opened.disk);
    change(&mut tx, key);
    tx.commit().expect("changed");
    opened.disk.flush().expect("durable");
}

/// Flips a bit of the last row of the log whose key begins so, as a drive would: its checksum is that of what it was.
pub fn rot(data: &Path, prefix: &[u8]) {
    let opened = disk::open(&data.join("log"), None, CACHE_BYTES).expect("a log");
    let (key, mut row) = opened.disk.last(prefix, &behind(prefix)).expect("rows").expect("a row");
    *row.last_mut().expect("a byte") ^= 1;
    opened.disk.apply(Batch { rows: [(key, Some(row))].into() }).expect("changed");
    opened.disk.flush().expect("durable");
}

/// The first key behind all that begin so.
fn behind(prefix: &[u8]) -> Vec<u8> {
    let (last, before) = prefix.split_last().expect("a prefix");
    [before, &[last + 1]].concat()
}
