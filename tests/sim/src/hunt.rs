//! Finds planted bugs: each is planted alone, and seeds run until one fails. Must not know what a bug does.

use crate::layer::Layer;
use std::process::ExitCode;

/// A bug has to be found in so many seeds.
pub const SEEDS_MAX: u64 = 500;

/// A planted bug and what found it.
#[derive(Debug, Clone)]
pub struct Found {
    /// The bug's name.
    pub bug: String,
    /// How many seeds it took, and what was broken; `None` when it was not found.
    pub by: Option<(u64, String)>,
}

/// Looks for every bug.
#[cfg(feature = "planted")]
pub fn hunt(layer: Layer) -> Vec<Found> {
    use comptoir_engine::planted::{Bug, plant};
    use std::sync::Mutex;
    let bugs = match layer {
        Layer::Core => Bug::ALL.to_vec(),
        Layer::Sessions => Bug::SESSIONS.to_vec(),
    };
    let left = Mutex::new(bugs.into_iter().enumerate());
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((place, bug)) = { left.lock().expect("nobody panics here").next() } {
                    plant(Some(bug));
                    let by = (0..SEEDS_MAX).find_map(|seed| {
                        let violation = layer.run(&layer.draw(seed), false).violation?;
                        Some((seed + 1, violation.to_string()))
                    });
                    let bug = format!("{bug:?}");
                    found.lock().expect("nobody panics here").push((place, Found { bug, by }));
                }
            });
        }
    });
    let mut found = found.into_inner().expect("nobody panics here");
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, found)| found).collect()
}

/// Prints the table; fails when a bug was not found.
#[cfg(feature = "planted")]
pub fn main(layer: Layer, json: bool) -> ExitCode {
    let found = hunt(layer);
    for Found { bug, by } in &found {
        let (seeds, what) = by.clone().map_or((None, String::new()), |(seeds, what)| (Some(seeds), what));
        let kind = what.split(':').next().unwrap_or_default();
        match json {
            true => println!("{}", serde_json::json!({"bug": bug, "seeds": seeds, "violation": what})),
            false => {
                let seeds = seeds.map_or("not found".to_owned(), |seeds| seeds.to_string());
                println!("| {bug} | {seeds} | {kind} |");
            }
        }
    }
    if found.iter().all(|found| found.by.is_some()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// This program was built without bugs: it builds itself with them, and begins again.
#[cfg(not(feature = "planted"))]
pub fn main(layer: Layer, json: bool) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.args(["run", "--quiet", "--release", "--package", "comptoir-sim", "--features", "planted"]);
    command.args(["--bin", "sim", "--", "--planted"]);
    if layer == Layer::Sessions {
        command.arg("--sessions");
    }
    if json {
        command.arg("--json");
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the bugs cannot be built in ({error}): run this from the repository, with cargo on the PATH");
            ExitCode::FAILURE
        }
    }
}
