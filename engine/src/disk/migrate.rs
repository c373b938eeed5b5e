//! Copying a store of one kind into one of another kind, in its folder. Must not know what the rows mean.
//!
//! The copy grows beside the store, in files of its own; nothing looks at them before the file `format` names them. So the
//! moment of the change is one rename: a process killed before it leaves the old store, after it the new one. Only then
//! the old files go. What a killed process leaves is removed by the next run.
//!
//! The folder keeps its lock file and with it its identity: the same installation goes on under the same author. That is
//! safe because there is never a moment in which both stores can be opened, so no number is given twice.

use super::folder::{Folder, sync_folder};
use super::kind::open_as;
use super::{Batch, Disk, DiskError, Opened, RESERVED_KEY_FROM, StoreKind, failure};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Rows copied by one batch: five megabytes at most.
const BATCH_ROWS_MAX: usize = 1024;

/// A store that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// What it was.
    pub from: StoreKind,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 over all rows in order, keys and values each after their length, in both stores.
    pub hash: [u8; 32],
    /// What `digest` said of both.
    pub digest: String,
}

/// Copies the store in `dir` into one of the kind `to`, compares both row by row and by what `digest` says of them, and puts
/// the copy in its place; `None` when it is of that kind already. Needs room for both; a failure leaves the store as it was.
///
/// Errors: [`DiskError::NotAStore`], [`DiskError::CopyDiffers`], those of [`super::open`], and those of `digest`.
pub fn migrate<E: From<DiskError>>(
    dir: &Path,
    to: StoreKind,
    cache_bytes: u64,
    mut digest: impl FnMut(Opened) -> Result<String, E>,
) -> Result<Option<Copied>, E> {
    if !dir.join("format").exists() {
        return Err(DiskError::NotAStore { path: dir.to_owned() }.into());
    }
    let mut folder = Folder::open(dir, None)?;
    let from = folder.kind;
    let others = StoreKind::ALL.into_iter().filter(|kind| *kind != from);
    others.into_iter().try_for_each(|kind| remove(dir, kind))?;
    if from == to {
        return Ok(None);
    }
    let open = |kind| open_as(kind, folder.clone(), cache_bytes);
    let copied = (|| {
        let before = digest(open(from)?)?;
        copy(&*open(from)?.disk, &*open(to)?.disk)?;
        // Opened again: what is compared has been on the disk.
        let [(rows, hash), (copy_rows, copy_hash)] = [hash(&*open(from)?.disk)?, hash(&*open(to)?.disk)?];
        if (rows, hash) != (copy_rows, copy_hash) {
            let what = format!("{rows} rows and {copy_rows} rows, or other content");
            return Err(E::from(DiskError::CopyDiffers { what }));
        }
        let after = digest(open(to)?)?;
        if before != after {
            return Err(DiskError::CopyDiffers { what: format!("digest {before} and {after}") }.into());
        }
        Ok(Copied { from, rows, hash, digest: after })
    })();
    let copied = match copied {
        Ok(copied) => copied,
        Err(error) => {
            // The next run removes what cannot be removed now.
            let _ = remove(dir, to);
            return Err(error);
        }
    };
    folder.switch(to)?;
    remove(dir, from)?;
    Ok(Some(copied))
}

fn copy(from: &dyn Disk, to: &dyn Disk) -> Result<(), DiskError> {
    each_batch(from, |rows| {
        to.apply(Batch { rows: rows.into_iter().map(|(key, value)| (key, Some(value))).collect() })?;
        to.flush()
    })
}

fn hash(disk: &dyn Disk) -> Result<(u64, [u8; 32]), DiskError> {
    let (mut count, mut hasher) = (0, Sha256::new());
    each_batch(disk, |rows| {
        count += rows.len() as u64;
        for bytes in rows.iter().flat_map(|(key, value)| [key, value]) {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        Ok(())
    })?;
    Ok((count, hasher.finalize().into()))
}

/// All rows in order, some at a time.
fn each_batch(
    disk: &dyn Disk,
    mut take: impl FnMut(Vec<super::Row>) -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    let mut from = Vec::new();
    loop {
        let rows = disk.range(&from, &RESERVED_KEY_FROM, BATCH_ROWS_MAX)?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        from = [last.as_slice(), &[0]].concat();
        take(rows)?;
    }
}

/// Removes the files of a store of this kind, as far as they are there.
fn remove(dir: &Path, kind: StoreKind) -> Result<(), DiskError> {
    let remove = |name: &&str| -> io::Result<()> {
        let path = dir.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
    };
    let removed = kind.files().iter().try_for_each(remove).and_then(|()| sync_folder(dir));
    removed.map_err(|error| failure::io_error("removing a store that was copied", &error))
}
