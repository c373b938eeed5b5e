//! Moves time on step by step, carries out between two steps what was planned, and sees to what has its time. Must not know
//! what a process does.

use super::town::{Desk, RELAY, Shared, Town, held};
use super::{desk, office, panics};
use crate::fault::Fault;
use crate::oracle::{Kind, Violation};
use crate::plan::{Action, Plan, SESSIONS_SAFETY_MS, stream};
use crate::world::Outcome;
use rand::RngExt as _;
use rand::rngs::StdRng;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use turmoil::Sim;

/// One step, in milliseconds.
pub(super) const STEP_MS: u64 = 5;
/// How often what devices say of themselves is looked at, in milliseconds.
const LOOK_MS: u64 = 500;

/// The run.
pub(super) struct Driver {
    pub(super) town: Shared,
    pub(super) sim: Sim<'static>,
    pub(super) plan: Plan,
    pub(super) rng: StdRng,
    pub(super) now_ms: u64,
    pub(super) healing: bool,
    due: VecDeque<(u64, Action)>,
    /// Until when each device's link keeps its latency, and whether it is a long one.
    latencies: Vec<(u64, bool)>,
}

pub(super) fn name(number: usize) -> String {
    format!("till-{number}")
}

impl Driver {
    pub(super) fn new(plan: Plan, traced: bool) -> Self {
        let town = Arc::new(Mutex::new(Town::new(&plan, traced)));
        let mut builder = turmoil::Builder::new();
        builder.tick_duration(Duration::from_millis(STEP_MS)).simulation_duration(Duration::from_secs(3600));
        builder.rng_seed(plan.seed).tcp_capacity(256);
        let rng = stream(plan.seed, 0, 0);
        let due = plan.actions.iter().copied().collect();
        Self { town, sim: builder.build(), plan, rng, now_ms: 0, healing: false, due, latencies: Vec::new() }
    }

    pub(super) fn run(&mut self) -> Result<(), Violation> {
        let town = self.town.clone();
        self.sim.host(RELAY, move || office::process(town.clone()));
        for number in 0..self.plan.devices {
            self.add(Desk::new(number));
        }
        while self.now_ms < SESSIONS_SAFETY_MS {
            while self.due.front().is_some_and(|(at_ms, _)| *at_ms <= self.now_ms) {
                if let Some((_, action)) = self.due.pop_front() {
                    self.act(action);
                }
            }
            self.step()?;
        }
        self.heal()
    }

    /// A new device.
    pub(super) fn add(&mut self, mut desk: Desk) {
        let number = held(&self.town).desks.len();
        let mine = |device: usize| device == number;
        let revoked = self.plan.actions.iter().filter_map(|(at_ms, action)| match action {
            Action::Revoke { device } if mine(*device) => Some(*at_ms),
            _ => None,
        });
        desk.revoked_ms = revoked.collect();
        {
            let mut town = held(&self.town);
            town.desks.push(desk);
            town.issue(number);
        }
        let town = self.town.clone();
        self.sim.host(name(number), move || desk::process(town.clone(), number));
        self.latencies.push((0, false));
    }

    /// One step of all hosts.
    pub(super) fn step(&mut self) -> Result<(), Violation> {
        self.set_latencies();
        let stepped = self.sim.step();
        self.now_ms += STEP_MS;
        let mut town = held(&self.town);
        town.time.set(self.now_ms);
        town.outcome.steps += 1;
        if panics::any() {
            return Err(Violation { kind: Kind::Panic, what: String::new() });
        }
        if let Err(error) = stepped {
            return Err(Violation { kind: Kind::Panic, what: error.to_string() });
        }
        if self.now_ms.is_multiple_of(LOOK_MS) {
            for number in 0..town.desks.len() {
                if let Some(status) = town.desks[number].status() {
                    desk::check_status(&town.office.ledger, number, &status, self.now_ms)?;
                    desk::check_token(number, &status, town.desks[number].token_until_ms, self.now_ms)?;
                }
            }
        }
        let violation = town.violation.take();
        drop(town);
        self.see_to();
        violation.map_or(Ok(()), Err)
    }

    /// Each link keeps its latency for a while and then gets another, long ones in some runs.
    fn set_latencies(&mut self) {
        for number in 0..self.latencies.len() {
            let (until_ms, was_long) = self.latencies[number];
            if until_ms > self.now_ms {
                continue;
            }
            let is_long = self.plan.delays && !self.healing && !was_long && self.rng.random_bool(0.1);
            let (latency_ms, for_ms) = match is_long {
                true => (self.rng.random_range(200..3_000), self.rng.random_range(50..500)),
                false => (self.rng.random_range(1..40), self.rng.random_range(20..1_000)),
            };
            if is_long {
                held(&self.town).count(Fault::Delay);
            }
            self.sim.set_link_latency(name(number), RELAY, Duration::from_millis(latency_ms));
            self.latencies[number] = (self.now_ms + for_ms, is_long);
        }
    }

    pub(super) fn into_outcome(self) -> Outcome {
        let Self { town, sim, .. } = self;
        drop(sim);
        let town = Arc::into_inner(town).expect("the processes are gone");
        town.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_outcome()
    }
}
