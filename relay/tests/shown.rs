//! A token that may not read everything is shown the rest of the log, with its own digest, and nothing of what is hidden: not
//! live, not out of the disk, and not in a comparison of histories.

mod kit;

use comptoir_engine::digest::Digest;
use comptoir_engine::id::RecordId;
use comptoir_engine::session::reconcile::Reconcile;
use comptoir_engine::wire::batch::{Batch, Item};
use comptoir_engine::wire::message::{Entries, FromDevice, FromRelay, Role, Welcome};
use comptoir_relay::auth::{Permissions, TokenRequest};
use comptoir_relay::config::Config;
use comptoir_relay::relay::Relay;
use kit::{Author, Device};
use std::path::Path;
use std::time::Duration;

fn author(actor: u8, collection: &str, key: &str) -> Author {
    let mut author = Author::new(actor, key);
    author.record = RecordId::new(collection, key).expect("a name");
    author
}

fn sum(authors: &[&Author]) -> [u8; 32] {
    authors.iter().fold(Digest::default(), |sum, author| sum.plus(author.leaf("cafe"))).0
}

fn token(relay: &Relay, access: &[&str]) -> String {
    let request = TokenRequest {
        workspace: kit::workspace("cafe"),
        role: Role::Editor,
        permissions: Permissions::parse(access.iter().copied()).expect("permissions"),
        allowance: Default::default(),
        subject: None,
        name: String::new(),
        valid_for: Duration::from_secs(600),
    };
    relay.auth().sign(&request).expect("a token")
}

/// A device with a token that hides something, at a place of the log.
async fn join(relay: &Relay, access: &[&str], cursor: Option<([u8; 16], u64)>) -> (Device, Welcome) {
    let mut device = Device::connect(relay.address()).await;
    let hello = kit::hello("cafe", token(relay, access));
    device.send(FromDevice::Hello(comptoir_engine::wire::message::Hello { cursor, ..hello })).await;
    let FromRelay::Readable(_) = device.next().await else { panic!("it is told what it is shown") };
    let FromRelay::Welcome(welcome) = device.next().await else { panic!("welcome") };
    (device, welcome)
}

async fn next_entries(device: &mut Device) -> Entries {
    loop {
        match device.next().await {
            FromRelay::Entries(entries) => return entries,
            FromRelay::Writable(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The records of batches, whatever is shown of them.
fn shown(batches: &[Vec<u8>]) -> Vec<String> {
    let mut names = Vec::new();
    for batch in batches {
        let text = String::from_utf8_lossy(batch);
        assert!(!text.contains("anna"), "a hidden name: {text}");
        let unpacked = Batch::decode(batch).expect("a batch").unpack(&kit::workspace("cafe"), |_, _, _| None);
        let unpacked = unpacked.expect("changes").changes;
        names.extend(unpacked.iter().map(|(record, _)| format!("{}/{}", record.collection, record.key)));
    }
    names
}

async fn push(device: &mut Device, number: u64, items: &[Item]) {
    device.push(number, kit::pack(items)).await;
    assert_eq!(device.ack().await.refused, []);
}

async fn relay(data: &Path, recent_bytes_max: usize) -> Relay {
    kit::relay_with(data, Config { recent_bytes_max, ..kit::config() }).await
}

#[tokio::test]
async fn entries_are_cut_to_what_may_be_read_live_and_out_of_the_disk() {
    for recent_bytes_max in [0, 1 << 20] {
        let dir = tempfile::tempdir().expect("a folder");
        let relay = relay(dir.path(), recent_bytes_max).await;
        let mut office = Device::editor(&relay).await;
        let (mut tea, mut anna) = (author(1, "products", "tea"), author(2, "wages", "anna"));
        push(&mut office, 1, &[tea.edit(), anna.edit(), tea.edit()]).await;
        push(&mut office, 2, &[anna.edit()]).await;
        let access = ["*=none", "products=read", "sales=write"];
        let (mut till, welcome) = join(&relay, &access, None).await;
        assert_eq!((welcome.tail, welcome.digest), (2, sum(&[&tea])));
        let entries = next_entries(&mut till).await;
        assert_eq!(shown(&entries.batches), ["products/tea", "products/tea"], "one push, and nothing of the other");
        assert_eq!((entries.through, entries.digest), (2, Some(sum(&[&tea]))));

        push(&mut office, 3, &[anna.edit()]).await;
        let entries = next_entries(&mut till).await;
        assert_eq!((entries.batches.len(), entries.through, entries.digest), (0, 3, Some(sum(&[&tea]))));
        push(&mut office, 4, &[tea.edit(), anna.edit()]).await;
        let entries = next_entries(&mut till).await;
        assert_eq!(shown(&entries.batches), ["products/tea"]);
        assert_eq!((entries.through, entries.digest), (4, Some(sum(&[&tea]))));

        let mut sale = author(3, "sales", "1");
        till.push(1, kit::pack(&[sale.edit()])).await;
        let ack = till.ack().await;
        assert_eq!((ack.through, ack.digest), (Some(5), Some(sum(&[&tea, &sale]))), "its receipt says its digest");
        // All but one collection, and whoever reads everything: each has a digest of its own.
        let (_, others) = join(&relay, &["*=write", "wages=none"], None).await;
        assert_eq!(others.digest, sum(&[&tea, &sale]));
        let editor = kit::hello("cafe", kit::token(&relay, "cafe", Role::Editor));
        assert_eq!(Device::join(relay.address(), editor).await.1.digest, sum(&[&tea, &sale, &anna]));
        relay.stop().await;

        let again = self::relay(dir.path(), recent_bytes_max).await;
        let (_, welcome) = join(&again, &access, None).await;
        assert_eq!(welcome.digest, sum(&[&tea, &sale]), "what the disk says");
        again.stop().await;
    }
}

#[tokio::test]
async fn a_comparison_shows_what_may_be_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = relay(dir.path(), 1 << 20).await;
    let mut office = Device::editor(&relay).await;
    let (mut tea, mut anna) = (author(1, "products", "tea"), author(2, "wages", "anna"));
    push(&mut office, 1, &[tea.edit(), anna.edit()]).await;
    let (mut till, _) = join(&relay, &["*=none", "products=read"], Some(([1; 16], 77))).await;
    let (mut reconcile, payload) = Reconcile::begin(Vec::new()).expect("a beginning");
    till.send(FromDevice::Reconcile { payload }).await;
    let need = loop {
        let payload = match till.next().await {
            FromRelay::Reconcile { payload } => payload,
            FromRelay::Writable(_) => continue,
            other => panic!("{other:?}"),
        };
        match reconcile.step(&payload).expect("a step") {
            Ok(payload) => till.send(FromDevice::Reconcile { payload }).await,
            Err(difference) => break difference.need,
        }
    };
    assert_eq!(need, [tea.leaf("cafe").0]);
    till.send(FromDevice::Want { leaves: need, last: true }).await;
    let FromRelay::Records { batch } = till.next().await else { panic!("the record") };
    assert_eq!(shown(&[batch]), ["products/tea"]);
    let FromRelay::Reconciled { through, digest } = till.next().await else { panic!("the end") };
    assert_eq!((through, digest), (1, sum(&[&tea])));
    relay.stop().await;
}
