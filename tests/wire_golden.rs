//! Pins every message of the protocol and every form of a batch, byte by byte, and reads each back. Must not know sockets.

#![allow(clippy::unwrap_used)]

use comptoir_engine::change::Change;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::gate::Refusal;
use comptoir_engine::id::{ActorId, ChangeHash};
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::wire::batch::{self, Batch, Style};
use comptoir_engine::wire::message::{
    Ack, Denial, Entries, FromDevice, FromRelay, Hello, Paired, Reach, Refused, Role, Welcome,
};
use comptoir_engine::{FieldEdit, RecordId, Settings, Timestamp, Value, WorkspaceId};
use comptoir_tests::golden::{self, Golden};
use comptoir_tests::steps::Steps;
use std::collections::BTreeMap;

fn from_device() -> Vec<(&'static str, FromDevice)> {
    let hello = |token: &str, cursor| Hello {
        workspace: "corner-bar".to_owned(),
        device: [7; 16],
        device_name: "till é".to_owned(),
        token: token.to_owned(),
        cursor,
        credit_bytes: 4 << 20,
    };
    vec![
        ("hello-first", FromDevice::Hello(hello("", None))),
        ("hello-again", FromDevice::Hello(hello("v4.public.x", Some(([9; 16], 300))))),
        ("push", FromDevice::Push { push: 251, offered: false, batch: vec![1, 2, 3] }),
        ("credit", FromDevice::Credit { bytes: 70_000 }),
        ("reconcile", FromDevice::Reconcile { payload: vec![0x61, 0, 0] }),
        ("want", FromDevice::Want { leaves: vec![[1; 32], [2; 32]], last: true }),
        ("pair", FromDevice::Pair { code: "7K3M-9QXT".to_owned() }),
    ]
}

/// A new variant does not compile until it is named here, and pinned below.
fn kind_of_device(message: &FromDevice) -> &'static str {
    match message {
        FromDevice::Hello(_) => "hello",
        FromDevice::Push { .. } => "push",
        FromDevice::Credit { .. } => "credit",
        FromDevice::Reconcile { .. } => "reconcile",
        FromDevice::Want { .. } => "want",
        FromDevice::Pair { .. } => "pair",
    }
}

fn from_relay() -> Vec<(String, FromRelay)> {
    let welcome = |role| FromRelay::Welcome(Welcome { epoch: [3; 16], tail: 65_536, digest: [4; 32], role });
    let mut messages = vec![
        ("welcome-reader".to_owned(), welcome(Role::Reader)),
        ("welcome-editor".to_owned(), welcome(Role::Editor)),
        ("welcome-admin".to_owned(), welcome(Role::Admin)),
        ("unclear".to_owned(), FromRelay::Unclear { push: 2 }),
        ("reconcile".to_owned(), FromRelay::Reconcile { payload: vec![0x61, 1] }),
        ("records".to_owned(), FromRelay::Records { batch: vec![5; 3] }),
        ("reconciled".to_owned(), FromRelay::Reconciled { through: 17, digest: [6; 32] }),
    ];
    let batches = vec![vec![1], vec![], vec![2, 3]];
    let entries = Entries { batches, through: 4_294_967_296, digest: Some([8; 32]) };
    messages.push(("entries-to-the-tail".to_owned(), FromRelay::Entries(entries)));
    let entries = Entries { batches: vec![], through: 1, digest: None };
    messages.push(("entries-on-the-way".to_owned(), FromRelay::Entries(entries)));
    let refused = refusals().into_iter().enumerate();
    let refused = refused.map(|(index, (_, reason))| Refused { index: index as u32, reason }).collect();
    let ack = Ack { push: 1, through: Some(9), digest: Some([2; 32]), refused: vec![] };
    messages.push(("ack-at-the-tail".to_owned(), FromRelay::Ack(ack)));
    messages.push(("ack-refused".to_owned(), FromRelay::Ack(Ack { push: 1, through: None, digest: None, refused })));
    let paired = Paired { workspace: "corner-bar".to_owned(), token: "v4.public.abc".to_owned() };
    let sales = Reach { others: false, named: vec![("sales".to_owned(), true)] };
    messages.push(("writable".to_owned(), FromRelay::Writable(sales.clone())));
    messages.push(("readable".to_owned(), FromRelay::Readable(sales)));
    messages.push(("token-wanted".to_owned(), FromRelay::TokenWanted));
    messages.push(("slowed".to_owned(), FromRelay::Slowed));
    messages.push(("paired".to_owned(), FromRelay::Paired(paired)));
    for (name, denial) in denials() {
        messages.push((format!("denied-{name}"), FromRelay::Denied(denial)));
    }
    for (name, reason) in refusals() {
        let ack = Ack { push: 3, through: None, digest: None, refused: vec![Refused { index: 250, reason }] };
        messages.push((format!("ack-refused-{name}"), FromRelay::Ack(ack)));
    }
    messages
}

fn kind_of_relay(message: &FromRelay) -> &'static str {
    match message {
        FromRelay::Welcome(_) => "welcome",
        FromRelay::Denied(_) => "denied",
        FromRelay::Ack(_) => "ack",
        FromRelay::Unclear { .. } => "unclear",
        FromRelay::Entries(_) => "entries",
        FromRelay::Reconcile { .. } => "reconcile",
        FromRelay::Records { .. } => "records",
        FromRelay::Reconciled { .. } => "reconciled",
        FromRelay::Paired(_) => "paired",
        FromRelay::Writable(_) => "writable",
        FromRelay::Readable(_) => "readable",
        FromRelay::TokenWanted => "token-wanted",
        FromRelay::Slowed => "slowed",
    }
}

fn denials() -> Vec<(&'static str, Denial)> {
    let denials = [
        Denial::TokenMissing,
        Denial::TokenInvalid,
        Denial::TokenExpired,
        Denial::WrongWorkspace,
        Denial::OutOfTurn,
        Denial::Unreadable("cut short".to_owned()),
        Denial::OverLimit { limit: "bytes in a frame".to_owned(), limit_max: 1 << 20 },
        Denial::Unavailable,
        Denial::ShuttingDown,
        Denial::TokenRevoked,
        Denial::TokenTooNarrow,
        Denial::CodeInvalid,
        Denial::Suspended,
        Denial::OverQuota { bytes_max: 1 << 30 },
    ];
    denials.map(|denial| (kind_of_denial(&denial), denial)).into()
}

fn kind_of_denial(denial: &Denial) -> &'static str {
    match denial {
        Denial::TokenMissing => "token-missing",
        Denial::TokenInvalid => "token-invalid",
        Denial::TokenExpired => "token-expired",
        Denial::WrongWorkspace => "wrong-workspace",
        Denial::OutOfTurn => "out-of-turn",
        Denial::Unreadable(_) => "unreadable",
        Denial::OverLimit { .. } => "over-limit",
        Denial::Unavailable => "unavailable",
        Denial::ShuttingDown => "shutting-down",
        Denial::TokenRevoked => "token-revoked",
        Denial::TokenTooNarrow => "token-too-narrow",
        Denial::CodeInvalid => "code-invalid",
        Denial::Suspended => "suspended",
        Denial::OverQuota { .. } => "over-quota",
    }
}

fn refusals() -> Vec<(&'static str, Refusal)> {
    let refusals = [
        Refusal::Malformed("cut short".to_owned()),
        Refusal::Hash,
        Refusal::TooLarge { limit: "ops".to_owned(), limit_max: 50_000 },
        Refusal::MissingDeps,
        Refusal::SeqGap { expected: 2, found: 300 },
        Refusal::StartOp { expected: 1, found: 1 << 31 },
        Refusal::Forked,
        Refusal::DerivedActor,
        Refusal::DocumentFull,
        Refusal::Poison,
        Refusal::Waits,
        Refusal::RoleTooLow,
        Refusal::CollectionClosed,
    ];
    refusals.map(|refusal| (kind_of_refusal(&refusal), refusal)).into()
}

fn kind_of_refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed(_) => "malformed",
        Refusal::Hash => "hash",
        Refusal::TooLarge { .. } => "too-large",
        Refusal::MissingDeps => "missing-deps",
        Refusal::SeqGap { .. } => "seq-gap",
        Refusal::StartOp { .. } => "start-op",
        Refusal::Forked => "forked",
        Refusal::DerivedActor => "derived-actor",
        Refusal::DocumentFull => "document-full",
        Refusal::Poison => "poison",
        Refusal::Waits => "waits",
        Refusal::RoleTooLow => "role-too-low",
        Refusal::CollectionClosed => "collection-closed",
    }
}

#[test]
fn every_message_of_a_device_keeps_its_bytes() {
    let messages = from_device();
    let now: Golden = messages.iter().map(|(name, message)| ((*name).to_owned(), message.encode().unwrap())).collect();
    let pinned = golden::check("from-device.hex", "FromDevice, protocol comptoir.v1: name, frame", &now);
    for ((name, message), (_, bytes)) in messages.iter().zip(&pinned) {
        assert!(name.starts_with(kind_of_device(message)));
        assert_eq!(&FromDevice::decode(bytes).unwrap(), message, "{name}");
    }
}

#[test]
fn every_message_of_a_relay_keeps_its_bytes() {
    let messages = from_relay();
    let now: Golden = messages.iter().map(|(name, message)| (name.clone(), message.encode().unwrap())).collect();
    let pinned = golden::check("from-relay.hex", "FromRelay, protocol comptoir.v1: name, frame", &now);
    for ((name, message), (_, bytes)) in messages.iter().zip(&pinned) {
        assert!(name.starts_with(kind_of_relay(message)));
        assert_eq!(&FromRelay::decode(bytes).unwrap(), message, "{name}");
    }
}

fn shop() -> WorkspaceId {
    WorkspaceId::new("corner-bar").unwrap()
}

fn tea() -> RecordId {
    RecordId::new("products", "tea").unwrap()
}

fn store(seed: u8) -> Store {
    let settings =
        Settings { workspace: shop(), relay: String::new(), token: String::new(), device_name: "till".to_owned() };
    Store::create(Box::new(SimDisk::new()), "here", settings, &mut Steps { next: seed }).unwrap()
}

fn commit(store: &mut Store, at_s: i64, edits: &[(RecordId, FieldEdit)]) {
    let committed = store.commit_local(edits, Timestamp { unix_ms: 1_700_000_000_000 + at_s * 1_000 }).unwrap();
    assert!(!committed.changed.is_empty());
}

fn import() -> (RecordId, FieldEdit) {
    (tea(), FieldEdit::Import(json::parse(r#"{"name":"Tea","price":320,"tags":["hot","green"]}"#).unwrap()))
}

fn sold(by: i64) -> (RecordId, FieldEdit) {
    (tea(), FieldEdit::Increment { field: "stock".to_owned(), by })
}

fn price(price: &str) -> (RecordId, FieldEdit) {
    (tea(), FieldEdit::Set(json::parse(price).unwrap()))
}

/// A device with an import, a counter, a list and a text, a transaction over two records, and a merge with another's
/// sale; its outbox has six transactions.
fn device() -> Store {
    let (mut store, mut other) = (self::store(1), self::store(0x80));
    let milk = RecordId::new("products", "milk").unwrap();
    commit(&mut store, 0, &[import()]);
    commit(
        &mut store,
        2,
        &[(milk.clone(), FieldEdit::Set([("note".to_owned(), Value::Text("cold".to_owned()))].into()))],
    );
    commit(&mut store, 3, &[sold(-3)]);
    commit(&mut store, 5, &[sold(-1), (milk, FieldEdit::Delete)]);
    commit(&mut store, 8, &[price(r#"{"price":340}"#)]);
    commit(&mut other, 1, &[import()]);
    commit(&mut other, 9, &[sold(-7)]);
    let theirs = other.outgoing(0, Style::Compact).unwrap().unwrap().batch;
    store.apply_remote(&[theirs], None, Timestamp { unix_ms: 0 }).unwrap();
    commit(&mut store, 10, &[price(r#"{"price":350}"#)]);
    store
}

/// A batch with its zstd frame opened, so that a newer zstd may compress better: its head, a 0xff, the body.
fn opened(batch: &[u8]) -> Vec<u8> {
    match batch {
        [version, 1, a, b, c, d, packed @ ..] => {
            let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            let body = zstd::bulk::decompress(packed, length).unwrap();
            assert_eq!(body.len(), length, "the length in front is that of the body");
            [&[*version, 1, *a, *b, *c, *d, 0xff], body.as_slice()].concat()
        }
        _ => batch.to_vec(),
    }
}

/// The batch that [`opened`] opened, compressed again.
fn closed(opened: &[u8]) -> Vec<u8> {
    match opened {
        [version, 1, a, b, c, d, 0xff, body @ ..] => {
            [&[*version, 1, *a, *b, *c, *d], zstd::bulk::compress(body, 3).unwrap().as_slice()].concat()
        }
        _ => opened.to_vec(),
    }
}

type Names = BTreeMap<(RecordId, ActorId, u64), ChangeHash>;

/// The changes of a batch, all of them whole; what they follow outside the batch is found in `names`.
fn unpack(batch: &[u8], names: &Names) -> Vec<(RecordId, Change)> {
    let known = |record: &RecordId, actor: &ActorId, seq| names.get(&(record.clone(), actor.clone(), seq)).copied();
    let unpacked = Batch::decode(batch).unwrap().unpack(&shop(), known).unwrap();
    assert!(unpacked.clear, "the hashes are those of the author");
    unpacked.changes.into_iter().map(|(record, change)| (record, change.unwrap())).collect()
}

fn batches() -> Vec<(&'static str, Vec<u8>)> {
    let store = device();
    let first = store.outgoing(0, Style::Compact).unwrap().unwrap().from;
    let again = |from, through, style| store.outgoing_again(first + from, first + through, style).unwrap().batch;
    let small = RecordId::new("a", "b").unwrap();
    let mut one = self::store(0);
    commit(&mut one, 0, &[(small, FieldEdit::Import(Default::default()))]);
    vec![
        ("compact", again(0, 4, Style::Compact)),
        ("compact-one-edit", again(4, 4, Style::Compact)),
        ("compact-after-a-merge", again(5, 5, Style::Compact)),
        ("explicit", again(0, 4, Style::Explicit)),
        ("explicit-one-edit", again(4, 4, Style::Explicit)),
        ("explicit-after-a-merge", again(5, 5, Style::Explicit)),
        ("plain-one-change", one.outgoing(0, Style::Compact).unwrap().unwrap().batch),
        ("plain-empty", batch::pack(&[], Style::Compact).unwrap()),
    ]
}

#[test]
fn every_form_of_a_batch_keeps_its_bytes() {
    let now: Golden = batches().into_iter().map(|(name, bytes)| (name.to_owned(), opened(&bytes))).collect();
    let about = "batches, version 1: name, bytes; of a zstd batch: version, kind, length, ff, the body decompressed";
    let pinned: BTreeMap<_, _> = golden::check("batches.hex", about, &now).into_iter().collect();
    let mut names = Names::new();
    let mut theirs = self::store(0x80);
    commit(&mut theirs, 1, &[import()]);
    commit(&mut theirs, 9, &[sold(-7)]);
    for whole in [theirs.outgoing(0, Style::Compact).unwrap().unwrap().batch, closed(&pinned["compact"])] {
        for (record, change) in unpack(&whole, &names) {
            names.insert((record, change.parts().actor.clone(), change.parts().seq), change.hash());
        }
    }
    for part in ["", "-one-edit", "-after-a-merge"] {
        let compact = unpack(&closed(&pinned[&format!("compact{part}")]), &names);
        let explicit = unpack(&closed(&pinned[&format!("explicit{part}")]), &Names::new());
        assert!(!compact.is_empty() && compact == explicit, "both styles say the same");
    }
    let kinds = ["plain-empty", "plain-one-change", "compact", "explicit"].map(|name| pinned[name][1]);
    assert_eq!(kinds, [0, 0, 1, 1], "plain where it is short, else zstd");
    let merged = unpack(&closed(&pinned["compact-after-a-merge"]), &names);
    assert_eq!(merged[0].1.parts().deps.len(), 2, "it follows both sides");
    assert_eq!(unpack(&pinned["plain-one-change"], &Names::new()).len(), 1);
    assert!(Batch::decode(&pinned["plain-empty"]).unwrap().is_empty());
}
