//! What `Txn` promises on every disk.

use super::{END, all, batch, commit, is_damaged, long, on_every_disk, put, row};
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::txn::{self, TXN_KEY_BYTES_MAX, Txn, VALUE_TOTAL_BYTES_MAX};
use comptoir_engine::disk::{Batch, Disk, DiskError, Row};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use std::sync::Mutex;

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

/// A disk on which something happens between a range and what is read next.
struct Meanwhile {
    disk: SimDisk,
    then: Mutex<Option<fn(&SimDisk)>>,
}

impl Disk for Meanwhile {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.disk.get(key)
    }
    fn range(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        let rows = self.disk.range(from, until, rows_max);
        self.then.lock().unwrap().take().into_iter().for_each(|then| then(&self.disk));
        rows
    }
    fn range_back(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        self.disk.range_back(from, until, rows_max)
    }
    fn last(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
        self.disk.last(from, until)
    }
    fn apply(&self, batch: Batch) -> Result<(), DiskError> {
        self.disk.apply(batch)
    }
    fn flush(&self) -> Result<(), DiskError> {
        self.disk.flush()
    }
}

#[test]
fn keys_that_become_one_while_they_are_scanned_are_not_missed() {
    let disk = SimDisk::new();
    for (key, value) in [(b"a", b"1".to_vec()), (b"b", long(9_000, 0)), (b"c", b"3".to_vec()), (b"d", b"4".to_vec())] {
        commit(&disk, key, &value);
    }
    // As the log is compacted: the last one takes in what those before it held.
    let become_one = |disk: &SimDisk| {
        let mut txn = Txn::new(disk);
        txn.remove(b"a".to_vec());
        txn.remove(b"b".to_vec());
        txn.put(b"c".to_vec(), b"123");
        txn.commit().unwrap();
    };
    let disk = Meanwhile { disk, then: Mutex::new(Some(become_one)) };
    let found = txn::scan(&disk, b"", END, 4).unwrap();
    assert_eq!(found, [row(b"a", b"1"), row(b"c", b"123"), row(b"d", b"4")]);
}
