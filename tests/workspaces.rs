//! Workspaces as their operator manages them, on the command line beside a relay that serves, and beside none: listed, shown,
//! suspended, resumed, removed, and begun again.

use comptoir_tests::device::Device;
use comptoir_tests::program::run;
use comptoir_tests::relay::{self, Relay};
use comptoir_tests::rest::Client;
use comptoir_tests::wait;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Stdio;

const TEA: &str = "/v1/workspaces/shop/collections/products/records/tea";

/// `comptoir-relay workspace` on this data folder.
fn operate(data: &Path, args: &[&str], language: &str) -> Result<String, String> {
    let command = &mut relay::command(&["workspace"]);
    let outcome = run(command.args(args).arg("--data").arg(data).env("COMPTOIR_LANG", language));
    if outcome.code == Some(0) { Ok(outcome.success()) } else { Err(outcome.stderr) }
}

fn said(data: &Path, args: &[&str]) -> String {
    operate(data, args, "en").unwrap_or_else(|line| panic!("{args:?}: {line}"))
}

fn show(data: &Path, workspace: &str) -> Value {
    serde_json::from_str(&said(data, &["show", workspace, "--json"])).expect("JSON")
}

fn list(data: &Path) -> Vec<String> {
    let lines = said(data, &["list", "--json"]);
    let name = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["workspace"].as_str().map(str::to_owned);
    lines.lines().map(|line| name(line).expect("a name")).collect()
}

fn till(folder: &Path, name: &str, workspace: &str, relay: &Relay) -> Device {
    Device::init(&folder.join(name), workspace, &relay.url(), &relay.token(workspace))
}

#[test]
fn workspaces_are_listed_with_what_they_hold_beside_a_relay_and_beside_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let mut relay = Relay::start(&data);
    let shop = till(folder.path(), "shop", "shop", &relay);
    shop.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    shop.sync();
    relay.token("garage");
    assert_eq!(list(&data), ["garage", "shop"], "one has a log, the other a token");
    let held = show(&data, "shop");
    assert_eq!((&held["state"], &held["tokens"], &held["devices"]), (&json!("open"), &json!(1), &json!(1)), "{held}");
    assert!(held["bytes"].as_u64() > Some(100) && held["last_activity"].is_string(), "{held}");
    assert_eq!(show(&data, "garage")["entries"], 0);
    let line = operate(&data, &["show", "nowhere"], "fr").expect_err("no such workspace");
    assert!(line.contains("pas d'espace nowhere"), "{line}");
    relay.terminate();
    assert_eq!(list(&data), ["garage", "shop"]);
    let again = show(&data, "shop");
    assert_eq!((&again["bytes"], &again["entries"]), (&held["bytes"], &held["entries"]));
}

#[test]
fn a_suspended_workspace_opens_to_nobody_until_it_is_resumed_and_others_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let relay = Relay::start(&data);
    let (shop, garage) = (till(folder.path(), "shop", "shop", &relay), till(folder.path(), "garage", "garage", &relay));
    let office = Client::new(relay.address(), &relay.token("shop"));
    shop.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    shop.sync();
    let beside = till(folder.path(), "beside", "shop", &relay);
    let live = beside.start(&["watch", "products"]);
    wait::until("a session", || (show(&data, "shop")["sessions"].as_u64() > Some(0)).then_some(()));
    said(&data, &["suspend", "shop"]);
    assert_eq!(show(&data, "shop")["state"], "suspended");
    wait::until("no session", || (show(&data, "shop")["sessions"] == 0).then_some(()));
    shop.ok(&["put", "products", "tea", r#"{"name":"Green tea"}"#]);
    let line = shop.fails(&["sync"]);
    assert!(line.contains("suspended") && line.contains("stays here"), "{line}");
    assert_eq!(shop.status()["pending"], 1, "nothing is lost");
    let french = office.send("GET", TEA, &[("accept-language", "fr")], b"").expect(403).json();
    assert_eq!(french["code"], "workspace_suspended");
    assert!(french["detail"].as_str().is_some_and(|detail| detail.contains("suspendu")), "{french}");
    garage.ok(&["put", "cars", "1", "{}"]);
    garage.sync();
    said(&data, &["resume", "shop"]);
    wait::until("it is open again", || (office.get(TEA).status == 200).then_some(()));
    shop.sync();
    assert_eq!(office.get(TEA).expect(200).json()["fields"]["name"], "Green tea");
    live.kill();
}

#[test]
fn a_removed_workspace_is_gone_and_a_new_one_of_its_name_is_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let relay = Relay::start(&data);
    let (shop, garage) = (till(folder.path(), "shop", "shop", &relay), till(folder.path(), "garage", "garage", &relay));
    garage.ok(&["put", "cars", "1", "{}"]);
    garage.sync();
    let office = Client::new(relay.address(), &relay.token("shop"));
    shop.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    shop.sync();
    office.write("PUT", &TEA.replace("tea", "milk"), &json!({})).expect(201);
    let status = "/v1/workspaces/shop/status";
    let before = office.get(status).expect(200).json();
    for wrong in [vec!["remove", "shop"], vec!["remove", "shop", "--yes", "shops"]] {
        let line = operate(&data, &wrong, "en").expect_err("not confirmed");
        assert!(line.contains("--yes shop"), "{line}");
    }
    said(&data, &["remove", "shop", "--yes", "shop"]);
    assert_eq!(list(&data), ["garage"]);
    assert!(!data.join("service/shop").exists());
    office.get(TEA).expect(401);
    shop.ok(&["put", "products", "tea", r#"{"name":"Green tea"}"#]);
    assert!(shop.fails(&["sync"]).contains("revoked"));

    // Whoever is let in again brings back what it holds: the new log is another one, and no old place in it counts.
    let office = Client::new(relay.address(), &relay.token("shop"));
    let after = office.get(status).expect(200).json();
    assert_eq!(after["records"], 0, "{after}");
    assert_ne!(after["epoch"], before["epoch"]);
    let fresh = relay.token("shop");
    shop.ok(&["init", "--workspace", "shop", "--relay", &relay.url(), "--token", &fresh]);
    shop.sync();
    assert_eq!(office.get(TEA).expect(200).json()["fields"]["name"], "Green tea");
    assert_eq!(office.get(status).expect(200).json()["digest"], shop.digest());
    garage.ok(&["put", "cars", "2", "{}"]);
    garage.sync();
    let deeds = audit(&data);
    assert!(deeds.iter().any(|deed| deed["deed"] == "workspace.removed" && deed["workspace"] == "shop"), "{deeds:?}");
}

fn audit(data: &Path) -> Vec<Value> {
    let files = fs::read_dir(data.join("audit")).expect("an audit").map(|file| file.expect("a file").path());
    let text: String = files.map(|path| fs::read_to_string(path).expect("lines")).collect();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_removal_that_a_kill_cut_short_is_finished_by_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let mut relay = Relay::start(&data);
    let office = Client::new(relay.address(), &relay.token("shop"));
    let lines: String = (0..20_000).map(|n| format!("{{\"id\":\"p{n}\",\"price\":{n}}}\n")).collect();
    let import = "/v1/workspaces/shop/import?collection=products";
    let kind = [("content-type", "application/x-ndjson")];
    office.send("POST", import, &kind, lines.as_bytes()).expect(200);
    relay.token("garage");
    let mut command = relay::command(&["workspace", "remove", "shop", "--yes", "shop"]);
    let mut removing = command.arg("--data").arg(&data).stderr(Stdio::null()).spawn().expect("a removal");
    let begun = || {
        let ledger = fs::read_to_string(data.join("keys/tokens-0001.jsonl")).expect("a ledger");
        ledger.contains("workspace_removed").then_some(())
    };
    wait::until("the removal has begun", begun);
    relay.kill();
    removing.wait().expect("it ends with the relay");
    relay.restart();
    wait::until("it is finished", || (list(&data) == ["garage"]).then_some(()));
    assert!(!data.join("service/shop").exists());
    let office = Client::new(relay.address(), &relay.token("shop"));
    let status = office.get("/v1/workspaces/shop/status").expect(200).json();
    assert_eq!((&status["records"], &status["tail"]), (&json!(0), &json!(0)), "nothing of the old log is left");
}
