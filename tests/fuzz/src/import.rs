//! Lines of JSON as `comptoir import` takes them, each saved as a record. Must not know files.

use crate::shop::{self, NOW};
use comptoir_engine::record::json;
use comptoir_engine::{Engine, FieldEdit, RecordId, StoreError, Value};
use std::collections::BTreeSet;

/// A line of a few kB may hold a record of as many values, of which there are several copies on two devices.
pub const MEMORY_BYTES_MAX: u64 = 128 << 20;

const LINES_MAX: usize = 8;

/// Two devices import the same lines and are equal before they meet; a record reads as its line says.
pub fn target(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut engines = [0, 1].map(|_| shop::open(&shop::disks()[0].snapshot()).expect("an honest store"));
    let mut seen = BTreeSet::new();
    for line in text.lines().take(LINES_MAX) {
        let Ok(fields) = json::parse(line) else { continue };
        let again = json::parse(&json::object(&fields).to_string()).expect("what was read can be written");
        assert_eq!(again, fields, "JSON reads as it was written");
        let key = match fields.get("id") {
            Some(Value::String(key)) => key.clone(),
            Some(Value::Int(key)) => key.to_string(),
            _ => "tea".to_owned(),
        };
        let Ok(record) = RecordId::new("products", &key) else { continue };
        let first = seen.insert(record.clone());
        let [one, two] = &mut engines;
        let done = import(one, &record, &fields);
        assert_eq!(done, import(two, &record, &fields), "a line has one outcome");
        if done && first {
            let view = one.get(&record).expect("a read").expect("an imported record");
            assert_eq!(json::object(&view.fields), json::object(&fields), "a record reads as its line says");
        }
    }
    let [one, two] = &engines;
    assert_eq!(one.status().digest, two.status().digest, "the same lines make the same changes");
    shop::assert_readable(one, &seen);
}

fn import(engine: &mut Engine, record: &RecordId, fields: &comptoir_engine::Fields) -> bool {
    match engine.commit(&[(record.clone(), FieldEdit::Import(fields.clone()))], NOW) {
        Ok(_) => true,
        Err(StoreError::Edit { .. } | StoreError::TooLarge { .. }) => false,
        Err(other) => panic!("{record}: {other:?}"),
    }
}
