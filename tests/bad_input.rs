//! What people and other programs get wrong: each gets one line that says what, why and what to do, and a status of 1;
//! nothing is lost, nothing panics.

use comptoir_tests::device::Device;
use comptoir_tests::program;
use comptoir_tests::relay::{self, Relay};
use serde_json::json;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// A port where nobody listens.
const NOWHERE: &str = "ws://127.0.0.1:1";

fn device(folder: &Path) -> Device {
    let device = Device::init(&folder.join("till"), "corner-bar", NOWHERE, "");
    device.ok(&["put", "products", "tea", r#"{"name":"Tea","stock":3}"#]);
    device
}

fn assert_untouched(device: &Device) {
    assert_eq!(device.get("products", "tea"), json!({"name": "Tea", "stock": 3}));
    let status = device.status();
    assert_eq!((&status["pending"], &status["total_records"]), (&json!(1), &json!(1)), "{status}");
}

#[test]
fn what_is_no_record_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = device(folder.path());
    for (args, reason) in [
        (["put", "products", "tea", r#"{"name":"#], "not valid JSON"),
        (["put", "products", "tea", r#"["name"]"#], "a list"),
        (["put", "products", "tea", r#"{"name":1e999}"#], "range"),
        (["put", "Products", "tea", "{}"], "lower-case"),
        (["put", "products", "", "{}"], "1 to 256"),
        (["put", "products", "a\nb", "{}"], "control characters"),
        (["put", "products", &"k".repeat(257), "{}"], "256"),
    ] {
        let line = device.fails(&args);
        assert!(line.contains(reason), "{args:?}: {line}");
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(64), "]".repeat(64));
    assert!(device.fails(&["put", "products", "tea", &deep]).contains("deep"));
    let endless = format!("{{\"a\":{}", "[".repeat(100_000));
    device.fails(&["put", "products", "tea", &endless]);
    assert_untouched(&device);
}

#[test]
fn an_increment_of_a_text_is_refused_and_says_what_the_field_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = device(folder.path());
    let line = device.fails(&["incr", "products", "tea", "name", "1"]);
    assert!(line.contains("name") && line.contains("text"), "{line}");
    let line = device.fails(&["incr", "products", "tea", "stock", "9223372036854775807"]);
    assert!(line.contains("64"), "{line}");
    device.fails(&["get", "products", "nothing"]);
    device.fails(&["unset", "products", "nothing", "name"]);
    assert_untouched(&device);
}

#[test]
fn a_command_that_is_none_is_a_question_of_usage() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = device(folder.path());
    for args in
        [&["sell"][..], &["put", "products"], &["incr", "products", "tea", "stock", "many"], &["sync", "--mode", "x"]]
    {
        let outcome = device.run(args);
        assert_eq!(outcome.code, Some(2), "{args:?}: {outcome:?}");
        assert!(!outcome.stderr.is_empty(), "{args:?}");
    }
    assert_untouched(&device);
}

#[test]
fn a_folder_without_a_store_is_said_to_be_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("nothing");
    let device = Device::at(&store);
    let line = device.fails(&["status"]);
    assert!(line.contains("comptoir init"), "{line}");
    fs::create_dir_all(&store).expect("a folder");
    fs::write(store.join("letter.txt"), "Dear Sir").expect("a file");
    let line = device.fails(&["init", "--workspace", "corner-bar", "--relay", NOWHERE]);
    assert!(line.contains("not a Comptoir store"), "{line}");
    assert_eq!(fs::read_to_string(store.join("letter.txt")).expect("the file"), "Dear Sir");
}

#[test]
fn an_import_names_the_line_it_cannot_read_and_can_be_run_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = device(folder.path());
    let file = folder.path().join("products.ndjson");
    let path = file.to_str().expect("a path");
    fs::write(&file, "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":2}\n{\"id\":\"c\",\n").expect("a file");
    let line = device.fails(&["import", path, "--collection", "stock", "--key", "id"]);
    assert!(line.contains('3'), "it names line 3: {line}");
    fs::write(&file, "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":2}\n{\"id\":\"c\",\"n\":3}\n").expect("a file");
    device.ok(&["import", path, "--collection", "stock", "--key", "id"]);
    device.ok(&["import", path, "--collection", "stock", "--key", "id"]);
    for (key, n) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(device.get("stock", key)["n"], n);
    }
    let status = device.status();
    assert_eq!((&status["pending"], &status["total_records"]), (&json!(4), &json!(4)), "imported once: {status}");
    fs::write(&file, "{\"n\":1}\n").expect("a file");
    device.fails(&["import", path, "--collection", "stock", "--key", "id"]);
    device.fails(&["import", "no-such-file.ndjson", "--collection", "stock", "--key", "id"]);
    fs::write(folder.path().join("p.ndjson.zst"), "not zstd").expect("a file");
    let path = folder.path().join("p.ndjson.zst");
    device.fails(&["import", path.to_str().expect("a path"), "--collection", "stock", "--key", "id"]);
}

#[test]
fn a_store_of_a_newer_release_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = device(folder.path());
    let format = device.store().join("format");
    let known = fs::read(&format).expect("the format");
    fs::write(&format, "9\n").expect("a newer format");
    let line = device.fails(&["get", "products", "tea"]);
    assert!(line.contains("newer release") && line.contains("upgrade"), "{line}");
    device.fails(&["put", "products", "tea", "{}"]);
    fs::write(&format, known).expect("the format");
    assert_untouched(&device);
}

#[test]
fn a_store_in_use_by_another_process_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token("corner-bar");
    let device = Device::init(&folder.path().join("till"), "corner-bar", &relay.url(), &token);
    let other = Device::init(&folder.path().join("other"), "corner-bar", &relay.url(), &token);
    device.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    let live = device.start(&["run"]);
    // What it sent has arrived, so it has the store open.
    comptoir_tests::wait::until("the live session", || {
        other.sync();
        (other.status()["total_records"] == 1).then_some(())
    });
    let line = device.fails(&["put", "products", "tea", "{}"]);
    assert!(line.contains("in use by another process"), "{line}");
    live.terminate();
    assert_eq!(device.get("products", "tea"), json!({"name": "Tea"}));
}

#[test]
fn a_second_relay_on_the_same_folder_or_port_says_so_and_the_first_serves_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let first = Relay::start(&data);
    let serve = |data: &Path, listen: &str| {
        program::run(relay::command(&["serve", "--listen", listen]).arg("--data").arg(data)).failure()
    };
    let line = serve(&data, "127.0.0.1:0");
    assert!(line.contains("in use by another process"), "{line}");
    let line = serve(&folder.path().join("second"), &first.address().to_string());
    assert!(line.contains(&first.address().port().to_string()), "{line}");
    let line = serve(&folder.path().join("second"), "nowhere");
    assert!(line.contains("nowhere"), "{line}");
    let token = first.token("corner-bar");
    Device::init(&folder.path().join("till"), "corner-bar", &first.url(), &token).sync();
}

#[test]
fn a_relay_of_an_older_release_leaves_a_newer_log_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let mut relay = Relay::start(&data);
    let device = Device::init(&folder.path().join("till"), "corner-bar", &relay.url(), &relay.token("corner-bar"));
    device.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    device.sync();
    assert_eq!(relay.terminate().code, Some(0), "asked to end, it ends in order");
    let format = data.join("log").join("format");
    let known = fs::read(&format).expect("the format");
    fs::write(&format, "9\n").expect("a newer format");
    let refused =
        program::run(relay::command(&["serve", "--listen", "127.0.0.1:0"]).arg("--data").arg(&data)).failure();
    assert!(refused.contains("newer release"), "{refused}");
    fs::write(&format, known).expect("the format");
    relay.restart();
    let other = Device::init(&folder.path().join("other"), "corner-bar", &relay.url(), &relay.token("corner-bar"));
    other.sync();
    assert_eq!(other.get("products", "tea"), json!({"name": "Tea"}));
}

#[test]
fn an_unreachable_relay_is_an_error_of_sync_and_of_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = device(folder.path());
    let begun = Instant::now();
    device.fails(&["sync", "--timeout", "3s"]);
    assert!(begun.elapsed() < Duration::from_secs(30), "it gives up in time");
    assert_untouched(&device);
}

#[test]
fn a_relay_that_accepts_and_stays_silent_is_given_up_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", silent.local_addr().expect("an address"));
    let device = Device::init(&folder.path().join("till"), "corner-bar", &url, "token");
    device.ok(&["put", "products", "tea", r#"{"name":"Tea","stock":3}"#]);
    let begun = Instant::now();
    device.fails(&["sync", "--timeout", "3s"]);
    assert!(begun.elapsed() < Duration::from_secs(30), "it gives up in time");
    assert_untouched(&device);
}
