//! The harness's lines: commands in, answers and events out. Must not know what is measured.

use serde_json::{Value, json};
use std::io::{BufRead as _, Write as _};
use tokio::sync::mpsc::{Receiver, channel};

/// Commands that may wait.
const COMMANDS_MAX: usize = 16;

/// A command.
pub(crate) struct Ask(Value);

impl Ask {
    pub(crate) fn name(&self) -> &str {
        self.0["cmd"].as_str().expect("a command")
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("{name} in {}", self.0))
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.0))
    }

    pub(crate) fn truth(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_else(|| panic!("{name} in {}", self.0))
    }

    pub(crate) fn value(&self, name: &str) -> &Value {
        &self.0[name]
    }

    /// Answers it with what more there is to say, an object.
    pub(crate) fn answer(&self, mut said: Value) {
        said["id"] = self.0["id"].clone();
        said["ok"] = true.into();
        said["t"] = now_ms().into();
        emit(&said);
    }
}

/// The commands as they come; the process ends with its standard input.
pub(crate) fn commands() -> Receiver<Ask> {
    let (sender, receiver) = channel(COMMANDS_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let line = line.expect("a line");
            if !line.trim().is_empty() {
                let _ = sender.blocking_send(Ask(serde_json::from_str(&line).expect("JSON")));
            }
        }
        std::process::exit(0);
    });
    emit(&json!({"ev": "ready", "pid": std::process::id()}));
    receiver
}

pub(crate) fn emit(said: &Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{said}").and_then(|()| out.flush()).expect("somebody listens");
}

/// The system's monotonic clock in milliseconds, which all processes share.
pub(crate) fn now_ms() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}
