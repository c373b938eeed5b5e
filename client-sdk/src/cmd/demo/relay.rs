//! The demo's relay: the real program, as a process of its own. Must not know devices.

use crate::error::Error;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A relay at work. It ends with the demo.
pub(super) struct Relay {
    pub(super) address: String,
    program: PathBuf,
    data: PathBuf,
    process: Child,
}

impl Relay {
    /// Starts `comptoir-relay`, which stands beside this program.
    pub(super) async fn start(data: &Path) -> Result<Self, Error> {
        let own = std::env::current_exe().map_err(|cause| failed("this program", &cause))?;
        let program = own.with_file_name(format!("comptoir-relay{}", std::env::consts::EXE_SUFFIX));
        if !program.exists() {
            let what = format!("{} is missing: build it with `cargo build --release --bins`", program.display());
            return Err(Error::Demo { what });
        }
        let mut process = Command::new(&program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|cause| failed("the relay", &cause))?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            let mut out = BufReader::new(out);
            let read = timeout(START_TIMEOUT, out.read_line(&mut line)).await;
            read.map_err(|cause| failed("the relay", &cause))?.map_err(|cause| failed("the relay", &cause))?;
        }
        let address = line.trim().strip_prefix("listening on ").map(str::to_owned);
        let address = address.ok_or_else(|| Error::Demo { what: "the relay did not start".to_owned() })?;
        Ok(Self { address, program, data: data.to_owned(), process })
    }

    /// A token for a device.
    pub(super) async fn token(&self, workspace: &str) -> Result<String, Error> {
        let mut command = Command::new(&self.program);
        command.args(["token", "create", "--workspace", workspace, "--data"]).arg(&self.data);
        let made = timeout(START_TIMEOUT, command.output()).await;
        let made = made.map_err(|cause| failed("a token", &cause))?.map_err(|cause| failed("a token", &cause))?;
        match made.status.success() {
            true => Ok(String::from_utf8_lossy(&made.stdout).trim().to_owned()),
            false => Err(Error::Demo { what: String::from_utf8_lossy(&made.stderr).trim().to_owned() }),
        }
    }

    pub(super) async fn stop(mut self) -> Result<(), Error> {
        self.process.kill().await.map_err(|cause| failed("the relay", &cause))
    }
}

fn failed(what: &str, cause: &dyn std::fmt::Display) -> Error {
    Error::Demo { what: format!("{what}: {cause}") }
}
