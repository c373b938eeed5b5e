//! A tour of a shop's day during which devices and relay are killed (SIGKILL) at random moments: whatever was reported
//! saved is there in the end, on every device, and the counters are exact.

use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

const ROUNDS: u64 = 12;
const WORKSPACE: &str = "corner-bar";

/// A till, and what was reported saved on it.
struct Till {
    name: &'static str,
    device: Device,
    sales: BTreeMap<String, i64>,
    stock: i64,
}

impl Till {
    /// Runs a command and kills it at a random moment. Whether it had returned 0 by then.
    fn cut_short(&self, args: &[&str], chance: &mut StdRng) -> bool {
        let mut running = self.device.start(args);
        moment(chance, 60);
        if running.is_alive() {
            running.kill();
            eprintln!("  {} was killed", args[0]);
            return false;
        }
        running.wait(Duration::from_secs(1)).code == Some(0)
    }

    fn sell(&mut self, number: u64, cut: bool, chance: &mut StdRng) {
        let key = format!("{}-{number}", self.name);
        let total = chance.random_range(100..2_000);
        let quantity = chance.random_range(1..5);
        let fields = json!({"till": self.name, "total_cents": total}).to_string();
        let put = ["put", "sales", &key, &fields];
        let by = (-quantity).to_string();
        let incr = ["incr", "products", "tea", &format!("stock_{}", self.name), &by];
        if !cut {
            self.device.ok(&put);
            self.device.ok(&incr);
            self.sales.insert(key, total);
            self.stock -= quantity;
            return;
        }
        if self.cut_short(&put, chance) {
            self.sales.insert(key, total);
        }
        let saved = self.cut_short(&incr, chance);
        let found = self.stock();
        match found - self.stock {
            0 => assert!(!saved, "an increment that was reported saved is gone"),
            more => assert_eq!(more, -quantity, "an increment counts once or not at all"),
        }
        self.stock = found;
    }

    /// The counter of this till, as its own device shows it.
    fn stock(&self) -> i64 {
        stock(&self.device, self.name)
    }
}

fn stock(device: &Device, till: &str) -> i64 {
    device.get("products", "tea")[format!("stock_{till}")].as_i64().unwrap_or(0)
}

/// Waits for up to so many milliseconds.
fn moment(chance: &mut StdRng, ms_max: u64) {
    // wait: the kill has to fall at a random moment of what runs, so there is no state to wait for.
    sleep(Duration::from_millis(chance.random_range(0..=ms_max)));
}

/// One round: sales on both tills, and one process killed. Which till's work is on the relay for certain.
fn round(number: u64, relay: &mut Relay, tills: &mut [Till; 2], chance: &mut StdRng) -> Vec<usize> {
    let victim = chance.random_range(0..4);
    let which = chance.random_range(0..2usize);
    eprintln!(
        "round {number}: {} of {}",
        ["edits", "a sync", "a live session", "the relay"][victim],
        tills[which].name
    );
    for (index, till) in tills.iter_mut().enumerate() {
        till.sell(2 * number, victim == 0 && index == which, chance);
        till.sell(2 * number + 1, false, chance);
    }
    let mut synced = Vec::new();
    match victim {
        1 => synced.extend(tills[which].cut_short(&["sync"], chance).then_some(which)),
        2 => {
            let live = tills[which].device.start(&["run"]);
            moment(chance, 200);
            live.kill();
        }
        3 => {
            let running = tills[which].device.start(&["sync", "--timeout", "10s"]);
            moment(chance, 80);
            relay.kill();
            if running.wait(Duration::from_secs(60)).code == Some(0) {
                synced.push(which);
            }
            relay.restart();
        }
        _ => {}
    }
    if chance.random_bool(0.5) {
        tills[1 - which].device.sync();
        synced.push(1 - which);
    }
    synced
}

fn assert_has(device: &Device, sales: &BTreeMap<String, i64>) {
    for (key, total) in sales {
        assert_eq!(device.get("sales", key)["total_cents"], *total, "{key}");
    }
}

fn till(name: &'static str, folder: &Path, relay: &Relay) -> Till {
    let device = Device::init(&folder.join(name), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    Till { name, device, sales: BTreeMap::new(), stock: 0 }
}

fn tour(seed: u64) {
    eprintln!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let mut relay = Relay::start(&folder.path().join("relay"));
    let mut tills = ["a", "b"].map(|name| till(name, folder.path(), &relay));
    tills[0].device.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    tills[0].device.sync();
    tills[1].device.sync();
    let mut on_relay = BTreeSet::new();
    for number in 0..ROUNDS {
        for which in round(number, &mut relay, &mut tills, &mut chance) {
            on_relay.extend(tills[which].sales.keys().cloned());
        }
    }
    relay.kill();
    relay.restart();
    let late = till("late", folder.path(), &relay);
    late.device.sync();
    let all: BTreeMap<String, i64> = tills.iter().flat_map(|till| till.sales.clone()).collect();
    let saved =
        all.iter().filter(|(key, _)| on_relay.contains(*key)).map(|(key, total)| (key.clone(), *total)).collect();
    assert_has(&late.device, &saved);

    for device in [&tills[0].device, &tills[1].device, &tills[0].device, &late.device] {
        device.sync();
    }
    let digest = late.device.digest();
    for device in [&tills[0].device, &tills[1].device, &late.device] {
        assert_has(device, &all);
        assert_eq!(device.digest(), digest, "equal digests");
        let status = device.status();
        assert_eq!((&status["pending"], &status["quarantined"]), (&json!(0), &json!(0)), "{status}");
        for till in &tills {
            assert_eq!(stock(device, till.name), till.stock, "the stock of {} is exact", till.name);
        }
    }
}

#[test]
fn nothing_that_was_reported_saved_is_lost_when_processes_are_killed() {
    tour(1);
}

#[test]
fn nor_with_another_fate() {
    tour(2);
}
