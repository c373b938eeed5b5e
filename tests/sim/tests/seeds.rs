//! The simulation as tests: some seeds each day, as many as `COMPTOIR_SIM_SEEDS` says otherwise; and that a seed decides
//! everything.

use comptoir_sim::layer::Layer;
use comptoir_sim::report;

fn seeds(usual: u64) -> u64 {
    std::env::var("COMPTOIR_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

fn no_promise_is_broken(layer: Layer, usual: u64) {
    let report = report::run(layer, 0, seeds(usual), &|_| {});
    let first = report.failures.iter().next();
    assert!(
        first.is_none(),
        "{} of {} seeds failed; the first is {first:?}: {}",
        report.failed,
        report.seeds,
        layer.replay(first.map_or(0, |(seed, _)| *seed))
    );
    assert_eq!(report.missing(), Vec::<&str>::new(), "kinds of faults that never took effect");
    assert!(report.operations > report.seeds * 10, "{} edits in {} seeds", report.operations, report.seeds);
}

fn the_same_seed_gives_the_same_run(layer: Layer, seeds: &[u64]) {
    for seed in seeds {
        let plan = layer.draw(*seed);
        assert_eq!(plan, layer.draw(*seed));
        let (first, second) = (layer.run(&plan, true), layer.run(&plan, true));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.faults, second.faults, "seed {seed}");
        assert!(first.trace.len() > 50, "seed {seed}: something happened");
    }
}

#[test]
fn no_promise_is_broken_whatever_goes_wrong() {
    no_promise_is_broken(Layer::Core, 300);
}

#[test]
fn no_session_breaks_a_promise_whatever_goes_wrong() {
    no_promise_is_broken(Layer::Sessions, 48);
}

#[test]
fn the_same_seed_gives_the_same_steps() {
    the_same_seed_gives_the_same_run(Layer::Core, &[1, 7, 42, 99, 504]);
}

#[test]
fn the_same_seed_gives_the_same_sessions() {
    the_same_seed_gives_the_same_run(Layer::Sessions, &[3, 17, 68, 120, 800]);
}
