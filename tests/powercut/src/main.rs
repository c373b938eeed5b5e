//! `powercut`: replays power cuts, lets calls fail and spoils files. Must not know how.

use clap::{Parser, Subcommand};
use comptoir_powercut::cuts::{self, Report, Side};
use comptoir_powercut::{device, failures};
use serde_json::json;
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
    /// Lets every call of a device and of a relay fail once, instead.
    #[arg(long)]
    failures: bool,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Sells baskets on a store; the process that is watched.
    #[command(hide = true)]
    Sell(device::Selling),
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.part {
        Some(Part::Sell(selling)) => device::sell(&selling),
        None if args.failures => failing_calls(args.json),
        None => power_cuts(&args),
    }
}

fn power_cuts(args: &Args) -> ExitCode {
    let begun = Instant::now();
    let device = cuts::campaign(Side::Device, args.states.div_ceil(2), args.seed);
    let relay = cuts::campaign(Side::Relay, args.states / 2, args.seed);
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

fn failing_calls(as_json: bool) -> ExitCode {
    let sides = [("device", failures::campaign(Side::Device, 1)), ("relay", failures::campaign(Side::Relay, 1))];
    for (name, report) in &sides {
        if as_json {
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
