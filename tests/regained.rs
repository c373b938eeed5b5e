//! A relay that has lost its log, all of it or the newest part, is filled again by its devices, and says what it got back
//! and from whom.

use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use std::fs;
use std::path::Path;

const WORKSPACE: &str = "corner-bar";

fn put(device: &Device, keys: std::ops::Range<u32>) {
    keys.for_each(|key| _ = device.ok(&["put", "products", &key.to_string(), r#"{"name":"Pils"}"#]));
}

/// What the relay says it got back, and from which device.
fn regained(relay: &Relay) -> Vec<String> {
    let lines = relay.stderr();
    lines.lines().filter(|line| line.contains("had lost changes")).map(str::to_owned).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let (path, to) = (entry.as_ref().expect("an entry").path(), to.join(entry.expect("an entry").file_name()));
        if path.is_dir() { copy(&path, &to) } else { _ = fs::copy(&path, &to).expect("copied") }
    }
}

#[test]
fn a_wiped_and_a_restored_relay_tell_what_they_got_back_and_from_whom() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token(WORKSPACE);
    let device = |name: &str| Device::init(&folder.path().join(name), WORKSPACE, &relay.url(), &token);
    let (bar, cellar) = (device("bar"), device("cellar"));
    put(&bar, 0..4);
    bar.sync();
    relay.terminate().success();
    copy(&folder.path().join("relay"), &folder.path().join("backup"));
    relay.restart();
    put(&cellar, 4..6);
    cellar.sync();
    bar.sync();
    assert_eq!(regained(&relay), Vec::<String>::new(), "nothing was lost");
    let digest = bar.digest();

    // Restored: what the cellar pushed since is gone. The bar, which has it too, is the first to come.
    relay.kill();
    fs::remove_dir_all(folder.path().join("relay")).expect("removed");
    copy(&folder.path().join("backup"), &folder.path().join("relay"));
    relay.restart();
    bar.sync();
    let told = regained(&relay);
    assert!(told.len() == 1 && told[0].contains("bar (") && told[0].contains("changes=3"), "{told:?}");
    cellar.sync();
    assert_eq!(regained(&relay), told, "the cellar had nothing more to give");

    // Wiped: everything comes from whoever is first.
    relay.kill();
    fs::remove_dir_all(folder.path().join("relay/log")).expect("removed");
    relay.restart();
    put(&cellar, 6..7);
    cellar.sync();
    bar.sync();
    let told = regained(&relay);
    assert!(told.len() == 1 && told[0].contains("cellar ("), "{told:?}");
    // Six products and who the two devices are; the seventh product is new.
    assert!(told[0].contains("changes=8") && told[0].contains(WORKSPACE), "{told:?}");
    assert_eq!(bar.digest(), cellar.digest());
    assert_ne!(bar.digest(), digest);
}
