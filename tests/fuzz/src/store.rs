//! A store's folder that somebody else has written: rows with right checksums and wrong content. Must not know how a disk
//! keeps rows.

use crate::shop::{self, NOW};
use crate::{Plan, mutate};
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::disk::{Disk as _, Row};
use comptoir_engine::record::json;
use comptoir_engine::{Engine, FieldEdit, HistoryPage, Query};
use std::sync::OnceLock;

/// Rows may name as much as the longest encoded value, 16 MiB, some of them at once.
pub const MEMORY_BYTES_MAX: u64 = 256 << 20;

const ROWS_MAX: usize = 4;

/// The rows of an honest store.
pub(crate) fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| txn::scan(&shop::disks()[1], &[], &[0xfe], usize::MAX).expect("rows"))
}

/// Up to four rows become others, or new ones come; then everything is read and written that can be. Each call may say
/// that the store is damaged, and none may do anything worse.
pub fn target(bytes: &[u8]) {
    let mut plan = Plan::new(bytes);
    let disk = shop::disks()[1].snapshot();
    let mut tx = Txn::new(&disk);
    for _ in 0..ROWS_MAX {
        if plan.is_empty() {
            break;
        }
        let (key, value) = &rows()[plan.below(rows().len())];
        match plan.below(4) {
            0 => tx.put(plan.piece().to_vec(), plan.piece()),
            1 => tx.put(key.clone(), plan.piece()),
            _ => {
                let mut value = value.clone();
                mutate::splice(&mut plan, &mut value);
                mutate::splice(&mut plan, &mut value);
                tx.put(key.clone(), &value);
            }
        }
    }
    if tx.commit().is_err() || disk.flush().is_err() {
        return;
    }
    let Ok(mut engine) = shop::open(&disk) else { return };
    use_it(&mut engine);
}

fn use_it(engine: &mut Engine) {
    let _ = (engine.check(), engine.quarantine(), engine.series(), engine.status());
    for collection in engine.collections() {
        let Ok(page) = engine.list(&collection, None, 100) else { continue };
        let _ = engine.query(&collection, &Query::all().order("price"));
        let _ = engine.audit(&collection, "receipt");
        for (key, view) in page {
            let record = comptoir_engine::RecordId { collection: collection.clone(), key };
            let _ = json::object(&view.fields).to_string();
            let page = HistoryPage { changes_max: 10, after: None, field: None };
            let _ = (engine.history(&record, &page), engine.conflicts_of(&record));
            let edit = FieldEdit::Increment { field: "stock".to_owned(), by: 1 };
            let _ = engine.commit(&[(record.clone(), edit)], NOW);
            let _ = engine.retry(&record, NOW);
        }
    }
    while matches!(engine.poll_message(NOW), Ok(Some(_))) {}
}
