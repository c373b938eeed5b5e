//! The calls that read, change and sync what is in files, and those that say something. Must not know names.

use crate::names::{inode_of, path_of};
use crate::{Kind, Order, order, set_errno};
use libc::{c_int, c_uint, c_void, iovec, off_t, size_t, ssize_t};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Does one call on a file below the folder, unless it is the one to fail; `note` gets what it returned.
unsafe fn filed(
    what: &str,
    grows: bool,
    fd: c_int,
    call: impl FnOnce() -> ssize_t,
    note: impl FnOnce(&Order, u64, &[u8], ssize_t),
) -> ssize_t {
    let Some(order) = order() else { return call() };
    let path = path_of(fd);
    let Some(inside) = order.inside(&path) else {
        let said = fd == 1 || (fd > 2 && what == "write" && inode_of(fd).1);
        let _alone = said.then(|| order.alone());
        let done = call();
        if said && done > 0 {
            note(order, 0, &[], done);
        }
        return done;
    };
    let _alone = order.alone();
    if order.fails(what, grows, inside) {
        return -1;
    }
    let done = call();
    order.pause();
    if done >= 0 {
        note(order, inode_of(fd).0, inside, done);
    }
    done
}

/// Notes bytes written, or said where there is no inode.
unsafe fn written(order: &Order, fd: c_int, inode: u64, path: &[u8], at: i64, bytes: *const c_void, length: ssize_t) {
    // SAFETY: the call has just taken so many bytes from there.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize) };
    match inode {
        0 => order.note(Kind::Said, 0, (fd as u64, 0), &[], bytes),
        _ => order.note(Kind::Write, inode, (at as u64, 0), path, bytes),
    }
}

/// How long a file is.
fn length_of(fd: c_int) -> u64 {
    // SAFETY: all zeros is a valid `stat`, and the call fills it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        libc::fstat(fd, &mut stat);
        stat.st_size as u64
    }
}

/// Where a write without an offset has just ended.
unsafe fn position(fd: c_int) -> i64 {
    unsafe { libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    unsafe {
        let call = || libc::syscall(libc::SYS_write, fd, bytes, count) as ssize_t;
        filed("write", true, fd, call, |order, inode, path, done| {
            written(order, fd, inode, path, position(fd) - done as i64, bytes, done);
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn send(fd: c_int, bytes: *const c_void, count: size_t, flags: c_int) -> ssize_t {
    unsafe {
        let nobody = std::ptr::null::<c_void>();
        let call = || libc::syscall(libc::SYS_sendto, fd, bytes, count, flags, nobody, 0) as ssize_t;
        filed("write", true, fd, call, |order, inode, path, done| written(order, fd, inode, path, 0, bytes, done))
    }
}

/// One part at a time, so that each is noted where it lies.
#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    let mut sum = 0;
    for index in 0..count as usize {
        // SAFETY: the caller gives so many parts.
        let part = unsafe { &*parts.add(index) };
        let done = unsafe { write(fd, part.iov_base, part.iov_len) };
        if done < 0 {
            return if sum > 0 { sum } else { done };
        }
        sum += done;
        if done as usize != part.iov_len {
            return sum;
        }
    }
    sum
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(fd: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    unsafe {
        let call = || libc::syscall(libc::SYS_pwrite64, fd, bytes, count, at) as ssize_t;
        filed("write", true, fd, call, |order, inode, path, done| written(order, fd, inode, path, at, bytes, done))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    unsafe { pwrite(fd, bytes, count, at) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn read(fd: c_int, bytes: *mut c_void, count: size_t) -> ssize_t {
    unsafe { reading(fd, None, || libc::syscall(libc::SYS_read, fd, bytes, count) as ssize_t) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pread(fd: c_int, bytes: *mut c_void, count: size_t, at: off_t) -> ssize_t {
    unsafe { reading(fd, Some(at), || libc::syscall(libc::SYS_pread64, fd, bytes, count, at) as ssize_t) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pread64(fd: c_int, bytes: *mut c_void, count: size_t, at: off_t) -> ssize_t {
    unsafe { pread(fd, bytes, count, at) }
}

/// How far each file has been read without a gap: that is in the system's cache, and reading it again asks no drive.
static CACHED: Mutex<BTreeMap<u64, i64>> = Mutex::new(BTreeMap::new());

unsafe fn reading(fd: c_int, at: Option<off_t>, call: impl FnOnce() -> ssize_t) -> ssize_t {
    let Some(order) = order().filter(|order| order.may_fail()) else { return call() };
    let path = path_of(fd);
    let Some(inside) = order.inside(&path) else { return call() };
    let inode = inode_of(fd).0;
    let from = at.unwrap_or_else(|| unsafe { position(fd) });
    let through = CACHED.lock().unwrap_or_else(PoisonError::into_inner).get(&inode).copied().unwrap_or(0);
    let asks_drive = from >= through && from < length_of(fd) as i64;
    if asks_drive && order.fails("read", false, inside) {
        return -1;
    }
    let done = call();
    if done > 0 && from <= through {
        let through = through.max(from + done as i64);
        CACHED.lock().unwrap_or_else(PoisonError::into_inner).insert(inode, through);
    }
    done
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    unsafe {
        let call = || libc::syscall(libc::SYS_ftruncate, fd, length) as ssize_t;
        filed("ftruncate", true, fd, call, |order, inode, path, _| {
            order.note(Kind::Resize, inode, (length as u64, 0), path, &[]);
        }) as c_int
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    unsafe { ftruncate(fd, length) }
}

/// Room that is taken in advance; a file that becomes longer by it reads as zeros there.
#[unsafe(no_mangle)]
unsafe extern "C" fn fallocate(fd: c_int, mode: c_int, at: off_t, length: off_t) -> c_int {
    unsafe {
        let before = length_of(fd);
        let call = || libc::syscall(libc::SYS_fallocate, fd, mode, at, length) as ssize_t;
        filed("fallocate", true, fd, call, |order, inode, path, _| {
            if mode & (libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE) != 0 {
                order.note(Kind::Zero, inode, (at as u64, length as u64), path, &[]);
            }
            if length_of(fd) != before {
                order.note(Kind::Resize, inode, (length_of(fd), 0), path, &[]);
            }
        }) as c_int
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fallocate64(fd: c_int, mode: c_int, at: off_t, length: off_t) -> c_int {
    unsafe { fallocate(fd, mode, at, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_fallocate(fd: c_int, at: off_t, length: off_t) -> c_int {
    // This one returns its error.
    unsafe { if fallocate(fd, 0, at, length) == 0 { 0 } else { *libc::__errno_location() } }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_fallocate64(fd: c_int, at: off_t, length: off_t) -> c_int {
    unsafe { posix_fallocate(fd, at, length) }
}

unsafe fn syncing(what: &str, fd: c_int, number: libc::c_long) -> c_int {
    unsafe {
        let call = || libc::syscall(number, fd) as ssize_t;
        filed(what, true, fd, call, |order, inode, path, _| order.note(Kind::Sync, inode, (0, 0), path, &[])) as c_int
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    unsafe { syncing("fsync", fd, libc::SYS_fsync) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    unsafe { syncing("fdatasync", fd, libc::SYS_fdatasync) }
}

/// Promises nothing after a power cut.
#[unsafe(no_mangle)]
unsafe extern "C" fn sync_file_range(fd: c_int, at: off_t, length: off_t, flags: c_uint) -> c_int {
    unsafe {
        let call = || libc::syscall(libc::SYS_sync_file_range, fd, at, length, flags) as ssize_t;
        let note = |order: &Order, inode, path: &[u8], _| order.note(Kind::PartSync, inode, (0, 0), path, &[]);
        filed("sync_file_range", true, fd, call, note) as c_int
    }
}

/// Not here: whoever copies a file then reads and writes, which is seen.
#[unsafe(no_mangle)]
unsafe extern "C" fn copy_file_range(
    _: c_int,
    _: *mut off_t,
    _: c_int,
    _: *mut off_t,
    _: size_t,
    _: c_uint,
) -> ssize_t {
    set_errno(libc::ENOSYS);
    -1
}

/// As [`copy_file_range`].
#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile64(_: c_int, _: c_int, _: *mut off_t, _: size_t) -> ssize_t {
    set_errno(libc::ENOSYS);
    -1
}
