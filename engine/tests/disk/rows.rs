//! What `Disk` promises, whichever it is.

use super::{END, all, batch, commit, on_every_disk, put, row};
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::disk::{Batch, DiskError, KEY_BYTES_MAX, Row, VALUE_BYTES_MAX};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;

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
