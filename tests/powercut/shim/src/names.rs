//! Paths and inodes behind descriptors, and the calls that change names. Must not know the content of files.

use crate::{Kind, Order, order};
use libc::{AT_FDCWD, c_char, c_int, c_uint, mode_t};
use std::ffi::CStr;

/// What a descriptor stands for: its path as the system knows it.
pub(crate) fn path_of(fd: c_int) -> Vec<u8> {
    let mut link = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0\0";
    let digits = fd.to_string();
    link[14..14 + digits.len()].copy_from_slice(digits.as_bytes());
    read_link(&link)
}

fn read_link(link: &[u8]) -> Vec<u8> {
    let mut path = vec![0u8; 4096];
    // SAFETY: the link ends with a zero byte, the buffer has the length given.
    let length = unsafe { libc::syscall(libc::SYS_readlinkat, AT_FDCWD, link.as_ptr(), path.as_mut_ptr(), path.len()) };
    path.truncate(usize::try_from(length).unwrap_or(0));
    path
}

/// The inode behind a descriptor, and whether it is a socket.
pub(crate) fn inode_of(fd: c_int) -> (u64, bool) {
    // SAFETY: all zeros is a valid `stat`, and the call fills it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        libc::fstat(fd, &mut stat);
        (stat.st_ino, stat.st_mode & libc::S_IFMT == libc::S_IFSOCK)
    }
}

/// A path given to a call, made absolute.
///
/// SAFETY: `path` ends with a zero byte.
pub(crate) unsafe fn absolute(dir: c_int, path: *const c_char) -> Vec<u8> {
    // SAFETY: as above.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    if path.starts_with(b"/") {
        return path.to_vec();
    }
    let base = if dir == AT_FDCWD { read_link(b"/proc/self/cwd\0") } else { path_of(dir) };
    [base.as_slice(), b"/", path].concat()
}

/// Does one call on a name below the folder, unless it is the one to fail, and notes it.
unsafe fn named(
    what: &str,
    grows: bool,
    path: &[u8],
    call: impl FnOnce() -> c_int,
    note: impl FnOnce(&Order, &[u8]),
) -> c_int {
    let Some((order, inside)) = order().and_then(|order| Some((order, order.inside(path)?))) else { return call() };
    let _alone = order.alone();
    if order.fails(what, grows, inside) {
        return -1;
    }
    let done = call();
    if done == 0 {
        note(order, inside);
    }
    done
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    unsafe { renameat2(AT_FDCWD, from, AT_FDCWD, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn renameat(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char) -> c_int {
    unsafe { renameat2(from_dir, from, to_dir, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn renameat2(
    from_dir: c_int,
    from: *const c_char,
    to_dir: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    unsafe {
        let target = absolute(to_dir, to);
        let call = || libc::syscall(libc::SYS_renameat2, from_dir, from, to_dir, to, flags) as c_int;
        named("rename", true, &absolute(from_dir, from), call, |order, inside| {
            order.note(Kind::Rename, 0, (0, 0), inside, order.inside(&target).unwrap_or_default());
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    unsafe { unlinkat(AT_FDCWD, path, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    unsafe { unlinkat(AT_FDCWD, path, libc::AT_REMOVEDIR) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlinkat(dir: c_int, path: *const c_char, flags: c_int) -> c_int {
    unsafe {
        let kind = if flags & libc::AT_REMOVEDIR != 0 { Kind::RemoveDir } else { Kind::Unlink };
        let call = || libc::syscall(libc::SYS_unlinkat, dir, path, flags) as c_int;
        named("unlink", false, &absolute(dir, path), call, |order, inside| order.note(kind, 0, (0, 0), inside, &[]))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    unsafe { mkdirat(AT_FDCWD, path, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdirat(dir: c_int, path: *const c_char, mode: mode_t) -> c_int {
    unsafe {
        let call = || libc::syscall(libc::SYS_mkdirat, dir, path, mode as c_uint) as c_int;
        named("mkdir", true, &absolute(dir, path), call, |order, inside| {
            order.note(Kind::MakeDir, 0, (0, 0), inside, &[])
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { openat(AT_FDCWD, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { openat(AT_FDCWD, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat64(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { openat(dir, path, flags, mode) }
}

/// Opening a file that is not there yet makes a name, and `O_TRUNC` makes a file short.
#[unsafe(no_mangle)]
unsafe extern "C" fn openat(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe {
        let call = || libc::syscall(libc::SYS_openat, dir, path, flags, mode as c_uint) as c_int;
        let Some(order) = order() else { return call() };
        let full = absolute(dir, path);
        let Some(inside) = order.inside(&full) else { return call() };
        let _alone = order.alone();
        let creates = flags & libc::O_CREAT != 0;
        if order.fails("open", creates, inside) {
            return -1;
        }
        let missing = creates && libc::syscall(libc::SYS_faccessat, dir, path, libc::F_OK) != 0;
        let fd = call();
        if fd >= 0 && missing {
            order.note(Kind::Create, inode_of(fd).0, (0, 0), inside, &[]);
        } else if fd >= 0 && flags & libc::O_TRUNC != 0 {
            order.note(Kind::Resize, inode_of(fd).0, (0, 0), inside, &[]);
        }
        fd
    }
}
