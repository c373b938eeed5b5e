//! What redb's folder promises besides what every disk does (see `disk.rs`): locks, formats, kills, spoiled and replaced
//! files; and copying a store of one kind into another. Must not reach into privates.

#![allow(clippy::unwrap_used)]

use comptoir_engine::disk::redb::RedbDisk;
use comptoir_engine::disk::sled::{SledDisk, SledOptions};
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::disk::{self, Batch, CACHE_BYTES, Disk, DiskError, Opened, Row, StoreKind};
use std::fs;
use std::path::Path;

const END: &[u8] = &[0xff];

fn open(dir: &Path) -> Result<RedbDisk, DiskError> {
    RedbDisk::open(dir, CACHE_BYTES)
}

fn put(disk: &dyn Disk, key: &[u8], value: &[u8]) {
    disk.apply(Batch { rows: [(key.to_vec(), Some(value.to_vec()))].into() }).unwrap();
}

fn all(disk: &dyn Disk) -> Vec<Row> {
    disk.range(b"", END, usize::MAX).unwrap()
}

fn long(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes).map(|at| (at / 251) as u8 ^ (at % 251) as u8 ^ seed).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn is_damaged<T>(outcome: &Result<T, DiskError>, what: &str) -> bool {
    matches!(outcome, Err(DiskError::Damaged { what: found }) if found.contains(what))
}

/// Every file of a folder with its bytes.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.push((name, fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_reopened_store_holds_what_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("new/folders");
    for turn in 0..20u8 {
        let disk = open(&store).unwrap();
        assert_eq!(txn::scan(&disk, b"", END, 100).unwrap().len(), usize::from(turn));
        let mut txn = Txn::new(&disk);
        txn.put(vec![turn], &long(5_000, turn));
        txn.commit().unwrap();
        disk.flush().unwrap();
    }
    assert_eq!(txn::read(&open(&store).unwrap(), &[7]), Ok(Some(long(5_000, 7))));
}

#[test]
fn a_store_that_is_open_cannot_be_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).unwrap();
    let path = dir.path().to_owned();
    assert_eq!(open(dir.path()).err(), Some(DiskError::InUse { path }));
    drop(disk);
    open(dir.path()).unwrap();
}

#[test]
fn a_folder_says_itself_what_kind_of_store_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    for kind in StoreKind::ALL {
        let store = dir.path().join(kind.name());
        put(&*disk::open(&store, Some(kind), CACHE_BYTES).unwrap().disk, b"a", b"1");
        assert_eq!(all(&*disk::open(&store, None, CACHE_BYTES).unwrap().disk).len(), 1, "{kind}");
        let wanted = StoreKind::ALL.into_iter().find(|other| *other != kind).unwrap();
        let refused = DiskError::OtherKind { path: store.clone(), found: kind, wanted };
        assert_eq!(disk::open(&store, Some(wanted), CACHE_BYTES).err(), Some(refused));
        assert_eq!(all(&*disk::open(&store, None, CACHE_BYTES).unwrap().disk).len(), 1, "{kind}");
    }
    assert_eq!(fs::read_to_string(dir.path().join("redb/format")).unwrap(), "1 redb\n");
    let new = dir.path().join("new");
    drop(disk::open(&new, None, CACHE_BYTES).unwrap());
    assert!(new.join("sled").exists(), "sled unless said otherwise");
}

#[test]
fn a_store_of_a_newer_release_or_without_a_version_is_left_exactly_as_it_was() {
    for kind in StoreKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        put(&*disk::open(dir.path(), Some(kind), CACHE_BYTES).unwrap().disk, b"a", b"1");
        fs::remove_file(dir.path().join("lock")).unwrap();
        for (text, newer) in
            [("2\n", true), ("2 redb\n", true), ("9 other things\n", true), ("", false), ("0\n", false)]
        {
            fs::write(dir.path().join("format"), text).unwrap();
            let before = files(dir.path());
            let error = disk::open(dir.path(), None, CACHE_BYTES).err().unwrap();
            assert_eq!(matches!(error, DiskError::NewerFormat { known: 1, .. }), newer, "{text:?}: {error}");
            assert_eq!(matches!(error, DiskError::Damaged { .. }), !newer, "{text:?}: {error}");
            if newer {
                assert!(files(dir.path()) == before, "{text:?}: not a byte is written");
            }
        }
    }
}

#[test]
fn a_folder_with_other_things_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("redb"), "x").unwrap();
    assert_eq!(open(dir.path()).err(), Some(DiskError::NotAStore { path: dir.path().to_owned() }));
    assert_eq!(files(dir.path()), [("redb".to_owned(), b"x".to_vec())]);
}

#[test]
fn a_store_whose_creation_was_cut_short_opens() {
    for half in [&b""[..], b"redb", &[7; 5_000]] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("lock"), "").unwrap();
        fs::write(dir.path().join("format"), "1 redb\n").unwrap();
        fs::write(dir.path().join("redb.new"), half).unwrap();
        put(&open(dir.path()).unwrap(), b"a", b"1");
        assert!(!dir.path().join("redb.new").exists());
    }
}

#[test]
fn a_killed_process_leaves_a_store_that_opens_with_what_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let (live, found) = (dir.path().join("live"), dir.path().join("found"));
    let disk = open(&live).unwrap();
    for number in 0..70u8 {
        put(&disk, &[0, number], b"flushed");
        disk.flush().unwrap();
        copy(&live, &found);
        assert_eq!(all(&open(&found).unwrap()).len(), usize::from(number) + 1);
        fs::remove_dir_all(&found).unwrap();
    }
    (0..70u8).for_each(|number| put(&disk, &[1, number], b"not flushed"));
    copy(&live, &found);
    let rows = all(&open(&found).unwrap());
    assert!(rows.len() >= 70);
    assert!(rows[..70].iter().all(|(_, value)| value == b"flushed"));
}

#[test]
fn a_file_put_back_from_earlier_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, kept) = (dir.path().join("store"), dir.path().join("kept"));
    let disk = open(&store).unwrap();
    put(&disk, b"a", b"1");
    disk.flush().unwrap();
    drop(disk);
    fs::copy(store.join("redb"), &kept).unwrap();
    let disk = open(&store).unwrap();
    for number in 0..30u8 {
        put(&disk, &[number], b"1");
        disk.flush().unwrap();
    }
    drop(disk);
    fs::copy(&kept, store.join("redb")).unwrap();
    let lost = || open(&store).map(drop);
    assert!(is_damaged(&lost(), "the newest writes are gone: 1 of 31 commits left"));
    assert!(is_damaged(&lost(), "the newest writes are gone"), "also the second time");
    fs::remove_file(store.join("redb")).unwrap();
    assert!(is_damaged(&lost(), "the newest writes are gone: 0 of 31"));
}

#[test]
fn a_file_with_as_many_but_other_commits_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in [("one", b"1"), ("two", b"2")] {
        let disk = open(&dir.path().join(name)).unwrap();
        put(&disk, b"a", value);
        disk.flush().unwrap();
    }
    fs::copy(dir.path().join("one/redb"), dir.path().join("two/redb")).unwrap();
    assert!(is_damaged(&open(&dir.path().join("two")), "commit 1 is another one"));
}

#[test]
fn a_flipped_byte_anywhere_in_the_file_is_noticed_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let (store, spoiled) = (dir.path().join("store"), dir.path().join("spoiled"));
    let disk = open(&store).unwrap();
    let expected: Vec<Row> = (0..250u8).flat_map(|a| (0..8u8).map(move |b| (vec![a, b], long(200, a ^ b)))).collect();
    for rows in expected.chunks(64) {
        let mut txn = Txn::new(&disk);
        rows.iter().for_each(|(key, value)| txn.put(key.clone(), value));
        txn.commit().unwrap();
        disk.flush().unwrap();
    }
    drop(disk);
    let bytes = fs::metadata(store.join("redb")).unwrap().len() as usize;
    let (mut noticed, turns) = (0, 160);
    for turn in 0..turns {
        copy(&store, &spoiled);
        let mut db = fs::read(spoiled.join("redb")).unwrap();
        db[turn * bytes / turns + turn] ^= 4;
        fs::write(spoiled.join("redb"), db).unwrap();
        let outcome = open(&spoiled).and_then(|disk| {
            // Each by its key: a way that leads astray shows here.
            let one = |(key, _): &Row| Ok(txn::read(&disk, key)?.map(|value| (key.clone(), value)));
            let found: Vec<Option<Row>> = expected.iter().map(one).collect::<Result<_, DiskError>>()?;
            Ok((found.into_iter().flatten().collect::<Vec<_>>(), txn::scan(&disk, b"", END, 10_000)?))
        });
        match outcome {
            Ok((found, scanned)) => assert!(found == expected && scanned == expected, "turn {turn}: wrong rows"),
            Err(DiskError::Damaged { .. }) => noticed += 1,
            Err(error) => panic!("turn {turn}: {error}"),
        }
        fs::remove_dir_all(&spoiled).unwrap();
    }
    assert!(noticed > turns / 10, "{noticed} of {turns}");
}

// Copying a store of one kind into another.

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
