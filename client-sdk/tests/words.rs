//! What the command line says: one line for an error, an exit status by kind, in English and French.

mod till;

use serde_json::Value;
use till::{Said, Till};

#[test]
fn asked_wrongly_is_one_line_and_status_2() {
    let till = Till::new();
    for (args, what) in [
        (&[][..], "a command is missing"),
        (&["sell"], "\"sell\""),
        (&["put", "products"], "<KEY>"),
        (&["put", "products", "tea", "{}", "more"], "\"more\""),
        (&["incr", "products", "tea", "stock", "many"], "many"),
        (&["sync", "--mode", "sideways"], "sideways"),
        (&["sync", "--timeout", "soon"], "soon"),
        (&["sync", "--timeout"], "needs a value"),
        (&["run", "--every=-5m"], "-5m"),
        (&["status", "--loud"], "--loud"),
        (&["list", "a", "--json", "--json"], "more than once"),
        (&["init"], "--workspace"),
    ] {
        let said = till.run(args);
        if args.iter().filter(|arg| **arg == "--json").count() == 0 {
            assert!(said.stderr.starts_with("comptoir: "), "{said:?}");
        }
        let line = said.fails(2);
        assert!(line.contains(what) && line.contains("--help"), "{args:?}: {line}");
    }
}

#[test]
fn a_failure_is_one_line_and_status_1_and_says_what_to_do() {
    let till = Till::without_store();
    let line = till.run(&["status"]).fails(1);
    assert!(line.contains("comptoir init"), "{line}");
    assert!(!till.store().exists(), "asking for a store makes none");
    let till = Till::new();
    for (args, what) in [
        (&["get", "products", "tea"][..], "check the collection and the key"),
        (&["put", "products", "tea", "{\"name\":\n\"Tea\""], "not valid JSON"),
        (&["incr", "Products", "tea", "stock", "1"], "lower-case"),
        (&["delete", "products", "tea"], "no such record"),
        (&["sync"], "comptoir init --relay"),
        (&["init", "--workspace", "corner-bar", "--relay", "https://relay.example"], "wss://HOST:PORT"),
    ] {
        let line = till.run(args).fails(1);
        assert!(line.contains(what), "{args:?}: {line}");
    }
}

#[test]
fn with_json_an_error_is_one_line_of_json_on_stderr() {
    let till = Till::new();
    for (args, code, name) in [
        (&["get", "products", "tea", "--json"][..], 1, "no-record"),
        (&["put", "products", "tea", "[]", "--json"], 1, "json-not-object"),
        (&["sell", "--json"], 2, "usage"),
    ] {
        let line: Value = serde_json::from_str(&till.run(args).fails(code)).expect("JSON");
        assert_eq!(line["error"]["code"], name, "{line}");
        assert!(!line["error"]["message"].as_str().expect("a text").is_empty(), "{line}");
    }
}

fn in_french(till: &Till, args: &[&str]) -> Said {
    till.command(args).env("COMPTOIR_LANG", "fr").output().expect("the program runs").into()
}

#[test]
fn french_is_spoken_where_it_is_asked_for() {
    let till = Till::new();
    assert!(in_french(&till, &["put", "products", "tea", "{\"n\":1}"]).ok().contains("enregistré sur cet appareil"));
    assert!(in_french(&till, &["get", "products", "milk"]).fails(1).contains("la fiche products/milk n'existe pas"));
    assert!(in_french(&till, &["sell"]).fails(2).contains("la commande « sell » n'existe pas"));
    assert!(in_french(&till, &["status"]).ok().contains("1 fiches"));
    let english = till.command(&["get", "products", "milk"]).env("COMPTOIR_LANG", "nl_NL").output().expect("it runs");
    assert!(Said::from(english).fails(1).contains("there is no record"), "other languages get English");
}

#[test]
fn help_is_whole_in_both_languages() {
    let till = Till::without_store();
    let commands = [
        "init",
        "put",
        "incr",
        "unset",
        "get",
        "list",
        "delete",
        "restore",
        "import",
        "export",
        "sync",
        "run",
        "watch",
        "status",
        "demo",
        "history",
        "show",
        "undo",
        "conflicts",
        "choose",
        "schema",
        "tx",
        "series",
        "audit",
        "quarantine",
    ];
    let (english, french) = (till.run(&["--help"]).ok(), in_french(&till, &["--help"]).ok());
    for command in commands {
        assert!(english.contains(&format!("  {command} ")) && french.contains(&format!("  {command} ")), "{command}");
        let (english, french) = (till.run(&[command, "--help"]).ok(), in_french(&till, &[command, "--help"]).ok());
        for help in [&english, &french] {
            assert!(!help.contains("cli.") && !help.contains("arg."), "a text without words: {help}");
        }
        assert!(english.contains("--store") && french.contains("--store"), "{french}");
        for word in ["Usage:", "Arguments:", "default:", "possible values", "Print help"] {
            assert!(word == "Arguments:" || !french.contains(word), "{word}: {french}");
        }
    }
}

#[test]
fn a_reader_who_leaves_early_makes_no_panic() {
    let till = Till::new();
    for key in 0..20 {
        till.run(&["put", "letters", &key.to_string(), "{}"]).ok();
    }
    let mut child = till.command(&["list", "letters"]);
    let mut child =
        child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("runs");
    drop(child.stdout.take());
    let said = Said::from(child.wait_with_output().expect("it ends"));
    assert!(!said.stderr.contains("panicked"), "{said:?}");
}
