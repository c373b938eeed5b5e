//! What a store's folder promises whichever kind of store is in it: its lock, its format, its identity, its mark,
//! and what is in it after a kill.

use super::{END, all, commit, copy, files, long, put};
use comptoir_engine::disk::{self, CACHE_BYTES, DiskError, StoreKind, txn};
use std::fs;
use std::path::Path;

#[test]
fn a_reopened_store_holds_what_was_flushed() {
    for kind in StoreKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("new/folders");
        for turn in 0..20u8 {
            let disk = disk::open(&store, Some(kind), CACHE_BYTES).unwrap().disk;
            assert_eq!(txn::scan(&*disk, b"", END, 100).unwrap().len(), usize::from(turn), "{kind}");
            commit(&*disk, &[turn], &long(5_000, turn));
            disk.flush().unwrap();
        }
        let disk = disk::open(&store, Some(kind), CACHE_BYTES).unwrap().disk;
        assert_eq!(txn::read(&*disk, &[7]), Ok(Some(long(5_000, 7))), "{kind}");
    }
}

#[test]
fn a_store_that_is_open_cannot_be_opened_again() {
    for kind in StoreKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let open = || disk::open(dir.path(), Some(kind), CACHE_BYTES);
        let opened = open().unwrap();
        assert_eq!(open().err(), Some(DiskError::InUse { path: dir.path().to_owned() }), "{kind}");
        drop(opened);
        open().unwrap();
    }
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
fn a_killed_process_leaves_a_store_that_opens_with_what_was_flushed() {
    for kind in StoreKind::ALL {
        let open = |dir: &Path| disk::open(dir, Some(kind), CACHE_BYTES).unwrap().disk;
        let dir = tempfile::tempdir().unwrap();
        let (live, found) = (dir.path().join("live"), dir.path().join("found"));
        let disk = open(&live);
        for number in 0..70u8 {
            put(&*disk, &[0, number], b"flushed");
            disk.flush().unwrap();
        }
        (0..70u8).for_each(|number| put(&*disk, &[1, number], b"not flushed"));
        copy(&live, &found);
        let rows = all(&*open(&found));
        assert!(rows.len() >= 70);
        assert!(rows[..70].iter().all(|(_, value)| value == b"flushed"));
    }
}

#[test]
fn a_mark_that_is_missing_or_half_spoiled_keeps_no_store_shut() {
    for (kind, name) in [(StoreKind::Sled, "mark"), (StoreKind::Redb, "redb.mark")] {
        let dir = tempfile::tempdir().unwrap();
        let open = || disk::open(dir.path(), Some(kind), CACHE_BYTES).unwrap().disk;
        let mark = dir.path().join(name);
        let disk = open();
        for number in 0..3u8 {
            put(&*disk, &[number], b"1");
            disk.flush().unwrap();
        }
        drop(disk);
        for offset in [0, 4096] {
            let mut bytes = fs::read(&mark).unwrap();
            bytes[offset + 3] ^= 1;
            fs::write(&mark, bytes).unwrap();
            assert_eq!(all(&*open()).len(), 3);
        }
        fs::remove_file(&mark).unwrap();
        assert_eq!(all(&*open()).len(), 3);
        assert!(mark.exists());
    }
}

#[test]
fn a_copied_store_has_another_identity_and_a_reopened_one_the_same() {
    for kind in StoreKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let (store, copied) = (dir.path().join("store"), dir.path().join("copied"));
        let identity = |dir: &Path| disk::open(dir, Some(kind), CACHE_BYTES).unwrap().identity;
        let first = identity(&store);
        assert_eq!(identity(&store), first);
        copy(&store, &copied);
        assert_ne!(identity(&copied), first);
    }
}
