//! A log's short entries become long ones beside the pushes; whoever has some of their changes, or none, gets the rest.

mod kit;

use comptoir_engine::change::Change;
use comptoir_engine::digest::Digest;
use comptoir_engine::id::{ActorId, ChangeHash, LogSeq, RecordId};
use comptoir_engine::wire::batch::{Batch, Item};
use comptoir_engine::wire::message::{FromDevice, Role};
use comptoir_relay::auth::Grant;
use comptoir_relay::config::Config;
use comptoir_relay::relay::Relay;
use kit::{Author, Device};
use std::collections::HashMap;
use std::path::Path;

/// Pushes of one change each.
const PUSHES: u64 = 200;

/// A relay whose followers read the log, which is looked at after every 32 entries.
async fn relay(data: &Path) -> Relay {
    kit::relay_with(data, Config { recent_bytes_max: 0, compact_entries: 32, ..kit::config() }).await
}

/// The relay, a device that pushes, and two authors.
async fn begin(data: &Path) -> (Relay, Device, [Author; 2]) {
    let relay = relay(data).await;
    let device = Device::editor(&relay).await;
    (relay, device, [Author::new(1, "0"), Author::new(2, "1")])
}

fn grant(relay: &Relay) -> Grant {
    relay.auth().check(&kit::token(relay, "cafe", Role::Reader), "cafe").expect("a grant")
}

/// Two authors' changes, each pushed by itself.
async fn fill(device: &mut Device, authors: &mut [Author; 2]) -> Vec<Item> {
    let mut items = Vec::new();
    for push in 1..=PUSHES {
        let item = authors[push as usize % 2].edit();
        device.push(push, kit::pack(std::slice::from_ref(&item))).await;
        assert_eq!(device.ack().await.refused, []);
        items.push(item);
    }
    items
}

/// What a device has, by record, author and number.
#[derive(Default)]
struct Held(HashMap<(RecordId, ActorId, u64), ChangeHash>);

impl Held {
    fn take(&mut self, batch: &[u8]) {
        let find = |record: &RecordId, actor: &ActorId, seq| self.0.get(&(record.clone(), actor.clone(), seq)).copied();
        let unpacked = Batch::decode(batch).expect("a batch").unpack(&kit::workspace("cafe"), find).expect("readable");
        assert!(unpacked.clear, "a batch that builds on what this device lacks");
        for (record, change) in unpacked.changes {
            self.add(record, &change.expect("a change"));
        }
    }

    fn add(&mut self, record: RecordId, change: &Change) {
        self.0.insert((record, change.parts().actor.clone(), change.parts().seq), change.hash());
    }
}

fn digest(authors: &[Author; 2]) -> [u8; 32] {
    authors.iter().fold(Digest::default(), |sum, author| sum.plus(author.leaf("cafe"))).0
}

/// Waits until the log through `PUSHES` has at most so many entries.
async fn compacted(relay: &Relay, entries_max: usize) -> Vec<u64> {
    let grant = grant(relay);
    let wait = async {
        loop {
            let entries = relay.log().entries(&grant, LogSeq(0), LogSeq(PUSHES), usize::MAX).await.expect("a log");
            if entries.len() <= entries_max {
                return entries.iter().map(|entry| entry.seq.0).collect();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(kit::PATIENCE, wait).await.expect("compacted in time")
}

#[tokio::test]
async fn a_device_that_has_nothing_gets_all_from_few_entries_and_the_log_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let (relay, mut device, mut authors) = begin(dir.path()).await;
    let items = fill(&mut device, &mut authors).await;
    let entries = compacted(&relay, 40).await;
    assert!(entries.is_sorted() && entries.last() == Some(&PUSHES), "{entries:?}");
    let pushed_bytes: usize = items.iter().map(|item| kit::pack(std::slice::from_ref(item)).len()).sum();
    let log = relay.log().entries(&grant(&relay), LogSeq(0), LogSeq(PUSHES), usize::MAX).await.expect("a log");
    let log_bytes: usize = log.iter().map(|entry| entry.batch.len()).sum();
    println!("{PUSHES} entries, {pushed_bytes} bytes, became {}, {log_bytes} bytes", log.len());
    assert!(log_bytes * 4 < pushed_bytes, "{log_bytes} of {pushed_bytes} bytes");

    let mut newcomer = Device::editor(&relay).await;
    let (mut held, mut through) = (Held::default(), 0);
    while through < PUSHES {
        let entries = newcomer.entries().await;
        entries.batches.iter().for_each(|batch| held.take(batch));
        through = entries.through;
        assert_eq!(entries.digest, (through == PUSHES).then(|| digest(&authors)));
    }
    assert_eq!(held.0.len() as u64, PUSHES);

    device.push(PUSHES + 1, kit::pack(&[authors[0].edit()])).await;
    assert_eq!(device.ack().await.through, Some(PUSHES + 1));
    assert_eq!(newcomer.entries().await.digest, Some(digest(&authors)));
    relay.stop().await;

    // And another process finds it as it was.
    let relay = self::relay(dir.path()).await;
    let (_, welcome) =
        Device::join(relay.address(), kit::hello("cafe", kit::token(&relay, "cafe", Role::Editor))).await;
    assert_eq!((welcome.tail, welcome.digest), (PUSHES + 1, digest(&authors)));
    relay.stop().await;
}

#[tokio::test]
async fn a_device_whose_cursor_is_within_an_entry_gets_what_it_lacks() {
    let dir = tempfile::tempdir().expect("a folder");
    let (relay, mut device, mut authors) = begin(dir.path()).await;
    let items = fill(&mut device, &mut authors).await;
    let entries = compacted(&relay, 40).await;
    let gone = (1..PUSHES).find(|seq| !entries.contains(seq)).expect("an entry that is gone");
    let mut held = Held::default();
    items.into_iter().take(gone as usize).for_each(|item| held.add(item.record, &item.change));

    let mut hello = kit::hello("cafe", kit::token(&relay, "cafe", Role::Editor));
    let (_, welcome) = Device::join(relay.address(), hello.clone()).await;
    hello.cursor = Some((welcome.epoch, gone));
    let mut late = Device::join(relay.address(), hello).await.0;
    let last = loop {
        let entries = late.entries().await;
        entries.batches.iter().for_each(|batch| held.take(batch));
        if entries.through == PUSHES {
            break entries;
        }
    };
    assert_eq!((last.digest, held.0.len() as u64), (Some(digest(&authors)), PUSHES));
    relay.stop().await;
}

#[tokio::test]
async fn whole_documents_are_found_in_what_their_entries_became() {
    let dir = tempfile::tempdir().expect("a folder");
    let (relay, mut device, mut authors) = begin(dir.path()).await;
    fill(&mut device, &mut authors).await;
    compacted(&relay, 40).await;
    let mut batches = relay.log().records(&grant(&relay), vec![kit::record("1")], LogSeq(PUSHES));
    let mut seqs = Vec::new();
    while let Some(batch) = batches.recv().await {
        let batch = batch.expect("the log is whole");
        let unpacked = Batch::decode(&batch).expect("a batch").unpack(&kit::workspace("cafe"), |_, _, _| None);
        for (record, change) in unpacked.expect("readable").changes {
            assert_eq!(record, kit::record("1"));
            seqs.push(change.expect("a change").parts().seq);
        }
    }
    assert_eq!(seqs, (1..=PUSHES / 2).collect::<Vec<_>>());
    relay.stop().await;
}

#[tokio::test]
async fn a_follower_that_reads_slowly_meets_compaction_and_misses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = relay(dir.path()).await;
    let mut hello = kit::hello("cafe", kit::token(&relay, "cafe", Role::Reader));
    hello.credit_bytes = 1;
    let mut slow = Device::join(relay.address(), hello).await.0;
    let mut authors = [Author::new(1, "0"), Author::new(2, "1")];
    let mut device = Device::editor(&relay).await;
    fill(&mut device, &mut authors).await;
    compacted(&relay, 40).await;
    let (mut held, mut through) = (Held::default(), 0);
    while through < PUSHES {
        let entries = slow.entries().await;
        entries.batches.iter().for_each(|batch| held.take(batch));
        through = entries.through;
        if through == PUSHES {
            assert_eq!(entries.digest, Some(digest(&authors)));
        }
        let bytes: usize = entries.batches.iter().map(Vec::len).sum();
        slow.send(FromDevice::Credit { bytes: bytes as u64 }).await;
    }
    assert_eq!(held.0.len() as u64, PUSHES);
    relay.stop().await;
}
