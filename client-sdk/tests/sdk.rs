//! The Rust API on one device: durable when it returns, shared by clones, told to watchers, bounded in time.

use comptoir::{
    Collection, Comptoir, Error, FieldEdit, Mode, Notice, RecordId, Settings, State, Value, WorkspaceId, json,
};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

fn settings(relay: &str) -> Settings {
    Settings {
        workspace: WorkspaceId::new("corner-bar").expect("a name"),
        relay: relay.to_owned(),
        token: String::new(),
        device_name: "till".to_owned(),
    }
}

async fn shop(dir: &Path, relay: &str) -> Comptoir {
    Comptoir::init(dir, settings(relay)).await.expect("a store")
}

#[tokio::test]
async fn what_a_clone_saves_is_seen_by_all_and_still_there_when_opened_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path(), "").await;
    let other = shop.clone();
    other.put("products", "tea", json::parse(r#"{"name": "Tea"}"#).expect("fields")).await.expect("saved");
    let committed = shop.increment("products", "tea", "stock", 5).await.expect("saved");
    assert_eq!((committed.changed.len(), committed.created), (1, 0));
    assert_eq!(shop.status().await.expect("a status").engine.pending, 2, "the status is never older than the edit");
    other.shut_down().await.expect("closed");
    assert!(matches!(shop.get("products", "tea").await, Err(Error::ShutDown)));
    let shop = Comptoir::open(dir.path()).await.expect("free to be opened");
    let view = shop.get("products", "tea").await.expect("read").expect("a record");
    assert_eq!(view.fields["stock"], Value::Counter(5));
}

#[tokio::test]
async fn the_last_clone_to_go_closes_the_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = shop(dir.path(), "").await;
    let second = first.clone();
    drop(first);
    assert!(Comptoir::open(dir.path()).await.is_err(), "a clone still has it open");
    drop(second);
    let began = Instant::now();
    while let Err(error) = Comptoir::open(dir.path()).await {
        assert_eq!(error.code(), "store-in-use");
        assert!(began.elapsed() < SOON, "{error}");
    }
}

#[tokio::test]
async fn a_transaction_is_done_whole_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path(), "").await;
    shop.put("products", "tea", json::parse(r#"{"name": "Tea", "stock": 3}"#).expect("fields")).await.expect("saved");
    let tea = RecordId::new("products", "tea").expect("a name");
    let sold = FieldEdit::Increment { field: "stock".to_owned(), by: -1 };
    let wrong = FieldEdit::Increment { field: "name".to_owned(), by: -1 };
    let error = shop.commit(vec![(tea.clone(), sold), (tea, wrong)]).await.expect_err("a name is no number");
    assert_eq!(error.code(), "not-number");
    let view = shop.get("products", "tea").await.expect("read").expect("a record");
    assert_eq!(view.fields["stock"], Value::Int(3));
}

#[tokio::test]
async fn a_watcher_is_told_of_its_collection_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path(), "").await;
    let products = Collection::new("products").expect("a name");
    let mut watch = shop.watch_collection(&products);
    shop.put("sales", "1", json::parse("{}").expect("fields")).await.expect("saved");
    shop.put("products", "tea", json::parse("{}").expect("fields")).await.expect("saved");
    let told = tokio::time::timeout(SOON, watch.next()).await.expect("in time");
    assert_eq!(told, Some(Notice::Changed(RecordId::new("products", "tea").expect("a name"))));
    shop.shut_down().await.expect("closed");
    drop(shop);
    assert_eq!(tokio::time::timeout(SOON, watch.next()).await.expect("in time"), None);
}

#[tokio::test]
async fn a_slow_watcher_is_told_to_read_again_and_nothing_piles_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path(), "").await;
    let mut watch = shop.watch();
    for round in 0..20 {
        let edit = |key: u32| {
            let fields = json::parse(&format!("{{\"n\": {round}}}")).expect("fields");
            (RecordId::new("numbers", &key.to_string()).expect("a name"), FieldEdit::Set(fields))
        };
        shop.commit((0..400).map(edit).collect()).await.expect("saved");
    }
    shop.status().await.expect("all is told");
    assert_eq!(watch.next().await, Some(Notice::Refresh));
    let mut rest = 0;
    while watch.now().is_some() {
        rest += 1;
    }
    assert!(rest <= 4_096, "{rest}");
}

#[tokio::test]
async fn a_relay_that_refuses_or_stays_silent_ends_a_sync_in_time_and_the_edits_wait() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("ws://{}", silent.local_addr().expect("an address"));
    for (relay, deadline) in [("ws://127.0.0.1:1", SOON), (silent.as_str(), Duration::from_secs(1))] {
        let dir = tempfile::tempdir().expect("a folder");
        let shop = shop(dir.path(), relay).await;
        shop.put("products", "tea", json::parse("{}").expect("fields")).await.expect("saved");
        let began = Instant::now();
        let error = shop.sync_once(Mode::Both, deadline).await.expect_err("no relay answers");
        assert!(began.elapsed() < deadline + Duration::from_secs(5), "{error}");
        assert_eq!(error.code(), "sync", "{error}");
        assert!(error.to_string().contains(relay), "{error}");
        let status = shop.status().await.expect("a status");
        assert_eq!((status.engine.pending, status.engine.in_progress), (1, false));
        assert_ne!(status.engine.state, State::UpToDate);
    }
}

#[tokio::test]
async fn a_sync_that_runs_out_of_time_does_not_end_a_live_session() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path(), &format!("ws://{}", silent.local_addr().expect("an address"))).await;
    shop.stay_live(Mode::Both).await.expect("it tries");
    shop.sync_once(Mode::Push, Duration::from_millis(200)).await.expect_err("no answer");
    assert_eq!(shop.status().await.expect("a status").engine.state, State::Syncing, "it still tries");
    shop.pause().await.expect("it stops");
    assert_eq!(shop.status().await.expect("a status").engine.state, State::Offline);
}

#[tokio::test]
async fn without_a_relay_syncing_is_refused_and_working_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path(), "").await;
    assert!(matches!(shop.stay_live(Mode::Both).await, Err(Error::NoRelay)));
    assert!(matches!(shop.sync_once(Mode::Both, SOON).await, Err(Error::NoRelay)));
    shop.put("products", "tea", json::parse("{}").expect("fields")).await.expect("saved");
    shop.configure(settings("http://elsewhere")).await.expect("configured");
    assert!(matches!(shop.stay_live(Mode::Both).await, Err(Error::Address { .. })));
    assert!(!shop.statuses().borrow().as_ref().is_some_and(|status| status.engine.in_progress));
}

#[tokio::test]
async fn a_store_has_one_owner() {
    let dir = tempfile::tempdir().expect("a folder");
    let _shop = shop(dir.path(), "").await;
    assert_eq!(Comptoir::open(dir.path()).await.err().map(|error| error.code()), Some("store-in-use"));
}
