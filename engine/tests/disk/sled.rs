//! What sled's folder promises besides: other formats, kills, spoiled and replaced files. For its journal see `journal.rs`.

use super::{END, all, commit, copy, is_damaged, long, put, replace};
use comptoir_engine::disk::sled::{SledDisk, SledOptions};
use comptoir_engine::disk::txn;
use comptoir_engine::disk::{Batch, Disk, DiskError, Row};
use std::fs;
use std::path::Path;

pub(super) fn open(dir: &Path) -> Result<SledDisk, DiskError> {
    SledDisk::open(dir, &SledOptions::default())
}

pub(super) fn open_error(dir: &Path) -> DiskError {
    open(dir).err().expect("must not open")
}

#[test]
fn a_store_of_a_newer_release_or_without_a_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    assert_eq!(fs::read_to_string(dir.path().join("format")).unwrap(), "1\n");
    fs::write(dir.path().join("format"), "2\n").unwrap();
    assert_eq!(open_error(dir.path()), DiskError::NewerFormat { found: 2, known: 1 });
    for text in ["", "0\n", "one\n"] {
        fs::write(dir.path().join("format"), text).unwrap();
        assert!(matches!(open_error(dir.path()), DiskError::Damaged { .. }));
    }
}

#[test]
fn a_folder_with_other_things_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("holiday.jpg"), "x").unwrap();
    assert_eq!(open_error(dir.path()), DiskError::NotAStore { path: dir.path().to_owned() });
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_store_whose_creation_was_cut_short_opens() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lock"), "").unwrap();
    fs::write(dir.path().join("format.new"), "").unwrap();
    put(&open(dir.path()).unwrap(), b"a", b"1");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("format"), "1\n").unwrap();
    put(&open(dir.path()).unwrap(), b"a", b"1");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_io_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(matches!(open_error(&dir.path().join("file")), DiskError::Io { .. }));
    assert!(matches!(open_error(&dir.path().join("file/below")), DiskError::Io { .. }));
}

#[test]
fn a_half_written_snapshot_does_not_keep_the_store_shut() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).unwrap();
    put(&disk, b"a", b"1");
    drop(disk);
    let half = dir.path().join("sled/snap.00000000000000FF.generating");
    fs::write(&half, "half").unwrap();
    assert_eq!(open(dir.path()).unwrap().get(b"a"), Ok(Some(b"1".to_vec())));
    assert!(!half.exists());
}

#[test]
fn a_sled_folder_put_back_from_earlier_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, kept) = (dir.path().join("store"), dir.path().join("kept"));
    let disk = open(&store).unwrap();
    put(&disk, b"a", b"1");
    drop(disk);
    copy(&store.join("sled"), &kept);
    let disk = open(&store).unwrap();
    for number in 0..300u16 {
        // More than the journal holds.
        put(&disk, &number.to_be_bytes(), &long(4_000, number as u8));
        disk.flush().unwrap();
    }
    drop(disk);
    replace(&kept, &store.join("sled"));
    let lost = || open(&store).map(drop);
    assert!(is_damaged(&lost(), "the newest writes are gone: 1 of 301 commits left"));
    assert!(is_damaged(&lost(), "the newest writes are gone"), "also the second time");
    fs::remove_dir_all(store.join("sled")).unwrap();
    assert!(is_damaged(&lost(), "the newest writes are gone: 0 of 301"));
    fs::remove_file(store.join("journal")).unwrap();
    assert!(is_damaged(&lost(), "the newest writes are gone: 0 of 301"), "the mark says so too");
}

#[test]
fn a_sled_folder_with_as_many_but_other_commits_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in [("one", b"1"), ("two", b"2")] {
        put(&open(&dir.path().join(name)).unwrap(), b"a", value);
        drop(open(&dir.path().join(name)).unwrap());
    }
    replace(&dir.path().join("one/sled"), &dir.path().join("two/sled"));
    assert!(is_damaged(&open(&dir.path().join("two")), "commit 1 is another one"));
}

#[test]
fn writes_that_a_flipped_byte_in_the_file_took_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, spoiled) = (dir.path().join("store"), dir.path().join("spoiled"));
    let disk = open(&store).unwrap();
    for number in 0..200u8 {
        commit(&disk, &[number], &long(900, number));
    }
    disk.flush().unwrap();
    drop(disk);
    let expected: Vec<Row> = (0..200u8).map(|number| (vec![number], long(900, number))).collect();
    let bytes = fs::metadata(store.join("sled/db")).unwrap().len() as usize;
    for turn in 0..16 {
        copy(&store, &spoiled);
        let mut db = fs::read(spoiled.join("sled/db")).unwrap();
        db[(turn * bytes / 16) + 1_000 + turn] ^= 4;
        fs::write(spoiled.join("sled/db"), db).unwrap();
        let outcome = open(&spoiled).and_then(|disk| txn::scan(&disk, b"", END, 1_000));
        match outcome {
            Ok(rows) => assert!(rows == expected, "turn {turn}: wrong rows"),
            Err(error) => assert!(matches!(error, DiskError::Damaged { .. }), "turn {turn}: {error}"),
        }
        fs::remove_dir_all(&spoiled).unwrap();
    }
}

#[test]
fn a_store_whose_making_was_cut_short_is_made_again_and_a_complete_one_never_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    drop(open(&store).unwrap());
    // As a power cut leaves it: sled's files are named and not written, the mark is not there yet.
    fs::remove_file(store.join("mark")).unwrap();
    fs::write(store.join("sled/conf"), [0; 40]).unwrap();
    fs::write(store.join("making"), b"").unwrap();
    let disk = open(&store).unwrap();
    put(&disk, b"key", b"value");
    disk.flush().unwrap();
    drop(disk);
    assert!(!store.join("making").exists());
    fs::write(store.join("making"), b"").unwrap();
    assert_eq!(all(&open(&store).unwrap()).len(), 1);
    assert!(!store.join("making").exists());
}

#[test]
fn a_row_that_was_read_before_it_changed_is_read_anew() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).unwrap();
    // Pushes what was written before through the journal, into sled.
    let mut filler = 0u32;
    let mut settle = || {
        for _ in 0..1_000 {
            filler += 1;
            put(&disk, &[b"filler".as_slice(), &filler.to_be_bytes()].concat(), &long(3_000, 1));
            disk.flush().unwrap();
        }
    };
    for turn in [b"1", b"2"] {
        put(&disk, b"row", turn);
        for _ in 0..2 {
            assert_eq!(disk.get(b"row").unwrap(), Some(turn.to_vec()));
            settle();
        }
    }
    disk.apply(Batch { rows: [(b"row".to_vec(), None)].into() }).unwrap();
    for _ in 0..2 {
        assert_eq!(disk.get(b"row").unwrap(), None);
        settle();
    }
}
