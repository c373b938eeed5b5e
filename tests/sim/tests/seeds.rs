//! The simulation as tests: some seeds each day, as many as `COMPTOIR_SIM_SEEDS` says otherwise; and that a seed decides
//! everything.

use comptoir_sim::layer::Layer;
use comptoir_sim::plan::Plan;
use comptoir_sim::{report, world};

fn seeds() -> u64 {
    std::env::var("COMPTOIR_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300)
}

#[test]
fn no_promise_is_broken_whatever_goes_wrong() {
    let report = report::run(Layer::Core, 0, seeds(), &|_| {});
    let first = report.failures.iter().next();
    assert!(
        first.is_none(),
        "{} of {} seeds failed; the first is {first:?}: cargo run --release --bin sim -- --from {} --trace",
        report.failed,
        report.seeds,
        first.map_or(0, |(seed, _)| *seed)
    );
    assert_eq!(report.missing(), Vec::<&str>::new(), "kinds of faults that never took effect");
    assert!(report.operations > report.seeds * 10, "{} edits in {} seeds", report.operations, report.seeds);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 7, 42, 99, 504] {
        let plan = Plan::draw(seed);
        assert_eq!(plan, Plan::draw(seed));
        let (first, second) = (world::run(&plan, true), world::run(&plan, true));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.faults, second.faults, "seed {seed}");
        assert!(first.trace.len() > 50, "seed {seed}: something happened");
    }
}
