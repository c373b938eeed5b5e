//! A disk that takes no more while an app has its store open: the edit is refused with its reason, reading goes on, and so does
//! writing once there is room, in the same process. The limit is the one on file sizes, which a process may have.
#![cfg(target_os = "linux")]

use comptoir::{Comptoir, Notice, Settings, State, WorkspaceId, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const TEST: &str = "a_store_on_a_full_disk_refuses_reads_on_and_recovers_in_the_same_process";
/// Set in the process that runs under the limit.
const LIMITED: &str = "COMPTOIR_TEST_LIMITED";
const SOON: Duration = Duration::from_secs(60);

/// Sets how long a file of this process may become, in bytes.
fn limit(bytes: &str) {
    let pid = std::process::id().to_string();
    let done = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")]).status();
    assert!(done.is_ok_and(|status| status.success()), "the limit is set");
}

#[test]
fn a_store_on_a_full_disk_refuses_reads_on_and_recovers_in_the_same_process() {
    if std::env::var_os(LIMITED).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(under_the_limit());
    }
    // A process that outgrows its limit is killed unless it ignores the signal, which only a shell can arrange from here.
    let own = std::env::current_exe().expect("the test has a path");
    let shell = r#"trap "" XFSZ; exec "$0" --exact "$1" --nocapture"#;
    let done = Command::new("sh").args(["-c", shell]).arg(own).arg(TEST).env(LIMITED, "1").output().expect("it runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

async fn under_the_limit() {
    let dir = tempfile::tempdir().expect("a folder");
    let settings = Settings {
        workspace: WorkspaceId::new("corner-bar").expect("a name"),
        relay: String::new(),
        token: String::new(),
        device_name: "till".to_owned(),
    };
    let shop = Comptoir::init(dir.path(), settings).await.expect("a store");
    let mut saved = Vec::new();
    assert_eq!(fill(&shop, &mut saved, 0..20).await, None);
    let mut watch = shop.watch();
    limit(&size(dir.path()).to_string());
    let error = fill(&shop, &mut saved, 20..2_000).await.expect("it is full in the end");
    assert!(error.contains("disk is full") && error.contains("free some space"), "{error}");
    let status = shop.status().await.expect("a status");
    assert_eq!(status.engine.state, State::Error);
    assert!(status.engine.error.is_some_and(|error| error.contains("disk is full")));

    limit("unlimited");
    let mut statuses = shop.statuses();
    let opened = statuses.wait_for(|status| status.as_ref().is_some_and(|status| status.engine.error.is_none()));
    drop(tokio::time::timeout(SOON, opened).await.expect("it opens again").expect("the shop is open"));
    assert_eq!(fill(&shop, &mut saved, 5_000..5_001).await, None);
    for key in &saved {
        assert!(shop.get("notes", key).await.expect("read").is_some(), "{key} was reported saved");
    }
    assert_eq!(shop.status().await.expect("a status").engine.error, None);
    let refresh = std::iter::from_fn(|| watch.now()).any(|notice| notice == Notice::Refresh);
    assert!(refresh, "whoever watches reads again: the refused edit may be there or not");
}

/// Saves notes until one is refused; why it was.
async fn fill(shop: &Comptoir, saved: &mut Vec<String>, numbers: std::ops::Range<u64>) -> Option<String> {
    for number in numbers {
        let note: String = (0..400).map(|place| format!("{:x}", (number + 1) * (place + 7) * 0x9e37_79b9)).collect();
        match shop
            .put("notes", &number.to_string(), json::parse(&format!("{{\"note\": \"{note}\"}}")).expect("fields"))
            .await
        {
            Ok(_) => saved.push(number.to_string()),
            Err(error) => return Some(error.to_string()),
        }
    }
    None
}

/// The size of the store's largest file, in bytes.
fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir.join("sled")).expect("the store's folder");
    entries.map(|entry| entry.expect("an entry").metadata().expect("its size").len()).max().unwrap_or(0)
}
