//! `sim`: runs seeds, replays and shrinks one that failed, and finds planted bugs. Must not know what a run does.

use clap::Parser;
use comptoir_sim::layer::Layer;
use comptoir_sim::oracle::HEAL_P99_MS;
use comptoir_sim::{hunt, report, shrink};
use std::process::ExitCode;

// Half of a run is small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Deterministic simulation of devices and a relay. Exits with 1 when a promise was broken, or, in 1,000 seeds or
/// more, when a kind of fault never took effect or devices were too slow to get up to date.
#[derive(Parser)]
#[command(name = "sim")]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Simulates sessions with their tasks and sockets, not only what is sans-IO.
    #[arg(long)]
    sessions: bool,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
    /// Prints all that happens in the first seed, and nothing else.
    #[arg(long)]
    trace: bool,
    /// Runs each planted bug until it is found, 500 seeds at most; needs `--features planted`, and begins again with it.
    #[arg(long)]
    planted: bool,
}

impl Args {
    fn layer(&self) -> Layer {
        if self.sessions { Layer::Sessions } else { Layer::Core }
    }
}

/// A kind of fault may be missing from fewer seeds than this.
const COVERED_SEEDS: u64 = 1000;
const TOLD_EVERY: u64 = 1000;

fn main() -> ExitCode {
    let args = Args::parse();
    // A run that panics is reported with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    match () {
        () if args.planted => hunt::main(args.layer(), args.json),
        () if args.trace => trace(args.layer(), args.from),
        () => run(&args),
    }
}

fn trace(layer: Layer, seed: u64) -> ExitCode {
    let outcome = layer.run(&layer.draw(seed), true);
    outcome.trace.iter().for_each(|line| println!("{line}"));
    println!("trace {:016x}", outcome.trace_hash);
    match outcome.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> ExitCode {
    let layer = args.layer();
    let told = |done: u64| {
        if done.is_multiple_of(TOLD_EVERY) {
            eprintln!("{done} seeds");
        }
    };
    let report = report::run(layer, args.from, args.seeds, &told);
    let missing = report.missing();
    if args.json {
        println!("{}", report.json());
    } else {
        let seconds = report.took.as_secs_f64();
        println!(
            "{} seeds, {} failed, {} edits, {} steps, {seconds:.1} s ({:.1} ms a seed)",
            report.seeds,
            report.failed,
            report.operations,
            report.steps,
            1000.0 * seconds / report.seeds.max(1) as f64
        );
        report.faults.iter().for_each(|(fault, count)| println!("  {:<22} {count}", fault.name()));
        println!("runs with an edit counted twice: {}", report.counted_twice);
        println!("from the last fault until a device was up to date, ms: {}", report.json()["healed_ms"]);
    }
    for (seed, violation) in &report.failures {
        eprintln!("seed {seed}: {violation}");
        eprintln!("  replay: {}", layer.replay(*seed));
    }
    if let Some(seed) = report.failures.keys().next() {
        explain(layer, *seed);
    }
    let slow = args.seeds >= COVERED_SEEDS && report.healed_p99_ms() > HEAL_P99_MS;
    if slow {
        eprintln!("more than one device in 100 was not up to date {HEAL_P99_MS} ms after the last fault");
    }
    let covered = missing.is_empty() || args.seeds < COVERED_SEEDS;
    if !covered {
        eprintln!("these kinds of faults never took effect: {}", missing.join(", "));
    }
    if report.failed == 0 && covered && !slow { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The seed with all left out that it does not need.
fn explain(layer: Layer, seed: u64) {
    let Some((plan, violation)) = shrink::shrink(layer, &layer.draw(seed)) else { return };
    eprintln!("seed {seed}, made small: {} devices, {} records, {violation}", plan.devices, plan.records);
    layer.run(&plan, true).trace.iter().for_each(|line| eprintln!("{line}"));
}
