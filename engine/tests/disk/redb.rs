//! What redb's folder promises besides: other formats, kills, spoiled and replaced files.

use super::{END, all, copy, files, is_damaged, long, put};
use comptoir_engine::disk::redb::RedbDisk;
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::disk::{CACHE_BYTES, Disk, DiskError, Row};
use std::fs;
use std::path::Path;

pub(super) fn open(dir: &Path) -> Result<RedbDisk, DiskError> {
    RedbDisk::open(dir, CACHE_BYTES)
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
fn a_process_killed_behind_any_flush_leaves_a_store_that_opens_with_what_was_flushed() {
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
