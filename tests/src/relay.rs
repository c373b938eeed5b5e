//! A real relay: its own process, its own folder, a free port. Must not know devices.

use crate::program::{Outcome, Running, binary, run};
use comptoir_engine::WorkspaceId;
use comptoir_engine::wire::message::Role;
use comptoir_relay::auth::{Auth, Permissions, TokenRequest};
use comptoir_relay::catalog::Catalog;
use comptoir_relay::clock::SystemClock;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// A relay that serves. Killed when dropped.
pub struct Relay {
    data: PathBuf,
    address: SocketAddr,
    running: Option<Running>,
}

/// `comptoir-relay` with these arguments.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(binary("comptoir-relay"));
    command.args(args);
    command
}

fn serve(data: &Path, listen: &str) -> Running {
    let mut command = command(&["serve", "--listen", listen]);
    Running::start(command.arg("--data").arg(data))
}

fn address(running: &Running) -> SocketAddr {
    let line = running.line();
    let address = line.strip_prefix("listening on ").and_then(|address| address.trim().parse().ok());
    address.unwrap_or_else(|| panic!("not `listening on ADDRESS`: {line}; stderr: {}", running.stderr()))
}

impl Relay {
    /// Serves the folder `data` on a free port.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// As [`Relay::start`], with more arguments of `serve`, which a restart leaves out.
    pub fn start_with(data: &Path, args: &[&str]) -> Self {
        Self::start_in(data, args, &[])
    }

    /// As [`Relay::start_with`], with more of an environment, which a restart leaves out too.
    pub fn start_in(data: &Path, args: &[&str], environment: &[(&str, String)]) -> Self {
        let mut command = command(&["serve", "--listen", "127.0.0.1:0"]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let running = Running::start(command.args(args).arg("--data").arg(data));
        let address = address(&running);
        Self { data: data.to_owned(), address, running: Some(running) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where devices find it.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }

    /// Serves again, at the same address.
    pub fn restart(&mut self) {
        self.kill();
        let running = serve(&self.data, &self.address.to_string());
        assert_eq!(address(&running), self.address);
        self.running = Some(running);
    }

    /// Asks it to end and waits.
    pub fn terminate(&mut self) -> Outcome {
        self.running.take().expect("a relay that serves").terminate()
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.running.as_ref().expect("a relay that serves").id()
    }

    /// Whether it still serves.
    pub fn is_alive(&mut self) -> bool {
        self.running.as_mut().is_some_and(Running::is_alive)
    }

    /// What it has said on stderr since its last start.
    pub fn stderr(&self) -> String {
        self.running.as_ref().map(Running::stderr).unwrap_or_default()
    }

    /// A token for an editor.
    pub fn token(&self, workspace: &str) -> String {
        self.token_with(workspace, &[])
    }

    /// A token made with more arguments of `token create`.
    pub fn token_with(&self, workspace: &str, args: &[&str]) -> String {
        let mut command = command(&["token", "create", "--workspace", workspace]);
        run(command.args(args).arg("--data").arg(&self.data)).success().trim().to_owned()
    }

    /// An editor's token with access by collection, as in `sales=write`, signed with the relay's keys.
    pub fn narrow_token(&self, workspace: &str, access: &[&str]) -> String {
        let keys = Catalog::open(&self.data.join("keys")).expect("the relay's keys");
        let request = TokenRequest {
            workspace: WorkspaceId::new(workspace).expect("a name"),
            role: Role::Editor,
            permissions: Permissions::parse(access.iter().copied()).expect("permissions"),
            allowance: Default::default(),
            subject: None,
            name: String::new(),
            valid_for: Duration::from_secs(3600),
        };
        Auth::new(Arc::new(keys), Arc::new(SystemClock)).issue(&request).expect("a token")
    }
}
