//! The pages of `docs/`: what they tell to type is typed, and what they show is what is said.

use comptoir_tests::{program, source};
use std::fs;
use std::process::Command;

const PAGES: &[&str] = &["queries.md"];

/// The page's blocks that begin with this fence, joined.
fn blocks(page: &str, fence: &str) -> String {
    page.split(&format!("\n```{fence}\n")).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn what_the_pages_tell_to_type_says_what_they_show() {
    program::binary("comptoir-relay");
    let binaries = program::binary("comptoir").parent().unwrap().to_owned();
    for name in PAGES {
        let page = fs::read_to_string(source::root().join("docs").join(name)).unwrap();
        // A schema is a record, and can be set as one.
        let script = blocks(&page, "sh run").replace(
            "comptoir schema set products products.json",
            "comptoir put _schemas products \"$(cat products.json)\"",
        );
        assert!(!script.is_empty(), "{name} has nothing to type");
        let place = tempfile::tempdir().unwrap();
        let run = Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", &script])
            .current_dir(place.path())
            .env("PATH", format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap()))
            .env("COMPTOIR_LANG", "en")
            .env_remove("COMPTOIR_STORE")
            .output()
            .unwrap();
        let (said, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "{name}: {said}\n{errors}");
        let mut lines = said.lines();
        for shown in blocks(&page, "text").lines() {
            assert!(
                lines.any(|line| line == shown),
                "{name} shows, in this order, {shown}\nbut what was said is {said}"
            );
        }
    }
}
