//! Makes a failing plan small: leaves out what is not needed to break the same promise. Must not know what a plan does.

use crate::layer::Layer;
use crate::oracle::Violation;
use crate::plan::Plan;

/// Runs spent on one plan.
const RUNS_MAX: usize = 400;

/// A smaller plan that breaks the same promise, and how it is broken there. `None` when the plan breaks none.
pub fn shrink(layer: Layer, plan: &Plan) -> Option<(Plan, Violation)> {
    let mut best = plan.clone();
    let mut violation = layer.run(plan, false).violation?;
    let kind = violation.kind;
    let mut runs = 0;
    let mut fails = |plan: &Plan| {
        runs += 1;
        match runs <= RUNS_MAX {
            true => layer.run(plan, false).violation.filter(|found| found.kind == kind),
            false => None,
        }
    };
    let mut size = best.actions.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        let mut smaller = false;
        while from < best.actions.len() {
            let mut tried = best.clone();
            tried.actions.drain(from..(from + size).min(tried.actions.len()));
            match fails(&tried) {
                Some(found) => (best, violation, smaller) = (tried, found, true),
                None => from += size,
            }
        }
        size = if smaller && size == 1 { 1 } else { size / 2 };
    }
    for devices in 2..best.devices {
        let tried = Plan { devices, ..best.clone() };
        if let Some(found) = fails(&tried) {
            (best, violation) = (tried, found);
            break;
        }
    }
    let tried = Plan { delays: false, ..best.clone() };
    if let Some(found) = fails(&tried) {
        (best, violation) = (tried, found);
    }
    Some((best, violation))
}
