//! `powercut`: replays power cuts, lets calls fail and spoils files. Must not know how.

use clap::{Parser, Subcommand};
use comptoir_engine::StoreError;
use comptoir_engine::disk::StoreKind;
use comptoir_engine::disk::sled::quiet_panics;
use comptoir_engine::store::Checked;
use comptoir_powercut::cuts::{self, Report, Side};
use comptoir_powercut::damage::{self, Patient};
use comptoir_powercut::{device, failures};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

#[derive(Parser)]
#[command(name = "powercut")]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// How many states to look at, devices and relays together.
    #[arg(long, default_value_t = 300)]
    states: usize,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the stores are kept in: sled or redb.
    #[arg(long, default_value_t)]
    store: StoreKind,
    /// Lets every call of a device and of a relay fail once, instead.
    #[arg(long)]
    failures: bool,
    /// Spoils every file of a device and of a relay in every way, in so many places, instead.
    #[arg(long)]
    damage: Option<usize>,
    /// How many sales the damaged folders hold.
    #[arg(long, default_value_t = 60)]
    sales: usize,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Sells baskets on a store; the process that is watched.
    #[command(hide = true)]
    Sell(device::Selling),
    /// Looks a device's store through, and says how long that took.
    Check { store: PathBuf },
}

fn main() -> ExitCode {
    let args = Args::parse();
    quiet_panics();
    match args.part {
        Some(Part::Sell(selling)) => device::sell(&selling),
        Some(Part::Check { store }) => check(&store),
        None if args.failures => failing_calls(&args),
        None if args.damage.is_some() => damaged_files(&args),
        None => power_cuts(&args),
    }
}

fn check(store: &Path) -> ExitCode {
    let timed = |what: &str, begun: Instant, outcome: Result<Checked, StoreError>| {
        println!("{what}: {:.2} s, {outcome:?}", begun.elapsed().as_secs_f64());
        outcome.is_ok()
    };
    match device::open(store) {
        Ok(engine) => {
            let rows = timed("rows", Instant::now(), engine.check_rows());
            let all = timed("rows and documents", Instant::now(), engine.check());
            if rows && all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn power_cuts(args: &Args) -> ExitCode {
    let begun = Instant::now();
    let device = cuts::campaign(Side::Device, args.store, args.states.div_ceil(2), args.seed);
    let relay = cuts::campaign(Side::Relay, args.store, args.states / 2, args.seed);
    let failures = [device.failures.as_slice(), relay.failures.as_slice()].concat();
    if args.json {
        let side = |report: &Report| {
            json!({"states": report.states, "uncertain": report.uncertain, "by_loss": report.by_loss,
                "acked_lost": report.lost, "wrong": report.wrong})
        };
        let took_s = begun.elapsed().as_secs_f64();
        println!(
            "{}",
            json!({"states": device.states + relay.states, "acked_lost": device.lost + relay.lost,
                "wrong": device.wrong + relay.wrong, "device": side(&device), "relay": side(&relay),
                "failures": failures, "took_s": took_s})
        );
    } else {
        for (name, report) in [("device", &device), ("relay", &relay)] {
            println!(
                "{name}: {} states after a power cut, {} with something unsynced, {} with a loss, {} wrong otherwise",
                report.states, report.uncertain, report.lost, report.wrong
            );
            report.by_loss.iter().for_each(|(loss, count)| println!("  lost {loss:<11} {count}"));
        }
        failures.iter().for_each(|failure| eprintln!("{failure}"));
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn failing_calls(args: &Args) -> ExitCode {
    let sides = [
        ("device", failures::campaign(Side::Device, args.store, 1)),
        ("relay", failures::campaign(Side::Relay, args.store, 1)),
    ];
    for (name, report) in &sides {
        if args.json {
            let failures::Report { runs, by_call, told, failures } = report;
            println!("{}", json!({"side": name, "runs": runs, "by_call": by_call, "told": told, "failures": failures}));
            continue;
        }
        println!("{name}: {} calls failed, one a run; {} runs are wrong", report.runs, report.failures.len());
        report.by_call.iter().for_each(|(call, count)| println!("  {call:<32} {count}"));
        report.told.iter().for_each(|(told, count)| println!("  told: {told:<26} {count}"));
        report.failures.iter().for_each(|failure| eprintln!("{failure}"));
    }
    let fine = sides.iter().all(|(_, report)| report.failures.is_empty());
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn damaged_files(args: &Args) -> ExitCode {
    let mut fine = true;
    let device = [("device", Side::Device, false), ("device that was killed", Side::Device, true)];
    let relay = [("relay", Side::Relay, false), ("relay that was killed", Side::Relay, true)];
    for (name, side, killed) in device.into_iter().chain(relay) {
        let report = Patient::make(side, killed, args.sales).campaign(args.damage.unwrap_or(1), args.seed);
        fine &= report.silent == 0;
        let damage::Report { cases, unharmed, at_open, when_read, by_check, silent, by_file, failures } = report;
        if args.json {
            println!(
                "{}",
                json!({"side": name, "cases": cases, "unharmed": unharmed, "at_open": at_open, "when_read": when_read,
                    "by_check": by_check, "silent": silent, "by_file": by_file, "found": failures})
            );
            continue;
        }
        println!(
            "{name}: {cases} spoiled: {unharmed} unharmed, {at_open} refused when opened, {when_read} when read, \
             {by_check} found by a check of all rows, {silent} silent"
        );
        for (file, [unharmed, noticed, silent]) in by_file {
            println!("  {file:<24} unharmed {unharmed}, noticed {noticed}, silent {silent}");
        }
        failures.iter().for_each(|failure| eprintln!("{failure}"));
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
