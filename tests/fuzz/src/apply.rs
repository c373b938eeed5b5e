//! Changes on their way into a device, through the engine's own door: honest ones with fields, columns or authors altered,
//! fitted so that the gate lets them pass, and bytes that are none. Must not know what a store does with them.

use crate::shop;
use crate::{Plan, mutate};
use comptoir_engine::change::{Change, Parts};
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::gate::{Admission, Lineage, Refusal};
use comptoir_engine::id::{DocumentId, LogSeq};
use comptoir_engine::wire::batch::{self, Item, Style};
use comptoir_engine::{Engine, RecordId};
use std::collections::{BTreeMap, BTreeSet};

/// A document of 50,000 ops, a copy of it on trial, and what it was saved as and loaded again, on three devices.
pub const MEMORY_BYTES_MAX: u64 = 512 << 20;

const ITEMS_MAX: usize = 6;

/// What the bytes say is sent to two devices, to one of them in one batch and to the other one by one. Both must be
/// readable, go on working, and be the same after a power cut; and equal, where a relay would have let all of it pass.
pub fn target(bytes: &[u8]) {
    let mut plan = Plan::new(bytes);
    let base = plan.byte() as usize % 2;
    let (items, admitted) = items(&mut plan, base);
    if items.is_empty() {
        return;
    }
    let mut touched: BTreeSet<_> = items.iter().map(|item| item.record.clone()).collect();
    touched.insert(shop::id("products", "new"));
    let disks = [shop::disks()[base].snapshot(), shop::disks()[base].snapshot()];
    let [mut one, mut two] = [&disks[0], &disks[1]].map(shop::live);
    let pack = |items: &[Item]| batch::pack(items, Style::Explicit).ok();
    let Some(whole) = pack(&items) else { return };
    shop::follow(&mut one, vec![whole.clone()], 1);
    let single = |item: &Item| pack(std::slice::from_ref(item)).expect("a part of what could be packed");
    items.iter().map(single).enumerate().for_each(|(at, batch)| shop::follow(&mut two, vec![batch], at as u64 + 1));
    if admitted {
        assert_equal(&one, &two, "in one batch and one by one");
        shop::follow(&mut one, vec![whole], ITEMS_MAX as u64 + 1);
        assert_equal(&one, &two, "once and twice");
    }
    shop::assert_readable(&one, &touched);
    shop::edit(&mut one, &touched);
    shop::assert_readable(&one, &touched);
    if admitted {
        let pushed = shop::pushed(&mut one);
        shop::follow(&mut two, pushed, ITEMS_MAX as u64 + 2);
        assert_equal(&one, &two, "with what was edited on top");
    }
    assert_survives(&disks[0], &one);
}

fn assert_equal(one: &Engine, two: &Engine, when: &str) {
    let aside = [one, two].map(|engine| {
        let aside = engine.quarantine().expect("what was set aside").into_iter();
        aside.map(|each| format!("{}: {}", each.record, each.reason)).collect::<Vec<_>>()
    });
    assert_eq!(one.status().digest, two.status().digest, "{when}: {aside:#?}");
    assert_eq!(shop::records(one), shop::records(two), "{when}");
}

fn assert_survives(disk: &SimDisk, engine: &Engine) {
    disk.crash(0);
    let opened = shop::open(disk).expect("what was saved opens");
    assert_eq!(opened.status().digest, engine.status().digest, "after a power cut");
    assert_eq!(shop::records(&opened), shop::records(engine), "after a power cut");
}

/// What the device will hold of each record, as the gate sees it.
struct Lineages {
    of: BTreeMap<RecordId, Lineage>,
}

impl Lineages {
    fn of(&mut self, record: &RecordId) -> &mut Lineage {
        self.of.entry(record.clone()).or_default()
    }

    /// Whether the gate lets the change pass; if so, it is there from now on.
    fn add(&mut self, record: &RecordId, change: &Change) -> bool {
        let document = DocumentId::derive(&shop::workspace(), record);
        let lineage = self.of(record);
        let admission = lineage.check(&document, change);
        if admission == Ok(Admission::New) {
            lineage.extend(change, LogSeq(1));
        }
        admission.is_ok()
    }

    /// The change as its record would take it: next of its author, behind all that is there.
    fn fit(&mut self, record: &RecordId, parts: Parts) -> Option<Change> {
        let document = DocumentId::derive(&shop::workspace(), record);
        let lineage = self.of(record);
        let parts = Parts { deps: lineage.heads(), seq: lineage.last_seq(&parts.actor) + 1, ..parts };
        let build = |parts: Parts| match parts.actor.is_derived() {
            true => Change::derive(&document, parts).ok(),
            false => Change::build(parts).ok(),
        };
        let change = build(parts.clone())?;
        match lineage.check(&document, &change) {
            Err(Refusal::StartOp { expected, .. }) => build(Parts { start_op: expected, ..parts }),
            _ => Some(change),
        }
    }
}

/// The changes, and whether a relay would let all of them pass.
fn items(plan: &mut Plan<'_>, base: usize) -> (Vec<Item>, bool) {
    let history = shop::history();
    let mut lineages = Lineages { of: BTreeMap::new() };
    if base == 1 {
        history.iter().for_each(|(record, change)| _ = lineages.add(record, change));
    }
    let (mut items, mut admitted) = (Vec::new(), true);
    while !plan.is_empty() && items.len() < ITEMS_MAX {
        let how = plan.byte();
        let (record, template) = &history[plan.below(history.len())];
        let record = if how & 1 == 0 { record } else { &history[plan.below(history.len())].0 };
        let change = match how >> 1 & 3 {
            // As it is.
            0 => Some(template.clone()),
            // Bytes of the plan's own.
            1 => Change::parse(plan.piece()).ok(),
            // Altered, and behind what is there.
            2 => lineages.fit(record, mutate::parts(plan, template.parts().clone())),
            // Altered, and nothing else.
            _ => Change::build(mutate::parts(plan, template.parts().clone())).ok(),
        };
        // A derived change belongs to one record; in another it could not even be packed so that it comes out again.
        let own = |change: &Change| change.check_derived(&DocumentId::derive(&shop::workspace(), record)).is_ok();
        let Some(change) = change.filter(own) else { continue };
        admitted &= lineages.add(record, &change);
        items.push(shop::item(record, change));
    }
    (items, admitted)
}
