//! The structure of the house as tests: who may import whom, which crate names which library, and the form of a file.
//! A rule that fails names file and line. Must not run anything.

use comptoir_tests::source::{self, Source};
use std::collections::BTreeMap;
use std::fs;

/// A crate's modules in layers: each may import those of the layers before its own, and itself.
struct Layers {
    src: &'static str,
    layers: &'static [&'static [&'static str]],
}

const ENGINE: Layers = Layers {
    src: "engine/src",
    layers: &[
        &["id", "time", "digest", "planted"],
        &["codec", "change", "disk"],
        &["gate", "archive"],
        &["wire", "record"],
        &["query"],
        &["store", "session", "event"],
        &["live"],
        &["engine"],
    ],
};

const RELAY: Layers = Layers {
    src: "relay/src",
    layers: &[
        &["text", "clock", "metrics"],
        &["config", "catalog"],
        &["auth", "audit"],
        &["log", "logins", "limits"],
        &["room", "lobby", "backup", "tls"],
        &["ws"],
        &["service"],
        &["feed"],
        &["webhooks"],
        &["control"],
        &["rest"],
        &["http"],
        &["relay"],
        &["cmd"],
    ],
};

const CLIENT_SDK: Layers = Layers {
    src: "client-sdk/src",
    layers: &[&["record"], &["error", "text"], &["machine"], &["tls"], &["socket"], &["worker"], &["handle"], &["cmd"]],
};

/// An edge inside one layer that is allowed: `digest` is a sum over ids.
const BESIDE: &[(&str, &str, &str)] = &[("engine/src", "digest", "id")];

/// A library and the only places that name it.
const NAMED_ONLY_IN: &[(&str, &[&str])] = &[
    ("automerge", &["engine/src/record.rs", "engine/src/record/"]),
    ("bincode", &["engine/src/codec.rs"]),
    ("sled", &["engine/src/disk.rs", "engine/src/disk/"]),
    ("redb", &["engine/src/disk.rs", "engine/src/disk/"]),
    ("negentropy", &["engine/src/session/reconcile.rs"]),
];

/// What the crates of this workspace may depend on among each other.
const CRATES: &[(&str, &[&str])] = &[
    ("engine", &["comptoir-fdatasync"]),
    ("relay", &["comptoir-engine"]),
    ("client-sdk", &["comptoir-derive", "comptoir-engine"]),
];

const SRC: &[&str] = &[
    "engine/src",
    "engine/fdatasync/src",
    "relay/src",
    "client-sdk/src",
    "client-sdk/derive/src",
    "client-sdk/bindings",
];

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

const FORBIDDEN: &[&str] = &[
    "anyhow",
    "Box<dyn Error",
    "Box<dyn std::error::Error",
    "unbounded_channel",
    "todo!",
    "unimplemented!",
    "dbg!",
    "#[ignore",
    ".unwrap()",
];

/// The engine is told the time and its chances; it has no threads of its own and knows no network.
const NOT_IN_ENGINE: &[&str] =
    &["Instant::now", "SystemTime", "Timestamp::now", "getrandom", "rand::rng()", "std::net", "tokio"];

/// Sled's folder is left out: it has a thread that nudges sled and one that gives it the journal, behind the store's trait.
const THREADS: &[&str] = &["thread::", "thread;"];

const VAGUE_NAMES: &[&str] =
    &["shared", "common", "util", "utils", "manager", "helper", "helpers", "inner", "misc", "types"];

const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".config",
    ".git",
    ".gitattributes",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "clippy.toml",
    "client-sdk",
    "deny.toml",
    "docs",
    "engine",
    "relay",
    "rustfmt.toml",
    "target",
    "tests",
];

fn fail_with(rule: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{rule}:\n  {}\n", found.join("\n  "));
}

/// The module of a file, as its path in the crate: `["store", "keys"]`; empty for `lib.rs` and `main.rs`.
fn module_path<'a>(src: &str, path: &'a str) -> Vec<&'a str> {
    let inside = path.strip_prefix(src).unwrap_or(path).trim_start_matches('/');
    let inside = inside.strip_suffix(".rs").unwrap_or(inside);
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    if matches!(inside, "lib" | "main") { Vec::new() } else { inside.split('/').collect() }
}

/// Every path that begins at the crate's root, as (position, its first name).
fn root_paths(code: &str, module: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if !is_part_of_name(code, at) {
            found.extend(first_names(&code[at + 7..]).into_iter().map(|name| (at, name)));
        }
    }
    let up = "super::".repeat(module.len());
    for (at, _) in code.match_indices(&up).filter(|_| !module.is_empty()) {
        let longer = code[..at].ends_with("super::") || code[at + up.len()..].starts_with("super::");
        if !longer && !is_part_of_name(code, at) {
            found.extend(first_names(&code[at + up.len()..]).into_iter().map(|name| (at, name)));
        }
    }
    found
}

fn is_part_of_name(code: &str, at: usize) -> bool {
    code[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_' || before == ':')
}

/// The names a path goes on with: one, or those of a group in braces.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    if !rest.starts_with('{') {
        return vec![name(rest)];
    }
    let group = &rest[1..source::closing_brace(rest, 0)];
    let mut depth = 0;
    let top = |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    };
    group.split(top).map(name).filter(|name| !name.is_empty()).collect()
}

fn edges_outside(table: &Layers) -> Vec<String> {
    let place: BTreeMap<&str, usize> = table
        .layers
        .iter()
        .enumerate()
        .flat_map(|(layer, names)| names.iter().map(move |name| (*name, layer)))
        .collect();
    let mut found = Vec::new();
    for file in source::sources(&[table.src]) {
        let module = module_path(table.src, &file.path);
        let Some(own) = module.first() else { continue };
        let Some(layer) = place.get(own) else {
            found.push(format!("{}:1: the module `{own}` has no place in the table", file.path));
            continue;
        };
        for (at, name) in root_paths(&source::without_tests(&file.code), &module) {
            let line = source::line_of(&file.code, at);
            let beside = BESIDE.contains(&(table.src, own, name.as_str()));
            match place.get(name.as_str()) {
                Some(_) if name == *own || beside => {}
                Some(other) if other < layer => {}
                // What a macro puts at the root.
                None if name.starts_with('_') => {}
                Some(_) => found.push(format!("{}:{line}: `{own}` may not import `{name}`", file.path)),
                None => found.push(format!("{}:{line}: name `{name}` by its module, not from the root", file.path)),
            }
        }
    }
    found
}

#[test]
fn the_reader_of_imports_sees_each_way_to_write_one() {
    let code =
        "use crate::{store::{a, b}, wire}; fn f() -> crate::gate::X { super::super::event::g(); super::rows::h() }";
    let names = root_paths(code, &["session", "reconcile"]).into_iter().map(|(_, name)| name);
    assert_eq!(names.collect::<Vec<_>>(), ["store", "wire", "gate", "event"]);
    assert!(source::sources(&["engine/src"]).len() > 30, "there is something to look at");
}

#[test]
fn modules_of_the_engine_import_only_the_layers_below_them() {
    fail_with("the layers of the engine", edges_outside(&ENGINE));
}

#[test]
fn modules_of_the_relay_import_only_the_layers_below_them() {
    fail_with("the layers of the relay", edges_outside(&RELAY));
}

#[test]
fn modules_of_the_sdk_import_only_the_layers_below_them() {
    fail_with("the layers of the SDK", edges_outside(&CLIENT_SDK));
}

#[test]
fn relay_and_sdk_stand_on_the_engine_and_on_nothing_else_of_the_house() {
    let mut found = Vec::new();
    for (folder, allowed) in CRATES {
        let path = format!("{folder}/Cargo.toml");
        let text = fs::read_to_string(source::root().join(&path)).expect("a crate's Cargo.toml");
        let mut dependencies = false;
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('[') {
                dependencies = line.contains("dependencies");
            }
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            let ours = name == "comptoir" || name.starts_with("comptoir-") || line.contains("path = \"..");
            if dependencies && ours && !allowed.contains(&name) {
                found.push(format!("{path}:{}: {line}", index + 1));
            }
        }
    }
    fail_with("client-sdk -> engine <- relay, nothing else", found);
}

/// Whether a file names a library: as a path's first part, or in a `use`.
fn names(code: &str, library: &str) -> Option<usize> {
    code.match_indices(library).map(|(at, _)| at).find(|&at| {
        let after = &code[at + library.len()..];
        let whole = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let used = after.starts_with("::") || code[..at].ends_with("use ") || code[..at].ends_with("extern crate ");
        whole && used && !is_part_of_name(code, at)
    })
}

#[test]
fn each_library_with_sharp_edges_is_named_in_one_place() {
    let mut found = Vec::new();
    for file in source::sources(SRC) {
        for (library, places) in NAMED_ONLY_IN {
            let allowed = places.iter().any(|place| file.path.starts_with(place));
            if let Some(at) = names(&file.code, library).filter(|_| !allowed) {
                found.push(format!("{}:{}: names `{library}`", file.path, source::line_of(&file.code, at)));
            }
        }
    }
    fail_with("libraries behind one door", found);
}

fn lines_with(files: &[Source], forbidden: &[&str], code_of: fn(&Source) -> String) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let code = code_of(file);
        for word in forbidden {
            for (at, _) in code.match_indices(word).filter(|(at, _)| !is_letter_before(&code, *at, word)) {
                found.push(format!("{}:{}: {word}", file.path, source::line_of(&code, at)));
            }
        }
    }
    found
}

fn is_letter_before(code: &str, at: usize, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    word.starts_with(inside) && code[..at].ends_with(inside)
}

#[test]
fn the_engine_has_no_clock_no_chance_no_threads_and_no_network() {
    fail_with(
        "handed in, not taken",
        lines_with(&source::sources(&["engine/src"]), NOT_IN_ENGINE, |file| source::without_tests(&file.code)),
    );
    let mut files = source::sources(&["engine/src"]);
    files.retain(|file| !file.path.starts_with("engine/src/disk/sled"));
    fail_with("threads are the caller's", lines_with(&files, THREADS, |file| source::without_tests(&file.code)));
}

#[test]
fn no_source_file_holds_what_the_house_rules_out() {
    fail_with("ruled out", lines_with(&source::sources(SRC), FORBIDDEN, |file| source::without_tests(&file.code)));
}

#[test]
fn nothing_is_left_to_be_done() {
    let mut files = source::sources(SRC);
    files.extend(source::sources(&["engine/tests", "relay/tests", "client-sdk/tests", "tests", "benches"]));
    files.retain(|file| file.path != "tests/tidy.rs");
    fail_with("left to be done", lines_with(&files, &["TODO", "FIXME", "XXX", "#[ignore"], |file| file.text.clone()));
}

#[test]
fn every_file_opens_with_what_it_holds() {
    let mut files = source::sources(SRC);
    files.extend(source::sources(&["engine/tests", "relay/tests", "client-sdk/tests", "tests", "benches"]));
    let silent = files.iter().filter(|file| !file.text.starts_with("//!"));
    fail_with("a file opens with `//!`", silent.map(|file| format!("{}:1", file.path)).collect());
}

#[test]
fn no_file_has_more_than_400_lines_and_no_function_more_than_70() {
    let mut found = Vec::new();
    let tests = source::sources(&["engine/tests", "relay/tests", "client-sdk/tests", "tests"]);
    for file in source::sources(SRC).iter().chain(&tests) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            found.push(format!("{}:{lines}: split it by noun or by phase", file.path));
        }
    }
    for file in source::sources(SRC) {
        let code = source::without_tests(&file.code);
        for (name, from, lines) in functions(&code).into_iter().filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX) {
            found.push(format!("{}:{from}: the function `{name}` has {lines} lines", file.path));
        }
    }
    fail_with("short enough to be read", found);
}

/// Every function with a body: its name, first line and number of lines.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ").filter(|(at, _)| !is_part_of_name(code, *at)) {
        let name = first_names(&code[at + 3..]).remove(0);
        let Some(open) = code[at..].find(['{', ';']).map(|offset| at + offset) else { continue };
        if name.is_empty() || code.as_bytes()[open] == b';' {
            continue;
        }
        let (from, through) = (source::line_of(code, at), source::line_of(code, source::closing_brace(code, open)));
        found.push((name, from, through - from + 1));
    }
    found
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    let mut found = Vec::new();
    for file in source::sources(SRC) {
        let vague = file.path.split(['/', '.']).find(|part| VAGUE_NAMES.contains(part));
        found.extend(vague.map(|name| format!("{}:1: `{name}`", file.path)));
        for (at, _) in file.code.match_indices("mod ").filter(|(at, _)| !is_part_of_name(&file.code, *at)) {
            let name = first_names(&file.code[at + 4..]).remove(0);
            if VAGUE_NAMES.contains(&name.as_str()) {
                found.push(format!("{}:{}: `{name}`", file.path, source::line_of(&file.code, at)));
            }
        }
    }
    fail_with("a name says what is inside", found);
}

#[test]
fn a_test_that_sleeps_says_why() {
    let mut found = Vec::new();
    for file in source::sources(&["engine/tests", "relay/tests", "client-sdk/tests", "tests"]) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (index, line) in file.code.lines().enumerate().filter(|(_, line)| line.contains("sleep(")) {
            if !index.checked_sub(1).is_some_and(|above| lines[above].trim_start().starts_with("// wait:")) {
                found.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    fail_with("a sleep stands below a line `// wait: why`", found);
}

#[test]
fn the_top_level_holds_nothing_new() {
    let entries = fs::read_dir(source::root()).expect("the repository's root");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    fail_with("the top level", names.filter(|name| !TOP_LEVEL.contains(&name.as_str())).collect());
}
