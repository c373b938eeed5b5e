//! A device whose history is of another log, or differs from this one, finds the difference and gets what it lacks.

mod kit;

use comptoir_engine::digest::Digest;
use comptoir_engine::id::RecordId;
use comptoir_engine::session::reconcile::Reconcile;
use comptoir_engine::wire::batch::Batch;
use comptoir_engine::wire::message::{Denial, FromDevice, FromRelay, Role, WANTED_MAX};
use comptoir_relay::relay::Relay;
use kit::{Author, Device};
use std::collections::BTreeMap;

/// Authors of records `from..until`, two changes each, all made by one actor.
fn authors(from: usize, until: usize) -> (Vec<Author>, Vec<comptoir_engine::wire::Item>) {
    let mut authors: Vec<_> = (from..until).map(|key| Author::new(9, &format!("{key:05}"))).collect();
    let mut items: Vec<_> = authors.iter_mut().map(Author::edit).collect();
    items.extend(authors.iter_mut().map(Author::edit));
    (authors, items)
}

fn leaves(authors: &[Author]) -> Vec<(Digest, RecordId)> {
    authors.iter().map(|author| (author.leaf("cafe"), author.record.clone())).collect()
}

async fn stranger(relay: &Relay) -> Device {
    let mut hello = kit::hello("cafe", kit::token(relay, "cafe", Role::Editor));
    hello.cursor = Some(([1; 16], 77));
    Device::join(relay.address(), hello).await.0
}

/// Compares; answers the leaves the device lacks and the records the relay lacks.
async fn compare(device: &mut Device, held: &[Author]) -> (Vec<[u8; 32]>, Vec<RecordId>) {
    let (mut reconcile, payload) = Reconcile::begin(leaves(held)).expect("a beginning");
    device.send(FromDevice::Reconcile { payload }).await;
    loop {
        let FromRelay::Reconcile { payload } = device.next().await else { panic!("no answer") };
        match reconcile.step(&payload).expect("a step") {
            Ok(payload) => device.send(FromDevice::Reconcile { payload }).await,
            Err(difference) => return (difference.need, difference.have),
        }
    }
}

/// Wants all these; answers how many changes came of each record, and where the cursor goes.
async fn want(device: &mut Device, need: &[[u8; 32]]) -> (BTreeMap<String, usize>, u64) {
    let mut messages: Vec<_> = need.chunks(WANTED_MAX).map(<[_]>::to_vec).collect();
    let last = messages.pop().unwrap_or_default();
    for leaves in messages {
        device.send(FromDevice::Want { leaves, last: false }).await;
    }
    device.send(FromDevice::Want { leaves: last, last: true }).await;
    let mut got = BTreeMap::new();
    loop {
        match device.next().await {
            FromRelay::Records { batch } => {
                let unpacked = Batch::decode(&batch).expect("a batch").unpack(&kit::workspace("cafe"), |_, _, _| None);
                for (record, change) in unpacked.expect("changes").changes {
                    change.expect("every hash is spelled out");
                    *got.entry(record.key.as_str().to_owned()).or_default() += 1;
                }
            }
            FromRelay::Reconciled { through, .. } => return (got, through),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn each_side_learns_what_it_lacks_and_the_device_gets_it_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut filler = Device::editor(&relay).await;
    let (_, items) = authors(0, 2500);
    for (push, chunk) in (1..).zip(items.chunks(1000)) {
        filler.push(push, kit::pack(chunk)).await;
        assert_eq!(filler.ack().await.refused, []);
    }
    let (held, items) = authors(1500, 2600);
    let mut device = stranger(&relay).await;
    let (need, have) = compare(&mut device, &held).await;
    assert_eq!((need.len(), have.len()), (1500, 100));
    let (got, through) = want(&mut device, &need).await;
    assert_eq!((got.len(), through), (1500, 5));
    assert!(got.values().all(|changes| *changes == 2));

    // The session goes on from there: its own offer moves its cursor, and it follows the others.
    device.push(1, kit::pack(&items)).await;
    let ack = device.ack().await;
    assert_eq!((ack.through, ack.refused.len()), (Some(6), 0));
    let mut sum = Digest::default();
    for author in &authors(0, 2600).0 {
        sum = sum.plus(author.leaf("cafe"));
    }
    assert_eq!(ack.digest, Some(sum.0));
    let mut author = Author::new(3, "new");
    filler.push(9, kit::pack(&[author.edit()])).await;
    let entries = device.entries().await;
    assert_eq!((entries.through, entries.batches.len()), (7, 1));
    relay.stop().await;
}

#[tokio::test]
async fn what_is_appended_while_histories_are_compared_follows_afterwards() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut filler = Device::editor(&relay).await;
    let (_, items) = authors(0, 10);
    filler.push(1, kit::pack(&items)).await;
    filler.ack().await;
    let mut device = stranger(&relay).await;
    let (need, _) = compare(&mut device, &[]).await;
    let mut author = Author::new(3, "new");
    filler.push(2, kit::pack(&[author.edit()])).await;
    filler.ack().await;
    let (got, through) = want(&mut device, &need).await;
    assert_eq!((got.len(), through), (10, 1));
    assert_eq!(device.entries().await.through, 2);
    relay.stop().await;
}

#[tokio::test]
async fn a_device_that_differs_pauses_its_entries_while_it_compares() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut device = Device::editor(&relay).await;
    let (held, items) = authors(0, 3);
    device.push(1, kit::pack(&items)).await;
    device.ack().await;
    assert_eq!(compare(&mut device, &held).await, (vec![], vec![]));
    assert_eq!(want(&mut device, &[]).await, (BTreeMap::new(), 1));
    relay.stop().await;
}

#[tokio::test]
async fn a_leaf_that_was_never_offered_ends_the_session() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut device = stranger(&relay).await;
    compare(&mut device, &[]).await;
    device.send(FromDevice::Want { leaves: vec![[3; 32]], last: true }).await;
    assert_eq!(device.denial().await, Denial::OutOfTurn);

    let mut device = stranger(&relay).await;
    device.send(FromDevice::Reconcile { payload: vec![0xff; 40] }).await;
    assert!(matches!(device.denial().await, Denial::Unreadable(_)));
    relay.stop().await;
}

#[tokio::test]
async fn a_record_that_grew_in_many_entries_comes_once_and_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut filler = Device::editor(&relay).await;
    let (mut one, mut two) = (Author::new(1, "stock"), Author::new(2, "other"));
    for push in 1..=30 {
        filler.push(push, kit::pack(&[one.edit(), two.edit()])).await;
        filler.ack().await;
    }
    let mut device = stranger(&relay).await;
    let need = vec![one.leaf("cafe").0];
    compare(&mut device, &[]).await;
    let (got, _) = want(&mut device, &need).await;
    assert_eq!(got, BTreeMap::from([("stock".to_owned(), 30)]));
    relay.stop().await;
}
