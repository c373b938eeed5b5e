//! What a hostile device with a valid token may push: it stops its own record only, is refused or set aside with a typed
//! reason, and every other record flows on, through the relay and on every device.

use comptoir_engine::change::{Change, Parts};
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::gate::Refusal;
use comptoir_engine::id::{ActorId, ChangeHash};
use comptoir_engine::record::json as records;
use comptoir_engine::store::Store;
use comptoir_engine::wire::batch::{self, Batch, Item, Style};
use comptoir_engine::wire::message::FromRelay;
use comptoir_engine::{FieldEdit, RecordId, Settings, Timestamp, WorkspaceId};
use comptoir_tests::device::Device;
use comptoir_tests::forge::{self, Forged};
use comptoir_tests::relay::Relay;
use comptoir_tests::socket::{Heard, Socket};
use comptoir_tests::steps::Steps;
use serde_json::json;
use tempfile::TempDir;

const WORKSPACE: &str = "corner-bar";

fn workspace() -> WorkspaceId {
    WorkspaceId::new(WORKSPACE).expect("a name")
}

fn id(key: &str) -> RecordId {
    RecordId::new("products", key).expect("a name")
}

/// The first change that an honest device with this seed makes for `products/key`.
fn honest(seed: u8, key: &str, fields: &str) -> Change {
    let settings =
        Settings { workspace: workspace(), relay: String::new(), token: String::new(), device_name: String::new() };
    let disk = Box::new(SimDisk::new());
    let mut store = Store::create(disk, "", settings, &mut Steps { next: seed }).expect("a store");
    let edit = FieldEdit::Set(records::parse(fields).expect("fields"));
    store.commit_local(&[(id(key), edit)], Timestamp { unix_ms: 1_700_000_000_000 }).expect("an edit");
    let batch = store.outgoing(0, Style::Compact).expect("a batch").expect("something to send").batch;
    let unpacked = Batch::decode(&batch).and_then(|batch| batch.unpack(&workspace(), |_, _, _| None));
    unpacked.expect("an honest batch").changes.remove(0).1.expect("an honest change")
}

/// A batch whose hashes are those it claims, as a hostile device with an honest packer makes it.
fn packed(changes: &[(&str, Change)]) -> Vec<u8> {
    let item = |(key, change): &(&str, Change)| Item { record: id(key), change: change.clone(), deps: Vec::new() };
    batch::pack(&changes.iter().map(item).collect::<Vec<_>>(), Style::Compact).expect("a batch")
}

fn rebuilt(change: &Change, other: impl FnOnce(Parts) -> Parts) -> Change {
    Change::build(other(change.parts().clone())).expect("within the limits of a change")
}

/// The same change with one piece of its columns replaced by another.
fn spoilt(change: &Change, piece: &[u8], by: &[u8]) -> Change {
    rebuilt(change, |mut parts| {
        let at = parts.columns.windows(piece.len()).position(|window| window == piece).expect("the piece is there");
        parts.columns.splice(at..at + piece.len(), by.iter().copied());
        parts
    })
}

struct House {
    relay: Relay,
    folder: TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { relay: Relay::start(&folder.path().join("relay")), folder }
    }

    fn device(&self, name: &str) -> Device {
        Device::init(&self.folder.path().join(name), WORKSPACE, &self.relay.url(), &self.relay.token(WORKSPACE))
    }

    fn socket(&self) -> Socket {
        Socket::welcomed(self.relay.address(), WORKSPACE, &self.relay.token(WORKSPACE)).0
    }
}

/// What the relay refused of a push, as (place, reason).
#[track_caller]
fn refused(heard: Heard) -> Vec<(u32, Refusal)> {
    match heard {
        Heard::Said(FromRelay::Ack(ack)) => ack.refused.into_iter().map(|each| (each.index, each.reason)).collect(),
        other => panic!("no receipt: {other:?}"),
    }
}

#[test]
fn a_change_that_breaks_its_record_is_set_aside_and_every_other_record_flows() {
    let mut house = House::new();
    let mut hostile = house.socket();
    let tea = honest(1, "tea", r#"{"name":"Tea","price":3}"#);
    // Key column: `name` and `price`; insert column: two `false`; action column: two sets; value column: `Tea`, 3.
    let no_such_action = spoilt(&tea, b"\x02\x01\x7e", b"\x02\x51\x7e");
    let no_text = spoilt(&honest(2, "cup", r#"{"name":"Tea","price":3}"#), b"Tea", b"Te\xff");
    let milk = honest(3, "milk", r#"{"name":"Milk"}"#);
    let push = packed(&[("tea", no_such_action), ("milk", milk), ("cup", no_text)]);
    assert_eq!(refused(hostile.push(1, push)), [], "a relay does not look into changes");

    let (b, c) = (house.device("till-b"), house.device("till-c"));
    c.ok(&["put", "products", "coffee", r#"{"name":"Coffee"}"#]);
    for device in [&c, &b] {
        let line = device.fails(&["sync"]);
        assert!(line.contains("2 changes were set aside"), "{line}");
        let status = device.status();
        assert_eq!((&status["quarantined"], &status["state"]), (&json!(2), &json!("error")), "{status}");
        assert!(status["error"].is_string(), "{status}");
        assert_eq!((&status["pending"], &status["total_records"]), (&json!(0), &json!(2)), "{status}");
        assert_eq!(device.get("products", "milk"), json!({"name": "Milk"}));
        assert_eq!(device.get("products", "coffee"), json!({"name": "Coffee"}));
        device.fails(&["get", "products", "tea"]);
    }
    let listed = b.ok(&["quarantine", "list", "--json"]);
    let listed: Vec<serde_json::Value> = listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let keys: Vec<_> = listed.iter().map(|each| (each["key"].as_str(), each["own"].as_bool())).collect();
    assert_eq!(keys, [(Some("cup"), Some(false)), (Some("tea"), Some(false))], "{listed:?}");
    let number = listed[0]["number"].to_string();
    assert!(b.ok(&["quarantine", "show", &number]).contains("1 of"), "its place among its author's");
    assert!(b.ok(&["quarantine", "retry"]).contains("2 changes are set aside"), "broken is broken");
    assert!(b.fails(&["quarantine", "discard", &number]).contains("is on the relay"));
    assert!(b.fails(&["quarantine", "show", "77"]).contains("77"));
    b.ok(&["incr", "products", "milk", "stock", "6"]);
    b.run(&["sync"]);
    c.run(&["sync"]);
    assert_eq!(c.get("products", "milk"), json!({"name": "Milk", "stock": 6}), "and goes on flowing");
    assert_eq!(b.digest(), c.digest(), "both set the same aside");
    assert_eq!(c.status()["quarantined"], 2, "nothing is set aside twice");
    assert!(house.relay.is_alive());
}

/// A change that follows one nobody has, by its hash.
fn orphan(key: &str) -> Vec<u8> {
    let nobodys = ChangeHash([7; 32]);
    let change = rebuilt(&honest(1, key, r#"{"name":"Tea"}"#), |parts| Parts { deps: vec![nobodys], ..parts });
    let deps = vec![(ActorId::ordinary([7; 16]), 1)];
    batch::pack(&[Item { record: id(key), change, deps }], Style::Explicit).expect("a batch")
}

/// A change that says its author is derived, and is honest about its hash.
fn falsely_derived(key: &str) -> Vec<u8> {
    let actor = ActorId::from_bytes(&[5; 12]).expect("12 bytes");
    let change = rebuilt(&honest(1, key, r#"{"name":"Tea"}"#), |parts| Parts { actor, time_s: 0, ..parts });
    let own = Some(change.hash().0);
    forge::batch(&[Forged { own, ..Forged::of("products", key, change.parts()) }])
}

/// Every way to lie about a change that a batch can express, each for a record of its own, and what the gate answers.
fn attacks() -> Vec<(&'static str, Vec<u8>, Refusal)> {
    let change = |seed, key: &str| honest(seed, key, r#"{"name":"Tea"}"#);
    let malformed = |what: &str| Refusal::Malformed(what.to_owned());
    let forged = |key: &str, lie: &dyn Fn(&mut Forged)| {
        let mut forged = Forged::of("products", key, change(9, key).parts());
        lie(&mut forged);
        forge::batch(&[forged])
    };
    let too_large = |limit: &str, limit_max| Refusal::TooLarge { limit: limit.to_owned(), limit_max };
    // One column, `action` (0x42): a run of n sets. Ten million ops in seven bytes cost Automerge 3.9 GB.
    let run_of_ten_million = vec![1, 0x42, 5, 0x80, 0xad, 0xe2, 0x04, 1];
    // The same column with the deflate bit set.
    let deflated = vec![1, 0x4a, 2, 1, 1];
    vec![
        (
            "a gap in seq",
            packed(&[("a", rebuilt(&change(1, "a"), |parts| Parts { seq: 3, ..parts }))]),
            Refusal::SeqGap { expected: 1, found: 3 },
        ),
        (
            "a first op out of nowhere",
            packed(&[("b", rebuilt(&change(1, "b"), |parts| Parts { start_op: 77, ..parts }))]),
            Refusal::StartOp { expected: 1, found: 77 },
        ),
        (
            "a first op near 2^32",
            forged("c", &|forged| forged.start_op = (1 << 32) - 2),
            too_large("op counter", 1 << 31),
        ),
        (
            "a run of ten million ops",
            forged("d", &|forged| forged.columns = run_of_ten_million.clone()),
            too_large("ops", 50_000),
        ),
        (
            "a deflated column",
            forged("e", &|forged| forged.columns = deflated.clone()),
            malformed("a column of unknown kind"),
        ),
        ("an orphan", orphan("f"), Refusal::MissingDeps),
        ("another hash than it claims", forged("g", &|forged| forged.own = Some([8; 32])), Refusal::Hash),
        ("number 0", forged("h", &|forged| forged.seq = 0), malformed("sequence numbers begin at 1")),
        ("a derived author that its content does not give", falsely_derived("i"), Refusal::DerivedActor),
    ]
}

#[test]
fn the_relay_refuses_every_lie_about_a_change_with_its_reason() {
    let mut house = House::new();
    let mut hostile = house.socket();
    let mut push = 0;
    for (attack, batch, reason) in attacks() {
        push += 1;
        assert_eq!(refused(hostile.push(push, batch)), [(0, reason)], "{attack}");
    }
    let milk = honest(3, "milk", r#"{"name":"Milk"}"#);
    assert_eq!(refused(hostile.push(push + 1, packed(&[("milk", milk)]))), [], "the connection goes on");
    let device = house.device("till");
    device.sync();
    let status = device.status();
    assert_eq!((&status["quarantined"], &status["total_records"]), (&json!(0), &json!(1)), "{status}");
    assert!(house.relay.is_alive());
}

#[test]
fn the_same_author_and_number_with_other_content_is_refused_and_the_first_stays() {
    let house = House::new();
    let mut hostile = house.socket();
    let first = honest(1, "tea", r#"{"name":"Tea"}"#);
    let second = honest(1, "tea", r#"{"name":"Poison"}"#);
    assert_eq!(refused(hostile.push(1, packed(&[("tea", first.clone())]))), []);
    assert_eq!(refused(hostile.push(2, packed(&[("tea", second)]))), [(0, Refusal::Forked)]);
    assert_eq!(refused(hostile.push(3, packed(&[("tea", first)]))), [], "pushing twice changes nothing");
    let device = house.device("till");
    device.sync();
    assert_eq!(device.get("products", "tea"), json!({"name": "Tea"}));
}

#[test]
fn a_refused_change_takes_only_what_builds_on_it_along() {
    let house = House::new();
    let mut hostile = house.socket();
    let bad = rebuilt(&honest(1, "tea", r#"{"name":"Tea"}"#), |parts| Parts { start_op: 5, ..parts });
    let behind = rebuilt(&bad, |parts| Parts { seq: 2, start_op: 6, deps: vec![bad.hash()], ..parts });
    let milk = honest(3, "milk", r#"{"name":"Milk"}"#);
    let deps = vec![(bad.parts().actor.clone(), 1)];
    let items = [
        Item { record: id("tea"), change: bad, deps: Vec::new() },
        Item { record: id("milk"), change: milk, deps: Vec::new() },
        Item { record: id("tea"), change: behind, deps },
    ];
    let batch = batch::pack(&items, Style::Compact).expect("a batch");
    let refused = refused(hostile.push(1, batch));
    assert_eq!(refused[0], (0, Refusal::StartOp { expected: 1, found: 5 }));
    assert_eq!(refused.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0, 2], "{refused:?}");
    assert!(matches!(refused[1].1, Refusal::Waits | Refusal::MissingDeps), "{refused:?}");
    let device = house.device("till");
    device.sync();
    assert_eq!(device.get("products", "milk"), json!({"name": "Milk"}));
}
