//! Every text is there in both languages.

use std::collections::BTreeSet;
use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file of this crate")
}

/// The keys of a section in a locale's file.
fn keys(locale: &str, section: &str) -> BTreeSet<String> {
    let text = read(&format!("locales/{locale}.yml"));
    let lines = text.lines().skip_while(|line| *line != format!("{section}:")).skip(1);
    let lines = lines.take_while(|line| line.starts_with(' '));
    lines.filter_map(|line| line.trim().split_once(':')).map(|(key, _)| key.to_owned()).collect()
}

fn sources(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(std::fs::read_to_string(path).expect("a source file")),
        }
    }
}

/// Every code an error gives itself: the texts between quotes in the functions named `code`.
fn codes() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let bodies = files.iter().flat_map(|file| file.split("fn code(&self) -> &'static str {").skip(1));
    let bodies = bodies.filter_map(|rest| rest.split("\n    }\n").next());
    bodies.flat_map(|body| body.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn every_error_has_a_french_text_and_no_french_text_is_left_over() {
    let codes = codes();
    assert!(codes.len() > 30, "{codes:?}");
    assert_eq!(codes, keys("fr", "error"));
}

#[test]
fn every_text_of_the_command_line_is_there_in_both_languages() {
    assert!(!keys("en", "cli").is_empty());
    assert_eq!(keys("en", "cli"), keys("fr", "cli"));
    assert_eq!(keys("en", "said"), keys("fr", "said"));
    assert_eq!(keys("en", "problem"), keys("fr", "problem"));
}
