//! Backups of a relay, by its own program: while it serves and while it does not; what comes out of one is what went in, and
//! devices bring back what came after.

use comptoir::{Comptoir, Mode};
use comptoir_tests::backups::{Place, digest_said, put};
use comptoir_tests::device::Device;
use comptoir_tests::program::run;
use comptoir_tests::relay::{Relay, command};
use comptoir_tests::shop;
use comptoir_tests::wait::until;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const WORKSPACE: &str = "supermarket";

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
    assert_eq!(digest_said(&said, WORKSPACE), before);

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
        assert_eq!(taken["parts_written"], 1, "{taken}");
        assert_eq!(taken["removed"], u32::from(backup == 3), "{taken}");
        digests.push(till.digest());
    }
    assert_eq!(place.names().len(), 3);
    assert_eq!(place.files("parts").len(), 5, "four of entries, and the keys, which are the same");
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
        assert_eq!(digest_said(&said, WORKSPACE), *digest, "at {at}");
    }
    let said = place.restore(&folder.path().join("early"), &["--at", "2001-01-01T00:00:00Z"]).expect_err("none so old");
    assert!(said.contains("no such backup"), "{said}");

    // All in one: what no backup needs any more is gone.
    let taken = place.take(&["--full", "--keep", "1"]);
    assert_eq!((&taken["full"], &taken["removed"]), (&true.into(), &3.into()), "{taken}");
    assert_eq!((place.files("parts").len(), place.names().len()), (2, 1));
    assert_eq!(digest_said(&place.verify().expect("whole"), WORKSPACE), digests[3]);
}

#[test]
fn backups_beside_sales_and_compaction_are_each_one_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let config = folder.path().join("relay.toml");
    fs::write(&config, "compact_entries = 4\n").expect("written");
    let relay = Relay::start_with(&place.data, &["--config", &config.display().to_string()]);
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    let (store, done) = (till.store().to_owned(), Arc::new(AtomicBool::new(false)));
    let backing_up = done.clone();
    let selling = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let shop = Comptoir::open(&store).await.expect("opened");
            shop.stay_live(Mode::Both).await.expect("live");
            let mut sold = 0;
            while !done.load(Ordering::Relaxed) || sold < 100 {
                shop.increment("products", &(sold % 7).to_string(), "stock", -1).await.expect("sold");
                sold += 1;
            }
            shop.shut_down().await.expect("closed");
        });
    });
    // Each is tried before it counts: its entries give the digest that the log had.
    let taken: Vec<_> = (0..8).map(|_| place.take(&[])).collect();
    assert!(taken.iter().all(|taken| taken["tried"] == true), "{taken:?}");
    backing_up.store(true, Ordering::Relaxed);
    selling.join().expect("sold");
    till.sync();
    let last = place.take(&[]);
    assert_eq!(last["full"], false);
    let said = place.restore(&folder.path().join("fresh/"), &[]).expect("restored");
    assert_eq!(digest_said(&said, WORKSPACE), till.digest());
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
    assert_eq!(digest_said(&said, WORKSPACE), then);
    assert!(!said.contains("corner-bar"), "{said}");
    let said = place.restore(&folder.path().join("c"), &["--workspace", "nobodys"]).expect_err("not in it");
    assert!(said.contains("no workspace nobodys"), "{said}");
    let said = place.restore(&folder.path().join("b"), &[]).expect_err("not empty");
    assert!(said.contains("is not empty"), "{said}");
}

#[test]
fn of_the_keys_those_come_back_that_were_good_then_and_nobody_else_reads_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let relay = Relay::start(&place.data);
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    put(&till, 0..1);
    let keys = |data: &Path| -> Vec<String> {
        let entries = fs::read_dir(data.join("keys")).expect("keys").map(|entry| entry.expect("an entry").path());
        let keys = entries.filter(|path| path.extension().is_some_and(|end| end == "paserk"));
        keys.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect()
    };
    let first = keys(&place.data);
    // Another key, as another relay makes it, and a file that is none.
    let other = folder.path().join("other");
    run(command(&["token", "create", "--workspace", WORKSPACE, "--data"]).arg(&other)).success();
    let second = keys(&other).remove(0);
    fs::copy(other.join("keys").join(&second), place.data.join("keys").join(&second)).expect("copied");
    fs::write(place.data.join("keys/old.paserk"), "k4.secret.no\n").expect("written");
    // A folder that was there already, open to all.
    fs::create_dir(&place.out).expect("a folder");
    fs::set_permissions(&place.out, fs::Permissions::from_mode(0o755)).expect("set");
    place.take(&[]);
    for inner in ["parts", "backups"] {
        let mode = fs::metadata(place.out.join(inner)).expect("a folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{inner}");
    }
    place.restore(&folder.path().join("both"), &[]).expect("restored");
    assert_eq!(keys(&folder.path().join("both")).len(), 2);
    // A key that leaked is taken away, and stays away.
    fs::remove_file(place.data.join("keys").join(&second)).expect("removed");
    put(&till, 1..2);
    assert_eq!(place.take(&[])["full"], false);
    fs::write(place.out.join("backups/zz.json"), "somebody else's").expect("written");
    place.restore(&folder.path().join("one"), &[]).expect("restored");
    assert_eq!(keys(&folder.path().join("one")), first);
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
