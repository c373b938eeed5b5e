//! Names, values and edits by chance.

use comptoir_engine::{FieldEdit, Fields, Timestamp, Value};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// Names that are hard to keep apart once they are parts of a path.
pub(super) fn name() -> impl Strategy<Value = String> {
    let odd = ["", "/", "~", "~0", "~1", "~2", "~d", "~c/stock", "a", "b", "a/b", "é", "名 前", "a!b", "\u{1}"];
    prop_oneof![4 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned), 1 => ".{0,4}"]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(|number| Value::Int(number.into())),
        prop_oneof![Just(i64::MAX), Just(i64::MIN), any::<i64>()].prop_map(Value::Int),
        (i64::MAX as u64 + 1..).prop_map(Value::Uint),
        prop::num::f64::NORMAL.prop_map(Value::Float),
        ".{0,6}".prop_map(Value::String),
        vec(any::<u8>(), 0..4).prop_map(Value::Bytes),
        any::<i64>().prop_map(|unix_ms| Value::Timestamp(Timestamp { unix_ms })),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => scalar(),
        1 => any::<i32>().prop_map(|count| Value::Counter(count.into())),
        1 => ".{0,6}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            btree_map(name(), inner, 0..3).prop_map(Value::Map),
        ]
    })
}

pub(super) fn fields() -> impl Strategy<Value = Fields> {
    btree_map(name(), value(), 0..3)
}

/// A JSON Pointer, and sometimes something that only looks like one.
fn pointer() -> impl Strategy<Value = String> {
    let escaped = vec(name(), 1..3).prop_map(|names| {
        let names = names.iter().map(|name| name.replace('~', "~0").replace('/', "~1"));
        names.fold(String::new(), |path, name| path + "/" + &name)
    });
    prop_oneof![3 => escaped, 1 => name()]
}

pub(super) fn edit() -> impl Strategy<Value = FieldEdit> {
    prop_oneof![
        4 => fields().prop_map(FieldEdit::Set),
        1 => fields().prop_map(FieldEdit::Import),
        2 => (pointer(), any::<i16>()).prop_map(|(field, by)| FieldEdit::Increment { field, by: by.into() }),
        2 => any::<i16>().prop_map(|by| FieldEdit::Increment { field: "exact".to_owned(), by: by.into() }),
        2 => pointer().prop_map(|field| FieldEdit::Unset { field }),
        1 => Just(FieldEdit::Delete),
        1 => Just(FieldEdit::Restore),
    ]
}
