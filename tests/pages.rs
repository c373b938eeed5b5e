//! The pages of `docs/`, as they stand there: every block marked `sh run` runs, those with an `init` in a fresh folder, and
//! what a command's comment or a `text` block says is shown, is shown.

use comptoir_tests::{program, source};
use std::fs;
use std::net::TcpListener;
use std::process::Command;

/// The scripts of a page: each block that is to be run, with those behind it that go on in its store.
fn scripts(page: &str) -> Vec<String> {
    let mut scripts: Vec<String> = Vec::new();
    for block in blocks(page, "sh run") {
        match scripts.last_mut() {
            Some(script) if !block.contains("comptoir init ") => script.push_str(block),
            _ => scripts.push(block.to_owned()),
        }
    }
    scripts
}

fn blocks<'p>(page: &'p str, fence: &str) -> Vec<&'p str> {
    page.split(&format!("\n```{fence}\n")).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// What the comments behind commands say that is shown.
fn shown(script: &str) -> impl Iterator<Item = &str> {
    script.lines().filter_map(|line| line.split_once("  # ").map(|(_, shown)| shown.trim()))
}

/// Has what a page's example is written in, where it is not there yet.
const PYTHON: &str = r#"command -v python3 > /dev/null || {
    as_root=$([ "$(id -u)" = 0 ] || echo sudo)
    $as_root apt-get update -qq && $as_root apt-get install -y -qq python3
}"#;

/// Runs a script; what it said.
fn run(name: &str, script: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = script.replace("127.0.0.1:7700", &format!("127.0.0.1:{port}"));
    let script = if script.contains("python3 ") { format!("{PYTHON}\n{script}") } else { script };
    let binaries = program::binary("comptoir").parent().unwrap().to_owned();
    program::binary("comptoir-relay");
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let run = Command::new("bash")
        .args(["-e", "-c", &format!("exec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}")])
        .current_dir(place.path())
        .env("PATH", path)
        .env("COMPTOIR_LANG", "en")
        .env_remove("COMPTOIR_STORE")
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{name}:\n{script}\n{said}\n{errors}");
    for shown in shown(&script) {
        assert!(said.contains(shown), "{name} does not show: {shown}\nbut: {said}\n{errors}");
    }
    said.into_owned()
}

#[test]
fn every_page_does_and_shows_what_it_says() {
    let mut scripts_run = 0;
    for entry in fs::read_dir(source::root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            let page = fs::read_to_string(&path).unwrap();
            let scripts = scripts(&page);
            scripts_run += scripts.len();
            let said: String = scripts.iter().map(|script| run(&name, script)).collect();
            let mut lines = said.lines();
            for shown in blocks(&page, "text").into_iter().flat_map(str::lines).filter(|_| !scripts.is_empty()) {
                assert!(lines.any(|line| line == shown), "{name} shows, in this order, {shown}\nbut: {said}");
            }
        }
    }
    assert!(scripts_run >= 2, "the pages are not where they were");
}
