//! The README's tour, as it stands there, command for command.

use comptoir_tests::{program, source};
use std::fs;
use std::net::TcpListener;
use std::process::Command;

/// The fenced blocks marked as parts of the tour, joined.
fn tour(readme: &str) -> String {
    let blocks = readme.split("```sh tour\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks
        .flat_map(str::lines)
        .filter(|line| !line.starts_with("cargo build"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn the_tour_shows_what_the_readme_says() {
    let readme = fs::read_to_string(source::root().join("README.md")).unwrap();
    let place = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = tour(&readme)
        .replace("/tmp/comptoir", &place.path().display().to_string())
        .replace("127.0.0.1:7700", &format!("127.0.0.1:{port}"));
    assert!(script.lines().count() >= 12, "the tour is not where it was: {script}");
    let binaries = program::binary("comptoir").parent().unwrap().to_owned();
    program::binary("comptoir-relay");
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let run = Command::new("bash")
        .args(["-e", "-c", &format!("trap 'kill %1' EXIT\n{script}")])
        .env("PATH", path)
        .env("COMPTOIR_LANG", "en")
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}\n{errors}");
    let shown = r#"{"name":"Tea","price_cents":320,"shelf":"B4","stock":-7}"#;
    assert!(readme.contains(shown) && said.contains(shown), "{said}");
    assert!(said.contains("up to date: 1 records, 0 edits wait"), "{said}");
}
