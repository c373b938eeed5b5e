//! The pages of `docs/`: every fence marked `sh run` runs, page by page, in a fresh folder with the programs on the path.

use comptoir_tests::{program, source};
use std::fs;
use std::process::Command;

const PAGES: &[&str] = &["schemas.md"];

#[test]
fn the_pages_examples_run_as_they_stand() {
    let binaries = program::binary("comptoir").parent().unwrap().to_owned();
    program::binary("comptoir-relay");
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    for page in PAGES {
        let text = fs::read_to_string(source::root().join("docs").join(page)).unwrap();
        let blocks: Vec<&str> = text.split("```sh run\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!blocks.is_empty(), "{page} has nothing to run");
        let place = tempfile::tempdir().unwrap();
        let mut bash = Command::new("bash");
        bash.args(["-e", "-o", "pipefail", "-c", &blocks.concat()]).current_dir(place.path());
        bash.env("PATH", &path).env("COMPTOIR_LANG", "en").env_remove("COMPTOIR_STORE").env_remove("COMPTOIR_TOKEN");
        let run = bash.output().unwrap();
        let (said, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "{page}: {said}\n{errors}");
        for line in errors.lines() {
            assert!(text.contains(line), "{page} does not show what was said: {line}");
        }
    }
}
