//! Programs run with the shim between them and their files. Must not know what they do.

use crate::tape::{self, Step};
use comptoir_engine::disk::StoreKind;
use comptoir_tests::program::{self, Running};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder to work in: in memory where the system offers that, because nothing here depends on a real drive.
pub fn scratch() -> tempfile::TempDir {
    let made = tempfile::Builder::new().prefix("comptoir-").tempdir_in("/dev/shm");
    made.or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// A folder whose processes are watched.
pub struct Watched {
    /// The folder.
    pub root: PathBuf,
    /// The kind of store it is to hold.
    pub kind: StoreKind,
    tape: PathBuf,
}

impl Watched {
    /// `root` need not be there yet; its parent must. The tape lies beside it.
    pub fn new(root: &Path, kind: StoreKind) -> Self {
        let parent = root.parent().expect("a parent").canonicalize().expect("the parent is there");
        let root = parent.join(root.file_name().expect("a name"));
        Self { tape: root.with_extension("tape"), root, kind }
    }

    /// A program that has the shim loaded; the call `fail` (a number from 1, and an error) does not succeed.
    pub fn command(&self, program: &str, fail: Option<(u64, Errno)>) -> Command {
        let mut command = Command::new(program::binary(program));
        command.env("LD_PRELOAD", program::shim()).env("COMPTOIR_SHIM_ROOT", &self.root);
        command.env("COMPTOIR_SHIM_TAPE", &self.tape).env("RUST_BACKTRACE", "0");
        if let Some((number, errno)) = fail {
            command.env("COMPTOIR_SHIM_FAIL", format!("{number}:{}", errno as i32));
        }
        command
    }

    /// Starts it.
    pub fn start(&self, program: &str, args: &[&str]) -> Running {
        Running::start(self.command(program, None).args(args))
    }

    /// Ends a process with SIGKILL at a moment when all that it did is on the tape. Without the lock a kill can fall between
    /// a call and its note, and the next process goes on from what no replay has.
    pub fn kill(&self, running: Running) {
        let tape = OpenOptions::new().create(true).append(true).open(&self.tape).expect("the tape opens");
        tape.lock().expect("the tape can be locked");
        running.kill();
    }

    /// All that the processes did so far.
    pub fn steps(&self) -> Vec<Step> {
        tape::read(&self.tape)
    }

    /// Forgets all of it.
    pub fn rewind(&self) {
        let _ = std::fs::remove_file(&self.tape);
    }
}

/// How a call fails; the numbers are those of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Errno {
    /// The drive gave an error.
    Eio = 5,
    /// There is no room.
    Enospc = 28,
}
