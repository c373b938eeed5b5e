//! Backups of a relay, by its own program: while it serves and while it does not, whole after every kill, and what comes out of
//! one is what went in. Devices bring back what came after.

use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::disk::{self, CACHE_BYTES};
use comptoir_tests::device::Device;
use comptoir_tests::program::{Running, run};
use comptoir_tests::relay::{Relay, command};
use comptoir_tests::shop;
use comptoir_tests::wait::until;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const WORKSPACE: &str = "supermarket";

/// A place for backups, and the relay's data folder.
struct Place {
    data: PathBuf,
    out: PathBuf,
}

impl Place {
    fn new(folder: &Path) -> Self {
        Self { data: folder.join("relay"), out: folder.join("backups") }
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = command(&["backup", "--json"]);
        command.args(args).arg("--data").arg(&self.data).arg("--out").arg(&self.out);
        command
    }

    /// Takes a backup; what it says.
    fn take(&self, args: &[&str]) -> Value {
        serde_json::from_str(&run(&mut self.command(args)).success()).expect("JSON")
    }

    fn verify(&self) -> Result<String, String> {
        let mut command = command(&["verify"]);
        let outcome = run(command.arg("--from").arg(&self.out));
        if outcome.code == Some(0) { Ok(outcome.stdout) } else { Err(outcome.failure()) }
    }

    fn restore(&self, to: &Path, args: &[&str]) -> Result<String, String> {
        let mut command = command(&["restore"]);
        let outcome = run(command.args(args).arg("--from").arg(&self.out).arg("--data").arg(to));
        if outcome.code == Some(0) { Ok(outcome.stdout) } else { Err(outcome.failure()) }
    }

    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.out.join(folder)) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }

    fn names(&self) -> Vec<String> {
        self.files("backups")
            .iter()
            .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
            .collect()
    }
}

fn put(device: &Device, keys: std::ops::Range<u32>) {
    keys.for_each(|key| _ = device.ok(&["put", "products", &key.to_string(), r#"{"name":"Pils"}"#]));
    device.sync();
}

/// The digest of the workspace in what was said of a restored or verified backup.
fn digest_said(said: &str) -> String {
    let line = said.lines().find(|line| line.starts_with(WORKSPACE)).expect("the workspace's line");
    line.rsplit(' ').next().expect("a digest").to_owned()
}

#[test]
fn a_restore_drill_on_real_products_gives_back_every_record_and_devices_bring_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let mut relay = Relay::start(&place.data);
    let token = relay.token(WORKSPACE);
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &token);
    let products = shop::file("products.ndjson.zst").display().to_string();
    till.ok(&["import", &products, "--collection", "products", "--key", "id"]);
    till.sync();
    let before = till.digest();
    let taken = place.take(&[]);
    assert_eq!(
        (&taken["full"], &taken["tried"], &taken["workspaces"]),
        (&true.into(), &true.into(), &1.into()),
        "{taken}"
    );
    eprintln!("{} products: {} bytes", shop::PRODUCTS, taken["bytes"]);

    // A sale after the backup, then the server burns down.
    till.ok(&["put", "sales", "1204", r#"{"total_cents":1250}"#]);
    till.sync();
    relay.kill();
    fs::remove_dir_all(&place.data).expect("removed");
    let said = place.restore(&place.data, &[]).expect("restored");
    assert_eq!(digest_said(&said), before);

    // The tokens that are out open the restored relay, and it gets back what the backup had not.
    relay.restart();
    till.sync();
    let cellar = Device::init(&folder.path().join("cellar"), WORKSPACE, &relay.url(), &token);
    cellar.sync();
    assert_eq!(cellar.get("sales", "1204")["total_cents"], 1250);
    assert_eq!(cellar.digest(), till.digest());
    let mut verify = command(&["verify"]);
    let verified = run(verify.arg("--data").arg(&place.data)).success();
    // The sale, and the till's own record.
    assert!(verified.contains(&format!("{} records", shop::PRODUCTS + 2)), "{verified}");
}

#[test]
fn later_backups_write_what_is_new_and_every_kept_one_can_be_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let mut relay = Relay::start(&place.data);
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    let mut digests = Vec::new();
    for backup in 0..4 {
        put(&till, backup * 3..backup * 3 + 3);
        // The third one of a relay that does not serve.
        if backup == 2 {
            relay.terminate().success();
        }
        let taken = place.take(&["--keep", "3"]);
        if backup == 2 {
            relay.restart();
        }
        assert_eq!(taken["full"], backup == 0, "{taken}");
        assert_eq!(taken["parts_written"], if backup == 0 { 2 } else { 1 }, "the keys are there already: {taken}");
        assert_eq!(taken["removed"], u32::from(backup == 3), "{taken}");
        digests.push(till.digest());
    }
    assert_eq!(place.names().len(), 3);
    for (name, digest) in place.names().iter().zip(&digests[1..]) {
        let made = name.split('-').next().expect("a time");
        let at = format!(
            "{}-{}-{}T{}:{}:{}",
            &made[..4],
            &made[4..6],
            &made[6..8],
            &made[9..11],
            &made[11..13],
            &made[13..]
        );
        let said = place.restore(&folder.path().join(made), &["--at", &at]).expect("restored");
        assert_eq!(digest_said(&said), *digest, "at {at}");
    }
    let said = place.restore(&folder.path().join("early"), &["--at", "2001-01-01T00:00:00Z"]).expect_err("none so old");
    assert!(said.contains("no such backup"), "{said}");

    // All in one: what no backup needs any more is gone.
    let taken = place.take(&["--full", "--keep", "1"]);
    assert_eq!((&taken["full"], &taken["removed"]), (&true.into(), &3.into()), "{taken}");
    assert_eq!((place.files("parts").len(), place.names().len()), (2, 1));
    assert_eq!(digest_said(&place.verify().expect("whole")), digests[3]);
}

#[test]
fn a_log_is_restored_through_an_entry_and_a_workspace_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let relay = Relay::start(&place.data);
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    put(&till, 0..3);
    let then = till.digest();
    let taken = place.take(&[]);
    assert_eq!(taken["workspaces"], 1);
    let said = place.verify().expect("whole");
    let tail =
        said.split("through entry ").nth(1).and_then(|rest| rest.split(',').next()).expect("an entry").to_owned();
    put(&till, 3..5);
    let bar = Device::init(&folder.path().join("bar"), "corner-bar", &relay.url(), &relay.token("corner-bar"));
    put(&bar, 0..1);
    place.take(&[]);

    let mut ambiguous = command(&["restore", "--seq", &tail]);
    let outcome = run(ambiguous.arg("--from").arg(&place.out).arg("--data").arg(folder.path().join("a")));
    assert!(outcome.code == Some(2) && outcome.stderr.contains("--workspace"), "{outcome:?}");
    let said = place.restore(&folder.path().join("b"), &["--seq", &tail, "--workspace", WORKSPACE]).expect("restored");
    assert_eq!(digest_said(&said), then);
    assert!(!said.contains("corner-bar"), "{said}");
    let said = place.restore(&folder.path().join("c"), &["--workspace", "nobodys"]).expect_err("not in it");
    assert!(said.contains("no workspace nobodys"), "{said}");
    let said = place.restore(&folder.path().join("b"), &[]).expect_err("not empty");
    assert!(said.contains("is not empty"), "{said}");
}

#[test]
fn a_killed_backup_leaves_the_last_good_one_and_a_killed_restore_leaves_nothing_to_serve() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let mut relay = Relay::start(&place.data);
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    put(&till, 0..3);
    place.take(&[]);
    let (names, digest) = (place.names(), till.digest());
    put(&till, 3..40);
    relay.terminate().success();
    for stop in ["parts written", "being tried"] {
        let parts = place.files("parts").len();
        let running = Running::start(&mut place.command(&[]));
        let trial = place.data.join("trial");
        until(stop, || match stop {
            "parts written" => (place.files("parts").len() > parts).then_some(()),
            _ => trial.exists().then_some(()),
        });
        running.kill();
        // It may have been quicker: then there is a good one more.
        let left = place.names();
        assert!(left == names || left.len() == names.len() + 1, "{left:?}");
        let said = digest_said(&place.verify().expect("the last good one is whole"));
        assert!(left != names || said == digest, "{stop}");
        if left != names {
            fs::remove_file(place.out.join("backups").join(left.last().expect("one more"))).expect("removed");
        }
    }
    let fresh = folder.path().join("fresh");
    let mut restore = command(&["restore"]);
    let running = Running::start(restore.arg("--from").arg(&place.out).arg("--data").arg(&fresh));
    until("a restore has begun", || folder.path().join("fresh.restoring").exists().then_some(()));
    running.kill();
    assert!(!fresh.exists() || fresh.join("keys").exists(), "all of it or nothing");
    if !fresh.exists() {
        place.restore(&fresh, &[]).expect("restored");
    }
    assert!(!folder.path().join("fresh.restoring").exists());
}

#[test]
fn nothing_spoiled_in_a_place_goes_unseen_and_a_full_backup_heals_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let relay = Relay::start(&place.data);
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    put(&till, 0..3);
    place.take(&[]);
    for file in place.files("parts").into_iter().chain(place.files("backups")) {
        let good = fs::read(&file).expect("a file");
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        for spoiled in [flipped, good[..good.len() - 1].to_vec(), Vec::new()] {
            fs::write(&file, &spoiled).expect("written");
            let said = place.verify().expect_err("damage is seen");
            assert!(said.contains("is damaged"), "{}: {said}", file.display());
        }
        fs::remove_file(&file).expect("removed");
        let said = place.verify().expect_err("a missing file is seen");
        assert!(said.contains("is damaged") || said.contains("no such backup"), "{}: {said}", file.display());
        fs::write(&file, &good).expect("written");
        place.verify().expect("whole again");
    }
    // A part that has another length is not built on; one that has not is found by the trial, and a full backup helps.
    let part =
        place.files("parts").into_iter().max_by_key(|part| fs::metadata(part).expect("a file").len()).expect("a part");
    let good = fs::read(&part).expect("a file");
    fs::write(&part, &good[1..]).expect("written");
    assert_eq!(place.take(&[])["full"], true);
    let mut flipped = good.clone();
    flipped[9] ^= 1;
    fs::write(&part, &flipped).expect("written");
    let names = place.names();
    assert!(run(&mut place.command(&[])).failure().contains("is damaged"));
    assert_eq!(place.names(), names, "what cannot be restored is no backup");
    assert_eq!(place.take(&["--full"])["full"], true);
    place.verify().expect("whole");
}

type Spoiler = fn(&mut Txn<'_>, Vec<u8>);

/// Changes the last row of the log whose key begins so, in a store that holds good checksums for what it now holds.
fn spoil(data: &Path, prefix: &[u8], change: Spoiler) {
    let opened = disk::open(&data.join("log"), None, CACHE_BYTES).expect("a log");
    let until = [&prefix[..prefix.len() - 1], &[prefix[prefix.len() - 1] + 1]].concat();
    let (key, _) = txn::scan(&*opened.disk, prefix, &until, usize::MAX).expect("rows").pop().expect("a row");
    let mut tx = Txn::new(&*opened.disk);
    change(&mut tx, key);
    tx.commit().expect("changed");
    opened.disk.flush().expect("durable");
}

#[test]
fn verify_tells_what_of_a_log_is_not_as_it_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let mut relay = Relay::start(&place.data);
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    for key in 0..4 {
        put(&till, key..key + 1);
    }
    let mut verify = command(&["verify"]);
    verify.arg("--data").arg(&place.data);
    // Four products and the device's own record.
    let serving = run(&mut verify).success();
    assert!(serving.contains("1 workspaces are whole: 5 records"), "{serving}");
    relay.terminate().success();
    assert_eq!(run(&mut verify).success(), serving);
    let remove: Spoiler = |tx, key| tx.remove(key);
    let garble: Spoiler = |tx, key| tx.put(key, b"\x01\x00garbled");
    let spoilers: [(&[u8], Spoiler, &str); 3] = [
        (b"d\0", remove, "the records' rows do not give the digest"),
        (b"e\0", garble, "an entry of supermarket"),
        (b"e\0", remove, "its entries at"),
    ];
    for (prefix, spoiler, expected) in spoilers {
        spoil(&place.data, prefix, spoiler);
        let outcome = run(&mut verify);
        assert!(outcome.stdout.contains(expected), "{expected}: {outcome:?}");
        assert!(outcome.failure().contains("1 workspaces are damaged"));
    }
}

#[test]
fn a_relay_takes_backups_on_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let config = folder.path().join("relay.toml");
    let text = format!("[backup]\nout = {:?}\nevery = \"6h\"\nkeep = 2\n", place.out.display().to_string());
    fs::write(&config, text).expect("written");
    let relay = Relay::start_with(&place.data, &["--config", &config.display().to_string()]);
    until("the first backup", || (place.names().len() == 1).then_some(()));
    place.verify().expect("whole");
    assert!(relay.stderr().contains("a backup was taken"), "{}", relay.stderr());
    drop(relay);
    for wrong in ["every = \"soon\"", "every = \"5s\"", "every = \"6h\"\nkeep = 0"] {
        fs::write(&config, format!("[backup]\nout = \"b\"\n{wrong}\n")).expect("written");
        let mut serve = command(&["serve", "--config", &config.display().to_string()]);
        run(serve.arg("--data").arg(&place.data)).failure();
    }
}

#[test]
fn what_cannot_be_backed_up_or_restored_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let outcome = run(&mut place.command(&[]));
    assert!(outcome.code == Some(2) && outcome.stderr.contains("no relay's log"), "{outcome:?}");
    assert!(!place.out.exists());
    let said = place.restore(&folder.path().join("fresh"), &[]).expect_err("no place");
    assert!(said.contains("cannot be used"), "{said}");
    fs::create_dir(&place.out).expect("a folder");
    let said = place.restore(&folder.path().join("fresh"), &[]).expect_err("an empty place");
    assert!(said.contains("no such backup"), "{said}");
    assert!(!folder.path().join("fresh").exists());
    let mut french = command(&["restore", "--at", "hier"]);
    let outcome = run(french.env("COMPTOIR_LANG", "fr").arg("--from").arg(&place.out).arg("--data").arg("fresh"));
    assert!(outcome.code == Some(2) && outcome.stderr.contains("n'est pas une date"), "{outcome:?}");
    // A place that cannot be written: the relay that serves says so, in the language that was asked.
    let _relay = Relay::start(&place.data);
    let mut french = command(&["backup", "--out", "/proc/backups"]);
    let outcome = run(french.env("COMPTOIR_LANG", "fr").arg("--data").arg(&place.data));
    assert!(
        outcome.code == Some(1) && outcome.stderr.contains("le lieu /proc/backups est inutilisable"),
        "{outcome:?}"
    );
}
