//! One suite for every disk: what `Disk` and `Txn` promise, on sled, on redb and on the simulated disk; then what only the
//! simulated one and sled promise (for redb see `redb.rs`). Must not reach into privates.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use comptoir_engine::disk::redb::RedbDisk;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::sled::{SledDisk, SledOptions};
use comptoir_engine::disk::txn::{self, TXN_KEY_BYTES_MAX, Txn, VALUE_TOTAL_BYTES_MAX};
use comptoir_engine::disk::{
    self, Batch, CACHE_BYTES, Disk, DiskError, KEY_BYTES_MAX, Row, StoreKind, VALUE_BYTES_MAX,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const END: &[u8] = &[0xff];

fn on_every_disk(check: impl Fn(&dyn Disk)) {
    check(&SimDisk::new());
    let dir = tempfile::tempdir().unwrap();
    check(&open(dir.path()).unwrap());
    let dir = tempfile::tempdir().unwrap();
    check(&RedbDisk::open(dir.path(), CACHE_BYTES).unwrap());
}

fn open(dir: &Path) -> Result<SledDisk, DiskError> {
    SledDisk::open(dir, &SledOptions::default())
}

fn open_error(dir: &Path) -> DiskError {
    open(dir).err().expect("must not open")
}

fn batch(rows: &[(&[u8], Option<&[u8]>)]) -> Batch {
    Batch { rows: rows.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect() }
}

fn put(disk: &dyn Disk, key: &[u8], value: &[u8]) {
    disk.apply(batch(&[(key, Some(value))])).unwrap();
}

fn row(key: &[u8], value: &[u8]) -> Row {
    (key.to_vec(), value.to_vec())
}

fn all(disk: &dyn Disk) -> Vec<Row> {
    disk.range(b"", END, usize::MAX).unwrap()
}

fn commit(disk: &dyn Disk, key: &[u8], value: &[u8]) {
    let mut txn = Txn::new(disk);
    txn.put(key.to_vec(), value);
    txn.commit().unwrap();
}

/// `bytes` bytes that differ from place to place and from seed to seed.
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

fn replace(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    copy(from, to);
}

fn is_damaged<T>(outcome: &Result<T, DiskError>, what: &str) -> bool {
    matches!(outcome, Err(DiskError::Damaged { what: found }) if found.contains(what))
}

// What every disk promises.

#[test]
fn what_was_put_is_read_until_it_is_replaced_or_removed() {
    on_every_disk(|disk| {
        assert_eq!(disk.get(b"a"), Ok(None));
        put(disk, b"a", b"1");
        assert_eq!(disk.get(b"a"), Ok(Some(b"1".to_vec())));
        put(disk, b"a", b"");
        assert_eq!(disk.get(b"a"), Ok(Some(Vec::new())));
        disk.apply(batch(&[(b"a", None), (b"never there", None)])).unwrap();
        assert_eq!(disk.get(b"a"), Ok(None));
    });
}

#[test]
fn a_batch_puts_and_removes_together() {
    on_every_disk(|disk| {
        put(disk, b"old", b"1");
        disk.apply(batch(&[(b"new", Some(b"2")), (b"old", None), (b"other", Some(b"3"))])).unwrap();
        assert_eq!(all(disk), [row(b"new", b"2"), row(b"other", b"3")]);
    });
}

#[test]
fn a_refused_batch_changes_nothing() {
    on_every_disk(|disk| {
        let long_value = vec![0; VALUE_BYTES_MAX + 1];
        let refused = disk.apply(batch(&[(b"a", Some(b"1")), (b"b", Some(&long_value))]));
        let bytes = VALUE_BYTES_MAX + 1;
        assert_eq!(refused, Err(DiskError::TooLong { what: "value", bytes, bytes_max: VALUE_BYTES_MAX }));
        assert_eq!(all(disk), []);
    });
}

#[test]
fn keys_and_values_at_their_limit_are_taken_and_longer_keys_are_refused() {
    on_every_disk(|disk| {
        let (key, value) = (vec![7; KEY_BYTES_MAX], vec![8; VALUE_BYTES_MAX]);
        put(disk, &key, &value);
        put(disk, b"", b"the empty key");
        assert_eq!(disk.get(&key), Ok(Some(value)));
        assert_eq!(disk.get(b""), Ok(Some(b"the empty key".to_vec())));
        let key = vec![7; KEY_BYTES_MAX + 1];
        let refused = DiskError::TooLong { what: "key", bytes: key.len(), bytes_max: KEY_BYTES_MAX };
        assert_eq!(disk.apply(batch(&[(&key, Some(b"1"))])), Err(refused.clone()));
        assert_eq!(disk.get(&key), Err(refused));
    });
}

#[test]
fn a_range_takes_its_start_leaves_its_end_and_stops_at_its_limit() {
    on_every_disk(|disk| {
        for key in [b"a", b"b", b"c", b"d"] {
            put(disk, key, key);
        }
        assert_eq!(disk.range(b"b", b"d", 10).unwrap(), [row(b"b", b"b"), row(b"c", b"c")]);
        assert_eq!(disk.range(b"a", b"d", 2).unwrap(), [row(b"a", b"a"), row(b"b", b"b")]);
        assert_eq!(disk.range(b"a", b"d", 0).unwrap(), []);
        assert_eq!(disk.range(b"c", b"c", 10).unwrap(), []);
        assert_eq!(disk.range(b"d", b"a", 10).unwrap(), []);
        assert_eq!(disk.range(b"e", END, 10).unwrap(), []);
    });
}

#[test]
fn a_range_from_the_end_has_the_same_rows_the_last_first() {
    on_every_disk(|disk| {
        for key in [b"a", b"b", b"c", b"d"] {
            put(disk, key, key);
        }
        assert_eq!(disk.range_back(b"b", b"d", 10).unwrap(), [row(b"c", b"c"), row(b"b", b"b")]);
        assert_eq!(disk.range_back(b"a", b"e", 2).unwrap(), [row(b"d", b"d"), row(b"c", b"c")]);
        assert_eq!(disk.range_back(b"a", b"d", 0).unwrap(), []);
        assert_eq!(disk.range_back(b"d", b"a", 10).unwrap(), []);
    });
}

#[test]
fn a_transaction_finds_its_first_and_last_rows_as_they_will_be() {
    on_every_disk(|disk| {
        for key in [b"b", b"d", b"f"] {
            commit(disk, key, b"old");
        }
        let mut txn = Txn::new(disk);
        assert_eq!(txn.first(b"a", b"z").unwrap(), Some(row(b"b", b"old")));
        assert_eq!(txn.last(b"a", b"z").unwrap(), Some(row(b"f", b"old")));
        txn.remove_short(b"b".to_vec());
        txn.remove_short(b"f".to_vec());
        txn.put_short(b"d".to_vec(), b"new");
        assert_eq!(txn.first(b"a", b"z").unwrap(), Some(row(b"d", b"new")));
        assert_eq!(txn.last(b"a", b"z").unwrap(), Some(row(b"d", b"new")));
        txn.put_short(b"e".to_vec(), b"more");
        assert_eq!(txn.last(b"a", b"z").unwrap(), Some(row(b"e", b"more")));
        assert_eq!(txn.first(b"e", b"z").unwrap(), Some(row(b"e", b"more")));
        assert_eq!(txn.last(b"a", b"d").unwrap(), None);
        assert_eq!(txn.first(b"f", b"a").unwrap(), None);
        txn.commit().unwrap();
        assert_eq!(txn::scan_back(disk, b"a", b"z", 9).unwrap(), [row(b"e", b"more"), row(b"d", b"new")]);
    });
}

#[test]
fn last_is_the_greatest_key_before_the_end() {
    on_every_disk(|disk| {
        assert_eq!(disk.last(b"", END), Ok(None));
        put(disk, b"a", b"1");
        put(disk, b"c", b"3");
        assert_eq!(disk.last(b"", END), Ok(Some(row(b"c", b"3"))));
        assert_eq!(disk.last(b"a", b"c"), Ok(Some(row(b"a", b"1"))));
        assert_eq!(disk.last(b"b", b"c"), Ok(None));
        assert_eq!(disk.last(b"c", b"a"), Ok(None));
    });
}

#[test]
fn reserved_keys_are_neither_written_nor_seen() {
    on_every_disk(|disk| {
        put(disk, b"\xff\xfe", b"mine");
        let refused = DiskError::ReservedKey { key: "\\xff\\xffcommit".to_owned() };
        assert_eq!(disk.get(b"\xff\xffcommit"), Err(refused.clone()));
        assert_eq!(disk.apply(batch(&[(b"\xff\xffcommit", None)])), Err(refused));
        let until = [0xff; 9];
        assert_eq!(disk.range(b"", &until, 10).unwrap(), [row(b"\xff\xfe", b"mine")]);
        assert_eq!(disk.last(b"", &until), Ok(Some(row(b"\xff\xfe", b"mine"))));
        assert_eq!(disk.range(b"\xff\xff", &until, 10).unwrap(), []);
        assert_eq!(disk.last(b"\xff\xff", &until), Ok(None));
    });
}

#[test]
fn any_run_of_batches_leaves_what_a_map_would_hold() {
    let key = || prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xfe), Just(0xff)], 0..3);
    let key = || key().prop_filter("reserved", |key| key.as_slice() != [0xff, 0xff]);
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..5));
    let batches = prop::collection::vec(prop::collection::btree_map(key(), value, 0..8), 1..8);
    type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
    let check = |(batches, from, until): (Vec<Rows>, Vec<u8>, Vec<u8>)| {
        on_every_disk(|disk| {
            let mut model = BTreeMap::new();
            for rows in &batches {
                disk.apply(Batch { rows: rows.clone() }).unwrap();
                rows.iter().for_each(|(key, value)| drop(model.insert(key.clone(), value.clone())));
            }
            let rows = model.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
            let rows: Vec<Row> = rows.filter(|(key, _)| *key >= from && *key < until).collect();
            assert_eq!(disk.range(&from, &until, usize::MAX).unwrap(), rows);
            assert_eq!(disk.last(&from, &until).unwrap(), rows.last().cloned());
        });
        Ok(())
    };
    TestRunner::new(Config::with_cases(32)).run(&(batches, key(), key()), check).unwrap();
}

#[test]
fn a_range_beside_a_writer_sees_all_of_a_batch_or_nothing() {
    on_every_disk(|disk| {
        let write = |turn: u8| {
            let rows = (0..200u8).map(|number| (vec![number], Some(vec![turn; 300]))).collect();
            disk.apply(Batch { rows }).unwrap();
        };
        write(0);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (1..100).for_each(write));
            while !writer.is_finished() {
                let rows = all(disk);
                assert!(rows.iter().all(|(_, value)| *value == rows[0].1));
            }
        });
    });
}

// What transactions promise on every disk.

#[test]
fn a_transaction_sees_its_own_writes_and_the_disk_sees_them_on_commit() {
    on_every_disk(|disk| {
        commit(disk, b"gone", b"1");
        let (short, long) = (b"short".to_vec(), long(9_000, 0));
        let mut txn = Txn::new(disk);
        assert!(txn.is_empty());
        txn.put(b"a".to_vec(), &short);
        txn.put_new(b"b".to_vec(), &long);
        txn.remove(b"gone".to_vec());
        assert!(!txn.is_empty());
        assert_eq!(txn.get(b"a"), Ok(Some(short.clone())));
        assert_eq!(txn.get(b"b"), Ok(Some(long.clone())));
        assert_eq!(txn.get(b"gone"), Ok(None));
        assert_eq!(txn::read(disk, b"a"), Ok(None));
        assert_eq!(txn::read(disk, b"gone"), Ok(Some(b"1".to_vec())));
        txn.commit().unwrap();
        assert_eq!(txn::scan(disk, b"", END, 10).unwrap(), [row(b"a", &short), row(b"b", &long)]);
        assert_eq!(Txn::new(disk).get(b"b"), Ok(Some(long)));
    });
}

#[test]
fn a_dropped_transaction_writes_nothing() {
    on_every_disk(|disk| {
        let mut txn = Txn::new(disk);
        txn.put(b"a".to_vec(), b"1");
        drop(txn);
        assert_eq!(all(disk), []);
    });
}

#[test]
fn a_scan_gives_payloads_in_order_up_to_its_limit_and_last_the_greatest() {
    on_every_disk(|disk| {
        let value = long(12_345, 3);
        for key in [b"a", b"b", b"c"] {
            commit(disk, key, &value);
        }
        assert_eq!(txn::scan(disk, b"b", b"d", 1).unwrap(), [row(b"b", &value)]);
        assert_eq!(txn::scan(disk, b"", &[0xff; 4], 10).unwrap().len(), 3);
        assert_eq!(txn::last(disk, b"", END), Ok(Some(row(b"c", &value))));
        assert_eq!(txn::last(disk, b"d", END), Ok(None));
    });
}

#[test]
fn a_flipped_byte_is_damage_that_names_the_key() {
    on_every_disk(|disk| {
        commit(disk, b"key\x01", b"payload");
        let sealed = disk.get(b"key\x01").unwrap().unwrap();
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 0x10;
            put(disk, b"key\x01", &flipped);
            assert!(is_damaged(&txn::read(disk, b"key\x01"), "key\\x01"), "byte {at}");
            assert!(is_damaged(&txn::scan(disk, b"", END, 10), "key\\x01"), "byte {at}");
        }
        put(disk, b"key\x01", &sealed[..5]);
        assert!(is_damaged(&txn::read(disk, b"key\x01"), "key\\x01"));
        put(disk, b"other", &sealed);
        assert!(is_damaged(&txn::read(disk, b"other"), "other"));
    });
}

#[test]
fn a_row_of_a_newer_release_is_called_so_and_not_damage() {
    on_every_disk(|disk| {
        let sealed = b"\x00what a newer release writes";
        let checksum = crc32fast::hash(&[&[2], b"key".as_slice(), sealed].concat()).to_le_bytes();
        put(disk, b"key", &[&[2], checksum.as_slice(), sealed].concat());
        let newer = DiskError::NewerFormat { found: 2, known: 1 };
        assert_eq!(txn::read(disk, b"key"), Err(newer.clone()));
        assert_eq!(txn::scan(disk, b"", END, 10), Err(newer.clone()));
        let mut txn = Txn::new(disk);
        txn.put(b"key".to_vec(), b"over it");
        assert_eq!(txn.commit(), Err(newer), "nor is it written over");
    });
}

#[test]
fn a_missing_flipped_or_foreign_part_is_damage() {
    on_every_disk(|disk| {
        commit(disk, b"k", &long(10_000, 1));
        let parts = disk.range(&[0xfe], END, 10).unwrap();
        let [(first, piece), (second, _)] = parts.as_slice() else { panic!("two parts, not {}", parts.len()) };
        let mut flipped = piece.clone();
        *flipped.last_mut().unwrap() ^= 1;
        put(disk, first, &flipped);
        assert!(is_damaged(&txn::read(disk, b"k"), "\\xfe\\x00\\x01k"));
        disk.apply(batch(&[(first, None)])).unwrap();
        assert!(is_damaged(&txn::read(disk, b"k"), "row k: part 1 is missing"));
        disk.apply(batch(&[(first, Some(piece)), (second, None)])).unwrap();
        assert!(is_damaged(&txn::last(disk, b"", END), "row k"));
        commit(disk, b"l", &long(10_000, 2));
        let other = disk.range(&[0xfe, 0, 1, b'l'], END, 1).unwrap().remove(0).1;
        put(disk, first, &other);
        assert!(is_damaged(&txn::scan(disk, b"", END, 10), "\\xfe\\x00\\x01k"));
    });
}

#[test]
fn a_part_of_an_older_value_is_damage() {
    on_every_disk(|disk| {
        commit(disk, b"k", &long(10_000, 1));
        let (part, old) = disk.range(&[0xfe], END, 1).unwrap().remove(0);
        commit(disk, b"k", &long(10_000, 2));
        put(disk, &part, &old);
        assert!(is_damaged(&txn::read(disk, b"k"), "row k: its parts do not make up the value"));
    });
}

#[test]
fn values_of_any_length_come_back_and_leave_no_parts_behind() {
    let bytes = prop_oneof![0..40_960usize, 3_998..4_003usize, 7_998..8_003usize];
    let step = (0..3u8, prop::option::of((bytes, any::<u8>())));
    let check = |steps: Vec<(u8, Option<(usize, u8)>)>| {
        on_every_disk(|disk| {
            // Keys that are each other's beginnings, and look like a key with a part number behind it.
            let keys: [&[u8]; 3] = [b"a", b"a\0\0\0\x01", b"a\0\0\0\x01\0\0\0\x02"];
            let mut model = BTreeMap::new();
            for (key, value) in &steps {
                let key = keys[usize::from(*key)].to_vec();
                let value = value.map(|(bytes, seed)| long(bytes, seed));
                let mut txn = Txn::new(disk);
                match (&value, model.get(&key).map(Vec::len)) {
                    (Some(value), Some(bytes_before)) if bytes_before % 2 == 0 => {
                        txn.put_over(key.clone(), value, bytes_before);
                    }
                    (Some(value), Some(_)) => txn.put(key.clone(), value),
                    (Some(value), None) => txn.put_new(key.clone(), value),
                    (None, _) => txn.remove(key.clone()),
                }
                txn.commit().unwrap();
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
            }
            let rows: Vec<Row> = model.into_iter().collect();
            assert_eq!(txn::scan(disk, b"", END, 10).unwrap(), rows);
            assert_eq!(txn::last(disk, b"", END).unwrap(), rows.last().cloned());
            let rows_needed: usize = rows.iter().map(|(_, value)| value.len().div_ceil(4_000).max(1)).sum();
            assert_eq!(all(disk).len(), rows_needed);
        });
        Ok(())
    };
    TestRunner::new(Config::with_cases(32)).run(&prop::collection::vec(step, 1..6), check).unwrap();
}

#[test]
fn the_last_write_of_a_key_in_a_transaction_wins_and_still_removes_old_parts() {
    on_every_disk(|disk| {
        commit(disk, b"k", &long(20_000, 0));
        let mut txn = Txn::new(disk);
        txn.remove(b"k".to_vec());
        txn.put_new(b"k".to_vec(), b"short");
        txn.commit().unwrap();
        assert_eq!(txn::read(disk, b"k"), Ok(Some(b"short".to_vec())));
        assert_eq!(all(disk).len(), 1);
    });
}

#[test]
fn a_transaction_refuses_what_is_past_its_limits_and_applies_nothing() {
    on_every_disk(|disk| {
        let longest = vec![b'k'; TXN_KEY_BYTES_MAX];
        commit(disk, &longest, &vec![1; VALUE_TOTAL_BYTES_MAX]);
        assert_eq!(txn::read(disk, &longest).unwrap().map(|value| value.len()), Some(VALUE_TOTAL_BYTES_MAX));
        commit(disk, &longest, b"");
        let attempt = |key: &[u8], bytes: usize| {
            let mut txn = Txn::new(disk);
            txn.put(b"a".to_vec(), b"1");
            txn.put(key.to_vec(), &vec![0; bytes]);
            txn.commit()
        };
        let over = |what, bytes_max| Err(DiskError::TooLong { what, bytes: bytes_max + 1, bytes_max });
        assert_eq!(attempt(b"b", VALUE_TOTAL_BYTES_MAX + 1), over("value", VALUE_TOTAL_BYTES_MAX));
        assert_eq!(attempt(&[b'k'; TXN_KEY_BYTES_MAX + 1], 1), over("key", TXN_KEY_BYTES_MAX));
        for key in [&b"\xfe"[..], b"\xff"] {
            assert!(matches!(attempt(key, 1), Err(DiskError::ReservedKey { .. })));
            assert!(matches!(txn::read(disk, key), Err(DiskError::ReservedKey { .. })));
        }
        assert_eq!(all(disk).len(), 1);
    });
}

#[test]
fn a_reader_beside_a_writer_sees_an_old_or_a_new_value_and_no_damage() {
    on_every_disk(|disk| {
        let values = [long(9_000, 1), long(13_000, 2)];
        commit(disk, b"k", &values[0]);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (0..300).for_each(|turn| commit(disk, b"k", &values[turn % 2])));
            while !writer.is_finished() {
                let value = txn::read(disk, b"k").unwrap().unwrap();
                assert!(values.contains(&value));
                assert_eq!(txn::scan(disk, b"", END, 2).unwrap().len(), 1);
            }
        });
    });
}

// What only the simulated disk promises.

#[test]
fn a_power_cut_takes_what_was_not_flushed_but_for_the_batches_kept() {
    let disk = SimDisk::new();
    put(&disk, b"a", b"1");
    disk.flush().unwrap();
    for key in [b"b", b"c", b"d"] {
        put(&disk, key, b"2");
    }
    disk.apply(batch(&[(b"a", None)])).unwrap();
    disk.crash(2);
    assert_eq!(all(&disk), [row(b"a", b"1"), row(b"b", b"2"), row(b"c", b"2")]);
    put(&disk, b"e", b"3");
    disk.crash(0);
    assert_eq!(all(&disk.clone()).len(), 3);
    assert_eq!((disk.applies(), disk.flushes()), (6, 1));
}

#[test]
fn a_simulated_failure_comes_at_its_call_and_poisons_until_reopened() {
    let full = DiskError::Full { doing: "writing" };
    let disk = SimDisk::new();
    disk.fail_next(2, full.clone());
    put(&disk, b"a", b"1");
    assert_eq!(disk.get(b"a"), Ok(Some(b"1".to_vec())));
    assert_eq!(disk.flush(), Err(full));
    assert_eq!(disk.apply(batch(&[(b"b", None)])), Err(DiskError::Poisoned));
    assert_eq!(disk.flush(), Err(DiskError::Poisoned));
    assert_eq!(disk.get(b"a"), Err(DiskError::Poisoned));
    assert_eq!(disk.range(b"", END, 1), Err(DiskError::Poisoned));
    assert_eq!(disk.last(b"", END), Err(DiskError::Poisoned));
    disk.reopen();
    assert_eq!(disk.get(b"a"), Ok(Some(b"1".to_vec())));
    disk.crash(0);
    assert_eq!((disk.get(b"a"), disk.flushes()), (Ok(None), 0));
}

// What only sled promises.

#[test]
fn a_reopened_store_holds_what_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("new/folders");
    for turn in 0..20u8 {
        let disk = open(&store).unwrap();
        assert_eq!(txn::scan(&disk, b"", END, 100).unwrap().len(), usize::from(turn));
        commit(&disk, &[turn], &long(5_000, turn));
        disk.flush().unwrap();
    }
    assert_eq!(txn::read(&open(&store).unwrap(), &[7]), Ok(Some(long(5_000, 7))));
}

#[test]
fn a_store_that_is_open_cannot_be_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).unwrap();
    assert_eq!(open_error(dir.path()), DiskError::InUse { path: dir.path().to_owned() });
    drop(disk);
    open(dir.path()).unwrap();
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
fn a_killed_process_leaves_a_store_that_opens_with_what_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let (live, found) = (dir.path().join("live"), dir.path().join("found"));
    let disk = open(&live).unwrap();
    for number in 0..70u8 {
        put(&disk, &[0, number], b"flushed");
        disk.flush().unwrap();
    }
    (0..70u8).for_each(|number| put(&disk, &[1, number], b"not flushed"));
    copy(&live, &found);
    let rows = all(&open(&found).unwrap());
    assert!(rows.len() >= 70);
    assert!(rows[..70].iter().all(|(_, value)| value == b"flushed"));
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
        let mut journal = fs::read(store.join("journal")).unwrap();
        let sector = 2 * 4 * 512 + torn * 512;
        journal[sector..sector + 512].fill(0);
        fs::write(store.join("journal"), journal).unwrap();
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
        let mut journal = fs::read(store.join("journal")).unwrap();
        journal[sector * 512 + 7] ^= 1;
        fs::write(store.join("journal"), journal).unwrap();
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
