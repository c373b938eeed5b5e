//! Nothing is acknowledged or shown before its flush, one flush serves all who wait, and a disk that fails costs nobody
//! what was acknowledged.

mod kit;

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::{Batch, Disk, DiskError, Row};
use comptoir_engine::id::{LogEpoch, LogSeq};
use comptoir_engine::wire::message::{Denial, Role};
use comptoir_relay::auth::{Auth, Grant, Permissions, TokenRequest};
use comptoir_relay::catalog::Catalog;
use comptoir_relay::clock::SystemClock;
use comptoir_relay::log::{Entry, Head, Listener, Log, OpenedDisk, Outcome};
use comptoir_relay::relay::Relay;
use kit::{Author, Device};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::net::TcpStream;

/// A disk whose flushes say that they began, and wait to be let through.
struct Gated {
    disk: SimDisk,
    began: SyncSender<()>,
    go: Mutex<Receiver<()>>,
}

impl Disk for Gated {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.disk.get(key)
    }
    fn range(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        self.disk.range(from, until, rows_max)
    }
    fn range_back(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        self.disk.range_back(from, until, rows_max)
    }
    fn last(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
        self.disk.last(from, until)
    }
    fn apply(&self, batch: Batch) -> Result<(), DiskError> {
        self.disk.apply(batch)
    }
    fn flush(&self) -> Result<(), DiskError> {
        self.began.send(()).expect("a test that listens");
        self.go.lock().expect("one flush at a time").recv().expect("a test that lets it through");
        self.disk.flush()
    }
}

#[derive(Default)]
struct Follower {
    tail: AtomicU64,
}

impl Listener for Follower {
    fn opened(&self, _: LogEpoch, head: Head) {
        self.tail.store(head.tail.0, Ordering::SeqCst);
    }
    fn appended(&self, _: &[Arc<Entry>], head: Head) {
        self.tail.store(head.tail.0, Ordering::SeqCst);
    }
    fn announce(&self) {}
    fn lost(&self) {}
}

fn grant(keys: &Path) -> Grant {
    let auth = Auth::new(Arc::new(Catalog::open(keys).expect("keys")), Arc::new(SystemClock));
    let (workspace, valid_for) = (kit::workspace("cafe"), Duration::from_secs(60));
    let request = TokenRequest {
        workspace,
        role: Role::Editor,
        permissions: Permissions::ALL,
        allowance: Default::default(),
        subject: None,
        name: String::new(),
        valid_for,
    };
    auth.check(&auth.sign(&request).expect("a token"), "cafe").expect("a grant")
}

#[test]
fn pushes_that_wait_are_stored_by_one_flush_and_nobody_is_told_before_it() {
    let keys = tempfile::tempdir().expect("a folder");
    let grant = grant(keys.path());
    let disk = SimDisk::new();
    let (began, flushing) = sync_channel(16);
    let (let_through, go) = sync_channel(16);
    let gated: Arc<dyn Disk> = Arc::new(Gated { disk: disk.clone(), began, go: Mutex::new(go) });
    let open = move || Ok(OpenedDisk { disk: gated.clone(), identity: "here".to_owned() });
    // The identity and the workspace.
    let_through.send(()).and_then(|()| let_through.send(())).expect("room");
    let (log, committer) = Log::start(open, &kit::config(), Arc::new(SystemClock)).expect("a log");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let follower = Arc::new(Follower::default());
    let listener: Weak<dyn Listener> = Arc::downgrade(&follower) as Weak<dyn Listener>;
    runtime.block_on(log.attach(&grant, listener)).expect("attached");
    flushing.recv().and_then(|()| flushing.recv()).expect("two flushes");

    let mut authors: Vec<_> = (0..20).map(|actor| Author::new(actor, "same")).collect();
    let append =
        |author: &mut Author| runtime.block_on(log.append(&grant, kit::pack(&[author.edit()]))).expect("taken");
    let mut first = append(&mut authors[0]);
    flushing.recv().expect("the first push is being flushed");
    let mut others: Vec<_> = authors[1..].iter_mut().map(append).collect();
    assert!(first.try_recv().is_err(), "acknowledged before the flush");
    assert_eq!(follower.tail.load(Ordering::SeqCst), 0, "shown before the flush");
    let flushes = disk.flushes();
    let_through.send(()).and_then(|()| let_through.send(())).expect("room");
    let Ok(Outcome::Stored(receipt)) = runtime.block_on(first) else { panic!("not stored") };
    assert_eq!((receipt.seq.map(|seq| seq.0), receipt.head.tail.0), (Some(1), 1));
    for (seq, other) in (2..).zip(&mut others) {
        let Ok(Outcome::Stored(receipt)) = runtime.block_on(other) else { panic!("not stored") };
        assert_eq!((receipt.seq.map(|seq| seq.0), receipt.head.tail.0), (Some(seq), 20));
    }
    assert_eq!(disk.flushes() - flushes, 2, "one for the first, one for all the others");
    committer.stop(log);
    assert_eq!(follower.tail.load(Ordering::SeqCst), 20);
}

async fn relay_on(disk: &SimDisk, identity: &'static str, keys: &Path) -> Relay {
    let disk = disk.clone();
    let open = move || {
        disk.reopen();
        Ok(OpenedDisk { disk: Arc::new(disk.clone()), identity: identity.to_owned() })
    };
    Relay::start_on(open, keys, kit::config(), Arc::new(SystemClock)).await.expect("a relay")
}

async fn get(relay: &Relay, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = TcpStream::connect(relay.address()).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn a_disk_that_fails_acknowledges_nothing_and_is_opened_again() {
    let (disk, keys) = (SimDisk::new(), tempfile::tempdir().expect("a folder"));
    let relay = relay_on(&disk, "here", keys.path()).await;
    let mut device = Device::editor(&relay).await;
    let mut bystander = Device::editor(&relay).await;
    let mut author = Author::new(1, "1");
    device.push(1, kit::pack(&[author.edit()])).await;
    assert_eq!(device.ack().await.through, Some(1));
    assert!(get(&relay, "/healthz").await.ends_with("ok"));
    assert!(get(&relay, "/readyz").await.starts_with("HTTP/1.1 200"));

    disk.fail_next(0, DiskError::Full { doing: "flushing" });
    let lost = kit::pack(&[author.edit()]);
    device.push(2, lost.clone()).await;
    assert_eq!(device.denial().await, Denial::Unavailable);
    assert_eq!(bystander.denial().await, Denial::Unavailable);
    assert!(get(&relay, "/readyz").await.starts_with("HTTP/1.1 503"));
    while !get(&relay, "/readyz").await.starts_with("HTTP/1.1 200") {}
    let metrics = get(&relay, "/metrics").await;
    assert!(metrics.contains("comptoir_relay_log_failures_total{kind=\"disk\"} 1\n"), "{metrics}");

    let mut device = Device::editor(&relay).await;
    assert_eq!(device.entries().await.through, 1);
    device.push(1, lost).await;
    let ack = device.ack().await;
    assert_eq!((ack.through, ack.digest), (Some(2), Some(author.leaf("cafe").0)));
    relay.stop().await;
}

#[tokio::test]
async fn a_disk_whose_failure_a_reader_meets_is_opened_again_although_nobody_writes() {
    let (disk, keys) = (SimDisk::new(), tempfile::tempdir().expect("a folder"));
    let relay = relay_on(&disk, "here", keys.path()).await;
    let mut bystander = Device::editor(&relay).await;
    bystander.push(1, kit::pack(&[Author::new(1, "1").edit()])).await;
    bystander.ack().await;
    let grant = grant(keys.path());
    disk.fail_next(0, DiskError::Io { doing: "reading", cause: "a test".to_owned() });
    assert!(relay.log().entries(&grant, LogSeq(0), LogSeq(1), 1).await.is_err());
    assert_eq!(bystander.denial().await, Denial::Unavailable);
    while !get(&relay, "/readyz").await.starts_with("HTTP/1.1 200") {}
    assert_eq!(relay.log().entries(&grant, LogSeq(0), LogSeq(1), 1).await.map(|entries| entries.len()), Ok(1));
    relay.stop().await;
}

#[tokio::test]
async fn a_failure_at_any_call_loses_nothing_that_was_acknowledged() {
    for at in 0..12 {
        let (disk, keys) = (SimDisk::new(), tempfile::tempdir().expect("a folder"));
        let relay = relay_on(&disk, "here", keys.path()).await;
        let mut author = Author::new(1, "1");
        let (one, two) = (kit::pack(&[author.edit()]), kit::pack(&[author.edit()]));
        let mut device = Device::editor(&relay).await;
        device.push(1, one).await;
        device.ack().await;
        disk.fail_next(at, DiskError::Io { doing: "writing", cause: "a test".to_owned() });
        device.push(2, two.clone()).await;
        device.push(3, two.clone()).await;
        let mut acked = 0;
        while let Some(message) = device.try_next().await {
            acked += u64::from(matches!(message, comptoir_engine::wire::FromRelay::Ack(_)));
            if acked == 2 {
                break;
            }
        }
        drop(device);
        relay.stop().await;
        // The power goes too: what was not flushed is gone.
        disk.crash(0);
        let relay = relay_on(&disk, "here", keys.path()).await;
        let (mut device, welcome) =
            Device::join(relay.address(), kit::hello("cafe", kit::token(&relay, "cafe", Role::Editor))).await;
        assert!(welcome.tail > acked.min(1), "call {at}: {acked} acknowledged, tail {}", welcome.tail);
        device.push(1, two).await;
        assert_eq!(device.ack().await.refused, [], "call {at}");
        relay.stop().await;
    }
}

#[tokio::test]
async fn a_log_on_another_disk_than_it_was_written_on_has_a_new_epoch() {
    let (disk, keys) = (SimDisk::new(), tempfile::tempdir().expect("a folder"));
    let mut epochs = Vec::new();
    for identity in ["here", "here", "there", "there"] {
        let relay = relay_on(&disk, identity, keys.path()).await;
        let hello = kit::hello("cafe", kit::token(&relay, "cafe", Role::Editor));
        epochs.push(Device::join(relay.address(), hello).await.1.epoch);
        relay.stop().await;
    }
    assert_eq!(epochs[0], epochs[1]);
    assert_ne!(epochs[1], epochs[2]);
    assert_eq!(epochs[2], epochs[3]);
}
