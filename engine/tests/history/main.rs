//! Who changed what and when, records as they were, concurrent values, and taking changes back. Stores exchange their
//! outboxes directly.

mod chance;
mod conflicts;
mod past;
mod undo;

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::wire::Style;
use comptoir_engine::{
    Author, Conflict, FieldEdit, HistoryPage, Label, RecordId, Settings, Timestamp, Value, Version, WorkspaceId,
};
use rand::SeedableRng;

const DAY: i64 = 1_700_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp { unix_ms: (DAY + seconds) * 1000 }
}

fn settings(name: &str) -> Settings {
    let (relay, token) = (String::new(), String::new());
    Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name: name.to_owned() }
}

fn store(seed: u64) -> Store {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    Store::create(Box::new(SimDisk::new()), "here", settings(&format!("till {seed}")), &mut rng).unwrap()
}

fn record(key: &str) -> RecordId {
    RecordId::new("products", key).unwrap()
}

fn tea() -> RecordId {
    record("tea")
}

fn set(text: &str) -> FieldEdit {
    FieldEdit::Set(json::parse(text).unwrap())
}

fn increment(field: &str, by: i64) -> FieldEdit {
    FieldEdit::Increment { field: field.to_owned(), by }
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn edit(store: &mut Store, edit: FieldEdit, seconds: i64) {
    store.commit_local(&[(tea(), edit)], at(seconds)).unwrap();
}

fn send(from: &Store, to: &mut Store) {
    let mut next = 0;
    while let Some(outgoing) = from.outgoing(next, Style::Compact).unwrap() {
        next = outgoing.through + 1;
        to.apply_remote(&[outgoing.batch], None, at(0)).unwrap();
    }
}

fn exchange(a: &mut Store, b: &mut Store) {
    send(a, b);
    send(b, a);
    assert_eq!(a.digest(), b.digest());
    assert_eq!((a.quarantined(), b.quarantined()), (0, 0));
}

fn shown(store: &Store) -> String {
    let view = store.get(&tea()).unwrap().unwrap();
    format!("{}{}", if view.deleted { "deleted " } else { "" }, json::object(&view.fields))
}

fn history(store: &Store) -> Vec<Version> {
    let history = store.history(&tea(), &HistoryPage { changes_max: 100, ..HistoryPage::default() }).unwrap();
    assert_eq!(history.next, None);
    history.versions
}

fn said(version: &Version) -> String {
    let json = |value: &Option<Value>| match value {
        Some(value) => json::object(&[("v".to_owned(), value.clone())].into())["v"].to_string(),
        None => "-".to_owned(),
    };
    let fields = version.fields.iter().map(|(name, d)| format!("{name}: {} -> {}", json(&d.before), json(&d.after)));
    let who = match &version.author {
        Author::Device { name, .. } => name.clone(),
        Author::Imported => "imported".to_owned(),
        Author::Unnamed(_) => "unnamed".to_owned(),
    };
    let label = version.label.as_ref().map(|label| format!(" ({label})")).unwrap_or_default();
    let marks = match (version.created, version.deleted) {
        (true, _) => " created",
        (_, Some(true)) => " deleted",
        (_, Some(false)) => " restored",
        _ => "",
    };
    format!("{who}{label}{marks} {}", fields.collect::<Vec<_>>().join(", "))
}

fn conflicts(store: &Store) -> Vec<Conflict> {
    let (found, next) = store.conflicts(None, None, 100).unwrap();
    assert_eq!(next, None);
    found
}
