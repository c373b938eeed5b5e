//! How many changes, ops and bytes a document holds, and that a full history stays fast.

use super::{AT, DOCUMENT, Row, admit, parts, puts, refused};
use automerge::transaction::Transactable;
use automerge::{ActorId as Actor, Automerge, ROOT, ScalarValue};
use comptoir_engine::change::{Change, OPS_MAX, Parts};
use comptoir_engine::codec;
use comptoir_engine::gate::{DOCUMENT_CHANGES_MAX, DOCUMENT_CONTENT_BYTES_MAX, DOCUMENT_OPS_MAX, Lineage, Refusal};
use comptoir_engine::id::ActorId;
use std::time::{Duration, Instant};

#[test]
fn a_document_holds_so_many_ops_and_so_much_content_and_no_more() {
    // 60 bytes that stand for 50,000 ops.
    let run = [0xd0, 0x86, 3];
    let headers = [5, 0x15, 5, 0x34, 3, 0x42, 4, 0x56, 4, 0x70, 4];
    let data = [&run[..], &[1, b'k'], &run, &run, &[1], &run, &[0], &run, &[0]].concat();
    let many = [&headers[..], &data].concat();
    let mut lineage = Lineage::default();
    let mut actor = 0;
    let reason = loop {
        actor += 1;
        let change = Change::build(Parts { columns: many.clone(), ..parts(actor, 1, 1, &[]) }).unwrap();
        assert_eq!(change.ops(), OPS_MAX);
        match lineage.check(&DOCUMENT, &change) {
            Ok(_) => lineage.extend(&change, AT),
            Err(reason) => break reason,
        }
    };
    assert!(matches!(reason, Refusal::TooLarge { limit_max: DOCUMENT_OPS_MAX, .. }), "{reason:?}");
    assert_eq!(u64::from(actor) - 1, DOCUMENT_OPS_MAX / OPS_MAX);

    let mut doc = Automerge::new();
    let mut lineage = Lineage::default();
    let mut count = 0;
    let reason = loop {
        let mut own = doc.fork().with_actor(Actor::from([count + 1; 16].as_slice()));
        let mut tx = own.transaction();
        tx.put(ROOT, "k", ScalarValue::Bytes(vec![count; 1_000_000])).unwrap();
        tx.commit();
        let change = Change::parse(own.get_last_local_change().unwrap().raw_bytes()).unwrap();
        match lineage.check(&DOCUMENT, &change) {
            Ok(_) => lineage.extend(&change, AT),
            Err(reason) => break reason,
        }
        doc = own;
        count += 1;
    };
    assert!(matches!(reason, Refusal::TooLarge { limit_max: DOCUMENT_CONTENT_BYTES_MAX, .. }), "{reason:?}");
    assert_eq!(u64::from(count), DOCUMENT_CONTENT_BYTES_MAX / 1_000_000);
}

/// A change without ops by an actor of its own.
fn root(index: u32) -> Change {
    let mut actor = [0; 16];
    actor[..4].copy_from_slice(&index.to_be_bytes());
    let columns = puts(0);
    Change::build(Parts { actor: ActorId::ordinary(actor), columns, ..parts(0, 1, 1, &[]) }).unwrap()
}

#[test]
fn a_full_history_of_strangers_stays_fast_and_fits_its_row() {
    let started = Instant::now();
    let mut lineage = Lineage::default();
    let changes: Vec<_> = (0..DOCUMENT_CHANGES_MAX as u32).map(root).collect();
    changes.iter().for_each(|change| admit(&mut lineage, change));
    assert_eq!(refused(&lineage, &root(u32::MAX)), Refusal::DocumentFull);
    assert_eq!(lineage.heads().len(), DOCUMENT_CHANGES_MAX);
    // Changes that follow 256 of the oldest, or claim to.
    let deps: Vec<_> = changes[..256].iter().collect();
    for seq in 0..2000 {
        let wide = Change::build(Parts { columns: puts(0), time_s: seq, ..parts(0xee, 1, 1, &deps) }).unwrap();
        assert_eq!(refused(&lineage, &wide), Refusal::DocumentFull);
        assert_eq!(lineage.hash_of(&changes[0].parts().actor, 1), Some(changes[0].hash()));
    }
    let bytes = codec::encode(&Row { lineage }).unwrap();
    assert!(bytes.len() < 7 << 20, "{} bytes", bytes.len());
    let again: Row = codec::decode(&bytes).unwrap();
    assert_eq!(again.lineage.heads().len(), DOCUMENT_CHANGES_MAX);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}
