//! A shop to attack: its honest history, stores that hold it, and the promises that every store keeps whatever it was fed.
//! Must not know what it is fed.

use comptoir_engine::change::Change;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::time::Now;
use comptoir_engine::wire::message::{Entries, FromRelay, Role, Welcome};
use comptoir_engine::wire::{Batch, FromDevice, Item, Style};
use comptoir_engine::{
    Collection, Engine, Event, FieldEdit, HistoryPage, Label, Mode, RecordId, SeriesName, Settings, StoreError,
    Timestamp, Value, View, WorkspaceId,
};
use comptoir_tests::steps::Steps;
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// The mark of every store here: none was copied.
const IDENTITY: &str = "drive 1, inode 2";

pub(crate) const NOW: Now = Now { wall: Timestamp { unix_ms: 1_700_000_000_000 }, monotonic_ms: 1_000 };

pub(crate) fn workspace() -> WorkspaceId {
    WorkspaceId::new("corner-bar").expect("a name")
}

pub(crate) fn id(collection: &str, key: &str) -> RecordId {
    RecordId::new(collection, key).expect("a name")
}

/// An empty store on a disk of its own.
pub(crate) fn store(seed: u8) -> (SimDisk, Store) {
    let disk = SimDisk::new();
    let settings =
        Settings { workspace: workspace(), relay: String::new(), token: String::new(), device_name: "till".to_owned() };
    let store = Store::create(Box::new(disk.clone()), IDENTITY, settings, &mut Steps { next: seed });
    (disk, store.expect("a store"))
}

/// Opens a disk as a device's core.
pub(crate) fn open(disk: &SimDisk) -> Result<Engine, StoreError> {
    Engine::open(Box::new(disk.clone()), IDENTITY, &mut Steps::default())
}

/// A change on its way, with every hash spelled out: the names of what it follows are then not looked at.
pub(crate) fn item(record: &RecordId, change: Change) -> Item {
    let deps = change.parts().deps.iter().map(|_| (change.parts().actor.clone(), 1)).collect();
    Item { record: record.clone(), change, deps }
}

/// All that waits in a store's outbox, a push each.
pub(crate) fn pushes(store: &Store) -> Vec<Vec<u8>> {
    let mut from = 0;
    let next = || {
        let outgoing = store.outgoing(from, Style::Explicit).expect("the outbox")?;
        from = outgoing.through + 1;
        Some(outgoing.batch)
    };
    std::iter::from_fn(next).collect()
}

fn commit(store: &mut Store, key: &str, edit: FieldEdit) {
    let label = Label::new("by hand").expect("a label");
    store.commit_labelled(&[(id("products", key), edit)], Some(&label), NOW.wall).expect("an edit");
}

fn set(text: &str) -> FieldEdit {
    FieldEdit::Set(json::parse(text).expect("fields"))
}

fn increment(field: &str, by: i64) -> FieldEdit {
    FieldEdit::Increment { field: field.to_owned(), by }
}

/// What two tills do to the same records, apart and together.
fn trade() -> Vec<Vec<u8>> {
    let ((_, mut one), (_, mut two)) = (store(1), store(0x80));
    let schema = r#"{"fields":{"state":{"type":"string","rule":"forward(open<paid<closed)"},"tags":{"type":"list","rule":"set"}},
        "indexes":{"by":"price","words":"words(name)"}}"#;
    let products = Collection::new("products").expect("a name");
    one.set_schema(&products, &json::parse(schema).expect("fields"), NOW.wall).expect("a schema");
    commit(&mut one, "milk", FieldEdit::Import(json::parse(r#"{"name":"Milk","stock":7}"#).expect("fields")));
    commit(
        &mut one,
        "tea",
        set(r#"{"name":"Tea","price":3,"supplier":{"name":"x/y~z"},"notes":[1,[true],{"a":null}]}"#),
    );
    let text = Value::Text("cold".to_owned());
    commit(
        &mut one,
        "tea",
        FieldEdit::Set([("about".to_owned(), text), ("raw".to_owned(), Value::Bytes(vec![0, 255]))].into()),
    );
    commit(&mut one, "tea", increment("stock", -3));
    let mut all = pushes(&one);
    let first = all.len();
    two.apply_remote(&all, None, NOW.wall).expect("honest batches");
    for (store, name) in [(&mut one, "Green tea"), (&mut two, "Black tea")] {
        commit(store, "tea", set(&format!(r#"{{"name":"{name}","tags":["hot","{name}"],"state":"open"}}"#)));
        commit(store, "tea", increment("stock", 10));
    }
    commit(&mut two, "tea", set(r#"{"notes":[1,2,3],"about":"warm"}"#));
    commit(&mut two, "milk", FieldEdit::Delete);
    let theirs = pushes(&two);
    all.extend(theirs.clone());
    one.apply_remote(&theirs, None, NOW.wall).expect("honest batches");
    let last = one.outgoing(0, Style::Explicit).expect("the outbox").expect("a push").through;
    commit(&mut one, "tea", FieldEdit::Unset { field: "supplier".to_owned() });
    let both = [("milk", FieldEdit::Restore), ("tea", increment("stock", -1))];
    let both = both.map(|(key, edit)| (id("products", key), edit));
    one.commit_labelled(&both, Some(&Label::new("sale 1").expect("a label")), NOW.wall).expect("an edit");
    let series = SeriesName::new("T1").expect("a name");
    commit(&mut one, "tea", FieldEdit::Number { field: "receipt".to_owned(), series });
    assert_eq!(first, 1, "one push holds all of the beginning");
    let mut from = last + 1;
    // The beginning and what came since are one push now; only what is new is told apart by the receiver.
    from = from.min(1);
    all.extend(one.outgoing(from, Style::Explicit).expect("the outbox").map(|outgoing| outgoing.batch));
    all
}

/// The honest changes, each behind those it follows.
pub(crate) fn history() -> &'static [(RecordId, Change)] {
    static HISTORY: OnceLock<Vec<(RecordId, Change)>> = OnceLock::new();
    HISTORY.get_or_init(|| {
        let mut all: Vec<(RecordId, Change)> = Vec::new();
        for batch in trade() {
            let unpacked = Batch::decode(&batch).and_then(|batch| batch.unpack(&workspace(), |_, _, _| None));
            for (record, change) in unpacked.expect("an honest batch").changes {
                let change = change.expect("an honest change");
                if !all.iter().any(|(_, known)| known.hash() == change.hash()) {
                    all.push((record, change));
                }
            }
        }
        all
    })
}

/// A disk with an empty store, and one with the whole history.
pub(crate) fn disks() -> &'static [SimDisk; 2] {
    static DISKS: OnceLock<[SimDisk; 2]> = OnceLock::new();
    DISKS.get_or_init(|| {
        let ((empty, _), (full, mut store)) = (self::store(0x40), self::store(0x40));
        store.apply_remote(&trade(), None, NOW.wall).expect("honest batches");
        assert_eq!(store.quarantined(), 0);
        assert_eq!(
            store.get(&id("products", "tea")).expect("a read").expect("tea").fields["stock"],
            Value::Counter(16)
        );
        [empty.snapshot(), full.snapshot()]
    })
}

/// A device that the relay has welcomed.
pub(crate) fn live(disk: &SimDisk) -> Engine {
    let mut engine = open(disk).expect("an honest store");
    engine.start(Mode::Both, NOW);
    assert!(engine.wants_connection(NOW));
    engine.handle_connected(NOW);
    assert!(matches!(engine.poll_message(NOW), Ok(Some(_))), "a hello");
    let welcome = Welcome { epoch: [7; 16], tail: 1 << 40, digest: [0; 32], role: Role::Editor };
    hear(&mut engine, &FromRelay::Welcome(welcome));
    engine
}

/// The relay says something; what the device finds wrong with it is no fault of its own.
pub(crate) fn hear(engine: &mut Engine, message: &FromRelay) {
    let frame = message.encode().expect("a message");
    engine.handle_message(&frame, NOW).expect("nothing that a relay says breaks a device");
}

/// Batches that come as entries of the log.
pub(crate) fn follow(engine: &mut Engine, batches: Vec<Vec<u8>>, through: u64) {
    hear(engine, &FromRelay::Entries(Entries { batches, through, digest: None }));
    while let Some(event) = engine.poll_event() {
        assert_ne!(event, Event::Disconnect, "{:?}", engine.status());
    }
}

/// What the device pushes now.
pub(crate) fn pushed(engine: &mut Engine) -> Vec<Vec<u8>> {
    let mut batches = Vec::new();
    while let Some(frame) = engine.poll_message(NOW).expect("the outbox") {
        if let FromDevice::Push { batch, .. } = FromDevice::decode(&frame).expect("a message of its own") {
            batches.push(batch);
        }
    }
    batches
}

/// Every record, in order.
pub(crate) fn records(engine: &Engine) -> Vec<(RecordId, View)> {
    let mut all = Vec::new();
    for collection in engine.collections() {
        let listed = engine.list(&collection, None, 1000).expect("a list");
        all.extend(listed.into_iter().map(|(key, view)| (RecordId { collection: collection.clone(), key }, view)));
    }
    all
}

/// Everything that can be read of these records is read, and what is read one way is what is read another way.
pub(crate) fn assert_readable(engine: &Engine, touched: &BTreeSet<RecordId>) {
    for (record, view) in records(engine).into_iter().filter(|(record, _)| touched.contains(record)) {
        assert_eq!(engine.get(&record).expect("a read").as_ref(), Some(&view), "{record}");
        let _ = serde_json::to_string(&json::object(&view.fields)).expect("JSON");
        let page = HistoryPage { changes_max: 100, after: None, field: None };
        engine.history(&record, &page).expect("a history");
        engine.conflicts_of(&record).expect("conflicts");
    }
    engine.quarantine().expect("what was set aside");
    engine.check().expect("rows that fit each other");
}

/// Whatever came before, these records can be edited, or say why not.
pub(crate) fn edit(engine: &mut Engine, touched: &BTreeSet<RecordId>) {
    for record in touched.iter().filter(|record| !record.collection.is_reserved()) {
        let increment = increment("stock", 1);
        for edit in [FieldEdit::Restore, increment, set(r#"{"name":"Mine","notes":[5]}"#), FieldEdit::Delete] {
            match engine.commit(&[(record.clone(), edit)], NOW) {
                Ok(_) | Err(StoreError::Edit { .. } | StoreError::TooLarge { .. }) => {}
                Err(other) => panic!("{record}: {other:?}"),
            }
        }
    }
}
