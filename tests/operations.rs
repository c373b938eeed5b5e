//! What an operator is given: the page, the dashboard, the service, the package's list. Each says what is so.

use comptoir_tests::metrics::{Metrics, read};
use comptoir_tests::program::binary;
use comptoir_tests::relay::Relay;
use comptoir_tests::rest::Client;
use comptoir_tests::source::root;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

fn file(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The fields of a struct in a source file.
fn fields(source: &str, name: &str) -> Vec<String> {
    let body = source.split(&format!("pub struct {name} {{")).nth(1).expect("the struct");
    let body = body.split("\n}").next().expect("its end");
    let lines = body.lines().filter_map(|line| line.trim().strip_prefix("pub "));
    lines.filter_map(|line| line.split_once(':')).map(|(field, _)| field.to_owned()).collect()
}

/// A default as the table has it: a number without its commas, or the text.
fn plain(value: &str) -> String {
    let value = value.trim().trim_end_matches(',');
    if let Some((number, shift)) = value.split_once(" << ") {
        let number: u64 = number.parse().expect("a number");
        return (number << shift.parse::<u32>().expect("a shift")).to_string();
    }
    let text = value.trim_matches('"');
    if text.chars().all(|c| c.is_ascii_digit() || c == ',' || c == '_') {
        text.replace([',', '_'], "")
    } else {
        text.to_owned()
    }
}

/// The table of settings: names and defaults.
fn settings_told() -> BTreeMap<String, String> {
    let page = file("docs/operations.md");
    let table = page.split("| setting | default | |").nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut told = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        for name in cells[0].split(", ") {
            told.insert(name.trim_matches('`').to_owned(), plain(cells[1]));
        }
    }
    told
}

#[test]
fn every_setting_is_in_the_table_with_its_default() {
    let (config, tables) = (file("relay/src/config.rs"), file("relay/src/config/tables.rs"));
    let mut there = BTreeSet::new();
    for field in fields(&config, "Config") {
        let of_table = match field.as_str() {
            "tls" => fields(&tables, "TlsSettings"),
            "metrics" => fields(&tables, "MetricsSettings"),
            "limits" => fields(&tables, "LimitSettings"),
            "log" => fields(&tables, "LogSettings"),
            "jwt" => fields(&tables, "JwtSettings"),
            "webhooks" => fields(&tables, "WebhookSettings"),
            "backup" => {
                let own = fields(&config, "BackupSettings").into_iter().filter(|name| name != "s3");
                let buckets = fields(&config, "BucketSettings").into_iter().map(|name| format!("s3.{name}"));
                own.chain(buckets).collect()
            }
            _ => {
                there.insert(field);
                continue;
            }
        };
        there.extend(of_table.into_iter().map(|name| format!("{field}.{name}")));
    }
    let told = settings_told();
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), there);
    let defaults = config.split("impl Default for Config").nth(1).expect("the defaults");
    let defaults = defaults.split("\n}").next().expect("their end");
    let mut compared = 0;
    for line in defaults.lines().filter_map(|line| line.trim().split_once(": ")) {
        let (name, value) = (line.0, line.1.trim_end_matches(',').trim_end_matches(".to_owned()"));
        if let Some(told) = told.get(name).filter(|_| value != "None") {
            assert_eq!(*told, plain(value), "{name}");
            compared += 1;
        }
    }
    assert!(compared >= 22, "{compared}");
    for (name, function) in [("backup.keep", "fn kept()"), ("backup.trial", "fn tried()")] {
        let body = config.split(function).nth(1).expect("a default").lines().nth(1).expect("its value");
        assert_eq!(told[name], body.trim(), "{name}");
    }
    assert_eq!(told["log.format"], "text");
    for name in ["workspace_claim", "role_claim", "role", "collections_claim"] {
        let body = tables
            .split(&format!("fn {name}() -> String"))
            .nth(1)
            .expect("a default")
            .lines()
            .nth(1)
            .expect("its value");
        assert_eq!(format!("\"{}\".to_owned()", told[&format!("jwt.{name}")]), body.trim(), "{name}");
    }
}

/// Every name of a metric in a text, with what a query adds to it.
fn metric_names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let words = words.filter(|word| word.starts_with("comptoir_relay_") || word.starts_with("process_"));
    words.map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_page_name_metrics_that_are_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    // The numbers of a workspace are there while it has a session.
    let token = relay.token("corner-shop");
    // And of a webhook while there is one.
    let admin = Client::new(relay.address(), &relay.token_with("corner-shop", &["--role", "admin"]));
    let hook = json!({"url": "https://example.com/hook"});
    admin.write("POST", "/v1/workspaces/corner-shop/webhooks", &hook).expect(201);
    let _session = comptoir_tests::socket::Socket::welcomed(relay.address(), "corner-shop", &token);
    let metrics = comptoir_tests::wait::until("a session", || {
        let metrics = read(relay.address());
        (metrics.sum("comptoir_relay_sessions") > 0.0).then_some(metrics)
    });
    let dashboard = file("relay/packaging/grafana.json");
    let parsed: Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = parsed["panels"].as_array().expect("panels");
    assert!(panels.len() > 12);
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("queries"));
    let queries: String = targets.map(|target| target["expr"].as_str().expect("a query").to_owned() + "\n").collect();
    let (shown, page) = (metric_names(&queries), file("docs/operations.md"));
    let names = metrics.names();
    for name in shown.iter().chain(&metric_names(&page)) {
        assert!(names.contains(name.as_str()) || is_histogram(&metrics, name), "there is no metric {name}");
    }
    assert!(shown.len() > 20, "{shown:?}");
    // And the page leaves none out.
    let told = metric_names(&page);
    for family in metrics.kinds.keys() {
        let suffixes = ["", "_total", "_info"];
        let told = suffixes.iter().any(|suffix| told.contains(&format!("{family}{suffix}")));
        assert!(told, "the page does not tell of {family}");
    }
}

fn is_histogram(metrics: &Metrics, name: &str) -> bool {
    metrics.kinds.get(name).is_some_and(|kind| kind == "histogram")
}

#[test]
fn the_service_is_one_that_systemd_takes() {
    let service = file("relay/packaging/comptoir-relay.service");
    for line in ["DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet="] {
        assert!(service.lines().any(|each| each == line), "{line}");
    }
    assert!(service.contains("StateDirectory=comptoir ") && service.contains("--data /var/lib/comptoir "), "{service}");
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("comptoir-relay.service");
    let installed = binary("comptoir-relay").display().to_string();
    fs::write(&unit, service.replace("/usr/bin/comptoir-relay", &installed)).expect("written");
    match Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output() {
        Ok(verified) => {
            let said = String::from_utf8_lossy(&verified.stderr);
            assert!(verified.status.success() && !said.contains("comptoir-relay.service:"), "{said}");
        }
        Err(error) => eprintln!("systemd-analyze cannot be run ({error}): its part was left out"),
    }
}

#[test]
fn the_package_and_the_image_take_files_that_are_there_and_run_as_nobody() {
    let manifest = file("relay/Cargo.toml");
    let assets = manifest.split("assets = [").nth(1).expect("assets").split("\n]").next().expect("their end");
    let mut found = 0;
    for asset in assets.lines().filter_map(|line| line.split('"').nth(1)).filter(|path| !path.starts_with("target/")) {
        assert!(root().join("relay").join(asset).is_file(), "{asset}");
        found += 1;
    }
    assert!(found >= 5);
    let image = file("relay/packaging/Dockerfile");
    let last = image.rsplit("\nFROM ").next().expect("the last stage");
    assert!(last.contains("USER 65532") && !last.contains("RUN "), "{last}");
    // The settings that are packaged are settings.
    let folder = tempfile::tempdir().expect("a folder");
    let config = root().join("relay/packaging/relay.toml");
    let with = ["--config", config.to_str().expect("a path")];
    assert_eq!(Relay::start_with(folder.path(), &with).terminate().code, Some(0));
}
