//! What a device meets that is meant to harm it: files that are bombs, floods of changes that break a record or hang in the
//! air, a relay that lies, and a copy of itself. It takes bounded memory and time, says what is wrong, and works on.

use comptoir_engine::change::{Change, Parts};
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::id::ActorId;
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::time::Now;
use comptoir_engine::wire::batch::{self, Batch, Item, Style};
use comptoir_engine::wire::message::{Entries, FromRelay, Role, Welcome};
use comptoir_engine::{Engine, FieldEdit, Mode, RecordId, Settings, Timestamp, Value, WorkspaceId};
use comptoir_tests::device::Device;
use comptoir_tests::forge::{self, Forged};
use comptoir_tests::memory;
use comptoir_tests::program::Outcome;
use comptoir_tests::relay::Relay;
use comptoir_tests::socket::{Heard, Socket};
use comptoir_tests::steps::Steps;
use comptoir_tests::wait;
use serde_json::json;
use std::fs;
use std::io::Write as _;
use std::path::Path;

const MIB: u64 = 1 << 20;
const WORKSPACE: &str = "corner-bar";
const NOW: Now = Now { wall: Timestamp { unix_ms: 1_700_000_000_000 }, monotonic_ms: 1_000 };

fn id(key: &str) -> RecordId {
    RecordId::new("products", key).expect("a name")
}

/// Runs a command and notes the most memory it was seen to take.
fn run_watched(device: &Device, args: &[&str]) -> (Outcome, u64) {
    let mut running = device.start(args);
    let mut most = 0;
    while running.is_alive() {
        // It may end between the two looks; then its last figure stands.
        if let Some(bytes) = memory::peak_bytes_if_it_runs(running.id()) {
            most = most.max(bytes);
        }
        // wait: between two looks at the memory of another process.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    eprintln!("{} MiB: {args:?}", most / MIB);
    (running.wait(wait::DEADLINE), most)
}

#[test]
fn a_file_that_unpacks_to_gigabytes_is_refused_in_little_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = Device::init(&folder.path().join("till"), WORKSPACE, "ws://127.0.0.1:1", "");
    device.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    let zeros = vec![b' '; 1 << 20];
    let mut zst = zstd::Encoder::new(Vec::new(), 3).expect("an encoder");
    (0..512).for_each(|_| zst.write_all(&zeros).expect("it compresses"));
    // A frame that asks its reader for a window of 1 GiB: one block that repeats one byte.
    let window = [&0xfd2f_b528u32.to_le_bytes()[..], &[0, 20 << 3, 0x0b, 0, 0, b'x']].concat();
    let deep = format!("{{\"id\":\"a\",\"a\":{}", "[".repeat(1 << 20));
    let files: [(&str, Vec<u8>); 4] = [
        ("zeros.ndjson.zst", zst.finish().expect("it compresses")),
        ("window.ndjson.zst", window),
        ("deep.ndjson", deep.into_bytes()),
        ("cut.ndjson.gz", vec![0x1f, 0x8b, 8, 0, 0]),
    ];
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).expect("a file");
        let path = path.to_str().expect("a path");
        for args in [
            &["import", path, "--collection", "products", "--key", "id"][..],
            &["tx", path],
            &["schema", "set", "products", path],
        ] {
            let (outcome, most) = run_watched(&device, args);
            outcome.failure();
            assert!(most < 256 * MIB, "{args:?} took {} MiB", most / MIB);
        }
    }
    assert_eq!(device.get("products", "tea"), json!({"name": "Tea"}));
    assert_eq!(device.status()["pending"], 1);
}

#[test]
fn a_filter_nested_a_hundred_thousand_deep_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = Device::init(&folder.path().join("till"), WORKSPACE, "ws://127.0.0.1:1", "");
    device.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    for filter in ["(".repeat(100_000), "not ".repeat(30_000), format!("{}a = 1", "a = 1 and ".repeat(12_000))] {
        let outcome = device.run(&["list", "products", "--where", &filter]);
        assert_eq!(outcome.code, Some(2), "a question of usage: {}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "one line: {}", outcome.stderr);
    }
    assert_eq!(device.get("products", "tea"), json!({"name": "Tea"}));
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("a file")),
        }
    }
}

#[test]
fn a_restored_clone_and_its_original_lose_nothing_and_break_no_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token(WORKSPACE);
    let original = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &token);
    original.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    original.ok(&["incr", "products", "tea", "sold", "1"]);
    original.sync();
    copy_folder(original.store(), &folder.path().join("clone"));
    let clone = Device::at(&folder.path().join("clone"));
    for round in 0..3 {
        for (device, field) in [(&original, "original"), (&clone, "clone")] {
            device.ok(&["incr", "products", "tea", "sold", "1"]);
            device.ok(&["put", "products", "tea", &format!("{{\"{field}\":{round}}}")]);
        }
        original.sync();
        clone.sync();
    }
    original.sync();
    let late = Device::init(&folder.path().join("late"), WORKSPACE, &relay.url(), &token);
    late.sync();
    for device in [&original, &clone, &late] {
        let expected = json!({"name": "Tea", "sold": 7, "original": 2, "clone": 2});
        assert_eq!(device.get("products", "tea"), expected);
        let status = device.status();
        assert_eq!((&status["quarantined"], &status["pending"]), (&json!(0), &json!(0)), "{status}");
    }
    assert_eq!((original.digest(), clone.digest()), (late.digest(), late.digest()));
}

fn settings() -> Settings {
    let workspace = WorkspaceId::new(WORKSPACE).expect("a name");
    Settings { workspace, relay: String::new(), token: String::new(), device_name: String::new() }
}

/// An honest first change of a record.
fn honest() -> Change {
    let mut store = Store::create(Box::new(SimDisk::new()), "", settings(), &mut Steps::default()).expect("a store");
    let edit = FieldEdit::Set(json::parse(r#"{"name":"Tea","price":3}"#).expect("fields"));
    store.commit_local(&[(id("tea"), edit)], NOW.wall).expect("an edit");
    let batch = store.outgoing(0, Style::Compact).expect("a batch").expect("something to send").batch;
    let unpacked = Batch::decode(&batch).and_then(|batch| batch.unpack(&settings().workspace, |_, _, _| None));
    unpacked.expect("an honest batch").changes.remove(0).1.expect("an honest change")
}

/// Changes of as many authors, each with an action that Automerge does not know.
fn poison(count: u64) -> Vec<Change> {
    let parts = honest().parts().clone();
    let at = parts.columns.windows(3).position(|piece| piece == b"\x02\x01\x7e").expect("two sets");
    let mut columns = parts.columns.clone();
    columns[at + 1] = 0x51;
    let of = |number: u64| {
        let actor = ActorId::from_bytes(&[number.to_be_bytes(), [9; 8]].concat()).expect("16 bytes");
        Change::build(Parts { actor, columns: columns.clone(), ..parts.clone() }).expect("a form that the gate reads")
    };
    (0..count).map(of).collect()
}

/// Two sets in an object that is nowhere: Automerge panics over it.
fn nowhere() -> Change {
    let parts = honest().parts().clone();
    let (count, headers) = (parts.columns[0], usize::from(parts.columns[0]) * 2);
    let (headers, data) = parts.columns[1..].split_at(headers);
    // Columns 0x01 and 0x02, a run of two each: the object is op 77 of this author.
    let columns = [&[count + 2, 0x01, 2, 0x02, 2][..], headers, &[2, 0, 2, 77], data].concat();
    Change::build(Parts { columns, ..parts }).expect("a form that the gate reads")
}

#[test]
fn what_makes_automerge_panic_is_set_aside_and_told_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token(WORKSPACE);
    let (mut hostile, _) = Socket::welcomed(relay.address(), WORKSPACE, &token);
    let heard = hostile.push(1, packed(&[nowhere()]));
    assert!(matches!(&heard, Heard::Said(FromRelay::Ack(ack)) if ack.refused.is_empty()), "{heard:?}");
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &token);
    let line = till.fails(&["sync"]);
    assert!(line.contains("1 changes were set aside"), "{line}");
    till.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    assert_eq!(till.get("products", "tea"), json!({"name": "Tea"}));
}

fn packed(changes: &[Change]) -> Vec<u8> {
    let item = |change: &Change| Item { record: id("tea"), change: change.clone(), deps: Vec::new() };
    batch::pack(&changes.iter().map(item).collect::<Vec<_>>(), Style::Explicit).expect("a batch")
}

#[test]
fn a_flood_of_poison_is_set_aside_and_the_till_sells_on() {
    const POISON: u64 = 1_000;
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token(WORKSPACE);
    let (mut hostile, _) = Socket::welcomed(relay.address(), WORKSPACE, &token);
    let heard = hostile.push(1, packed(&poison(POISON)));
    assert!(matches!(&heard, Heard::Said(FromRelay::Ack(ack)) if ack.refused.is_empty()), "{heard:?}");
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &token);
    till.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    let (outcome, most) = run_watched(&till, &["sync"]);
    outcome.failure();
    assert!(most < 256 * MIB, "{} MiB", most / MIB);
    let status = till.status();
    assert_eq!((&status["quarantined"], &status["pending"]), (&json!(POISON), &json!(0)), "{status}");
    till.ok(&["incr", "products", "tea", "sold", "1"]);
    assert_eq!(till.get("products", "tea"), json!({"name": "Tea", "sold": 1}));
}

/// A device that a relay has welcomed which says whatever it likes.
fn befooled() -> Engine {
    let mut engine =
        Engine::create(Box::new(SimDisk::new()), "", settings(), &mut Steps { next: 99 }).expect("a store");
    engine.start(Mode::Both, NOW);
    assert!(engine.wants_connection(NOW));
    engine.handle_connected(NOW);
    hear(&mut engine, &FromRelay::Welcome(Welcome { epoch: [1; 16], tail: 9, digest: [0; 32], role: Role::Editor }));
    engine
}

fn hear(engine: &mut Engine, message: &FromRelay) {
    engine.handle_message(&message.encode().expect("a message"), NOW).expect("no fault of the device");
}

#[test]
fn orphans_that_a_lying_relay_sends_again_and_again_are_set_aside_once() {
    const ORPHANS: usize = 16_000;
    let mut engine = befooled();
    let empty = Forged {
        record: ("products".to_owned(), "tea".to_owned()),
        actor: vec![1; 16],
        seq: 1,
        start_op: 1,
        columns: vec![0],
        own: None,
    };
    let flood = forge::following(&empty, ORPHANS, 1);
    let nonsense = forge::following(&empty, ORPHANS, 2);
    for through in 1..=3 {
        let batches = vec![flood.clone(), nonsense.clone()];
        hear(&mut engine, &FromRelay::Entries(Entries { batches, through, digest: None }));
        let quarantined = engine.status().quarantined;
        assert_eq!(quarantined, ORPHANS as u64 + 1, "each once, and what cannot even be kept once for its reason");
    }
    let edit = FieldEdit::Increment { field: "sold".to_owned(), by: 1 };
    engine.commit(&[(id("tea"), edit)], NOW).expect("an edit");
    assert_eq!(engine.get(&id("tea")).expect("a read").expect("tea").fields["sold"], Value::Counter(1));
}
