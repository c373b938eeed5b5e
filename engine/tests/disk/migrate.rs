//! Copying a store of one kind into another.

use super::redb::open;
use super::{END, all, files, long, put};
use comptoir_engine::disk::sled::{SledDisk, SledOptions};
use comptoir_engine::disk::txn::Txn;
use comptoir_engine::disk::{self, CACHE_BYTES, DiskError, Opened, Row, StoreKind};
use std::fs;
use std::path::Path;

fn filled(dir: &Path, kind: StoreKind) -> Vec<Row> {
    let opened = disk::open(dir, Some(kind), CACHE_BYTES).unwrap();
    for batch in 0..5u16 {
        let mut txn = Txn::new(&*opened.disk);
        (0..700u16).for_each(|row| txn.put([batch.to_be_bytes(), row.to_be_bytes()].concat(), &long(90, row as u8)));
        txn.put(vec![9, batch as u8], &long(30_000, batch as u8));
        txn.commit().unwrap();
    }
    opened.disk.flush().unwrap();
    all(&*opened.disk)
}

fn count(opened: Opened) -> Result<String, DiskError> {
    Ok(opened.disk.range(b"", END, usize::MAX)?.len().to_string())
}

fn migrate(dir: &Path, to: StoreKind) -> Result<Option<disk::Copied>, DiskError> {
    disk::migrate(dir, to, CACHE_BYTES, count)
}

#[test]
fn a_store_is_copied_there_and_back_with_every_row_and_keeps_its_identity() {
    let dir = tempfile::tempdir().unwrap();
    let rows = filled(dir.path(), StoreKind::Sled);
    let identity = disk::open(dir.path(), None, CACHE_BYTES).unwrap().identity;
    for (from, to) in [(StoreKind::Sled, StoreKind::Redb), (StoreKind::Redb, StoreKind::Sled)] {
        let copied = migrate(dir.path(), to).unwrap().unwrap();
        assert_eq!((copied.from, copied.rows, copied.digest), (from, rows.len() as u64, rows.len().to_string()));
        let opened = disk::open(dir.path(), Some(to), CACHE_BYTES).unwrap();
        assert_eq!((all(&*opened.disk), &opened.identity), (rows.clone(), &identity));
        drop(opened);
        assert_eq!(migrate(dir.path(), to), Ok(None), "it is one already");
        assert_eq!(dir.path().join("sled").exists(), to == StoreKind::Sled, "the old files are gone");
        assert_eq!(dir.path().join("redb").exists(), to == StoreKind::Redb, "the old files are gone");
    }
}

#[test]
fn what_a_killed_copy_left_neither_shows_nor_stands_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let rows = filled(dir.path(), StoreKind::Sled);
    let other = tempfile::tempdir().unwrap();
    put(&open(other.path()).unwrap(), b"half", b"1");
    for name in ["redb", "redb.mark"] {
        fs::copy(other.path().join(name), dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("redb.new"), "half").unwrap();
    fs::write(dir.path().join("format.new"), "1 re").unwrap();
    assert_eq!(all(&*disk::open(dir.path(), None, CACHE_BYTES).unwrap().disk), rows);
    assert!(migrate(dir.path(), StoreKind::Redb).unwrap().is_some());
    assert_eq!(all(&*disk::open(dir.path(), None, CACHE_BYTES).unwrap().disk), rows);
}

#[test]
fn what_a_copy_to_sled_left_when_it_was_killed_is_gone_after_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let rows = filled(dir.path(), StoreKind::Redb);
    let left = ["sled", "journal", "mark", "making"].map(|name| dir.path().join(name));
    fs::create_dir(&left[0]).unwrap();
    left[1..].iter().for_each(|file| fs::write(file, "half").unwrap());
    assert_eq!(migrate(dir.path(), StoreKind::Redb), Ok(None), "it is one already");
    left.iter().for_each(|path| assert!(!path.exists(), "{} is left", path.display()));
    assert_eq!(all(&*disk::open(dir.path(), None, CACHE_BYTES).unwrap().disk), rows);
}

#[test]
fn a_copy_that_differs_or_cannot_be_read_leaves_the_store_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let rows = filled(dir.path(), StoreKind::Sled);
    let mut calls = 0;
    let differs = disk::migrate(dir.path(), StoreKind::Redb, CACHE_BYTES, |_| {
        calls += 1;
        Ok::<_, DiskError>(calls.to_string())
    });
    assert_eq!(differs, Err(DiskError::CopyDiffers { what: "digest 1 and 2".to_owned() }));
    let failed = disk::migrate(dir.path(), StoreKind::Redb, CACHE_BYTES, |_| Err(DiskError::Poisoned));
    assert_eq!(failed, Err(DiskError::Poisoned));
    assert!(!dir.path().join("redb").exists());
    assert_eq!(all(&SledDisk::open(dir.path(), &SledOptions::default()).unwrap()), rows);
}

#[test]
fn a_store_in_use_and_a_folder_that_is_none_are_not_copied() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    assert_eq!(migrate(dir.path(), StoreKind::Redb), Err(DiskError::NotAStore { path: path.clone() }));
    assert!(files(dir.path()).is_empty());
    let disk = open(dir.path()).unwrap();
    assert_eq!(migrate(dir.path(), StoreKind::Sled), Err(DiskError::InUse { path }));
    drop(disk);
}
