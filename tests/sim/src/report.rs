//! Many runs, on every core, and what came of them together. Must not know what a run does.

use crate::fault::Faults;
use crate::layer::Layer;
use crate::oracle::{Kind, Violation};
use crate::world::Outcome;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Failed seeds that are kept with what they broke; the others are only counted.
const FAILURES_MAX: usize = 100;

/// What many runs came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was simulated.
    pub layer: Layer,
    /// Runs.
    pub seeds: u64,
    /// Those that broke a promise.
    pub failed: u64,
    /// Broken promises by kind.
    pub violations: BTreeMap<Kind, u64>,
    /// The failed seeds, in order, and what they broke.
    pub failures: BTreeMap<u64, Violation>,
    /// Steps taken.
    pub steps: u64,
    /// Edits done.
    pub operations: u64,
    /// Runs in which an edit counts twice, where that cannot be known.
    pub counted_twice: u64,
    /// Faults that took effect.
    pub faults: Faults,
    /// How long after the last fault each device was up to date, in milliseconds of the run's time.
    pub healed_ms: Vec<u64>,
    /// How long each device took from its last connection until it was up to date, in milliseconds of the run's time.
    pub exchanged_ms: Vec<u64>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    fn new(layer: Layer) -> Self {
        Self {
            layer,
            seeds: 0,
            failed: 0,
            violations: BTreeMap::new(),
            failures: BTreeMap::new(),
            steps: 0,
            operations: 0,
            counted_twice: 0,
            faults: Faults::default(),
            healed_ms: Vec::new(),
            exchanged_ms: Vec::new(),
            took: Duration::ZERO,
        }
    }

    /// The kinds of faults that never took effect.
    pub fn missing(&self) -> Vec<&'static str> {
        let silent = self.faults.iter().filter(|(fault, count)| *count == 0 && self.layer.has(*fault));
        silent.map(|(fault, _)| fault.name()).collect()
    }

    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        self.steps += outcome.steps;
        self.operations += outcome.operations;
        self.counted_twice += u64::from(outcome.counted_twice);
        self.faults.add(&outcome.faults);
        match outcome.violation {
            Some(violation) => {
                self.failed += 1;
                *self.violations.entry(violation.kind).or_default() += 1;
                if self.failures.len() < FAILURES_MAX {
                    self.failures.insert(seed, violation);
                }
            }
            None => {
                self.healed_ms.extend(outcome.healed_ms);
                self.exchanged_ms.extend(outcome.exchanged_ms);
            }
        }
    }

    /// Whether every promise was kept and every kind of fault took effect.
    pub fn is_good(&self) -> bool {
        self.failed == 0 && self.missing().is_empty()
    }

    /// What 99 of 100 devices needed after the last fault, in milliseconds.
    pub fn healed_p99_ms(&self) -> u64 {
        quantiles(&self.healed_ms)["p99"].as_u64().unwrap_or(0)
    }

    /// The report as one JSON object.
    pub fn json(&self) -> Value {
        let count = |kind| self.violations.get(&kind).copied().unwrap_or(0);
        let faults: Map<String, Value> =
            self.faults.iter().map(|(fault, n)| (fault.name().to_owned(), n.into())).collect();
        let violations: Map<String, Value> =
            self.violations.iter().map(|(kind, n)| (kind.name().to_owned(), (*n).into())).collect();
        let failures: Map<String, Value> =
            self.failures.iter().map(|(seed, violation)| (seed.to_string(), violation.to_string().into())).collect();
        json!({
            "seeds": self.seeds,
            "failed": self.failed,
            "steps": self.steps,
            "operations": self.operations,
            "acked_lost": count(Kind::AckedLost),
            "saved_lost": count(Kind::SavedLost),
            "diverged": count(Kind::Diverged),
            "false_up_to_date": count(Kind::FalseUpToDate),
            "counted_twice": self.counted_twice,
            "violations": violations,
            "failures": failures,
            "faults": faults,
            "faults_missing": self.missing(),
            "healed_ms": quantiles(&self.healed_ms),
            "exchanged_ms": quantiles(&self.exchanged_ms),
            "took_ms": self.took.as_millis() as u64,
        })
    }
}

/// The median, the 99th percentile and the largest.
fn quantiles(values: &[u64]) -> Value {
    let mut values = values.to_vec();
    values.sort_unstable();
    let at = |part: usize| values.get((values.len() * part / 100).min(values.len().saturating_sub(1))).copied();
    json!({"p50": at(50), "p99": at(99), "max": values.last()})
}

/// Runs `seeds` seeds from `from` on; `told` hears how many are done, now and then.
pub fn run(layer: Layer, from: u64, seeds: u64, told: &(dyn Fn(u64) + Sync)) -> Report {
    let began = Instant::now();
    let next = AtomicU64::new(from);
    let report = Mutex::new(Report::new(layer));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let outcome = layer.run(&layer.draw(seed), false);
                    let mut report = report.lock().expect("no run panics here");
                    report.add(seed, outcome);
                    told(report.seeds);
                }
            });
        }
    });
    let mut report = report.into_inner().expect("no run panics here");
    report.took = began.elapsed();
    report
}
