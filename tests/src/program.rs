//! The binaries under test: found beside the test executable, built first, run with a deadline. Must not know what they do.

use crate::wait;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

/// Set where the binaries were just built, so that they are not built again.
pub const BUILT: &str = "COMPTOIR_BINARIES_BUILT";

/// How long one command may take where nothing else is said.
pub const COMMAND_DEADLINE: Duration = Duration::from_secs(120);

/// The binary of this name, never a stale one.
pub fn binary(name: &str) -> PathBuf {
    static BUILD: Once = Once::new();
    BUILD.call_once(|| build(&["-p", "comptoir", "-p", "comptoir-relay", "--bins"]));
    built(&format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// The library that stands between a process and its files, see `tests/powercut`; never a stale one.
pub fn shim() -> PathBuf {
    static BUILD: Once = Once::new();
    BUILD.call_once(|| build(&["-p", "comptoir-shim"]));
    built("libcomptoir_shim.so")
}

/// The folder that cargo builds this profile into: `target/<profile>`.
fn profile() -> PathBuf {
    let program = std::env::current_exe().expect("the program has a path");
    let folder = program.parent().expect("a folder");
    // A test lies in `deps` inside it.
    if folder.ends_with("deps") { folder.parent().expect("a folder").to_owned() } else { folder.to_owned() }
}

fn built(name: &str) -> PathBuf {
    let path = profile().join(name);
    assert!(path.is_file(), "{} is not there: build the workspace with `cargo build --workspace`", path.display());
    path
}

fn build(what: &[&str]) {
    if std::env::var_os(BUILT).is_some() {
        return;
    }
    let profile = profile();
    let profile = profile.file_name().and_then(OsStr::to_str).unwrap_or("debug");
    let profile = if profile == "debug" { "dev" } else { profile };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--profile", profile]).args(what);
    cargo.current_dir(crate::source::root());
    let built = cargo.status().expect("cargo runs");
    assert!(built.success(), "the binaries do not build");
}

/// How a command ended and what it said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said about errors.
    pub stderr: String,
}

impl Outcome {
    /// What it printed, after checking that it succeeded.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The one line it said, after checking that it failed with status 1 and said no more.
    #[track_caller]
    pub fn failure(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "an error is one line on stderr: {self:?}");
        lines[0].to_owned()
    }
}

/// A program that goes on. Killed when dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    stderr: Arc<Mutex<String>>,
}

impl Running {
    /// Starts it. Errors are written in English whatever the machine speaks.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("LC_ALL", "C").env("LANG", "C").env_remove("LANGUAGE").env_remove("COMPTOIR_STORE");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let (mut pipe, said) = (child.stderr.take().expect("a pipe"), stderr.clone());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                said.lock().expect("not poisoned").push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { child, lines, stderr }
    }

    /// The next line it prints.
    #[track_caller]
    pub fn line(&self) -> String {
        let line = self.lines.recv_timeout(wait::DEADLINE);
        line.unwrap_or_else(|error| panic!("no line within {:?} ({error}); stderr: {}", wait::DEADLINE, self.stderr()))
    }

    /// The next line it has printed already.
    pub fn line_now(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// What it has said on stderr.
    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("not poisoned").clone()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Ends it with SIGKILL, as a power cut would.
    pub fn kill(mut self) {
        self.end();
    }

    /// As [`Running::kill`]; all the lines it printed that were not asked for yet.
    pub fn kill_and_hear(mut self) -> Vec<String> {
        self.end();
        self.lines.iter().collect()
    }

    /// Asks it to end (SIGTERM) and waits.
    pub fn terminate(self) -> Outcome {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal is sent");
        self.wait(COMMAND_DEADLINE)
    }

    /// As [`Running::wait`]; kills it when the deadline has passed, and its status is `None` then.
    pub fn wait_or_kill(mut self, deadline: Duration) -> Outcome {
        let begun = Instant::now();
        while self.is_alive() && begun.elapsed() < deadline {
            // wait: between two looks at a state of another process, which cannot tell when it is reached.
            thread::sleep(Duration::from_millis(5));
        }
        self.end();
        self.wait(deadline)
    }

    /// Waits for its end.
    pub fn wait(mut self, deadline: Duration) -> Outcome {
        let status = wait::within(deadline, &format!("the end of process {}", self.child.id()), || {
            self.child.try_wait().expect("a child can be waited for")
        });
        let stdout = self.lines.iter().map(|line| line + "\n").collect();
        // The pipe is read to its end when the thread lets go of the text.
        wait::until("the end of stderr", || (Arc::strong_count(&self.stderr) == 1).then_some(()));
        Outcome { code: status.code(), stdout, stderr: self.stderr() }
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Outcome {
    Running::start(command).wait(COMMAND_DEADLINE)
}
