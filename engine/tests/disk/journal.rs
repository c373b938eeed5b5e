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
        let sector = (1 + 2 * 4 + torn) * 512;
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
    for sector in 1..9 {
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

/// A frame with nothing in it that claims to lead far ahead, as an attacker would put it into a record.
fn false_frame(salt: &[u8]) -> Vec<u8> {
    let mut head = vec![1, 0, 0, 0, 0];
    head.extend_from_slice(&1_000_000u64.to_le_bytes());
    head.extend_from_slice(&7u32.to_le_bytes());
    head.extend_from_slice(&1_000_001u64.to_le_bytes());
    let checksum = crc32fast::hash(&[salt, &head].concat());
    head.extend_from_slice(&checksum.to_le_bytes());
    head
}

/// A store with a commit that is full of false frames, some of which begin a sector.
fn with_false_frames(store: &Path, salt: impl Fn(&[u8]) -> Vec<u8>) {
    let disk = open(store).unwrap();
    let frame = false_frame(&salt(&fs::read(store.join("journal")).unwrap()));
    let mut many = Batch::default();
    for number in 0..100u8 {
        many.rows.insert(vec![number], Some(frame.repeat(4_000 / frame.len())));
    }
    disk.apply(many).unwrap();
    disk.flush().unwrap();
}

#[test]
fn bytes_of_a_record_that_look_like_a_frame_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let (guessed, known) = (dir.path().join("guessed"), dir.path().join("known"));
    with_false_frames(&guessed, |_| Vec::new());
    assert_eq!(all(&open(&guessed).unwrap()).len(), 100);
    with_false_frames(&known, |journal| journal[1..9].to_vec());
    assert!(
        is_damaged(&open(&known).map(drop), "the newest writes are gone"),
        "who knew the salt could shut the store"
    );
}

#[test]
fn one_of_the_two_headers_is_enough() {
    for header in [0, 512 << 10] {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        set_back(&store, 3, |number| long(1_500, number));
        spoil(&store, |journal| journal[header + 3] ^= 1);
        assert_eq!(all(&open(&store).unwrap()).len(), 4);
    }
}

#[test]
fn a_journal_of_before_the_halves_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    set_back(&store, 3, |number| long(1_500, number));
    spoil(&store, |journal| {
        journal.copy_within(512..512 + 3 * 4 * 512, 0);
        journal[512 << 10..].fill(0);
        for frame in 0..3 {
            let frame = &mut journal[frame * 4 * 512..];
            let entries = u32::from_le_bytes(frame[1..5].try_into().unwrap()) as usize;
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&frame[..25]);
            hasher.update(&frame[29..29 + entries]);
            frame[25..29].copy_from_slice(&hasher.finalize().to_le_bytes());
        }
    });
    assert_eq!(all(&open(&store).unwrap()).len(), 4);
}

#[test]
fn commits_go_on_while_sled_is_given_those_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let disk = open(&store).unwrap();
    for number in 0..3_000u32 {
        put(&disk, &number.to_be_bytes(), &long(700, number as u8));
        put(&disk, b"newest", &number.to_be_bytes());
        disk.flush().unwrap();
        assert_eq!(disk.get(b"newest").unwrap().as_deref(), Some(number.to_be_bytes().as_slice()));
        assert!(disk.get(&(number / 2).to_be_bytes()).unwrap().is_some());
        if number % 500 == 499 {
            assert_eq!(all(&disk).len(), number as usize + 2, "each row once, wherever it is");
        }
    }
    drop(disk);
    assert_eq!(all(&open(&store).unwrap()).len(), 3_001);
}
