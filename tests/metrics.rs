//! The relay's numbers: well-formed, moved by what devices do, few, and not for strangers.

use comptoir_engine::wire::message::{FromDevice, FromRelay, Hello};
use comptoir_tests::device::Device;
use comptoir_tests::forge::{self, Forged};
use comptoir_tests::http::{ask, get};
use comptoir_tests::metrics::{Metrics, read};
use comptoir_tests::program::{Running, run};
use comptoir_tests::relay::{Relay, command};
use comptoir_tests::socket::{Heard, Socket, hello};
use comptoir_tests::wait::until;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

const WORKSPACE: &str = "corner-shop";

fn relay_with(folder: &Path, settings: &str) -> Relay {
    let config = folder.join("relay.toml");
    fs::write(&config, settings).expect("written");
    Relay::start_with(&folder.join("relay"), &["--config", config.to_str().expect("a path")])
}

fn counted(metrics: &Metrics, name: &str) -> f64 {
    metrics.value(&format!("comptoir_relay_{name}"), &[])
}

#[test]
fn what_devices_do_moves_the_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!(
        "compact_entries = 8\n[backup]\nout = \"{}\"\nevery = \"1h\"\n",
        folder.path().join("backups").display()
    );
    let relay = relay_with(folder.path(), &settings);
    let token = relay.token(WORKSPACE);
    let before = read(relay.address());
    assert_eq!((counted(&before, "pushes_total"), counted(&before, "log_ready")), (0.0, 1.0));
    let started = before.value("process_start_time_seconds", &[]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs_f64();
    assert!(now - started < 120.0 && started <= now, "{started}");
    assert!(before.value("process_resident_memory_bytes", &[]) > 1e6);
    assert_eq!(before.value("comptoir_relay_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);

    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &token);
    let edits = 40;
    for price in 0..edits {
        till.ok(&["put", "products", "tea", &format!(r#"{{"price_cents":{price}}}"#)]);
        till.sync();
    }
    let after = until("the log is compacted", || {
        let metrics = read(relay.address());
        (counted(&metrics, "compactions_total") > 0.0).then_some(metrics)
    });
    for (name, at_least) in [
        ("pushes_total", 40.0),
        ("changes_appended_total", 41.0),
        ("append_seconds_count", 40.0),
        ("flush_seconds_count", 40.0),
        ("connections_total", 41.0),
        ("compacted_entries_total", 2.0),
        ("received_bytes_total", 40.0 * 300.0),
        ("sent_bytes_total", 40.0 * 100.0),
        ("compaction_saved_bytes_total", 1.0),
    ] {
        assert!(counted(&after, name) >= at_least, "{name}: {}", counted(&after, name));
    }
    assert!(counted(&after, "append_seconds_sum") > 0.0);
    assert!(counted(&after, "append_seconds_sum") >= counted(&after, "flush_seconds_sum") * 0.5);
    until("every session has ended", || {
        let ended = read(relay.address()).value("comptoir_relay_sessions_ended_total", &[("kind", "gone")]);
        (ended >= 40.0).then_some(())
    });
    let taken = until("a backup on time", || {
        let metrics = read(relay.address());
        (counted(&metrics, "backups_total") > 0.0).then_some(metrics)
    });
    assert!((now - counted(&taken, "backup_last_success_timestamp_seconds")).abs() < 600.0);
    assert!(counted(&taken, "backup_last_duration_seconds") > 0.0);
    assert_eq!(counted(&taken, "backup_interval_seconds"), 3600.0);
}

#[test]
fn sessions_lag_guests_and_refusals_are_told_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = relay_with(folder.path(), "guests_per_address_max = 2\n");
    let token = relay.token(WORKSPACE);
    let shop = [("workspace", WORKSPACE)];
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &token);
    till.sync();
    // A follower that is welcome and gives no credit: it falls behind.
    let mut behind = Socket::connect(relay.address());
    let FromDevice::Hello(hello) = hello(WORKSPACE, &token) else { unreachable!("a hello") };
    behind.say(&FromDevice::Hello(Hello { credit_bytes: 0, ..hello }));
    let Heard::Said(FromRelay::Welcome(welcome)) = behind.hear() else { panic!("not welcomed") };
    until("its session", || (read(relay.address()).value("comptoir_relay_sessions", &shop) == 1.0).then_some(()));
    for price in 0..5 {
        till.ok(&["put", "products", "tea", &format!(r#"{{"price_cents":{price}}}"#)]);
        till.sync();
    }
    let lag = read(relay.address()).value("comptoir_relay_follower_lag_entries", &shop);
    assert!(lag >= 5.0 && lag >= welcome.tail as f64, "{lag} behind {}", welcome.tail);
    drop(behind);
    until("nobody is left", || (read(relay.address()).sum("comptoir_relay_sessions") == 0.0).then_some(()));

    // Whoever shows no token is a guest; one too many goes, and so does a stranger's token.
    let waiting: Vec<_> = (0..2).map(|_| TcpStream::connect(relay.address()).expect("a connection")).collect();
    until("a guest made room", || {
        let metrics = read(relay.address());
        (metrics.value("comptoir_relay_connections_refused_total", &[("reason", "crowded")]) >= 1.0
            && counted(&metrics, "guests") >= 1.0)
            .then_some(())
    });
    drop(waiting);
    let stranger = Device::init(&folder.path().join("stranger"), WORKSPACE, &relay.url(), "rubbish");
    stranger.fails(&["sync"]);
    let reader = relay.token_with(WORKSPACE, &["--role", "reader"]);
    let (mut reading, _) = Socket::welcomed(relay.address(), WORKSPACE, &reader);
    let record = ("products".to_owned(), "tea".to_owned());
    let change = Forged { record, actor: vec![1; 16], seq: 1, start_op: 1, columns: vec![0], own: None };
    assert!(matches!(reading.push(1, forge::batch(&[change])), Heard::Said(FromRelay::Ack(_))));
    let metrics = until("both are told", || {
        let metrics = read(relay.address());
        let kind = [("kind", "token_invalid")];
        (metrics.value("comptoir_relay_sessions_ended_total", &kind) >= 1.0).then_some(metrics)
    });
    let refused = metrics.value("comptoir_relay_changes_refused_total", &[("reason", "role_too_low")]);
    assert!(refused >= 1.0, "{metrics:?}");
}

#[test]
fn the_numbers_are_not_for_strangers() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = relay_with(folder.path(), "");
    let from_afar = "x-forwarded-for: 203.0.113.7\r\n";
    let status = |address: SocketAddr, headers: &str| ask(address, "GET", "/metrics", headers).status;
    assert_eq!(status(relay.address(), ""), 200);
    for header in [from_afar, "Forwarded: for=203.0.113.7\r\n", "X-Real-IP: 203.0.113.7\r\n", "Via: 1.1 proxy\r\n"] {
        assert_eq!(status(relay.address(), header), 404, "{header}");
    }
    assert_eq!(ask(relay.address(), "POST", "/metrics", "").status, 405);
    drop(relay);

    let relay = relay_with(folder.path(), "[metrics]\ntoken = \"a long enough secret\"\n");
    let with = |token: &str| format!("{from_afar}authorization: Bearer {token}\r\n");
    assert_eq!(status(relay.address(), ""), 200, "this machine always");
    assert_eq!(status(relay.address(), from_afar), 401);
    assert_eq!(status(relay.address(), &with("a long enough secre")), 401);
    assert_eq!(status(relay.address(), &with("a long enough secret")), 200);
    drop(relay);

    // An address of its own, for whoever can reach it; devices are not served there.
    let config = folder.path().join("relay.toml");
    fs::write(&config, "[metrics]\nlisten = \"127.0.0.1:0\"\n").expect("written");
    let mut serve = command(&["serve", "--listen", "127.0.0.1:0", "--config"]);
    let running = Running::start(serve.arg(&config).arg("--data").arg(folder.path().join("other")));
    let line = running.line();
    let own = line.strip_prefix("metrics on ").and_then(|address| address.parse().ok()).expect("an address");
    let line = running.line();
    let public = line.strip_prefix("listening on ").and_then(|address| address.parse().ok()).expect("an address");
    assert_eq!((status(own, from_afar), get(own, "/readyz").status, get(own, "/v1/sync").status), (200, 200, 404));

    // While it stops, it says there that it is not ready, until its sessions have ended.
    let token = command(&["token", "create", "--workspace", WORKSPACE]);
    let token = run({ token }.arg("--data").arg(folder.path().join("other"))).success();
    let (_session, _) = Socket::welcomed(public, WORKSPACE, token.trim());
    let process = running.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &process]).status().expect("sent").success());
    while get(own, "/readyz").status != 503 {}
    drop(running);

    for (settings, why) in
        [("[metrics]\ntoken = \"short\"\n", "fewer than 16 bytes"), ("[metrics]\nlisten = \"here\"\n", "no address")]
    {
        fs::write(&config, settings).expect("written");
        let mut serve = command(&["serve", "--config"]);
        let line = run(serve.arg(&config).arg("--data").arg(folder.path().join("third"))).failure();
        assert!(line.contains(why) && !line.contains("short\""), "{line}");
    }
}

#[test]
fn a_thousand_shops_have_a_hundred_labels() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = relay_with(folder.path(), "");
    let sessions: Vec<_> = (0..103)
        .map(|number| {
            let shop = format!("shop-{number}");
            Socket::welcomed(relay.address(), &shop, &relay.token(&shop))
        })
        .collect();
    let metrics = until("all sessions", || {
        let metrics = read(relay.address());
        (metrics.sum("comptoir_relay_sessions") == sessions.len() as f64).then_some(metrics)
    });
    let labels = metrics.label_values("comptoir_relay_sessions", "workspace");
    assert_eq!(labels.len(), 101, "{labels:?}");
    assert_eq!(metrics.value("comptoir_relay_sessions", &[("workspace", "other")]), 3.0);
}
