//! What a workspace and a token may take: pushes that are slowed and all arrive, a log that is full and goes on when there is room,
//! and REST that is told to come again; others feel nothing of it.

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::record::json as records;
use comptoir_engine::store::Store;
use comptoir_engine::wire::Style;
use comptoir_engine::wire::message::FromRelay;
use comptoir_engine::{FieldEdit, RecordId, Settings, Timestamp, WorkspaceId};
use comptoir_tests::device::Device;
use comptoir_tests::program::run;
use comptoir_tests::relay::{self, Relay};
use comptoir_tests::rest::Client;
use comptoir_tests::socket::{Heard, Socket};
use comptoir_tests::steps::Steps;
use comptoir_tests::wait;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const TEA: &str = "/v1/workspaces/shop/collections/products/records/tea";

/// Sets a workspace's limits beside a relay that serves.
fn limit(data: &Path, workspace: &str, args: &[&str]) -> String {
    run(relay::command(&["workspace", "limits", workspace]).args(args).arg("--data").arg(data)).success()
}

fn import(device: &Device, from: usize, rows: usize) {
    let lines: String = (from..from + rows).map(|n| format!("{{\"id\":\"p{n}\",\"price\":{n}}}\n")).collect();
    let file = device.store().with_extension("ndjson");
    fs::write(&file, lines).expect("a file");
    device.ok(&["import", file.to_str().expect("a path"), "--collection", "products"]);
}

/// One push with so many changes, each of a record of its own.
fn batch(changes: usize) -> Vec<u8> {
    let settings = Settings {
        workspace: WorkspaceId::new("shop").expect("a name"),
        relay: String::new(),
        token: String::new(),
        device_name: String::new(),
    };
    let mut store = Store::create(Box::new(SimDisk::new()), "", settings, &mut Steps::default()).expect("a store");
    let fields = records::parse(r#"{"name":"Tea"}"#).expect("fields");
    let record = |number| RecordId::new("products", &format!("p{number}")).expect("a name");
    let edits: Vec<_> = (0..changes).map(|number| (record(number), FieldEdit::Set(fields.clone()))).collect();
    store.commit_local(&edits, Timestamp { unix_ms: 1_700_000_000_000 }).expect("edits");
    store.outgoing(0, Style::Compact).expect("a batch").expect("something to send").batch
}

/// Writes until that is refused: then the relay knows of a limit.
fn refused(client: &Client, status: u16) {
    let path = TEA.replace("tea", "written-until-refused/increment");
    let one = json!({"field": "n", "by": 1});
    wait::until("a refusal", || (client.write("POST", &path, &one).status == status).then_some(()));
}

#[test]
fn a_workspace_that_pushes_too_fast_is_slowed_loses_nothing_and_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let relay = Relay::start(&data);
    limit(&data, "shop", &["--changes-per-second", "1"]);
    let device = |workspace: &str| {
        Device::init(&folder.path().join(workspace), workspace, &relay.url(), &relay.token(workspace))
    };
    let (shop, garage) = (device("shop"), device("garage"));
    let office = Client::new(relay.address(), &relay.token("shop"));
    refused(&office, 429);
    import(&shop, 0, 1_000);
    let mut syncing = shop.start(&["sync"]);
    import(&garage, 0, 1_000);
    garage.sync();
    assert_eq!(garage.status()["pending"], 0);
    assert!(syncing.is_alive(), "1,000 changes at one a second take longer than that: {}", syncing.stderr());
    limit(&data, "shop", &["--changes-per-second", "0"]);
    let outcome = syncing.wait(wait::DEADLINE);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let status = office.get("/v1/workspaces/shop/status").expect(200).json();
    assert_eq!(status["digest"], shop.digest(), "all came");
    assert!(status["records"].as_u64() > Some(1_000), "{status}");
}

#[test]
fn a_device_that_is_slowed_says_so_and_its_session_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let relay = Relay::start(&data);
    let token = relay.token_with("shop", &["--changes-per-second", "1"]);
    let mut socket = Socket::welcomed(relay.address(), "shop", &token).0;
    // Twelve changes in one push: it is told to be patient before its receipt comes.
    let heard = socket.push(1, batch(12));
    assert!(matches!(heard, Heard::Said(FromRelay::Slowed)), "{heard:?}");
    let receipt = wait::until("a receipt", || match socket.hear() {
        Heard::Said(FromRelay::Ack(ack)) => Some(ack),
        _ => None,
    });
    assert_eq!((receipt.push, receipt.refused), (1, vec![]));
}

#[test]
fn a_token_has_limits_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let slow = Client::new(relay.address(), &relay.token_with("shop", &["--requests-per-second", "2"]));
    let other = Client::new(relay.address(), &relay.token("shop"));
    let refused = wait::until("a refusal", || Some(slow.get(TEA)).filter(|answer| answer.status == 429));
    assert_eq!(refused.json()["code"], "too_fast");
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let seconds = refused.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    assert!(seconds >= Some(1), "{refused:?}");
    (0..20).for_each(|_| _ = other.get(TEA).expect(404));
    wait::until("its turn again", || (slow.get(TEA).status == 404).then_some(()));
}

#[test]
fn rest_pays_for_its_writes_and_others_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let relay = Relay::start(&data);
    limit(&data, "shop", &["--changes-per-second", "3"]);
    let (shop, garage) = (relay.token("shop"), relay.token("garage"));
    let (shop, garage) = (Client::new(relay.address(), &shop), Client::new(relay.address(), &garage));
    let one = json!({"field": "stock", "by": 1});
    let mut counted = 0;
    let refused = wait::until("a refusal", || {
        let answer = shop.write("POST", &format!("{TEA}/increment"), &one);
        counted += i64::from(answer.status < 300);
        (answer.status == 429).then_some(answer)
    });
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(shop.get(TEA).expect(200).json()["fields"]["stock"], counted, "what was refused is not done");
    for _ in 0..10 {
        let status = garage.write("POST", &format!("{}/increment", TEA.replace("shop", "garage")), &one).status;
        assert!(status < 300, "{status}");
    }
    // An import is not refused in its middle: it takes its time.
    let lines: String = (0..9).map(|n| format!("{{\"id\":\"p{n}\"}}\n")).collect();
    let kind = [("content-type", "application/x-ndjson")];
    let counts = shop.send("POST", "/v1/workspaces/shop/import?collection=products", &kind, lines.as_bytes());
    assert_eq!(counts.expect(200).json()["created"], 9);
}

#[test]
fn a_full_log_takes_no_more_keeps_nothing_from_being_read_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let relay = Relay::start(&data);
    let device = |name: &str, workspace: &str| {
        Device::init(&folder.path().join(name), workspace, &relay.url(), &relay.token(workspace))
    };
    let (till, other, garage) = (device("till", "shop"), device("other", "shop"), device("garage", "garage"));
    let office = Client::new(relay.address(), &relay.token("shop"));
    import(&till, 0, 300);
    till.sync();
    limit(&data, "shop", &["--log-bytes-max", "1000"]);
    import(&other, 1_000, 20);
    refused(&office, 507);
    let line = other.fails(&["sync"]);
    assert!(line.contains("used up its 1000 bytes") && line.contains("operator"), "{line}");
    let status = other.status();
    assert!(status["pending"].as_u64() > Some(0) && status["quarantined"] == 0, "nothing is lost: {status}");
    assert_eq!(other.get("products", "p7"), json!({"id": "p7", "price": 7}), "it has been sent what there is");
    let refused = office.send("PUT", TEA, &[("accept-language", "fr")], b"{}").expect(507).json();
    assert_eq!(refused["code"], "over_quota");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("1000 octets")), "{refused}");
    office.get(TEA).expect(404);
    import(&garage, 0, 300);
    garage.sync();
    let before: Value = serde_json::from_str(&limit(&data, "shop", &["--json"])).expect("JSON");
    assert_eq!(before, json!({"log_bytes_max": 1000}));
    limit(&data, "shop", &["--default"]);
    wait::until("there is room", || (office.write("PUT", TEA, &json!({})).status == 201).then_some(()));
    other.sync();
    till.sync();
    assert_eq!(till.digest(), other.digest());
    assert_eq!(till.get("products", "p1019"), json!({"id": "p1019", "price": 1019}));
}
