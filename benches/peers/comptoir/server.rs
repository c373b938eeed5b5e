//! The relay as it is shipped, in a process below this one. Must not know the devices.

use crate::control::commands;
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The shop.
pub(crate) const WORKSPACE: &str = "shop";

/// Where a device of a run finds the shop's token: beside the folders of server and devices.
pub(crate) fn token_file(dir: &Path) -> PathBuf {
    dir.parent().expect("a folder within a run's folder").join("token")
}

fn argument(name: &str) -> String {
    let found = std::env::args().skip_while(|argument| *argument != format!("--{name}")).nth(1);
    found.unwrap_or_else(|| panic!("--{name}"))
}

/// Serves a folder at a port until told to exit.
pub(crate) fn run() {
    let (dir, listen) = (PathBuf::from(argument("dir")), format!("127.0.0.1:{}", argument("port")));
    let relay = std::env::current_exe().expect("a path").with_file_name("comptoir-relay");
    let mut process = Command::new(&relay);
    process.args(["serve", "--listen", &listen, "--data"]).arg(&dir).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = process.spawn().unwrap_or_else(|error| panic!("{}: {error}", relay.display()));
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("it listens");
    let mut token = Command::new(&relay);
    token.args(["token", "create", "--workspace", WORKSPACE, "--data"]).arg(&dir);
    let token = token.output().expect("a token");
    std::fs::write(token_file(&dir), token.stdout).expect("a file");
    let mut asked = commands();
    while let Some(ask) = asked.blocking_recv() {
        match ask.name() {
            // What the relay acknowledges is flushed.
            "durable" => ask.answer(json!({})),
            "exit" => {
                ask.answer(json!({}));
                break;
            }
            other => panic!("unsupported: {other}"),
        }
    }
    let _ = process.kill();
    let _ = process.wait();
}
