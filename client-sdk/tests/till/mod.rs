//! A till in a folder of its own, worked through the command line. Must not know what a test expects.
#![allow(dead_code, reason = "each test file uses a part of it")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// What it printed, after checking that it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert!(self.stderr.is_empty(), "{self:?}");
        self.stdout
    }

    /// The one line it said, after checking the exit status and that nothing was printed.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "an error is one line: {self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        self.stderr.trim_end().to_owned()
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// A store and a place for files beside it.
pub(crate) struct Till {
    folder: TempDir,
}

impl Till {
    /// A folder without a store.
    pub(crate) fn without_store() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A store that has no relay.
    pub(crate) fn new() -> Self {
        let till = Self::without_store();
        till.run(&["init", "--workspace", "corner-bar"]).ok();
        till
    }

    /// A path beside the store.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The store's folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// The command, with this till's store.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_comptoir"));
        command.arg("--store").arg(self.store()).args(args).env("COMPTOIR_LANG", "en").stdin(Stdio::null());
        command.env_remove("COMPTOIR_STORE").env_remove("COMPTOIR_TOKEN");
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.command(args).output().expect("the program runs").into()
    }

    /// What a command prints with `--json`.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[args, &["--json"]].concat()).ok()).expect("JSON")
    }

    /// A record's fields.
    #[track_caller]
    pub(crate) fn fields(&self, collection: &str, key: &str) -> Value {
        self.json(&["get", collection, key])["fields"].take()
    }

    /// Writes a file beside the store.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a file");
        text(&path)
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("a path of letters").to_owned()
}
