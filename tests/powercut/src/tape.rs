//! What the shim recorded, read back. Must not know what a power cut does.

use std::path::{Path, PathBuf};

/// One thing that a process did to a file below the folder, or said.
#[expect(missing_docs, reason = "the fields' names say what they are")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A new file.
    Create { inode: u64, path: PathBuf },
    /// Bytes written.
    Write { inode: u64, at: usize, bytes: Vec<u8> },
    /// A file made longer, with zeros, or shorter.
    Resize { inode: u64, length: usize },
    /// Bytes made zero.
    Zero { inode: u64, at: usize, length: usize },
    /// A file or folder synced.
    Sync { inode: u64, path: PathBuf },
    /// A part of a file given to the system to write, which promises nothing after a power cut.
    PartSync { inode: u64, path: PathBuf },
    /// A name changed.
    Rename { from: PathBuf, to: PathBuf },
    /// A name removed.
    Unlink { path: PathBuf },
    /// A new folder.
    MakeDir { path: PathBuf },
    /// A folder removed.
    RemoveDir { path: PathBuf },
    /// Bytes on standard output (1) or on a socket.
    Said { fd: u64, bytes: Vec<u8> },
    /// The call that was made to fail.
    Failed { call: String, path: PathBuf },
}

/// Reads a tape. A record cut short by a kill is not there.
pub fn read(path: &Path) -> Vec<Step> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut rest = bytes.as_slice();
    let mut steps = Vec::new();
    while let Some(step) = step(&mut rest) {
        steps.push(step);
    }
    assert!(rest.len() < 1 << 20, "{} bytes of the tape are not understood", rest.len());
    steps
}

fn step(rest: &mut &[u8]) -> Option<Step> {
    let mut reader = *rest;
    let kind = *take(&mut reader, 1)?.first()?;
    let [inode, a, b] = [number(&mut reader, 8)?, number(&mut reader, 8)?, number(&mut reader, 8)?];
    let length = number(&mut reader, 4)? as usize;
    let name = take(&mut reader, length)?;
    let length = number(&mut reader, 4)? as usize;
    let bytes = take(&mut reader, length)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("names are UTF-8 here");
    let path = PathBuf::from(text(name));
    let (at, length) = (a as usize, b as usize);
    let step = match kind {
        1 => Step::Create { inode, path },
        2 => Step::Write { inode, at, bytes: bytes.to_vec() },
        3 => Step::Resize { inode, length: at },
        4 => Step::Sync { inode, path },
        5 => Step::Rename { from: path, to: PathBuf::from(text(bytes)) },
        6 => Step::Unlink { path },
        7 => Step::MakeDir { path },
        8 => Step::RemoveDir { path },
        9 => Step::Said { fd: a, bytes: bytes.to_vec() },
        10 => Step::Zero { inode, at, length },
        11 => Step::Failed { call: text(name), path: PathBuf::from(text(bytes)) },
        12 => Step::PartSync { inode, path },
        other => panic!("no record begins with {other}"),
    };
    *rest = reader;
    Some(step)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8], bytes: usize) -> Option<u64> {
    Some(take(rest, bytes)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}
