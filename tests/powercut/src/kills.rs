//! Processes killed with SIGKILL at random moments, while two tills sell real baskets and push them to a relay. Must not know
//! how anything is stored.

use crate::device::{self, Told};
use crate::process::scratch;
use crate::relay::WORKSPACE;
use crate::sales::{SHOP, Sales};
use comptoir_tests::device::Device;
use comptoir_tests::program::{Running, binary};
use comptoir_tests::relay::Relay;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeSet;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// The other till's baskets.
const OTHER_SHOP: &str = "356";
/// Its sales have numbers from here on.
const OTHER_FROM: usize = 100_000;
/// Sales of one process; then it waits to be killed.
const SALES_OF_ONE: usize = 12;
/// A process lives so long at most, in milliseconds.
const LIFE_MS_MAX: u64 = 120;

/// What was killed, and what had been promised by then.
#[derive(Debug, Default)]
pub struct Killed {
    /// Processes of tills.
    pub tills: u64,
    /// Processes of the relay.
    pub relays: u64,
    /// Sales reported saved.
    pub saved: usize,
    /// Sales the relay had acknowledged.
    pub synced: usize,
}

struct Till {
    device: Device,
    shop: &'static str,
    running: Option<Running>,
    told: Told,
    next: usize,
}

impl Till {
    fn start(&mut self) {
        let (from, until) = (self.next.to_string(), (self.next + SALES_OF_ONE).to_string());
        let mut command = Command::new(binary("powercut"));
        command.arg("sell").arg(self.device.store()).args([&from, &until, "--live", "--shop", self.shop]);
        self.running = Some(Running::start(&mut command));
    }

    fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        let (alive, stderr) = (running.is_alive(), running.stderr());
        let said = running.kill_and_hear().join("\n");
        assert!(alive, "it ended by itself: {said} {stderr}");
        self.told.hear_lines(&said);
        self.next = self.told.tried.last().map_or(self.next, |last| last + 1);
    }
}

/// Kills `kills` processes, then checks every device, and one that only ever heard the relay.
pub fn campaign(kills: u64, seed: u64) -> Killed {
    let mut chance = StdRng::seed_from_u64(seed);
    let folder = scratch();
    let mut relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token(WORKSPACE);
    let device = |name: &str| Device::init(&folder.path().join(name), WORKSPACE, &relay.url(), &token);
    let late = device("late");
    let mut tills = [("a", SHOP), ("b", OTHER_SHOP)].map(|(name, shop)| Till {
        device: device(name),
        shop,
        running: None,
        told: Told::default(),
        next: 0,
    });
    tills.iter_mut().for_each(Till::start);
    let mut killed = Killed::default();
    while killed.tills + killed.relays < kills {
        // wait: the kill has to fall at a random moment of what runs, so there is no state to wait for.
        sleep(Duration::from_millis(chance.random_range(0..LIFE_MS_MAX)));
        match chance.random_range(0..3) {
            2 => {
                relay.restart();
                killed.relays += 1;
            }
            which => {
                tills[which].kill();
                tills[which].start();
                killed.tills += 1;
            }
        }
    }
    tills.iter_mut().for_each(Till::kill);
    relay.restart();

    let numbered = |numbers: fn(&Told) -> &BTreeSet<usize>| -> BTreeSet<usize> {
        let other = numbers(&tills[1].told).iter().map(|number| OTHER_FROM + number);
        numbers(&tills[0].told).iter().copied().chain(other).collect()
    };
    let (saved, tried) = (numbered(|told| &told.saved), numbered(|told| &told.tried));
    let synced = numbered(|told| &told.synced);
    (killed.saved, killed.synced) = (saved.len(), synced.len());
    let sales = Sales::default().and(SHOP, 0..tills[0].next, 0).and(OTHER_SHOP, 0..tills[1].next, OTHER_FROM);
    let check = |device: &Device, saved: &BTreeSet<usize>, who: &str| {
        let engine = device::open(device.store()).unwrap_or_else(|error| panic!("{who}: {error}"));
        sales.check(&engine, saved, &tried).unwrap_or_else(|what| panic!("seed {seed}, {who}: {what}"))
    };
    late.sync();
    check(&late, &synced, "what the relay acknowledged");
    for device in [&tills[0].device, &tills[1].device, &tills[0].device, &late] {
        device.sync();
    }
    let held = check(&late, &saved, "the late device");
    for till in &tills {
        assert_eq!(check(&till.device, &saved, till.shop), held, "the tills hold the same sales");
        assert_eq!(till.device.digest(), late.digest(), "and equal digests");
        assert_eq!(till.device.status()["quarantined"], 0);
    }
    killed
}
