//! Backups of a log of which one workspace is damaged, and places of which several backups are: the others are backed up and
//! checked all the same, and the last good state of what is damaged stays.

use comptoir_tests::backups::{Place, Spoiler, digest_said, put, rot, spoil};
use comptoir_tests::device::Device;
use comptoir_tests::program::run;
use comptoir_tests::relay::{Relay, command};
use serde_json::Value;
use std::fs;
use std::path::Path;

const BAR: &str = "corner-bar";
const MARKET: &str = "supermarket";

struct Shops {
    place: Place,
    relay: Relay,
    bar: Device,
    market: Device,
}

impl Shops {
    fn open(folder: &Path) -> Self {
        let place = Place::new(folder);
        let relay = Relay::start(&place.data);
        let device = |name: &str| Device::init(&folder.join(name), name, &relay.url(), &relay.token(name));
        let (bar, market) = (device(BAR), device(MARKET));
        Self { place, relay, bar, market }
    }

    /// Both sell.
    fn sell(&self, keys: std::ops::Range<u32>) {
        put(&self.bar, keys.clone());
        put(&self.market, keys);
    }

    /// A backup that lacks something: what it says, and the one line of the error.
    fn take_lacking(&self, args: &[&str]) -> (Value, String) {
        let outcome = run(&mut self.place.command(args));
        let taken = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("no backup: {outcome:?}"));
        (taken, outcome.failure())
    }
}

/// A way to damage the newest of the bar's log, without a relay that has it open.
type Damage = fn(&Path);

fn garble_entry(data: &Path) {
    let garble: Spoiler = |tx, key| tx.put(key, b"\x01\x00garbled");
    spoil(data, &[b"e\0", BAR.as_bytes(), b"\0"].concat(), garble);
}

fn rot_entry(data: &Path) {
    rot(data, &[b"e\0", BAR.as_bytes(), b"\0"].concat());
}

fn rot_workspace(data: &Path) {
    rot(data, &[b"w\0", BAR.as_bytes()].concat());
}

fn one_damaged_log_does_not_keep_the_others_from_being_backed_up(damage: Damage) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut shops = Shops::open(folder.path());
    shops.sell(0..3);
    shops.place.take(&["--keep", "1"]);
    let bar_then = shops.bar.digest();
    shops.sell(3..6);
    shops.relay.terminate().success();
    damage(&shops.place.data);
    // Of a relay that serves, and of one that does not: the bar stays as it was, the market goes on.
    for (round, serves) in [(0, false), (1, true)] {
        shops.relay.restart();
        put(&shops.market, 6 + round..7 + round);
        if !serves {
            shops.relay.terminate().success();
        }
        let (taken, said) = shops.take_lacking(&["--keep", "1"]);
        let lack = &taken["lacks"][0];
        assert_eq!((&taken["full"], &taken["tried"], &taken["workspaces"]), (&false.into(), &true.into(), &2.into()));
        assert!(lack["workspace"] == BAR && lack["through"].as_u64().is_some_and(|through| through > 0), "{taken}");
        assert!(said.contains("1 workspaces are damaged"), "{said}");
        let said = shops.place.restore(&folder.path().join(format!("fresh-{round}")), &[]).expect("restored");
        assert_eq!((digest_said(&said, BAR), digest_said(&said, MARKET)), (bar_then.clone(), shops.market.digest()));
        assert!(said.contains(&format!("DAMAGED: {BAR}")), "{said}");
        assert_eq!(shops.place.names().len(), 1, "the newest has all that the one before had");
    }
    // In full it cannot have the bar; however few are kept, the last one that has it stays.
    let last_with_bar = shops.place.names();
    for args in
        [&["--full", "--keep", "1"][..], &["--keep", "1"], &["--full", "--keep", "1"], &["--no-trial", "--keep", "1"]]
    {
        let outcome = run(&mut shops.place.command(args));
        if !args.contains(&"--no-trial") {
            assert!(outcome.code == Some(1) && outcome.stdout.contains("\"through\":null"), "{args:?}: {outcome:?}");
        }
        assert!(shops.place.names().contains(&last_with_bar[0]), "{args:?}");
    }
    let said =
        shops.place.restore(&folder.path().join("bar-alone"), &["--at", &at(&last_with_bar[0])]).expect("restored");
    assert_eq!(digest_said(&said, BAR), bar_then);
}

/// The time in a backup's name, as `--at` takes it.
fn at(name: &str) -> String {
    let made = name.split('-').next().expect("a time");
    let (day, time) = made.split_once('T').expect("a time");
    format!("{}-{}-{}T{}:{}:{}", &day[..4], &day[4..6], &day[6..], &time[..2], &time[2..4], &time[4..])
}

#[test]
fn an_entry_that_the_trial_does_not_take_keeps_no_other_workspace_from_being_backed_up() {
    one_damaged_log_does_not_keep_the_others_from_being_backed_up(garble_entry);
}

#[test]
fn an_entry_that_cannot_be_read_keeps_no_other_workspace_from_being_backed_up() {
    one_damaged_log_does_not_keep_the_others_from_being_backed_up(rot_entry);
}

#[test]
fn a_workspace_whose_own_row_cannot_be_read_keeps_no_other_from_being_backed_up() {
    one_damaged_log_does_not_keep_the_others_from_being_backed_up(rot_workspace);
}

#[test]
fn verify_tells_of_every_workspace_whatever_the_first_is_like() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut shops = Shops::open(folder.path());
    shops.sell(0..3);
    let mut verify = command(&["verify", "--data"]);
    verify.arg(&shops.place.data);
    shops.relay.terminate().success();
    let said = run(&mut verify).success();
    assert!(said.contains(&format!("{BAR}: whole")) && said.contains(&format!("{MARKET}: whole")), "{said}");
    for damage in [garble_entry, rot_entry, rot_workspace] {
        damage(&shops.place.data);
        for serves in [false, true] {
            if serves {
                shops.relay.restart();
            }
            let outcome = run(&mut verify);
            let said = &outcome.stdout;
            assert!(said.contains(&format!("DAMAGED: {BAR}")) && said.contains(&format!("{MARKET}: whole")), "{said}");
            assert!(outcome.failure().contains("1 workspaces are damaged"));
        }
        shops.relay.terminate().success();
    }
}

#[test]
fn nothing_is_backed_up_where_all_of_it_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let mut relay = Relay::start(&place.data);
    let bar = Device::init(&folder.path().join(BAR), BAR, &relay.url(), &relay.token(BAR));
    put(&bar, 0..3);
    relay.terminate().success();
    rot_entry(&place.data);
    assert!(run(&mut place.command(&[])).failure().contains("damaged"));
    assert!(place.names().is_empty());
}

#[test]
fn verify_checks_every_backup_of_a_place_and_tells_all_that_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let shops = Shops::open(folder.path());
    let place = &shops.place;
    let mut parts = Vec::new();
    for (round, args) in [&[][..], &[], &["--full"]].into_iter().enumerate() {
        let before = place.files("parts");
        shops.sell(3 * round as u32..3 * round as u32 + 3);
        place.take(args);
        let new = place.files("parts").into_iter().filter(|part| !before.contains(part));
        // The keys are of the first one, and small.
        parts.push(new.max_by_key(|part| fs::metadata(part).expect("a file").len()).expect("a new part"));
    }
    assert_eq!(place.verify().expect("whole").matches("can be restored").count(), 3);
    let mut spoiled = fs::read(&parts[0]).expect("a file");
    spoiled[20] ^= 1;
    fs::write(&parts[0], spoiled).expect("written");
    fs::remove_file(&parts[1]).expect("removed");
    let mut verify = command(&["verify", "--from"]);
    let outcome = run(verify.arg(&place.out));
    let names: Vec<_> = place.names().iter().map(|name| name.trim_end_matches(".json").to_owned()).collect();
    let told = |name: &str, what: &str| {
        let line = format!("DAMAGED: backup {name}: ");
        outcome.stdout.lines().filter(|said| said.starts_with(&line) && said.contains(what)).count()
    };
    for (name, part, what) in [
        (&names[0], &parts[0], "is not what was written"),
        (&names[1], &parts[0], "is not what was written"),
        (&names[1], &parts[1], "is missing"),
    ] {
        let part = part.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(told(name, &format!("parts/{part} {what}")), 1, "{outcome:?}");
    }
    assert_eq!(told(&names[2], ""), 0, "{outcome:?}");
    assert!(
        outcome.stdout.contains(&format!("backup {} of", names[2])) && outcome.stdout.contains("CANNOT"),
        "{outcome:?}"
    );
    assert_eq!(digest_said(&outcome.stdout, BAR), shops.bar.digest(), "the newest comes first, and is whole");
    assert!(outcome.failure().contains("of 3 backups in"));

    // What a backup says of itself is not what it said.
    fs::write(place.out.join("backups").join(format!("{}.json", names[0])), "{}").expect("written");
    let outcome = run(verify.env("COMPTOIR_LANG", "fr"));
    assert!(outcome.stdout.contains(&format!("ABÎMÉ : sauvegarde {}", names[0])), "{outcome:?}");
    assert!(outcome.failure().contains("sur 3 sauvegardes"));
}
