//! How long a relay that lost everything is without it: a device with the 92,331 products of a real grocery chain fills it
//! again. Must not know how.
//!
//! `cargo bench -p comptoir-benches --bench regain`

use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use comptoir_tests::shop;
use std::fs;
use std::time::Instant;

const WORKSPACE: &str = "grocery";

fn timed(what: &str, run: impl FnOnce() -> String) {
    let begun = Instant::now();
    let said = run();
    println!("{what}: {:.1} s; {}", begun.elapsed().as_secs_f64(), said.trim());
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let mut relay = Relay::start(&path("relay"));
    let token = relay.token(WORKSPACE);
    let device = |name: &str| Device::init(&path(name), WORKSPACE, &relay.url(), &token);
    let (office, phone) = (device("office"), device("phone"));
    let products = shop::file("products.ndjson.zst");
    let products = products.to_str().expect("a path");
    timed("imported", || office.ok(&["import", products, "--collection", "products", "--key", "id"]));
    timed("pushed for the first time", || office.ok(&["sync"]));
    let digest = office.digest();

    relay.kill();
    fs::remove_dir_all(path("relay").join("log")).expect("the log goes");
    relay.restart();
    timed("compared and pushed again after the relay lost its log", || office.ok(&["sync"]));
    relay.stderr().lines().filter(|line| line.contains("had lost")).for_each(|line| println!("  the relay: {line}"));
    timed("pulled by a device that had nothing", || phone.ok(&["sync"]));
    assert_eq!((office.digest(), phone.digest()), (digest.clone(), digest));
}
