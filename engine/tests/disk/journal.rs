//! Sled's journal: what was flushed is there though sled never wrote it; torn, spoiled and foreign journals.

use super::sled::open;
use super::{all, copy, is_damaged, long, put, replace, row};
use comptoir_engine::disk::{Batch, Disk};
use std::fs;
use std::path::Path;

/// A store whose sled folder is set back to before its last `flushes` commits, as a power cut may leave it, and without the
/// mark.
fn set_back(store: &Path, flushes: u8, value: impl Fn(u8) -> Vec<u8>) {
    put(&open(store).unwrap(), b"first", b"1");
    let kept = store.with_extension("kept");
    drop(open(store).unwrap());
    copy(&store.join("sled"), &kept);
    let disk = open(store).unwrap();
    for number in 0..flushes {
        put(&disk, &[number], &value(number));
        disk.flush().unwrap();
    }
    drop(disk);
    replace(&kept, &store.join("sled"));
    fs::remove_file(store.join("mark")).unwrap();
}

fn spoil(store: &Path, spoil: impl FnOnce(&mut [u8])) {
    let mut journal = fs::read(store.join("journal")).unwrap();
    spoil(&mut journal);
    fs::write(store.join("journal"), journal).unwrap();
}

#[test]
fn what_was_flushed_is_there_though_sled_never_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    set_back(&store, 9, |number| long(700, number));
    for _ in 0..2 {
        let rows = all(&open(&store).unwrap());
        assert_eq!(rows.len(), 10);
        assert!((0..9).all(|number| rows[usize::from(number)] == row(&[number], &long(700, number))));
    }
}

#[test]
fn a_torn_last_commit_is_left_out_and_what_stands_before_it_is_kept() {
    for torn in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        set_back(&store, 3, |number| long(1_500, number));
        let sector = 2 * 4 * 512 + torn * 512;
        spoil(&store, |journal| journal[sector..sector + 512].fill(0));
        let disk = open(&store).unwrap();
        assert_eq!(all(&disk).len(), 3, "the row from before, and two of three");
        put(&disk, b"next", b"1");
        disk.flush().unwrap();
        drop(disk);
        assert_eq!(all(&open(&store).unwrap()).len(), 4);
    }
}

#[test]
fn a_commit_spoiled_before_a_later_one_is_damage() {
    for sector in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        set_back(&store, 3, |number| long(1_500, number));
        spoil(&store, |journal| journal[sector * 512 + 7] ^= 1);
        assert!(is_damaged(&open(&store).map(drop), "the newest writes are gone"), "sector {sector}");
    }
}

#[test]
fn more_than_the_journal_holds_is_flushed_to_sled() {
    let dir = tempfile::tempdir().unwrap();
    let (live, found) = (dir.path().join("live"), dir.path().join("found"));
    let disk = open(&live).unwrap();
    let mut number = 0u32;
    for rows_in_a_batch in [1, 200, 3, 600, 1] {
        let mut many = Batch::default();
        for _ in 0..rows_in_a_batch {
            many.rows.insert(number.to_be_bytes().to_vec(), Some(long(4_000, number as u8)));
            number += 1;
        }
        disk.apply(many).unwrap();
        disk.flush().unwrap();
        copy(&live, &found);
        assert_eq!(all(&open(&found).unwrap()).len(), number as usize);
        fs::remove_dir_all(&found).unwrap();
    }
    assert_eq!(fs::metadata(live.join("journal")).unwrap().len(), 1 << 20, "it does not grow");
}

#[test]
fn a_journal_without_its_end_or_from_elsewhere_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| {
        let store = dir.path().join(name);
        let disk = open(&store).unwrap();
        put(&disk, b"a", name.as_bytes());
        disk.flush().unwrap();
        store
    });
    fs::copy(one.join("journal"), two.join("journal")).unwrap();
    assert_eq!(all(&open(&two).unwrap()), [row(b"a", b"two")]);
    fs::write(two.join("journal"), [1; 700]).unwrap();
    assert_eq!(all(&open(&two).unwrap()), [row(b"a", b"two")]);
    fs::remove_file(two.join("journal")).unwrap();
    assert_eq!(all(&open(&two).unwrap()), [row(b"a", b"two")]);
}
