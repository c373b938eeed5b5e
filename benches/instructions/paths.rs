//! The steps themselves, over stores in memory: what a disk does is not in them. Must not know who counts.

use comptoir_benches::device::{Device, EPOCH, put};
use comptoir_benches::{NOW, record, settings};
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::query::{Field, Filter, Op};
use comptoir_engine::record::json;
use comptoir_engine::wire::message::Role;
use comptoir_engine::{Collection, FieldEdit, Query, RecordId, Timestamp, Value};
use comptoir_relay::auth::{Auth, Permissions, TokenRequest};
use comptoir_relay::catalog::Catalog;
use comptoir_relay::clock::SystemClock;
use comptoir_relay::log::{Listener, OpenedDisk, Push, Writer};
use comptoir_relay::room::Room;
use std::hint::black_box;
use std::sync::{Arc, Weak};
use std::time::Duration;

const PRODUCTS: u64 = 2_000;
const LISTED: usize = 50;
/// Changes of one push.
const PUSHED: u64 = 100;
const SCHEMA: &str = r#"{"indexes": {"by_price": "price_cents"}}"#;

/// What is counted, and nothing else: its name is what the counter looks for.
#[inline(never)]
fn counted(step: &mut dyn FnMut()) {
    step();
}

fn sell(index: u64) -> [(RecordId, FieldEdit); 1] {
    let edit = FieldEdit::Increment { field: "stock".to_owned(), by: -1 };
    [(record(index % PUSHED).expect("a name"), edit)]
}

pub(crate) fn edit(times: u64) {
    let mut device = Device::new(1);
    device.push(&put(0, PUSHED));
    for index in 0..times {
        let edit = sell(index);
        counted(&mut || {
            black_box(device.engine.commit(&edit, NOW)).expect("a commit");
        });
    }
}

pub(crate) fn follow(times: u64) {
    let (mut author, mut follower) = (Device::new(1), Device::new(2));
    let begin = author.entry(&put(0, PUSHED));
    follower.engine.handle_message(&begin, NOW).expect("a store");
    for index in 0..times {
        let frame = author.entry(&sell(index));
        counted(&mut || follower.engine.handle_message(&frame, NOW).expect("a store"));
        while follower.engine.poll_event().is_some() {}
    }
    assert_eq!(follower.engine.status().digest, author.engine.status().digest);
}

pub(crate) fn download(times: u64) {
    let (mut author, mut follower) = (Device::new(1), Device::new(2));
    let frame = author.entry(&put(0, times));
    counted(&mut || follower.engine.handle_message(&frame, NOW).expect("a store"));
    assert_eq!(follower.engine.status().digest, author.engine.status().digest);
}

pub(crate) fn query(times: u64) {
    let mut device = Device::new(1);
    let products = Collection::new("products").expect("a name");
    device.engine.set_schema(&products, &json::parse(SCHEMA).expect("JSON"), NOW).expect("a schema");
    device.said();
    while device.engine.index_step().expect("a store") {}
    for from in (0..PRODUCTS).step_by(500) {
        device.engine.commit(&put(from, from + 500), NOW).expect("a commit");
    }
    for index in 0..times {
        let least = Value::Int((index * 37 % 5_000) as i64);
        let filter = Filter::Compare { field: Field::typed("price_cents"), op: Op::Ge, value: least };
        let query = Query { filter: Some(filter), ..Query::all() }.order("price_cents").limit(LISTED);
        counted(&mut || {
            let page = black_box(device.engine.query(&products, &query)).expect("an answer");
            assert_eq!(page.records.len(), LISTED);
        });
    }
}

pub(crate) fn append(times: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let auth = Auth::new(Arc::new(Catalog::open(folder.path()).expect("keys")), Arc::new(SystemClock));
    let workspace = settings().expect("names").workspace;
    let request = TokenRequest {
        workspace: workspace.clone(),
        role: Role::Editor,
        permissions: Permissions::ALL,
        allowance: Default::default(),
        subject: None,
        name: String::new(),
        valid_for: Duration::from_secs(3600),
    };
    let grant = auth.check(&auth.sign(&request).expect("a token"), workspace.as_str()).expect("a grant");
    let opened = OpenedDisk { disk: Arc::new(SimDisk::new()), identity: "drive".to_owned() };
    let mut writer = Writer::open(opened, Box::new(|| Ok(EPOCH))).expect("a log");
    let room = Arc::new(Room::new(0));
    let listener: Weak<dyn Listener> = Arc::downgrade(&room) as Weak<dyn Listener>;
    writer.attach(&grant, listener, Timestamp { unix_ms: 0 }).expect("a workspace");
    let mut device = Device::new(1);
    for from in (0..times).step_by(PUSHED as usize) {
        let batch = device.push(&put(from, from + PUSHED));
        let mut push = Push::new(&grant, batch).0;
        counted(&mut || writer.store(push.take().into_iter().collect(), NOW.wall).expect("a log"));
    }
}
