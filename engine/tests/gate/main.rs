//! The admission gate: what may join a document's history, and that the sum of a history does not depend on its order.
//! Here: changes made by hand.

mod joining;
mod limits;
mod sums;

use comptoir_engine::change::{Change, Parts};
use comptoir_engine::codec::Versioned;
use comptoir_engine::gate::{Admission, Lineage, Refusal};
use comptoir_engine::id::{ActorId, DocumentId, LogSeq};

const DOCUMENT: DocumentId = DocumentId([3; 32]);
const AT: LogSeq = LogSeq(1);

/// Columns of `count` puts of null at the root's key "k".
fn puts(count: u8) -> Vec<u8> {
    assert!(count < 64);
    match count {
        0 => vec![0],
        _ => {
            let headers = [5, 0x15, 3, 0x34, 1, 0x42, 2, 0x56, 2, 0x70, 2];
            let data = [count, 1, b'k', count, count, 1, count, 0, count, 0];
            [&headers[..], &data].concat()
        }
    }
}

fn parts(actor: u8, seq: u64, start_op: u64, deps: &[&Change]) -> Parts {
    let mut deps: Vec<_> = deps.iter().map(|dep| dep.hash()).collect();
    deps.sort_unstable();
    Parts {
        deps,
        actor: ActorId::ordinary([actor; 16]),
        seq,
        start_op,
        time_s: 0,
        message: String::new(),
        other_actors: Vec::new(),
        columns: puts(2),
    }
}

fn change(actor: u8, seq: u64, start_op: u64, deps: &[&Change]) -> Change {
    Change::build(parts(actor, seq, start_op, deps)).unwrap()
}

fn admit(lineage: &mut Lineage, change: &Change) {
    assert_eq!(lineage.check(&DOCUMENT, change), Ok(Admission::New));
    lineage.extend(change, AT);
}

fn refused(lineage: &Lineage, change: &Change) -> Refusal {
    lineage.check(&DOCUMENT, change).unwrap_err()
}

/// A lineage as stores keep it.
#[derive(bincode::Encode, bincode::Decode)]
struct Row {
    lineage: Lineage,
}

impl Versioned for Row {
    const WHAT: &'static str = "a row";
    const VERSION: u8 = 1;
}
