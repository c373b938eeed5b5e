//! Thousands of devices at one relay: joining, staying, and live edits at a rate that grows until something cannot keep up. Must
//! not know the wire.

use crate::curve::{Chart, Line};
use crate::process::{cpu_seconds, disk_bytes, machine};
use crate::till::{Heard, Shop, Till};
use comptoir_tests::memory::resident_bytes;
use comptoir_tests::relay::Relay;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

const WORKSPACES: u64 = 1000;
const DEVICES_EACH: u32 = 5;
/// Edits a second, over all workspaces.
const RATES: [u64; 7] = [100, 200, 400, 800, 1600, 3200, 6400];
const LEVEL: Duration = Duration::from_secs(15);
const STEADY_RATE: u64 = 200;
/// A level that does less than this part of its edits is the last.
const KEPT_UP: f64 = 0.9;
/// All of them come from one address.
const CONFIG: &str = "connections_max = 8000\nguests_max = 8000\nguests_per_address_max = 8000\n";

struct Town {
    relay: Relay,
    folder: TempDir,
    shops: Vec<(Rc<Shop>, Vec<UnboundedSender<()>>)>,
    heard: Rc<Heard>,
}

/// What one level took.
struct Level {
    asked: u64,
    done: f64,
    receipts: [f64; 2],
    last: [f64; 2],
    relay_cpu: f64,
    own_cpu: f64,
}

/// The middle, and what 99 of 100 are below, in milliseconds.
fn percentiles(samples: &mut [u64]) -> [f64; 2] {
    samples.sort_unstable();
    let at = |part: f64| samples.get((samples.len() as f64 * part) as usize).map_or(f64::NAN, |us| *us as f64 / 1e3);
    [at(0.5), at(0.99)]
}

impl Town {
    /// Everybody joins, and is up to date.
    async fn open() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let config = folder.path().join("relay.toml");
        fs::write(&config, CONFIG).expect("a file");
        let relay = Relay::start_with(&folder.path().join("relay"), &["--config", config.to_str().expect("a path")]);
        let empty = resident_bytes(relay.process());
        let heard = Rc::new(Heard::default());
        let (mut shops, mut joined) = (Vec::new(), 0);
        let begun = Instant::now();
        for number in 0..WORKSPACES {
            let name = format!("shop-{number}");
            let token = relay.token(&name);
            let shop = Shop { begun: Cell::new(None), left: Cell::new(0), devices: DEVICES_EACH, heard: heard.clone() };
            let (shop, mut senders) = (Rc::new(shop), Vec::new());
            for _ in 0..DEVICES_EACH {
                joined += 1;
                let mut till = Till::join(relay.address(), &name, &token, joined, shop.clone()).await;
                if senders.is_empty() {
                    till.fill().await;
                }
                till.catch_up().await;
                let (sender, sell) = unbounded_channel();
                senders.push(sender);
                tokio::task::spawn_local(till.stay(sell));
            }
            shops.push((shop, senders));
        }
        let taken = resident_bytes(relay.process());
        println!("Machine: {}.", machine());
        println!(
            "{joined} devices in {WORKSPACES} workspaces joined in {:.1} s, one after another; relay {:.1} MiB, before {:.1}: {:.1} KiB \
             a device, with its part of its workspace",
            begun.elapsed().as_secs_f64(),
            taken as f64 / 1048576.0,
            empty as f64 / 1048576.0,
            (taken - empty) as f64 / 1024.0 / joined as f64
        );
        Self { relay, folder, shops, heard }
    }

    /// Edits at a rate for a while, each by a device of a workspace where none is under way.
    async fn run(&self, rate: u64, time: Duration, rng: &mut StdRng) -> Level {
        self.heard.receipts.borrow_mut().clear();
        self.heard.last.borrow_mut().clear();
        let cpu = || (cpu_seconds(self.relay.process()), cpu_seconds(std::process::id()));
        let ((relay_before, own_before), begun) = (cpu(), Instant::now());
        let mut ticks = interval(Duration::from_millis(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut done = 0u64;
        while begun.elapsed() < time {
            ticks.tick().await;
            let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
            let mut tries = 0;
            while done < due && tries < WORKSPACES {
                tries += 1;
                let (shop, tills) = &self.shops[rng.random_range(0..self.shops.len())];
                if shop.begun.get().is_none() {
                    shop.begun.set(Some(Instant::now()));
                    let till = &tills[rng.random_range(0..tills.len())];
                    till.send(()).expect("a device that stays");
                    done += 1;
                }
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let (relay_after, own_after) = cpu();
        let last = percentiles(&mut self.heard.last.borrow_mut());
        Level {
            asked: rate,
            done: self.heard.last.borrow().len() as f64 / seconds,
            receipts: percentiles(&mut self.heard.receipts.borrow_mut()),
            last,
            relay_cpu: (relay_after - relay_before) / seconds,
            own_cpu: (own_after - own_before) / seconds,
        }
    }
}

fn on_one_thread(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, work);
}

/// Live edits, faster and faster.
pub(crate) fn levels() {
    on_one_thread(async {
        let town = Town::open().await;
        let mut rng = StdRng::seed_from_u64(1);
        let mut levels = Vec::new();
        println!(
            "\n| edits a second | heard by all | receipt p50, p99, ms | last follower p50, p99, ms | relay, cores | devices, cores |"
        );
        println!("|---:|---:|---:|---:|---:|---:|");
        for rate in RATES {
            let level = town.run(rate, LEVEL, &mut rng).await;
            println!(
                "| {} | {:.0} | {:.1}, {:.1} | {:.1}, {:.1} | {:.2} | {:.2} |",
                level.asked,
                level.done,
                level.receipts[0],
                level.receipts[1],
                level.last[0],
                level.last[1],
                level.relay_cpu,
                level.own_cpu
            );
            let kept_up = level.done >= KEPT_UP * rate as f64;
            levels.push(level);
            if !kept_up {
                break;
            }
        }
        let taken = resident_bytes(town.relay.process()) as f64 / 1048576.0;
        println!(
            "\nrelay after it: {taken:.1} MiB, {:.1} MiB on disk",
            disk_bytes(town.folder.path()) as f64 / 1048576.0
        );
        let points = |of: fn(&Level) -> f64| levels.iter().map(|level| (level.done, of(level))).collect();
        Chart {
            name: "crowd",
            title: "5,000 devices, 1,000 workspaces: from an edit to its last follower",
            across: "edits a second",
            up: "milliseconds",
            lines: vec![
                Line { name: "p50", points: points(|level| level.last[0]) },
                Line { name: "p99", points: points(|level| level.last[1]) },
            ],
        }
        .draw();
    });
}

/// The relay's memory while edits go on at one rate.
pub(crate) fn steady(minutes: u64) {
    on_one_thread(async {
        let town = Town::open().await;
        let mut rng = StdRng::seed_from_u64(1);
        let mut memory = Vec::new();
        println!("\nminute, edits a second, relay MiB, disk MiB, last follower p99 ms");
        for minute in 0..minutes * 2 {
            let level = town.run(STEADY_RATE, Duration::from_secs(30), &mut rng).await;
            let (mib, disk) = (resident_bytes(town.relay.process()) as f64 / 1048576.0, disk_bytes(town.folder.path()));
            let minute = (minute + 1) as f64 / 2.0;
            println!("{minute:.1}, {:.0}, {mib:.1}, {:.1}, {:.1}", level.done, disk as f64 / 1048576.0, level.last[1]);
            memory.push((minute, mib));
        }
        let lines = vec![Line { name: "relay", points: memory }];
        let title = "Memory of the relay: 5,000 devices, 200 edits a second";
        Chart { name: "steady", title, across: "minutes", up: "MiB", lines }.draw();
    });
}
