//! Each call on a file fails once: no panic, no promise that is not kept, and the process goes on or says why not. Must not
//! know which calls there are.

use crate::cuts::Side;
use crate::device::{self, Told};
use crate::process::{Errno, Watched, scratch};
use crate::relay::{self, Served};
use crate::sales::Sales;
use crate::tape::Step;
use comptoir_engine::disk::StoreKind;
use comptoir_tests::program::Running;
use comptoir_tests::wait;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Runs in which a call failed.
    pub runs: u64,
    /// By call and file.
    pub by_call: BTreeMap<String, u64>,
    /// Runs in which somebody was told of it, by the error's code.
    pub told: BTreeMap<String, u64>,
    /// What is wrong.
    pub failures: Vec<String>,
}

/// Sales before the call fails, and those of the process in which it does.
const BEFORE: usize = 5;
const SALES: usize = 11;
const DEADLINE: Duration = Duration::from_secs(60);
/// A process that sells takes a second at most; one that does not end has waited for something that never comes.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Lets every `every`-th call of a process fail with each error, one call a run, and two runs at a time.
pub fn campaign(side: Side, kind: StoreKind, every: u64) -> Report {
    let report = Mutex::new(Report::default());
    let folder = scratch();
    let base = folder.path().join("base");
    prepare(side, kind, &base);
    for errno in [Errno::Eio, Errno::Enospc] {
        let next = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let number = 1 + next.fetch_add(1, Ordering::Relaxed) * every;
                        let one = match side {
                            Side::Device => of_device(&base, kind, number, errno),
                            Side::Relay => of_relay(&base, kind, number, errno),
                        };
                        let Some((step, outcome)) = one else { return };
                        let mut report = report.lock().expect("not poisoned");
                        report.note(&step, errno, number, outcome);
                    }
                });
            }
        });
    }
    report.into_inner().expect("not poisoned")
}

impl Report {
    fn note(&mut self, step: &Step, errno: Errno, number: u64, outcome: Result<Vec<String>, String>) {
        let Step::Failed { call, path } = step else { return };
        self.runs += 1;
        // Files named by number or hash count as one.
        let name: String = path.to_string_lossy().chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        *self.by_call.entry(format!("{call} {}", name.split(".pid.").next().unwrap_or_default())).or_default() += 1;
        match outcome {
            Ok(codes) => codes.into_iter().for_each(|code| *self.told.entry(code).or_default() += 1),
            Err(what) => {
                self.failures.push(format!("call {number}, {call} of {}, with {errno:?}: {what}", path.display()));
            }
        }
    }
}

fn prepare(side: Side, kind: StoreKind, base: &Path) {
    let watched = Watched::new(base, kind);
    match side {
        Side::Device => {
            let store = base.to_str().expect("a path");
            let init = ["--store", store, "init", "--workspace", relay::WORKSPACE, "--store-kind", kind.name()];
            watched.start("comptoir", &init).wait(DEADLINE).success();
            watched.start("powercut", &["sell", store, "0", &BEFORE.to_string()]).wait(DEADLINE).success();
        }
        Side::Relay => Served::start(&watched, "127.0.0.1:0").stop(),
    }
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

fn failed_step(watched: &Watched) -> Option<Step> {
    watched.steps().into_iter().find(|step| matches!(step, Step::Failed { .. }))
}

/// `None` when there is no such call.
fn of_device(base: &Path, kind: StoreKind, number: u64, errno: Errno) -> Option<(Step, Result<Vec<String>, String>)> {
    let folder = scratch();
    let watched = Watched::new(&folder.path().join("till"), kind);
    copy(base, &watched.root);
    let store = watched.root.to_str().expect("a path");
    let mut command = watched.command("powercut", Some((number, errno)));
    command.args(["sell", store, &BEFORE.to_string(), &SALES.to_string()]);
    let outcome = Running::start(&mut command).wait_or_kill(ENDS_WITHIN);
    let step = failed_step(&watched)?;
    let check = || {
        if outcome.code.is_none() {
            return Err(format!("it hangs: {} {}", outcome.stdout, outcome.stderr));
        }
        if outcome.stderr.contains("panicked") || !matches!(outcome.code, Some(0 | 1)) {
            return Err(format!("it ended with {:?}: {}", outcome.code, outcome.stderr));
        }
        let mut told = Told::default();
        told.hear_lines(&outcome.stdout);
        let saved = (0..BEFORE).chain(told.saved.iter().copied()).collect();
        let tried = (0..SALES).collect();
        let engine = device::open(&watched.root).map_err(|error| format!("not opened again: {error}"))?;
        let sales = Sales::first(SALES);
        sales.check(&engine, &saved, &tried)?;
        let codes = told.errors.iter().map(|error| error.split(' ').next().unwrap_or_default().to_owned());
        Ok(codes.collect())
    };
    Some((step, caught(check)))
}

/// As [`of_device`]: two devices push to the relay until all that they have is there.
fn of_relay(base: &Path, kind: StoreKind, number: u64, errno: Errno) -> Option<(Step, Result<Vec<String>, String>)> {
    let folder = scratch();
    let watched = Watched::new(&folder.path().join("relay"), kind);
    copy(base, &watched.root);
    let data = watched.root.to_str().expect("a path");
    let mut command = watched.command("comptoir-relay", Some((number, errno)));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data", data]);
    let mut running = Running::start(&mut command);
    let said = wait::until("that it listens or ends", || {
        let line = running.line_now();
        (line.is_some() || !running.is_alive()).then_some(line)
    });
    let outcome = match said {
        Some(line) => {
            caught(|| push(&watched, line.trim_start_matches("listening on ").trim(), folder.path(), running))
        }
        None => {
            let outcome = running.wait(DEADLINE);
            match outcome.code == Some(1) && !outcome.stderr.contains("panicked") && !outcome.stderr.is_empty() {
                true => {
                    caught(|| push_to_another(&watched, folder.path())).map(|()| vec!["refused to start".to_owned()])
                }
                false => Err(format!("it ended with {:?}: {}", outcome.code, outcome.stderr)),
            }
        }
    };
    Some((failed_step(&watched)?, outcome))
}

/// What a test's step gives, its panic taken for what is wrong.
fn caught<T>(step: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        Err(words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
    })
}

fn push(watched: &Watched, address: &str, folder: &Path, running: Running) -> Result<Vec<String>, String> {
    let token = relay::token(&watched.root);
    let sales = Sales::first(SALES);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let shop = relay::join(folder, "a", &format!("ws://{address}"), &token).await;
        shop.stay_live(comptoir::Mode::Both).await.expect("live");
        for number in 0..SALES {
            shop.commit(sales.edits(number)).await.expect("a sale");
            if number % 4 == 0 {
                relay::up_to_date(&shop).await;
            }
        }
        relay::up_to_date(&shop).await;
        shop.shut_down().await.expect("closed");
    });
    let stderr = running.stderr();
    running.kill();
    if stderr.contains("panicked") {
        return Err(stderr);
    }
    read_back(watched, folder, &token)?;
    let told = if stderr.contains("the log failed") { "log failed and opened again" } else { "nobody" };
    Ok(vec![told.to_owned()])
}

/// The relay's folder is as good as it was: a relay that starts on it works.
fn push_to_another(watched: &Watched, folder: &Path) -> Result<(), String> {
    let again = Watched::new(&watched.root, watched.kind);
    let mut command = comptoir_tests::relay::command(&["serve", "--listen", "127.0.0.1:0"]);
    let running = Running::start(command.arg("--data").arg(&again.root));
    let line = running.line();
    push(watched, line.trim_start_matches("listening on ").trim(), folder, running).map(|_| ())
}

/// A new device gets everything from the relay, which was killed.
fn read_back(watched: &Watched, folder: &Path, token: &str) -> Result<(), String> {
    let relay = comptoir_tests::relay::Relay::start(&watched.root);
    let late = comptoir_tests::device::Device::init(&folder.join("late"), relay::WORKSPACE, &relay.url(), token);
    late.sync();
    let engine = device::open(late.store()).map_err(|error| error.to_string())?;
    let all = (0..SALES).collect();
    Sales::first(SALES).check(&engine, &all, &all).map(|_| ())
}
