//! A real device: the command line on a folder of its own. Must not know relays but by their address.

use crate::program::{Outcome, Running, binary, run};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A device's store, and the command line on it.
pub struct Device {
    store: PathBuf,
}

impl Device {
    /// Makes a store with `comptoir init`. Without a token where it is empty.
    pub fn init(store: &Path, workspace: &str, relay: &str, token: &str) -> Self {
        let device = Self::at(store);
        let name = store.file_name().expect("a folder with a name").to_string_lossy().into_owned();
        let mut args = vec!["init", "--workspace", workspace, "--relay", relay, "--device-name", &name];
        if !token.is_empty() {
            args.extend(["--token", token]);
        }
        device.run(&args).success();
        device
    }

    /// The command line on a folder as it is.
    pub fn at(store: &Path) -> Self {
        Self { store: store.to_owned() }
    }

    /// The store's folder.
    pub fn store(&self) -> &Path {
        &self.store
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary("comptoir"));
        command.arg("--store").arg(&self.store).args(args);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Outcome {
        run(&mut self.command(args))
    }

    /// Runs a command that must succeed; what it printed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        self.run(args).success()
    }

    /// Runs a command that must fail; the line it said.
    #[track_caller]
    pub fn fails(&self, args: &[&str]) -> String {
        self.run(args).failure()
    }

    /// Starts a command that goes on.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(&mut self.command(args))
    }

    /// What a command prints with `--json`.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    /// The status as the store has it, the relay not asked.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.json(&["status", "--offline"])
    }

    /// The fields of a record that is not deleted.
    #[track_caller]
    pub fn get(&self, collection: &str, key: &str) -> Value {
        let mut record = self.json(&["get", collection, key]);
        assert_eq!(record["deleted"], false, "{record}");
        record["fields"].take()
    }

    /// The digest of all records, in hexadecimal digits.
    #[track_caller]
    pub fn digest(&self) -> String {
        self.status()["digest"].as_str().expect("a digest").to_owned()
    }

    /// Syncs once; both ways.
    #[track_caller]
    pub fn sync(&self) {
        self.ok(&["sync"]);
    }
}
