//! TLS by the relay itself: devices come over `wss://`, whom they do not trust hears nothing, the certificate is read anew
//! while sessions go on, and a handshake is a guest like any other.

use comptoir::{Comptoir, Mode, Settings, State, WorkspaceId};
use comptoir_tests::certificate::{Authority, Files};
use comptoir_tests::device::Device;
use comptoir_tests::program::{binary, run};
use comptoir_tests::relay::{Relay, command};
use comptoir_tests::wait::{DEADLINE, until};
use serde_json::Value;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const WORKSPACE: &str = "corner-shop";

/// A shop with a relay that speaks TLS.
struct Shop {
    folder: tempfile::TempDir,
    authority: Authority,
    files: Files,
    relay: Relay,
    token: String,
}

impl Shop {
    fn open(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (authority, files) = (Authority::new(), Files::in_folder(folder.path()));
        authority.write(&folder.path().join("authority.pem"));
        files.write(&authority.certify());
        let config = folder.path().join("relay.toml");
        fs::write(&config, settings).expect("written");
        let args = [&["--config", config.to_str().expect("a path")], &files.args()[..]].concat();
        let relay = Relay::start_with(&folder.path().join("relay"), &args);
        let token = relay.token(WORKSPACE);
        Self { folder, authority, files, relay, token }
    }

    /// A device that believes the authority in this file; the system's where there is none.
    fn device(&self, name: &str, authority: Option<&Path>) -> Device {
        let device = Device::at(&self.folder.path().join(name));
        let url = self.url();
        let mut args = vec!["init", "--workspace", WORKSPACE, "--relay", &url, "--token", &self.token];
        if let Some(path) = authority {
            args.extend(["--relay-ca", path.to_str().expect("a path")]);
        }
        device.ok(&args);
        device
    }

    fn trusting(&self, name: &str) -> Device {
        self.device(name, Some(&self.folder.path().join("authority.pem")))
    }

    fn url(&self) -> String {
        format!("wss://{}", self.relay.address())
    }
}

/// The code of the error that a command ends with.
fn code(device: &Device, args: &[&str]) -> String {
    let outcome = device.run(&[args, &["--json"]].concat());
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let error: Value = serde_json::from_str(&outcome.stderr).unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
    error["error"]["code"].as_str().unwrap_or_else(|| panic!("no code: {error}")).to_owned()
}

#[test]
fn devices_sync_over_tls_and_what_nobody_vouches_for_hears_nothing() {
    let shop = Shop::open("");
    let till = shop.trusting("till");
    till.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    till.sync();
    let phone = shop.trusting("phone");
    phone.sync();
    assert_eq!(phone.get("products", "tea")["name"], "Tea");
    assert_eq!(phone.digest(), till.digest());

    // The system does not know the shop's authority, nor does another one.
    let stranger = shop.device("stranger", None);
    assert_eq!(code(&stranger, &["sync"]), "untrusted");
    let other = shop.folder.path().join("other.pem");
    Authority::new().write(&other);
    let misled = shop.device("misled", Some(&other));
    let line = misled.fails(&["sync"]);
    assert!(line.contains("not trusted") && line.contains("--relay-ca"), "{line}");

    // What the system believes is believed where nothing else is said.
    let mut sync = Command::new(binary("comptoir"));
    sync.arg("--store").arg(stranger.store()).arg("sync");
    run(sync.env("SSL_CERT_FILE", shop.folder.path().join("authority.pem"))).success();
    assert_eq!(stranger.get("products", "tea")["name"], "Tea");

    // Without TLS nobody is served.
    let plain = Device::init(&shop.folder.path().join("plain"), WORKSPACE, &shop.relay.url(), &shop.token);
    assert_eq!(code(&plain, &["sync", "--timeout", "5s"]), "sync");
}

#[test]
fn a_file_that_vouches_for_nobody_makes_no_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("words.pem");
    fs::write(&file, "no certificate").expect("written");
    let device = Device::at(&folder.path().join("till"));
    let line = device.fails(&["init", "--workspace", WORKSPACE, "--relay-ca", file.to_str().expect("a path")]);
    assert!(line.contains("no certificate in PEM"), "{line}");
    assert!(!device.store().exists());
}

#[test]
fn a_new_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() {
    let shop = Shop::open("");
    let first = shop.authority.shown_at(shop.relay.address()).expect("a handshake");
    let till = shop.trusting("till");
    till.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    till.sync();
    let second = shop.authority.certify();
    shop.files.write(&second);
    until("the new certificate", || {
        let shown = shop.authority.shown_at(shop.relay.address()).expect("a handshake");
        assert!(shown == first || shown == second.der);
        (shown == second.der).then_some(())
    });
    assert!(shop.relay.stderr().contains("read anew"), "{}", shop.relay.stderr());

    // Half of a pair, then no certificate at all.
    fs::write(&shop.files.key, &shop.authority.certify().key).expect("written");
    until("the mismatch", || shop.relay.stderr().contains("does not match").then_some(()));
    fs::write(&shop.files.cert, "rubbish").expect("written");
    until("the rubbish", || shop.relay.stderr().contains("holds no certificate").then_some(()));
    assert_eq!(shop.authority.shown_at(shop.relay.address()), Some(second.der));
    till.ok(&["put", "products", "tea", r#"{"name":"Green tea"}"#]);
    till.sync();

    // And by a signal, at once.
    let third = shop.authority.certify();
    shop.files.write(&third);
    let process = shop.relay.process().to_string();
    assert!(Command::new("kill").args(["-HUP", &process]).status().expect("sent").success());
    until("the third certificate", || {
        (shop.authority.shown_at(shop.relay.address()).as_ref() == Some(&third.der)).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_while_the_certificate_is_replaced() {
    let shop = Shop::open("");
    let settings = Settings {
        workspace: WorkspaceId::new(WORKSPACE).expect("a name"),
        relay: shop.url(),
        token: shop.token.clone(),
        device_name: "live".to_owned(),
    };
    let live = Comptoir::init(&shop.folder.path().join("live"), settings).await.expect("a store");
    let rubbish = live.trust_relay(Some(b"rubbish".to_vec())).await.expect_err("no certificate");
    assert_eq!(rubbish.code(), "relay-ca");
    let untrusted = live.sync_once(Mode::Both, DEADLINE).await.expect_err("an authority the system does not know");
    assert_eq!(untrusted.code(), "untrusted");
    let authority = fs::read(shop.folder.path().join("authority.pem")).expect("read");
    live.trust_relay(Some(authority)).await.expect("kept");
    live.stay_live(Mode::Both).await.expect("connects");
    let mut statuses = live.statuses();
    let is_up = |status: &Option<comptoir::Status>| {
        status.as_ref().is_some_and(|status| status.engine.state == State::UpToDate)
    };
    timeout(DEADLINE, statuses.wait_for(is_up)).await.expect("in time").expect("open");
    let before = live.status().await.expect("a status").traffic;

    let second = shop.authority.certify();
    shop.files.write(&second);
    until("the new certificate", || {
        (shop.authority.shown_at(shop.relay.address()).as_ref() == Some(&second.der)).then_some(())
    });
    let mut watch = live.watch();
    let till = shop.trusting("till");
    till.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    till.sync();
    timeout(DEADLINE, watch.next()).await.expect("in time").expect("a notice");
    let received = live.status().await.expect("a status").traffic.received_bytes - before.received_bytes;
    // A handshake alone has a certificate of several hundred bytes, and a welcome.
    assert!(received < 600, "{received} bytes: it has connected anew");
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_in_both_languages() {
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, files) = (Authority::new(), Files::in_folder(folder.path()));
    let (one, other) = (authority.certify(), authority.certify());
    let said = |language: &str, args: &[&str]| {
        let mut serve = command(&["serve", "--listen", "127.0.0.1:0"]);
        serve.arg("--data").arg(folder.path().join("relay")).args(args).env("COMPTOIR_LANG", language);
        run(&mut serve).failure()
    };
    let both = |english: &str, french: &str, args: &[&str]| {
        let (en, fr) = (said("en", args), said("fr", args));
        assert!(en.contains(english), "{en}");
        assert!(fr.contains(french), "{fr}");
    };
    both("cannot be read", "ne peut pas être lu", &files.args());
    both("tls.key is missing", "tls.key manque", &files.args()[..2]);
    both("tls.cert is missing", "tls.cert manque", &files.args()[2..]);
    files.write(&one);
    fs::write(&files.cert, "rubbish").expect("written");
    both("no certificate in PEM", "pas de certificat PEM", &files.args());
    files.write(&one);
    fs::write(&files.key, "rubbish").expect("written");
    both("no private key in PEM", "pas de clé privée PEM", &files.args());
    files.write(&one);
    fs::write(&files.key, &other.key).expect("written");
    both("does not match the certificate", "ne va pas avec le certificat", &files.args());
    assert!(!folder.path().join("relay").join("control").exists());
}

#[test]
fn a_slow_handshake_is_cut_off_and_counts_among_the_guests() {
    let shop = Shop::open("upgrade_timeout_ms = 700\n");
    let address = shop.relay.address();
    let begun = Instant::now();
    let mut silent = TcpStream::connect(address).expect("a connection");
    silent.write_all(&[0x16, 0x03]).expect("the first bytes of a handshake");
    silent.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut rest = Vec::new();
    // Closed or reset, within the deadline.
    let _ = silent.read_to_end(&mut rest);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
    drop(shop);

    let shop = Shop::open("guests_per_address_max = 2\nupgrade_timeout_ms = 60000\n");
    let connect = || TcpStream::connect(shop.relay.address()).expect("a connection");
    let mut first = connect();
    let _others = [connect(), connect()];
    first.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let begun = Instant::now();
    assert_eq!(first.read(&mut [0; 8]).unwrap_or(0), 0, "the longest waiting goes");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let till = shop.trusting("till");
    till.sync();
}
