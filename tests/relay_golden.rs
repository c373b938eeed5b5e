//! Pins every kind of row in a relay's log, as a real relay writes them, and lets a real relay serve a log made of the
//! pinned rows: what one release wrote, the next must serve. Must not reach into privates.

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::sled::{SledDisk, SledOptions};
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::disk::{Disk, Row};
use comptoir_engine::record::json as records;
use comptoir_engine::store::Store;
use comptoir_engine::wire::Style;
use comptoir_engine::wire::message::FromRelay;
use comptoir_engine::{FieldEdit, RecordId, Settings, Timestamp, WorkspaceId};
use comptoir_tests::device::Device;
use comptoir_tests::golden::{self, Golden};
use comptoir_tests::relay::Relay;
use comptoir_tests::socket::{Heard, Socket};
use comptoir_tests::steps::Steps;
use serde_json::json;
use std::path::Path;

const WORKSPACE: &str = "corner-bar";

/// Two pushes of one device, each short enough to stand in the log as it is.
fn pushes() -> Vec<Vec<u8>> {
    let settings = Settings {
        workspace: WorkspaceId::new(WORKSPACE).expect("a name"),
        relay: String::new(),
        token: String::new(),
        device_name: String::new(),
    };
    let mut store = Store::create(Box::new(SimDisk::new()), "", settings, &mut Steps::default()).expect("a store");
    let edits = [
        FieldEdit::Set(records::parse(r#"{"name":"Tea","stock":9}"#).expect("fields")),
        FieldEdit::Set(records::parse(r#"{"name":"Thé"}"#).expect("fields")),
    ];
    let mut next = 0;
    let mut push = |edit: FieldEdit| {
        let tea = RecordId::new("products", "tea").expect("a name");
        store.commit_local(&[(tea, edit)], Timestamp { unix_ms: 1_700_000_000_000 }).expect("an edit");
        let outgoing = store.outgoing(next, Style::Compact).expect("a batch").expect("something to send");
        next = outgoing.through + 1;
        let batch = outgoing.batch;
        assert_eq!(batch[1], 0, "plain, so that a newer zstd changes nothing");
        batch
    };
    edits.into_iter().map(&mut push).collect()
}

fn log(data: &Path) -> SledDisk {
    SledDisk::open(&data.join("log"), &SledOptions::default()).expect("the log opens")
}

fn readable((key, value): &Row) -> (String, Vec<u8>) {
    let mut value = value.clone();
    match key[0] {
        // The identity names this machine; of it only the version is pinned.
        b'i' => value.truncate(1),
        // The epoch is drawn at random, and a workspace is made at some time.
        b'w' => {
            let made = value.len() - 8;
            value[1..17].fill(0);
            value[made..].fill(0);
        }
        // And its last entry comes at some time.
        b'u' => {
            let last = value.len() - 8;
            value[last..].fill(0);
        }
        _ => {}
    }
    (key.escape_ascii().to_string(), value)
}

#[test]
fn every_row_of_a_log_keeps_its_bytes_and_is_served_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let mut relay = Relay::start(&data);
    let mut socket = Socket::welcomed(relay.address(), WORKSPACE, &relay.token(WORKSPACE)).0;
    for (number, batch) in pushes().into_iter().enumerate() {
        match socket.push(number as u64 + 1, batch) {
            Heard::Said(FromRelay::Ack(ack)) => assert_eq!(ack.refused, []),
            other => panic!("no receipt: {other:?}"),
        }
    }
    assert_eq!(relay.terminate().code, Some(0));
    let rows = txn::scan(&log(&data), &[], &[0xfe], usize::MAX).expect("the log's rows");
    let kinds: String = rows.iter().map(|(key, _)| char::from(key[0])).collect();
    assert_eq!(
        kinds, "ddeeggiuw",
        "a record and the device's name, two entries, two collections, the identity and the workspace"
    );
    let now: Golden = rows.iter().map(readable).collect();
    let about = "a relay's log: key, value, as `disk::txn::scan` gives them; the identity cut to its version, epoch and time zero";
    let pinned = golden::check("relay-rows.hex", about, &now);

    let old = folder.path().join("old");
    std::fs::create_dir(&old).expect("a folder");
    let disk = log(&old);
    let mut tx = Txn::new(&disk);
    for ((key, found), (_, value)) in rows.into_iter().zip(pinned) {
        let value = if key[0] == b'i' { found } else { value };
        tx.put(key, &value);
    }
    tx.commit().expect("the rows are written");
    disk.flush().expect("the rows are durable");
    drop(disk);
    let relay = Relay::start(&old);
    let device = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    device.sync();
    assert_eq!(device.get("products", "tea"), json!({"name": "Thé", "stock": 9}));
    device.ok(&["incr", "products", "tea", "stock", "-1"]);
    device.sync();
    assert_eq!(device.status()["quarantined"], 0, "it takes what follows the pinned rows");
}
