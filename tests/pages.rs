//! The pages of `docs/`, as they stand there: every block marked `sh run` runs in a fresh folder, and what a command's
//! comment says it shows, it shows.

use comptoir_tests::{program, source};
use std::fs;
use std::net::TcpListener;
use std::process::Command;

/// The blocks of a page that are to be run, each a script.
fn scripts(page: &str) -> Vec<&str> {
    page.split("```sh run\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// What the comments behind commands say that is shown.
fn shown(script: &str) -> impl Iterator<Item = &str> {
    script.lines().filter_map(|line| line.split_once("  # ").map(|(_, shown)| shown.trim()))
}

fn run(name: &str, script: &str) {
    let place = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = script.replace("127.0.0.1:7700", &format!("127.0.0.1:{port}"));
    let binaries = program::binary("comptoir").parent().unwrap().to_owned();
    program::binary("comptoir-relay");
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let run = Command::new("bash")
        .args(["-e", "-c", &format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}")])
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
}

#[test]
fn every_page_does_and_shows_what_it_says() {
    let mut scripts_run = 0;
    for entry in fs::read_dir(source::root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            let page = fs::read_to_string(&path).unwrap();
            for script in scripts(&page) {
                run(&name, script);
                scripts_run += 1;
            }
        }
    }
    assert!(scripts_run >= 2, "the pages are not where they were");
}
