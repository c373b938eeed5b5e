//! A store looked through: an older row in the place of the newest one is noticed, though its checksum is right.

#![allow(clippy::unwrap_used)]

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::{Batch, Disk};
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::{FieldEdit, RecordId, Settings, StoreError, Timestamp, WorkspaceId};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };

fn store_on(disk: &SimDisk) -> Store {
    let (relay, token, device_name) = (String::new(), String::new(), "till".to_owned());
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    Store::create(Box::new(disk.clone()), "here", settings, &mut StdRng::seed_from_u64(1)).unwrap()
}

fn put(store: &mut Store, key: &str, price: u64) {
    let record = RecordId::new("products", key).unwrap();
    let fields = json::parse(&format!(r#"{{"price":{price}}}"#)).unwrap();
    store.commit_local(&[(record, FieldEdit::Set(fields))], NOW).unwrap();
}

/// A store of which every row is, one after another, as it was before its newest edit, or gone.
fn each_row_set_back(mut look: impl FnMut(&[u8], Store)) {
    let disk = SimDisk::new();
    let mut store = store_on(&disk);
    (0..20).for_each(|number| put(&mut store, &format!("{number}"), 1));
    let earlier = disk.snapshot();
    (0..20).for_each(|number| put(&mut store, &format!("{number}"), 2));
    assert_eq!(store.check().unwrap().queued, 40);
    for (key, now) in disk.range(b"", b"\xfe", usize::MAX).unwrap() {
        let before = earlier.get(&key).unwrap();
        if before.as_ref() == Some(&now) {
            continue;
        }
        let damaged = disk.snapshot();
        damaged.apply(Batch { rows: [(key.clone(), before)].into() }).unwrap();
        damaged.flush().unwrap();
        look(&key, store_on(&damaged));
    }
}

#[test]
fn a_row_that_is_older_than_the_others_is_noticed_whichever_it_is() {
    let mut rows = 0;
    each_row_set_back(|key, store| {
        rows += 1;
        let found = store.check_rows();
        let key = String::from_utf8_lossy(key);
        assert!(matches!(found, Err(StoreError::Damaged { .. })), "{key}: {found:?}");
    });
    assert!(rows > 40, "20 records, 20 transactions, a collection and the state: {rows}");
}

#[test]
fn a_store_whose_rows_fit_is_found_whole() {
    let disk = SimDisk::new();
    let mut store = store_on(&disk);
    (0..40).for_each(|number| put(&mut store, &format!("{}", number % 7), number));
    let checked = store.check().unwrap();
    assert_eq!((checked.queued, checked.quarantined), (40, 0));
    assert_eq!(store.check_rows().unwrap(), checked);
}
