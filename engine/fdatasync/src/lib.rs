//! Makes the part syncs of sled on Linux whole ones. Must not know sled.
//!
//! After each write to its log, sled 0.34.7 calls `sync_file_range` on Linux, and takes what it wrote for durable: it frees
//! the segments that held the pages before, and writes over them. But `sync_file_range` neither empties the drive's own
//! cache nor writes where new blocks of a file are (its manual page says so): a power cut can leave a segment written over
//! and what replaced it gone, and sled cannot be opened. Elsewhere sled calls `fsync`.
//!
//! The function here has the name and form of the system's, so every program that links this crate calls it instead. It does
//! what sled means: `fdatasync`. To other callers in the same process it gives more than they asked for.

/// Has the function linked, to which nothing else refers by a path. To be called once at least.
pub fn link() {
    #[cfg(target_os = "linux")]
    std::hint::black_box(linux::sync_file_range as *const ());
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{c_int, c_uint};

    /// In place of the system's function.
    // SAFETY: the name is the system's own, and so are the form and what the call promises.
    #[unsafe(no_mangle)]
    pub(super) extern "C" fn sync_file_range(file: c_int, _from: i64, _bytes: i64, _flags: c_uint) -> c_int {
        // SAFETY: `fdatasync` takes any number, and says so when it is no open file's.
        unsafe { libc::fdatasync(file) }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::fd::AsRawFd as _;

    #[test]
    fn a_call_of_the_systems_function_comes_here() {
        super::link();
        let file = tempfile::tempfile().expect("a file");
        // The system's own refuses flags it does not know.
        // SAFETY: the file is open.
        let called = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, u32::MAX) };
        assert_eq!(called, 0);
    }
}
