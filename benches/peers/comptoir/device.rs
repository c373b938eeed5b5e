//! One device: the SDK's handle over a store in a folder. Must not know the relay's side.

use crate::control::{Ask, commands, emit, now_ms};
use crate::crowd::Crowd;
use crate::product;
use crate::server::{WORKSPACE, token_file};
use comptoir::{Collection, Comptoir, FieldEdit, Mode, Notice, Settings, State, Status, Value, WorkspaceId};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Records made or changed in one transaction where an app would do so: an import, a change of many prices.
const TRANSACTION_RECORDS: u64 = 1000;
const PAGE_RECORDS: usize = 1000;

/// What the device's watcher tells.
#[derive(Default)]
struct Seen {
    /// When something was last seen, in bits.
    last_ms: AtomicU64,
    /// Whether changes are told to the harness.
    watching: AtomicBool,
}

impl Seen {
    fn something(&self) {
        self.last_ms.store(now_ms().to_bits(), Ordering::SeqCst);
    }
}

/// How a device of this shop is set up.
pub(crate) fn settings(port: u64, token: &str, name: &str) -> Settings {
    Settings {
        workspace: WorkspaceId::new(WORKSPACE).expect("a name"),
        relay: format!("ws://127.0.0.1:{port}"),
        token: token.to_owned(),
        device_name: name.to_owned(),
    }
}

struct Device {
    shop: Comptoir,
    token: String,
    seen: Arc<Seen>,
}

impl Device {
    async fn open(ask: &Ask) -> Self {
        let dir = PathBuf::from(ask.text("dir"));
        let token = std::fs::read_to_string(token_file(&dir)).expect("the shop's token").trim().to_owned();
        let there = dir.join("format").exists();
        let settings = settings(ask.number("target"), &token, &dir.display().to_string());
        let shop = if there { Comptoir::open(&dir).await } else { Comptoir::init(&dir, settings).await };
        let device = Self { shop: shop.expect("a store"), token, seen: Arc::default() };
        device.seen.something();
        tokio::spawn(watch(device.shop.clone(), device.seen.clone()));
        device
    }

    /// Waits until the relay has everything and this device too.
    async fn up_to_date(&self) -> Status {
        let mut statuses = self.shop.statuses();
        loop {
            statuses.mark_unchanged();
            let status = self.shop.status().await.expect("a status");
            if status.engine.state == State::UpToDate {
                return status;
            }
            statuses.changed().await.expect("a device");
        }
    }

    async fn commit(&self, edits: Vec<(comptoir::RecordId, FieldEdit)>) {
        self.shop.commit(edits).await.expect("saved");
        self.seen.something();
    }

    async fn commit_all(&self, products: u64, edit: impl Fn(u64) -> (comptoir::RecordId, FieldEdit)) {
        for from in (0..products).step_by(TRANSACTION_RECORDS as usize) {
            self.commit((from..products.min(from + TRANSACTION_RECORDS)).map(&edit).collect()).await;
        }
    }

    async fn dump(&self, path: &Path) {
        let (collection, mut after, mut lines) = (products(), None, String::new());
        loop {
            let page = self.shop.list(&collection, after.as_ref(), PAGE_RECORDS).await.expect("records");
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            page.iter().for_each(|(_, view)| lines.extend([&product::canon(view), "\n"]));
        }
        std::fs::write(path, lines).expect("a file");
    }

    async fn run(&self, ask: &Ask) -> serde_json::Value {
        match ask.name() {
            "connect" => self.shop.stay_live(Mode::Both).await.expect("a session"),
            "disconnect" => self.shop.pause().await.expect("a pause"),
            "create" => {
                self.commit_all(ask.number("n"), |number| (product::id(number), FieldEdit::Set(product::made(number))))
                    .await;
                return json!({"ticket": self.token});
            }
            "pushed" | "synced" => drop(self.up_to_date().await),
            "pull" => while self.up_to_date().await.engine.total_records < ask.number("n") {},
            // What is shown is flushed.
            "flush" => {}
            "watch" => self.seen.watching.store(ask.truth("on"), Ordering::SeqCst),
            "edit" => {
                let value =
                    ask.value("value").as_i64().map_or_else(|| Value::String(ask.text("value").to_owned()), Value::Int);
                let edit = product::set(ask.number("i"), ask.text("field"), value);
                let began_ms = now_ms();
                self.commit(vec![edit]).await;
                return json!({"t0": began_ms});
            }
            "editAll" => {
                let round = ask.number("round") as i64;
                let edit = |number| product::set(number, "price", Value::Int(product::price(number) + round));
                self.commit_all(ask.number("n"), edit).await;
            }
            "offline" => {
                for edit in product::offline(ask.number("n"), ask.text("role")) {
                    self.commit(vec![edit]).await;
                }
            }
            "status" => {
                let pending = self.shop.status().await.expect("a status").engine.pending;
                return json!({"last": f64::from_bits(self.seen.last_ms.load(Ordering::SeqCst)), "pending": pending});
            }
            "dump" => self.dump(Path::new(ask.text("path"))).await,
            other => panic!("unsupported: {other}"),
        }
        json!({})
    }
}

pub(crate) fn products() -> Collection {
    Collection::new(product::COLLECTION).expect("a name")
}

/// Reads what changed, as an app that shows it would, and tells of it while it is asked to.
async fn watch(shop: Comptoir, seen: Arc<Seen>) {
    let mut watch = shop.watch_collection(&products());
    while let Some(notice) = watch.next().await {
        seen.something();
        if let (Notice::Changed(record), true) = (notice, seen.watching.load(Ordering::SeqCst)) {
            let view = shop.get(product::COLLECTION, record.key.as_str()).await.expect("a record").expect("a product");
            let Some(Value::Int(price)) = view.fields.get("price") else { continue };
            emit(&json!({"ev": "change", "i": product::number(&record.key), "value": price, "t": now_ms()}));
        }
    }
}

/// Does what the harness says, one after another.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async {
        let (mut asked, mut device, mut crowd) = (commands(), None, Crowd::default());
        while let Some(ask) = asked.recv().await {
            let said = match (ask.name(), &device) {
                ("open", _) => {
                    device = Some(Device::open(&ask).await);
                    json!({})
                }
                ("idle" | "devices", _) => {
                    crowd.join(&ask).await;
                    json!({})
                }
                ("exit", _) => {
                    if let Some(device) = &device {
                        device.shop.shut_down().await.expect("shut down");
                    }
                    ask.answer(json!({}));
                    return;
                }
                (_, Some(device)) => device.run(&ask).await,
                (other, None) => panic!("{other} without a device"),
            };
            ask.answer(said);
        }
    }));
}
