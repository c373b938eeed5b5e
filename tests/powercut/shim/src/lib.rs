//! Loaded into a process by LD_PRELOAD, this takes the place of the C library's calls on files. What happens below one
//! folder is written to a tape, in the order in which it happened, with all that the process says on its standard output
//! and its sockets in between; or one of the calls fails. Must not know what the files are.
//!
//! ```text
//! COMPTOIR_SHIM_ROOT  the folder, without links in its path
//! COMPTOIR_SHIM_TAPE  the tape; it is appended to
//! COMPTOIR_SHIM_FAIL  NUMBER:ERRNO, the call to fail, counted from 1, and how
//! COMPTOIR_SHIM_PAUSE milliseconds between a call on an open file and its record
//! record              [kind u8][inode u64][a u64][b u64][length u32][path][length u32][bytes], little-endian
//! ```
//!
//! Calls that change something are let through one at a time, so that the tape's order is the true one. The tape is locked
//! from before such a call until it is noted: who holds that lock can kill the process without leaving a call unnoted.
#![cfg(target_os = "linux")]
#![allow(clippy::missing_safety_doc)]

mod calls;
mod names;

use libc::{c_int, c_long};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The kinds of records on the tape.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Create = 1,
    Write = 2,
    Resize = 3,
    Sync = 4,
    Rename = 5,
    Unlink = 6,
    MakeDir = 7,
    RemoveDir = 8,
    Said = 9,
    Zero = 10,
    Failed = 11,
    PartSync = 12,
}

/// What was asked for by environment variables.
pub(crate) struct Order {
    root: Vec<u8>,
    tape: Option<c_int>,
    fail: Option<(u64, c_int)>,
    pause: Option<Duration>,
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static CALLS: AtomicU64 = AtomicU64::new(0);

/// The order; `None` for a process that is left alone.
pub(crate) fn order() -> Option<&'static Order> {
    static ORDER: OnceLock<Option<Order>> = OnceLock::new();
    ORDER.get_or_init(read_order).as_ref()
}

fn read_order() -> Option<Order> {
    let variable = |name: &str| std::env::var_os(name).map(OsString::into_vec);
    let root = variable("COMPTOIR_SHIM_ROOT")?;
    let tape = variable("COMPTOIR_SHIM_TAPE").and_then(|mut path| {
        path.push(0);
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
        // SAFETY: the path ends with a zero byte and outlives the call.
        let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600) };
        (fd >= 0).then_some(fd as c_int)
    });
    let fail = std::env::var("COMPTOIR_SHIM_FAIL").ok();
    let fail = fail.and_then(|text| text.split_once(':').and_then(|(n, e)| Some((n.parse().ok()?, e.parse().ok()?))));
    let pause = std::env::var("COMPTOIR_SHIM_PAUSE").ok().and_then(|text| text.parse().ok());
    Some(Order { root, tape, fail, pause: pause.map(Duration::from_millis) })
}

/// Until it goes, no other call changes anything.
pub(crate) struct Alone {
    tape: Option<c_int>,
    _thread: MutexGuard<'static, ()>,
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.tape.into_iter().for_each(|tape| lock(tape, libc::LOCK_UN));
    }
}

fn lock(tape: c_int, operation: c_int) {
    // SAFETY: no memory is passed. Only a signal that the process handles can interrupt it.
    while unsafe { libc::syscall(libc::SYS_flock, tape, operation) } != 0 {
        // SAFETY: the C library gives each thread its own place for it.
        if unsafe { *libc::__errno_location() } != libc::EINTR {
            // What is not noted would be missing without a word.
            std::process::abort();
        }
    }
}

impl Order {
    /// Waits until no other call is under way.
    pub(crate) fn alone(&self) -> Alone {
        let thread = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        self.tape.into_iter().for_each(|tape| lock(tape, libc::LOCK_EX));
        Alone { tape: self.tape, _thread: thread }
    }

    /// The path from the folder on; `None` outside it.
    pub(crate) fn inside<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        match path.strip_prefix(self.root.as_slice())? {
            [] => Some(&[]),
            [b'/', rest @ ..] => Some(rest),
            _ => None,
        }
    }

    /// Lets time pass between a call and its record.
    pub(crate) fn pause(&self) {
        // wait: whoever kills the process now finds out whether a call can be left unnoted.
        self.pause.into_iter().for_each(std::thread::sleep);
    }

    /// Writes a record.
    pub(crate) fn note(&self, kind: Kind, inode: u64, numbers: (u64, u64), path: &[u8], bytes: &[u8]) {
        let Some(tape) = self.tape else { return };
        let mut record = Vec::with_capacity(33 + path.len() + bytes.len());
        record.push(kind as u8);
        for number in [inode, numbers.0, numbers.1] {
            record.extend_from_slice(&number.to_le_bytes());
        }
        for part in [path, bytes] {
            record.extend_from_slice(&(part.len() as u32).to_le_bytes());
            record.extend_from_slice(part);
        }
        // SAFETY: the buffer is valid for its length. One call a record: a process that is killed leaves whole ones.
        let written = unsafe { libc::syscall(libc::SYS_write, tape, record.as_ptr(), record.len()) };
        if written != record.len() as c_long {
            // A tape with a gap would be taken for the truth.
            std::process::abort();
        }
    }

    /// Whether any call is to fail.
    pub(crate) fn may_fail(&self) -> bool {
        self.fail.is_some()
    }

    /// Counts a call; true when it is the one that fails, `errno` being set. `grows` is whether it may need room.
    pub(crate) fn fails(&self, what: &str, grows: bool, path: &[u8]) -> bool {
        let Some((number, errno)) = self.fail else { return false };
        if errno == libc::ENOSPC && !grows {
            return false;
        }
        if CALLS.fetch_add(1, Ordering::Relaxed) + 1 != number {
            return false;
        }
        self.note(Kind::Failed, 0, (number, errno as u64), what.as_bytes(), path);
        set_errno(errno);
        true
    }
}

/// Sets what the caller reads as the reason.
pub(crate) fn set_errno(errno: c_int) {
    // SAFETY: the C library gives each thread its own place for it.
    unsafe { *libc::__errno_location() = errno };
}
