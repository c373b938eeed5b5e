//! Stores and logs of every released format (`tests/fixtures`): the programs of today open them, find what was written, go on
//! with them and sync them; what a newer release wrote is refused and left as it was. Must not reach into privates.

use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::disk::{self, CACHE_BYTES, Row, StoreKind};
use comptoir_engine::wire::message::{Denial, FromRelay};
use comptoir_tests::device::Device;
use comptoir_tests::program::run;
use comptoir_tests::relay::{self, Relay};
use comptoir_tests::socket::{Heard, Socket};
use comptoir_tests::source;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

const WORKSPACE: &str = "corner-bar";
/// Names the folder of fixtures to be made.
const FIXTURE: &str = "COMPTOIR_FIXTURE";
const EXPECTED: &str = "expected.json";

fn fixtures() -> PathBuf {
    source::root().join("tests/fixtures")
}

/// The released formats.
fn versions() -> Vec<PathBuf> {
    let entries = fs::read_dir(fixtures()).expect("the fixtures").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.join(EXPECTED).exists()).collect();
    found.sort();
    assert!(!found.is_empty(), "there are fixtures");
    found
}

fn pack(folder: &Path, archive: &Path) {
    let tar = Command::new("tar")
        .arg("-C")
        .arg(folder)
        .args(["--owner=0", "--group=0", "--numeric-owner", "-cf", "-", "."])
        .output()
        .expect("tar runs");
    assert!(tar.status.success());
    fs::write(archive, zstd::encode_all(tar.stdout.as_slice(), 19).expect("packed")).expect("written");
}

fn unpack(archive: &Path, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    let bytes = zstd::decode_all(fs::File::open(archive).expect("a fixture")).expect("unpacked");
    let mut tar =
        Command::new("tar").arg("-C").arg(folder).args(["-xf", "-"]).stdin(Stdio::piped()).spawn().expect("tar");
    std::io::Write::write_all(tar.stdin.as_mut().expect("a pipe"), &bytes).expect("written");
    assert!(tar.wait().expect("an end").success());
}

/// A folder with a relay's and a device's in it, as this version wrote them, with stores of this kind.
fn unpacked(version: &Path, kind: &str) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, till) = (folder.path().join("relay"), folder.path().join("till"));
    unpack(&version.join(format!("relay-{kind}.tar.zst")), &data);
    unpack(&version.join(format!("device-{kind}.tar.zst")), &till);
    (folder, data, till)
}

/// The lines of a command that prints JSON lines.
fn lines(device: &Device, args: &[&str]) -> Vec<Value> {
    device.ok(args).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What a store holds, as its device says it. Not what differs between a store and its copy.
fn told(device: &Device) -> Value {
    let mut status = device.status();
    for each in ["device", "device_name", "relay", "last_sync", "sent_bytes", "received_bytes", "error", "state"] {
        status.as_object_mut().expect("an object").remove(each);
    }
    json!({
        "status": status,
        "records": lines(device, &["export"]),
        "history": lines(device, &["history", "products", "tea", "--json"]),
        "conflicts": lines(device, &["conflicts", "--json"]),
        "cheap": lines(device, &["list", "products", "--where", "price_cents < 300", "--json"]),
        "words": lines(device, &["list", "products", "--search", "gr", "--json"]),
    })
}

/// A device that did a bit of everything, synced, and edited on.
fn everything(folder: &Path, relay: &Relay, token: &str) -> Device {
    let [till, other] = ["till", "other"].map(|name| Device::init(&folder.join(name), WORKSPACE, &relay.url(), token));
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).expect("written");
        path.to_str().expect("a path").to_owned()
    };
    let schema = r#"{"fields":{"price_cents":{"type":"int"},"since":{"type":"int","rule":"min"}},"indexes":{"price":"price_cents","words":"words(name)"}}"#;
    till.ok(&["schema", "set", "products", &file("schema.json", schema)]);
    let rows: String = (0..40)
        .map(|id| {
            json!({"id": format!("p{id}"), "name": format!("Green thing {id}"), "price_cents": id * 10}).to_string()
                + "\n"
        })
        .collect();
    till.ok(&["import", &file("rows.ndjson", &rows), "--collection", "products"]);
    till.ok(&[
        "put",
        "products",
        "tea",
        r#"{"name":"Thé","price_cents":320,"stock":20,"supplier":{"name":"x/y~z"},"tags":["a",["b"]]}"#,
    ]);
    till.ok(&["put", "products", "gone", r#"{"name":"Gone"}"#]);
    till.ok(&["delete", "products", "gone"]);
    let noise: String =
        (0..9_000u64).map(|n| char::from(b'a' + (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8 % 26)).collect();
    for part in 0..18 {
        till.ok(&["put", "notes", "long", &json!({ "text": format!("{part} {noise}") }).to_string()]);
    }
    till.ok(&["series", "claim", "T1"]);
    till.ok(&["put", "sales", "1", r#"{"total_cents":960}"#, "--number", "receipt=T1"]);
    till.sync();
    other.sync();
    for (device, price) in [(&till, 330), (&other, 340)] {
        device.ok(&["put", "products", "rum", &json!({ "price_cents": price }).to_string()]);
        device.ok(&["incr", "products", "tea", "stock", "-1"]);
        device.sync();
    }
    till.sync();
    till.ok(&["put", "sales", "2", r#"{"total_cents":5}"#, "--number", "receipt=T1", "--label", "waits"]);
    till.ok(&["incr", "products", "tea", "stock", "-3"]);
    till
}

#[test]
fn a_fixture_of_the_present_format_makes_itself_when_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let mut relay = Relay::start(&data);
    let token = relay.token_with(WORKSPACE, &["--expires", "100y"]);
    let till = everything(folder.path(), &relay, &token);
    relay.terminate();
    let mut expected = told(&till);
    assert_eq!(expected["status"]["pending"], 2, "{}", expected["status"]);
    assert!(expected["conflicts"].as_array().is_some_and(|conflicts| conflicts.len() == 1));
    assert!(["cheap", "words"].iter().all(|each| expected[each].as_array().is_some_and(|rows| rows.len() > 20)));
    let Some(name) = std::env::var_os(FIXTURE) else { return };
    let target = fixtures().join(name);
    fs::create_dir_all(&target).expect("a folder");
    for kind in StoreKind::ALL.map(StoreKind::name) {
        till.ok(&["migrate-store", "--to", kind]);
        run(relay::command(&["migrate-store", "--to", kind, "--data"]).arg(&data)).success();
        pack(till.store(), &target.join(format!("device-{kind}.tar.zst")));
        pack(&data, &target.join(format!("relay-{kind}.tar.zst")));
    }
    back_up(&till, &data, &target);
    expected["token"] = json!(token);
    let text = serde_json::to_string_pretty(&expected).expect("JSON") + "\n";
    fs::write(target.join(EXPECTED), text).expect("written");
}

/// Backups of both sides.
fn back_up(till: &Device, data: &Path, target: &Path) {
    till.ok(&["backup", "--out", target.join("device.backup").to_str().expect("a path")]);
    let out = tempfile::tempdir().expect("a folder");
    run(relay::command(&["backup", "--data"]).arg(data).arg("--out").arg(out.path())).success();
    pack(out.path(), &target.join("relay-backup.tar.zst"));
}

#[test]
fn backups_of_every_released_format_are_restored_and_go_on() {
    for version in versions() {
        let mut expected = expected(&version);
        let token = expected["token"].take();
        expected.as_object_mut().expect("an object").remove("token");
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("place");
        unpack(&version.join("relay-backup.tar.zst"), &place);
        let data = folder.path().join("relay");
        run(relay::command(&["restore", "--from"]).arg(&place).arg("--data").arg(&data)).success();
        let till = Device::at(&folder.path().join("till"));
        till.ok(&["restore", "--from", version.join("device.backup").to_str().expect("a path")]);
        assert_eq!(told(&till), expected, "{}", version.display());
        let relay = Relay::start(&data);
        let token = token.as_str().expect("a token");
        till.ok(&["init", "--workspace", WORKSPACE, "--relay", &relay.url(), "--token", token]);
        till.sync();
        assert_eq!(told(&till)["records"], expected["records"], "the relay's log held nothing else");
        let late = Device::init(&folder.path().join("late"), WORKSPACE, &relay.url(), token);
        late.sync();
        assert_eq!(late.digest(), till.digest());
    }
}

fn expected(version: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(version.join(EXPECTED)).expect("read")).expect("JSON")
}

#[test]
fn stores_of_every_released_format_open_hold_what_was_written_and_go_on() {
    for version in versions() {
        let mut expected = expected(&version);
        let token = expected["token"].take();
        expected.as_object_mut().expect("an object").remove("token");
        for kind in StoreKind::ALL.map(StoreKind::name) {
            let (folder, data, till) = unpacked(&version, kind);
            assert!(till.join(kind).exists() && data.join("log").join(kind).exists());
            let till = Device::at(&till);
            assert_eq!(told(&till), expected, "{} on {kind}", version.display());

            let mut relay = Relay::start(&data);
            let token = token.as_str().expect("a token");
            till.ok(&["init", "--workspace", WORKSPACE, "--relay", &relay.url(), "--token", token]);
            till.sync();
            assert_eq!(told(&till)["records"], expected["records"], "the relay's log held nothing else");
            let late = Device::init(&folder.path().join("late"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
            late.sync();
            assert_eq!(lines(&late, &["export"]), lines(&till, &["export"]));
            let narrow = relay.narrow_token(WORKSPACE, &["*=none", "products=read"]);
            let narrow = Device::init(&folder.path().join("narrow"), WORKSPACE, &relay.url(), &narrow);
            narrow.sync();
            assert_eq!(
                narrow.get("products", "tea"),
                late.get("products", "tea"),
                "a log without its digests by collection"
            );
            late.ok(&["incr", "products", "tea", "stock", "-5"]);
            late.sync();
            till.ok(&["incr", "products", "tea", "stock", "-1"]);
            till.sync();
            late.sync();
            assert_eq!(late.get("products", "tea")["stock"], 20 - 2 - 3 - 5 - 1, "it goes on");
            for device in [&till, &late] {
                let status = device.status();
                assert_eq!((&status["pending"], &status["quarantined"]), (&json!(0), &json!(0)), "{status}");
                assert_eq!(device.digest(), late.digest());
            }
            relay.terminate();
            for to in ["redb", "sled"] {
                till.ok(&["migrate-store", "--to", to]);
                run(relay::command(&["migrate-store", "--to", to, "--data"]).arg(&data)).success();
            }
            assert_eq!(till.digest(), late.digest());
        }
    }
}

/// Every file below a folder with its bytes.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.clone(), fs::read(&path).expect("a file"))),
        }
    }
    found.sort();
    found
}

/// The lines that every command says which could open a store: a device's, and a relay's.
fn refusals(till: &Device, data: &Path) -> Vec<String> {
    let mut said: Vec<String> = [
        &["status", "--offline"][..],
        &["put", "products", "tea", r#"{"name":"Tea"}"#],
        &["init", "--workspace", WORKSPACE],
        &["migrate-store", "--to", "redb"],
        &["migrate-store", "--to", "sled"],
    ]
    .map(|args| till.fails(args))
    .into();
    for args in [&["serve", "--listen", "127.0.0.1:0", "--data"][..], &["migrate-store", "--to", "redb", "--data"]] {
        said.push(run(relay::command(args).arg(data)).failure());
    }
    said
}

#[test]
fn a_folder_of_a_newer_format_is_refused_and_not_a_byte_of_it_is_written() {
    let version = versions().pop().expect("a format");
    for kind in StoreKind::ALL.map(StoreKind::name) {
        let (folder, data, till) = unpacked(&version, kind);
        for store in [&till, &data.join("log")] {
            fs::write(store.join("format"), format!("2 {kind} and more\n")).expect("written");
        }
        let before = files(folder.path());
        for line in refusals(&Device::at(&till), &data) {
            assert!(line.contains("newer release (format 2, this one reads up to 1)"), "{line}");
        }
        assert!(files(folder.path()) == before, "{kind}: it is as it was");
    }
}

fn rows(dir: &Path) -> Vec<Row> {
    let opened = disk::open(dir, None, CACHE_BYTES).expect("it opens");
    opened.disk.range(&[], &[0xff], usize::MAX).expect("its rows")
}

#[test]
fn rows_of_a_newer_format_are_refused_and_not_a_row_is_changed() {
    let version = versions().pop().expect("a format");
    for kind in StoreKind::ALL.map(StoreKind::name) {
        let (_folder, data, till) = unpacked(&version, kind);
        let stores = [(till.clone(), &b"midentity"[..]), (data.join("log"), b"i")];
        for (store, key) in &stores {
            let opened = disk::open(store, None, CACHE_BYTES).expect("it opens");
            let mut row = txn::read(&*opened.disk, key).expect("a row").expect("it is there");
            row[0] = 99;
            let mut tx = Txn::new(&*opened.disk);
            tx.put(key.to_vec(), &row);
            tx.commit().expect("written");
            opened.disk.flush().expect("durable");
        }
        let before = stores.each_ref().map(|(store, _)| rows(store));
        let till = Device::at(&till);
        let lines = [
            till.fails(&["status", "--offline"]),
            till.fails(&["put", "products", "tea", r#"{"name":"Tea"}"#]),
            till.fails(&["init", "--workspace", WORKSPACE]),
            run(relay::command(&["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data)).failure(),
        ];
        assert!(lines.iter().all(|line| line.contains("newer release") && line.contains("upgrade")), "{lines:?}");
        assert!(stores.map(|(store, _)| rows(&store)) == before, "{kind}: every row is as it was");
    }
}

#[test]
fn a_message_of_a_newer_wire_version_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut relay = Relay::start(&folder.path().join("relay"));
    let mut socket = Socket::connect(relay.address());
    socket.send(Message::binary(vec![99, 0, 1, 2]));
    let Heard::Said(FromRelay::Denied(denial)) = socket.hear() else { panic!("not denied") };
    assert!(matches!(&denial, Denial::Unreadable(why) if why.contains("99")), "{denial:?}");
    assert!(denial.to_string().contains("upgrade the older side"), "{denial}");
    assert!(relay.is_alive());
}
