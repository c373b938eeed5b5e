//! One device's push reaches the other devices, once, in order and without a gap, and the log survives a restart.

mod kit;

use comptoir_engine::gate::Refusal;
use comptoir_engine::wire::batch::{self, Style};
use comptoir_engine::wire::message::{Ack, FromDevice, FromRelay, Role};
use kit::{Author, Device};
use std::collections::BTreeSet;

#[tokio::test]
async fn a_push_is_acknowledged_and_reaches_another_device() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let (mut one, mut two) = (Device::editor(&relay).await, Device::editor(&relay).await);
    let mut author = Author::new(1, "25671");
    let batch = kit::pack(&[author.edit(), author.edit()]);
    one.push(1, batch.clone()).await;
    let digest = Some(author.leaf("cafe").0);
    assert_eq!(one.ack().await, Ack { push: 1, through: Some(1), digest, refused: Vec::new() });
    let entries = two.entries().await;
    assert_eq!((entries.batches, entries.through, entries.digest), (vec![batch.clone()], 1, digest));

    // Who comes later gets the same from the log.
    let (mut three, welcome) =
        Device::join(relay.address(), kit::hello("cafe", kit::token(&relay, "cafe", Role::Reader))).await;
    assert_eq!((welcome.tail, Some(welcome.digest)), (1, digest));
    assert_eq!(three.entries().await.batches, vec![batch]);
    relay.stop().await;
}

#[tokio::test]
async fn pushing_twice_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut device = Device::editor(&relay).await;
    let mut author = Author::new(1, "1");
    let batch = kit::pack(&[author.edit(), author.edit()]);
    device.push(1, batch.clone()).await;
    device.push(2, batch.clone()).await;
    let first = device.ack().await;
    let second = device.ack().await;
    assert_eq!(second, Ack { push: 2, ..first });

    let mut again = Device::editor(&relay).await;
    again.push(1, batch).await;
    assert_eq!(again.entries().await.through, 1);
    let ack = again.ack().await;
    assert_eq!((ack.through, ack.refused.len()), (Some(1), 0));
    relay.stop().await;
}

#[tokio::test]
async fn what_is_known_already_is_cut_out_of_an_entry() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let (mut one, mut two) = (Device::editor(&relay).await, Device::editor(&relay).await);
    let mut author = Author::new(1, "1");
    let (first, second) = (author.edit(), author.edit());
    one.push(1, kit::pack(std::slice::from_ref(&first))).await;
    assert_eq!(kit::changes(&two.entries().await.batches[0]), 1);
    one.push(2, kit::pack(&[first, second])).await;
    let entries = two.entries().await;
    assert_eq!((kit::changes(&entries.batches[0]), entries.digest), (1, Some(author.leaf("cafe").0)));
    relay.stop().await;
}

#[tokio::test]
async fn a_change_whose_dependency_is_missing_is_refused_and_the_rest_is_admitted() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let (mut one, mut two) = (Device::editor(&relay).await, Device::editor(&relay).await);
    let (mut broken, mut whole) = (Author::new(1, "broken"), Author::new(1, "whole"));
    broken.edit();
    let items = [broken.edit(), whole.edit(), broken.edit(), whole.edit()];
    for (push, style) in [(1, Style::Explicit), (2, Style::Explicit)] {
        one.push(push, batch::pack(&items, style).expect("a batch")).await;
        let ack = one.ack().await;
        let refused: Vec<_> = ack.refused.into_iter().map(|refused| (refused.index, refused.reason)).collect();
        assert_eq!(refused, [(0, Refusal::MissingDeps), (2, Refusal::Waits)]);
        assert_eq!(ack.through, Some(1));
    }
    let entries = two.entries().await;
    assert_eq!((kit::changes(&entries.batches[0]), entries.digest), (2, Some(whole.leaf("cafe").0)));
    relay.stop().await;
}

#[tokio::test]
async fn a_copied_store_that_uses_a_number_again_is_told_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut device = Device::editor(&relay).await;
    let (mut one, mut copy) = (Author::new(1, "1"), Author::new(1, "1"));
    device.push(1, kit::pack(&[one.edit_with("name", "Café")])).await;
    assert_eq!(device.ack().await.refused, []);
    // What came with it may be the other half of a transaction, and is not stored either.
    let mut other = Author::new(1, "2");
    device.push(2, kit::pack(&[other.edit(), copy.edit_with("name", "Thé"), other.edit()])).await;
    let ack = device.ack().await;
    let refused: Vec<_> = ack.refused.into_iter().map(|refused| (refused.index, refused.reason)).collect();
    assert_eq!(refused, [(0, Refusal::Waits), (1, Refusal::Forked), (2, Refusal::Waits)]);
    assert_eq!(ack.through, Some(1));
    // What builds on the copy's history gives other hashes here: the relay asks for them spelled out.
    let next = copy.edit_with("name", "Eau");
    device.push(3, kit::pack(std::slice::from_ref(&next))).await;
    assert_eq!(device.next().await, FromRelay::Unclear { push: 3 });
    device.push(3, batch::pack(&[next], Style::Explicit).expect("a batch")).await;
    assert_eq!(device.ack().await.refused[0].reason, Refusal::MissingDeps);
    relay.stop().await;
}

#[tokio::test]
async fn what_was_pushed_behind_an_unclear_push_is_asked_for_again_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut device = Device::editor(&relay).await;
    // Two authors at work on one record; the relay holds other changes under the second one's name.
    let (mut ours, mut theirs) = (Author::new(1, "1"), Author::new(2, "1"));
    let mut copy = Author::new(2, "1");
    device.push(1, kit::pack(&[theirs.edit_with("name", "Café")])).await;
    let forked = copy.edit_with("name", "Thé");
    device.push(2, kit::pack(std::slice::from_ref(&forked))).await;
    let (first, second) = (device.ack().await, device.ack().await);
    assert_eq!((first.refused.len(), second.refused.len()), (0, 1));
    ours.merge(&forked);
    let mut whole = Author::new(1, "2");
    let items = [ours.edit(), whole.edit(), whole.edit()];
    for (push, item) in (3..).zip(&items) {
        device.push(push, kit::pack(std::slice::from_ref(item))).await;
    }
    for push in 3..=5 {
        assert_eq!(device.next().await, FromRelay::Unclear { push });
    }
    for (push, item) in (3..).zip(&items) {
        device.push(push, batch::pack(std::slice::from_ref(item), Style::Explicit).expect("a batch")).await;
    }
    let refused = [device.ack().await, device.ack().await, device.ack().await].map(|ack| ack.refused.len());
    assert_eq!(refused, [1, 0, 0]);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sees_every_entry_once_and_in_order_while_many_push() {
    const AUTHORS: u64 = 6;
    const PUSHES: u64 = 40;
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut follower = Device::editor(&relay).await;
    let mut pushing = Vec::new();
    for actor in 0..AUTHORS {
        let mut device = Device::editor(&relay).await;
        pushing.push(tokio::spawn(async move {
            // Each pushes and follows: it gets what the others pushed, and its cursor reaches the tail.
            let mut author = Author::new(actor as u8, &format!("record-{actor}"));
            for push in 1..=PUSHES {
                device.push(push, kit::pack(&[author.edit()])).await;
            }
            let (mut acked, mut through, mut foreign) = (0, 0, 0);
            while acked < PUSHES || through < AUTHORS * PUSHES {
                match device.next().await {
                    FromRelay::Ack(ack) => {
                        acked += 1;
                        assert_eq!((ack.push, ack.refused.len()), (acked, 0));
                        through = ack.through.inspect(|next| assert!(*next > through)).unwrap_or(through);
                    }
                    FromRelay::Entries(entries) => {
                        assert!(entries.through > through);
                        through = entries.through;
                        foreign += entries.batches.len() as u64;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(foreign, (AUTHORS - 1) * PUSHES, "own entries are not sent back");
            author.leaf("cafe")
        }));
    }
    let (mut seen, mut through, mut digest) = (BTreeSet::new(), 0, None);
    while through < AUTHORS * PUSHES {
        let entries = follower.entries().await;
        assert_eq!(entries.through, through + entries.batches.len() as u64);
        assert!(entries.batches.into_iter().all(|batch| seen.insert(batch)), "an entry came twice");
        (through, digest) = (entries.through, entries.digest);
    }
    let mut sum = comptoir_engine::digest::Digest::default();
    for device in pushing {
        sum = sum.plus(device.await.expect("a pushing device"));
    }
    assert_eq!(digest, Some(sum.0));
    relay.stop().await;
}

#[tokio::test]
async fn a_lagging_follower_is_sent_no_more_than_its_credit_and_gets_all_in_the_end() {
    let dir = tempfile::tempdir().expect("a folder");
    // No entries in memory: a lagging follower reads the log.
    let config = comptoir_relay::config::Config { recent_bytes_max: 0, ..kit::config() };
    let relay = kit::relay_with(dir.path(), config).await;
    let mut device = Device::editor(&relay).await;
    let mut author = Author::new(1, "1");
    for push in 1..=50 {
        device.push(push, kit::pack(&[author.edit()])).await;
    }
    for _ in 1..=50 {
        device.ack().await;
    }
    let mut hello = kit::hello("cafe", kit::token(&relay, "cafe", Role::Reader));
    hello.credit_bytes = 100;
    let mut slow = Device::join(relay.address(), hello).await.0;
    let (mut through, mut credit, mut got) = (0, 100, 0);
    while through < 50 {
        let entries = slow.entries().await;
        let bytes: usize = entries.batches.iter().map(Vec::len).sum();
        let last = entries.batches.last().map_or(0, Vec::len);
        assert!((bytes - last) < credit, "{bytes} bytes on a credit of {credit}");
        got += entries.batches.len();
        through = entries.through;
        (credit, _) = (100, slow.send(FromDevice::Credit { bytes: bytes as u64 }).await);
    }
    assert_eq!(got, 50);
    relay.stop().await;
}

#[tokio::test]
async fn the_log_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let hello = kit::hello("cafe", kit::token(&relay, "cafe", Role::Editor));
    let (mut device, before) = Device::join(relay.address(), hello.clone()).await;
    let mut author = Author::new(1, "1");
    let batch = kit::pack(&[author.edit()]);
    device.push(1, batch.clone()).await;
    device.ack().await;
    relay.stop().await;
    assert_eq!(device.denial().await, comptoir_engine::wire::message::Denial::ShuttingDown);

    let relay = kit::relay(dir.path()).await;
    let (mut device, after) = Device::join(relay.address(), hello.clone()).await;
    assert_eq!((after.epoch, after.tail, after.digest), (before.epoch, 1, author.leaf("cafe").0));
    assert_eq!(device.entries().await.batches, vec![batch]);
    device.push(1, kit::pack(&[author.edit()])).await;
    assert_eq!(device.ack().await.through, Some(2));

    // A device at the tail is told so by the welcome, and is sent nothing.
    let mut at_tail = hello.clone();
    at_tail.cursor = Some((after.epoch, 2));
    let (mut device, welcome) = Device::join(relay.address(), at_tail).await;
    assert_eq!((welcome.tail, welcome.digest), (2, author.leaf("cafe").0));
    device.push(1, kit::pack(&[author.edit()])).await;
    assert!(matches!(device.next().await, FromRelay::Ack(Ack { through: Some(3), .. })));
    relay.stop().await;
}

#[tokio::test]
async fn workspaces_do_not_see_each_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut cafe = Device::editor(&relay).await;
    let mut author = Author::new(1, "1");
    cafe.push(1, kit::pack(&[author.edit()])).await;
    cafe.ack().await;
    let hello = kit::hello("cafe.2", kit::token(&relay, "cafe.2", Role::Editor));
    let (mut other, welcome) = Device::join(relay.address(), hello).await;
    assert_eq!((welcome.tail, welcome.digest), (0, [0; 32]));
    let mut author = Author::new(2, "1");
    other.push(1, kit::pack(&[author.edit()])).await;
    assert_eq!(other.ack().await.digest, Some(author.leaf("cafe.2").0));
    relay.stop().await;
}
