//! What the relay says of itself: in the form that was asked for, with the session it concerns, and never a secret.

use comptoir_tests::device::Device;
use comptoir_tests::http;
use comptoir_tests::program::{Running, run};
use comptoir_tests::relay::command;
use comptoir_tests::wait::until;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

const WORKSPACE: &str = "corner-shop";
const METRICS_SECRET: &str = "a secret for the metrics";

/// A relay that tells all it can, and where it listens.
fn serve(folder: &Path, args: &[&str]) -> (Running, SocketAddr) {
    let mut serve = command(&["serve", "--listen", "127.0.0.1:0"]);
    serve.args(args).arg("--data").arg(folder.join("relay")).env("RUST_LOG", "trace");
    let running = Running::start(&mut serve);
    let line = running.line();
    let address = line.strip_prefix("listening on ").and_then(|address| address.parse().ok());
    (running, address.expect("an address"))
}

fn token(folder: &Path, name: &str) -> String {
    let mut create = command(&["token", "create", "--workspace", WORKSPACE, "--name", name]);
    run(create.arg("--data").arg(folder.join("relay"))).success().trim().to_owned()
}

/// A day's traffic: a device that syncs, one with a bad token, a reader of metrics, a backup from the command line. What of it
/// is secret, and all the relay said.
fn a_day(folder: &Path, args: &[&str]) -> (Vec<String>, String) {
    let (running, address) = serve(folder, args);
    let (token, relay) = (token(folder, "front till"), format!("ws://{address}"));
    let till = Device::init(&folder.join("till"), WORKSPACE, &relay, &token);
    till.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    till.sync();
    let mut bad = token.clone();
    bad.replace_range(20..24, "AAAA");
    let stranger = Device::init(&folder.join("stranger"), WORKSPACE, &relay, &bad);
    stranger.fails(&["sync"]);
    let shown = format!("x-forwarded-for: 203.0.113.7\r\nauthorization: Bearer {METRICS_SECRET}\r\n");
    let _ = http::ask(address, "GET", "/metrics", &shown);
    let control = fs::read_to_string(folder.join("relay/control")).expect("a door");
    let control: Value = serde_json::from_str(&control).expect("JSON");
    let mut backup = command(&["backup", "--data"]);
    run(backup.arg(folder.join("relay")).arg("--out").arg(folder.join("backups"))).success();
    until("the end of the session", || running.stderr().contains("a session ended").then_some(()));
    let secrets = [token, bad, METRICS_SECRET.to_owned(), control["secret"].as_str().expect("a secret").to_owned()];
    let keys = fs::read_dir(folder.join("relay/keys")).expect("keys");
    let keys = keys.map(|key| fs::read_to_string(key.expect("a key").path()).unwrap_or_default());
    // A key's file has lines of which one is the key.
    let keys: Vec<_> = keys.flat_map(|key| key.split('"').map(str::to_owned).collect::<Vec<_>>()).collect();
    let keys = keys.into_iter().filter(|part| part.len() > 40);
    let secrets: Vec<_> = secrets.into_iter().chain(keys).collect();
    assert!(secrets.len() > 4, "the signing key is among them");
    (secrets, running.terminate().stderr)
}

fn check_no_secret(secrets: &[String], said: &str) {
    for secret in secrets {
        // A part of it would be as bad.
        for part in secret.as_bytes().chunks_exact(16.min(secret.len())).skip(1) {
            let part = std::str::from_utf8(part).expect("text");
            assert!(!said.contains(part), "a secret is in the log: {part}");
        }
        assert!(!said.contains(secret.as_str()));
    }
}

#[test]
fn json_lines_name_connection_and_session_and_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("relay.toml");
    let settings = format!("[log]\nformat = \"json\"\n[metrics]\ntoken = \"{METRICS_SECRET}\"\n");
    fs::write(&config, settings).expect("written");
    let (secrets, said) = a_day(folder.path(), &["--config", config.to_str().expect("a path")]);
    check_no_secret(&secrets, &said);
    let lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    let begins = lines.iter().find(|line| line["message"] == "a session begins").expect("a session");
    let spans = begins["spans"].as_array().expect("spans");
    let named = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("{begins}"));
    assert_eq!(named("connection")["address"], "127.0.0.1");
    let session = named("session");
    assert_eq!(
        (&session["workspace"], &session["device_name"], &session["token_name"]),
        (&WORKSPACE.into(), &"till".into(), &"front till".into()),
        "{session}"
    );
    assert!(session["device"].as_str().is_some_and(|device| device.len() >= 16), "{session}");
    let away = lines.iter().find(|line| line["message"] == "a device was turned away").expect("the stranger");
    assert_eq!((&away["level"], &away["spans"][0]["name"]), (&"INFO".into(), &"connection".into()), "{away}");
    assert!(lines.iter().any(|line| line["message"] == "stopping"));
}

#[test]
fn text_lines_are_the_default_and_hold_no_secret_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("relay.toml");
    fs::write(&config, format!("[metrics]\ntoken = \"{METRICS_SECRET}\"\n")).expect("written");
    let config = config.to_str().expect("a path");
    let (secrets, said) = a_day(folder.path(), &["--config", config]);
    check_no_secret(&secrets, &said);
    let begins = said.lines().find(|line| line.contains("a session begins")).expect("a session");
    assert!(
        begins.contains("session{workspace=corner-shop") && begins.contains("token_name=\"front till\""),
        "{begins}"
    );
    let wrong = command(&["serve", "--data", "nowhere", "--log-format", "xml"]).output().expect("run");
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    // The command line is above the file.
    let mut serve = command(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--config", config]);
    let running = Running::start(serve.arg("--data").arg(folder.path().join("relay")));
    running.line();
    let said = running.terminate().stderr;
    assert!(said.lines().all(|line| line.starts_with('{')) && !said.is_empty(), "{said}");
}

#[test]
fn spans_go_nowhere_without_the_feature_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("relay.toml");
    fs::write(&config, "[log]\notlp = \"http://127.0.0.1:4318/v1/traces\"\n").expect("written");
    let mut serve = command(&["serve", "--config", config.to_str().expect("a path")]);
    let line = run(serve.arg("--data").arg(folder.path().join("relay"))).failure();
    assert!(line.contains("log.otlp") && line.contains("without the feature otlp"), "{line}");
}
