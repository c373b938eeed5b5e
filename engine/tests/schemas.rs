//! Schemas through the store: what is refused, what is filled in, what is converted, and that apps of different versions
//! share a workspace.

#![allow(clippy::unwrap_used)]

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::record::{json, schema};
use comptoir_engine::store::Store;
use comptoir_engine::wire::Style;
use comptoir_engine::{
    Collection, EditError, FieldEdit, RecordId, SchemaError, Settings, StoreError, Timestamp, Value, WorkspaceId,
};
use rand::SeedableRng as _;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };

const PRODUCTS: &str = r#"{
    "fields": {
        "name": {"type": "string", "required": true},
        "price_cents": {"type": "int"},
        "weight": {"type": "float"},
        "added": {"type": "timestamp", "rule": "first"},
        "photo": {"type": "bytes"},
        "note": {"type": "text"},
        "stock": {"type": "counter", "default": 0},
        "tags": {"type": "list", "rule": "set"},
        "status": {"type": "string", "rule": "forward(new<sold<gone)", "default": "new"},
        "/supplier/name": {"type": "string", "default": "Ann"}
    },
    "indexes": {"by_price": "price_cents, name", "search": "words(name, note)"}
}"#;

fn store(seed: u64) -> Store {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let (relay, token, device_name) = (String::new(), String::new(), format!("till {seed}"));
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    Store::create(Box::new(SimDisk::new()), "here", settings, &mut rng).unwrap()
}

fn products() -> Collection {
    Collection::new("products").unwrap()
}

fn tea() -> RecordId {
    RecordId::new("products", "tea").unwrap()
}

fn set(text: &str) -> FieldEdit {
    FieldEdit::Set(json::parse(text).unwrap())
}

fn set_schema(store: &mut Store, text: &str) -> Result<usize, StoreError> {
    store.set_schema(&products(), &json::parse(text).unwrap(), NOW).map(|committed| committed.changed.len())
}

fn refused(store: &mut Store, text: &str) -> SchemaError {
    match set_schema(store, text) {
        Err(StoreError::Schema { error, .. }) => error,
        other => panic!("{text}: {other:?}"),
    }
}

fn edit(store: &mut Store, edit: FieldEdit) -> Result<usize, EditError> {
    match store.commit_local(&[(tea(), edit)], NOW) {
        Ok(committed) => Ok(committed.changed.len()),
        Err(StoreError::Edit { error, .. }) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

fn shown(store: &Store) -> String {
    json::object(&store.get(&tea()).unwrap().unwrap().fields).to_string()
}

fn send(from: &Store, to: &mut Store) {
    let mut next = 0;
    while let Some(outgoing) = from.outgoing(next, Style::Compact).unwrap() {
        next = outgoing.through + 1;
        to.apply_remote(&[outgoing.batch], None, NOW).unwrap();
    }
}

#[test]
fn a_schema_that_does_not_fit_together_is_refused_with_field_expected_and_got() {
    let mut store = store(1);
    let field = |says: &str| format!(r#"{{"fields":{{"a":{says}}}}}"#);
    for (text, field, expected, got) in [
        (r#"{"colour":{}}"#.to_owned(), "colour", "fields, indexes", "\"colour\""),
        (r#"{"fields":[]}"#.to_owned(), "fields", "map", "[]"),
        (field("1"), "a", "map", "1"),
        (field(r#"{"typ":"int"}"#), "a", "type, required, default, rule", "\"typ\""),
        (field(r#"{"type":"number"}"#), "a", "type: any|bool|int", "\"number\""),
        (field(r#"{"type":"int","rule":"newest"}"#), "a", "rule: last|first", "\"newest\""),
        (field(r#"{"type":"bool","rule":"max"}"#), "a", "rule for bool", "\"max\""),
        (field(r#"{"type":"string","rule":"counter"}"#), "a", "rule for string", "\"counter\""),
        (field(r#"{"type":"string","rule":"set"}"#), "a", "rule for string", "\"set\""),
        (field(r#"{"type":"int","rule":"text"}"#), "a", "rule for int", "\"text\""),
        (field(r#"{"type":"int","rule":"forward(a<b)"}"#), "a", "rule for int", "\"forward(a<b)\""),
        (field(r#"{"type":"string","rule":"forward(a<a)"}"#), "a", "rule: last|first", "\"forward(a<a)\""),
        (field(r#"{"rule":"first"}"#), "a", "rule for any", "\"first\""),
        (field(r#"{"type":"counter","rule":"last"}"#), "a", "rule: counter", "\"last\""),
        (field(r#"{"type":"int","default":"x"}"#), "a", "default: int", "\"x\""),
        (field(r#"{"type":"string","rule":"forward(a<b)","default":"c"}"#), "a", "default: forward(a<b)", "\"c\""),
        (field(r#"{"type":"int","required":true,"default":null}"#), "a", "default: int", "null"),
        (field(r#"{"type":"int","required":"yes"}"#), "a", "required: true|false", "\"yes\""),
        (r#"{"fields":{"/a/~":{}}}"#.to_owned(), "/a/~", "NAME or /MAP/NAME", "\"/a/~\""),
        (r#"{"fields":{"a":{},"/a":{}}}"#.to_owned(), "a", "one name for one field", "\"/a\""),
        (r#"{"fields":{"a":{"type":"int"},"/a/b":{}}}"#.to_owned(), "a", "type: map, because of /a/b", "\"int\""),
        (r#"{"indexes":{"i":["a"]}}"#.to_owned(), "i", "\"FIELD, FIELD\"", "[\"a\"]"),
        (r#"{"indexes":{"i":"a,,b"}}"#.to_owned(), "i", "\"FIELD, FIELD\"", "\"a,,b\""),
        (r#"{"indexes":{"i":"a,a"}}"#.to_owned(), "i", "\"FIELD, FIELD\"", "\"a,a\""),
        (r#"{"indexes":{"i":"words(a"}}"#.to_owned(), "i", "\"FIELD, FIELD\"", "\"words(a\""),
        (
            r#"{"fields":{"a":{"type":"int"}},"indexes":{"i":"words(a)"}}"#.to_owned(),
            "i",
            "words of a string, a",
            "\"int\"",
        ),
    ] {
        let SchemaError::Misfit { field: at, expected: wanted, got: found } = refused(&mut store, &text) else {
            panic!("{text}")
        };
        assert_eq!((at.as_str(), found.as_str()), (field, got), "{text}");
        assert!(wanted.starts_with(expected), "{text}: {wanted}");
    }
    assert_eq!((store.pending(), store.schema(&products()).fields.len()), (0, 0), "nothing was done");
}

#[test]
fn setting_the_same_schema_again_changes_nothing_and_what_it_names_no_more_goes() {
    let mut store = store(1);
    assert_eq!(set_schema(&mut store, PRODUCTS), Ok(1));
    assert_eq!(set_schema(&mut store, PRODUCTS), Ok(0));
    assert_eq!(store.schema(&products()).indexes["by_price"].fields, ["price_cents", "name"]);
    assert_eq!(set_schema(&mut store, r#"{"fields":{"name":{"type":"string"}}}"#), Ok(1));
    let schema = store.schema(&products());
    assert_eq!((schema.fields.len(), schema.indexes.len()), (1, 0));
    assert!(!schema.fields["name"].required, "it was not said again");
    assert_eq!((store.records(), store.collections().len()), (0, 0), "schemas are no records of the shop");
}

#[test]
fn what_a_newer_release_says_about_a_field_is_kept_and_has_no_effect() {
    let (mut newer, mut older) = (store(1), store(2));
    let record = RecordId::new("_schemas", "products").unwrap();
    let says = r#"{"fields":{"name":{"type":"string","locale":"fr"},"hue":{"type":"colour"}},"views":{"a":"b"}}"#;
    newer.commit_local(&[(record.clone(), set(says))], NOW).unwrap();
    send(&newer, &mut older);
    edit(&mut older, set(r#"{"hue":[1]}"#)).unwrap();
    assert_eq!(set_schema(&mut older, r#"{"fields":{"name":{"type":"string","required":true}}}"#), Err(required()));
    assert_eq!(set_schema(&mut older, r#"{"fields":{"name":{"type":"string","default":"x"}}}"#), Ok(1));
    let kept = json::object(&older.get(&record).unwrap().unwrap().fields).to_string();
    let wanted = r#"{"fields":{"name":{"default":"x","locale":"fr","type":"string"}},"indexes":{},"views":{"a":"b"}}"#;
    assert_eq!(kept, wanted);
}

#[test]
fn an_app_that_ensures_its_schema_leaves_what_a_newer_release_says() {
    let mut store = store(1);
    let record = RecordId::new("_schemas", "products").unwrap();
    let says = r#"{"fields":{"hue":{"type":"colour"},"name":{"locale":"fr","type":"string"},"size":{"rule":"median","type":"int"}},
        "indexes":{"near":"near(place)"},"views":{"a":"b"}}"#;
    store.commit_local(&[(record.clone(), set(says))], NOW).unwrap();
    let wants = r#"{"fields":{"hue":{"type":"string"},"name":{"type":"string","default":"x"},"price":{"type":"int"},
        "size":{"type":"int","rule":"max"}},"indexes":{"near":"name"}}"#;
    let wants = schema::check(&json::parse(wants).unwrap()).unwrap();
    for _ in 0..2 {
        store.ensure_schema(&products(), &wants, NOW).unwrap();
        let kept = json::object(&store.get(&record).unwrap().unwrap().fields).to_string();
        let wanted = r#"{"fields":{"hue":{"type":"colour"},"name":{"default":"x","locale":"fr","type":"string"},"price":{"type":"int"},"size":{"rule":"median","type":"int"}},"indexes":{"near":"near(place)"},"views":{"a":"b"}}"#;
        assert_eq!(kept, wanted);
    }
}

fn required() -> StoreError {
    StoreError::Schema { collection: products(), error: SchemaError::Required { field: "name".to_owned() } }
}

#[test]
fn an_older_app_must_be_able_to_go_on_writing_where_there_are_records() {
    let mut store = store(1);
    let with = |says: &str| format!(r#"{{"fields":{{"a":{says}}}}}"#);
    set_schema(&mut store, &with(r#"{"type":"string"}"#)).unwrap();
    assert_eq!(set_schema(&mut store, &with(r#"{"type":"string","rule":"forward(x<y)"}"#)), Ok(1), "nothing is there");
    edit(&mut store, set(r#"{"a":"x"}"#)).unwrap();
    let error = refused(&mut store, &with(r#"{"type":"int"}"#));
    assert!(
        matches!(&error, SchemaError::Type { expected, got, .. } if (expected, got) == (&"string".to_owned(), &"int".to_owned()))
    );
    assert!(error.to_string().contains("new field"), "{error}");
    let error = refused(&mut store, &with(r#"{"type":"string","required":true}"#));
    assert!(error.to_string().contains("give it a default"), "{error}");
    assert!(matches!(
        refused(&mut store, &with(r#"{"type":"string","rule":"forward(y<x)"}"#)),
        SchemaError::States { .. }
    ));
    for fine in [
        r#"{"type":"string","rule":"forward(w<x<xx<y<z)"}"#,
        r#"{"type":"string","required":true,"default":"x"}"#,
        r#"{"type":"string","required":true}"#,
        r#"{"type":"string"}"#,
    ] {
        assert_eq!(set_schema(&mut store, &with(fine)), Ok(1), "{fine}");
    }
}

#[test]
fn a_write_that_does_not_fit_names_field_expected_and_got_and_does_nothing() {
    let mut store = store(1);
    set_schema(&mut store, PRODUCTS).unwrap();
    edit(&mut store, set(r#"{"name":"Tea"}"#)).unwrap();
    let (digest, before) = (store.digest(), shown(&store));
    let increment = |field: &str| FieldEdit::Increment { field: field.to_owned(), by: 1 };
    for (edit, field, expected, got) in [
        (set(r#"{"name":5}"#), "name", "string", "int"),
        (set(r#"{"name":null}"#), "name", "string", "null"),
        (set(r#"{"price_cents":"5"}"#), "price_cents", "int", "string"),
        (set(r#"{"price_cents":1.5}"#), "price_cents", "int", "float"),
        (set(r#"{"weight":9007199254740993}"#), "weight", "float", "int"),
        (set(r#"{"added":"yesterday"}"#), "added", "timestamp", "string"),
        (set(r#"{"photo":"%"}"#), "photo", "bytes", "string"),
        (set(r#"{"note":{}}"#), "note", "text", "map"),
        (set(r#"{"stock":"many"}"#), "stock", "counter", "string"),
        (set(r#"{"stock":18446744073709551615}"#), "stock", "counter", "int"),
        (set(r#"{"tags":"red"}"#), "tags", "list", "string"),
        (set(r#"{"status":"lost"}"#), "status", "forward(new<sold<gone)", "\"lost\""),
        (set(r#"{"supplier":{"name":[]}}"#), "/supplier/name", "string", "list"),
        (FieldEdit::Import(json::parse(r#"{"name":5}"#).unwrap()), "name", "string", "int"),
        (increment("name"), "name", "string", "increment"),
        (increment("/supplier/name"), "/supplier/name", "string", "increment"),
        (increment("added"), "added", "timestamp", "increment"),
    ] {
        let other = (RecordId::new("products", "milk").unwrap(), set(r#"{"name":"Milk"}"#));
        let error = store.commit_local(&[other, (tea(), edit.clone())], NOW).unwrap_err();
        let (field, expected, got) = (field.to_owned(), expected.to_owned(), got.to_owned());
        assert_eq!(
            error,
            StoreError::Edit { record: tea(), error: EditError::Misfit { field, expected, got } },
            "{edit:?}"
        );
    }
    assert_eq!((store.digest(), shown(&store), store.records()), (digest, before, 1), "nothing is half-written");
}

#[test]
fn required_fields_are_there_from_the_first_and_for_good() {
    let mut store = store(1);
    set_schema(&mut store, PRODUCTS).unwrap();
    let missing = Err(EditError::Missing { field: "name".to_owned(), expected: "string".to_owned() });
    for creates in [
        set(r#"{"price_cents":5}"#),
        set("{}"),
        FieldEdit::Import(json::parse(r#"{"price_cents":5}"#).unwrap()),
        FieldEdit::Increment { field: "stock".to_owned(), by: 1 },
    ] {
        assert_eq!(edit(&mut store, creates), missing);
    }
    let both = [(tea(), set(r#"{"price_cents":5}"#)), (tea(), set(r#"{"name":"Tea"}"#))];
    assert_eq!(store.commit_local(&both, NOW).unwrap().created, 1, "what counts is the end of the transaction");
    assert_eq!(edit(&mut store, FieldEdit::Unset { field: "name".to_owned() }), missing);
    assert_eq!(edit(&mut store, FieldEdit::Unset { field: "price_cents".to_owned() }), Ok(1));
}

#[test]
fn defaults_are_part_of_the_change_that_creates_a_record() {
    let (mut one, mut two) = (store(1), store(2));
    set_schema(&mut one, PRODUCTS).unwrap();
    send(&one, &mut two);
    for each in [&mut one, &mut two] {
        edit(each, FieldEdit::Import(json::parse(r#"{"name":"Tea","tags":["b","a","b"],"note":"hot"}"#).unwrap()))
            .unwrap();
    }
    assert_eq!(one.digest(), two.digest(), "the same row imported on two devices is one change");
    let row = r#"{"name":"Tea","note":"hot","status":"new","stock":0,"supplier":{"name":"Ann"},"tags":["a","b"]}"#;
    assert_eq!(shown(&one), row);
    let counter = RecordId::new("products", "milk").unwrap();
    for (edit, shows) in [
        (
            set(r#"{"name":"Milk","stock":5,"supplier":{"phone":"1"}}"#),
            r#""stock":5,"supplier":{"name":"Ann","phone":"1"}"#,
        ),
        (set(r#"{"status":"sold","supplier":{"name":"Bob"}}"#), r#""supplier":{"name":"Bob"}"#),
    ] {
        one.commit_local(&[(counter.clone(), edit)], NOW).unwrap();
        let found = json::object(&one.get(&counter).unwrap().unwrap().fields).to_string();
        assert!(found.contains(shows), "{found}");
    }
}

#[test]
fn json_becomes_what_the_schema_knows_it_to_be() {
    let mut store = store(1);
    set_schema(&mut store, PRODUCTS).unwrap();
    let given = r#"{"name":"Tea","weight":2,"added":"2024-05-01T10:00:00Z","photo":"AAE=","note":"hot","stock":3,
        "tags":[3,"x",3]}"#;
    edit(&mut store, set(given)).unwrap();
    let fields = store.get(&tea()).unwrap().unwrap().fields;
    for (field, value) in [
        ("weight", Value::Float(2.0)),
        ("added", Value::Timestamp(Timestamp { unix_ms: 1_714_557_600_000 })),
        ("photo", Value::Bytes(vec![0, 1])),
        ("note", Value::Text("hot".to_owned())),
        ("stock", Value::Counter(3)),
        ("tags", Value::List(vec![Value::Int(3), Value::String("x".to_owned())])),
    ] {
        assert_eq!(fields[field], value);
    }
    assert_eq!(edit(&mut store, set(given)), Ok(0), "said again, it changes nothing");
    assert_eq!(edit(&mut store, FieldEdit::Import(fields)), Ok(0));
}

#[test]
fn two_versions_of_an_app_share_a_workspace_without_loss() {
    let (mut old, mut new) = (store(1), store(2));
    set_schema(&mut old, r#"{"fields":{"name":{"type":"string","required":true}}}"#).unwrap();
    edit(&mut old, set(r#"{"name":"Tea"}"#)).unwrap();
    send(&old, &mut new);
    let more = r#"{"fields":{"name":{"type":"string","required":true},"origin":{"type":"string","default":"?"}}}"#;
    set_schema(&mut new, more).unwrap();
    edit(&mut new, set(r#"{"origin":"Assam"}"#)).unwrap();
    // The old app has not heard of it yet, and writes what it knows and what nobody knows.
    edit(&mut old, set(r#"{"name":"Black tea","shelf":4}"#)).unwrap();
    send(&new, &mut old);
    send(&old, &mut new);
    for store in [&old, &new] {
        assert_eq!(shown(store), r#"{"name":"Black tea","origin":"Assam","shelf":4}"#);
    }
    assert_eq!(old.digest(), new.digest());
    // The old app sets its schema again, as it does whenever it starts: the field stays, its type is free again.
    set_schema(&mut old, r#"{"fields":{"name":{"type":"string","required":true}}}"#).unwrap();
    assert!(shown(&old).contains("Assam"));
}

#[test]
fn what_comes_from_elsewhere_is_never_refused_and_shown_as_it_is() {
    let (mut one, mut two) = (store(1), store(2));
    set_schema(&mut one, PRODUCTS).unwrap();
    edit(&mut two, set(r#"{"name":7,"added":"yesterday","status":"lost","tags":"red","stock":"many"}"#)).unwrap();
    send(&two, &mut one);
    assert_eq!(shown(&one), r#"{"added":"yesterday","name":7,"status":"lost","stock":"many","tags":"red"}"#);
    edit(&mut one, set(r#"{"name":"Tea","added":"2024-05-01T10:00:00Z","status":"sold","tags":["red"],"stock":4}"#))
        .unwrap();
    let mended = r#"{"added":"2024-05-01T10:00:00Z","name":"Tea","status":"sold","stock":4,"tags":["red"]}"#;
    assert_eq!(shown(&one), mended);
    assert_eq!(one.quarantined(), 0);
}
