//! JSON goes in and comes out as it was, to the depth a record has.

use super::strategies::name;
use super::{NOW, record, store, tea};
use comptoir_engine::record::json::{self, JsonError};
use comptoir_engine::record::view::DEPTH_MAX;
use comptoir_engine::store::{Store, StoreError};
use comptoir_engine::wire::Style;
use comptoir_engine::{EditError, FieldEdit, RecordId, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Number, Value as Json};

fn any_json() -> impl Strategy<Value = Json> {
    let number = prop_oneof![
        prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), any::<i64>()].prop_map(Number::from),
        prop_oneof![Just(u64::MAX), Just(1 << 63), any::<u64>()].prop_map(Number::from),
        prop_oneof![prop::num::f64::NORMAL, prop::num::f64::SUBNORMAL, Just(0.1), Just(f64::MAX), Just(5e-324)]
            .prop_map(|float| Number::from_f64(float).unwrap()),
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        number.prop_map(Json::Number),
        any::<String>().prop_map(Json::String),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let names = prop_oneof![name(), any::<String>()];
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Json::Array),
            vec((names, inner), 0..5).prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Json> {
    vec((name(), any_json()), 0..6).prop_map(|fields| Json::Object(fields.into_iter().collect()))
}

fn shown(store: &Store, record: &RecordId) -> Json {
    json::object(&store.get(record).unwrap().unwrap().fields)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn json_comes_out_as_it_went_in(object in any_object()) {
        let text = object.to_string();
        let fields = json::parse(&text).unwrap();
        prop_assert_eq!(json::object(&fields).to_string(), &text[..]);
        let (mut one, mut two) = (store(1), store(2));
        one.commit_local(&[(tea(), FieldEdit::Import(fields.clone()))], NOW).unwrap();
        prop_assert_eq!(shown(&one, &tea()).to_string(), &text[..]);
        if !fields.is_empty() {
            one.commit_local(&[(record(2), FieldEdit::Set(fields))], NOW).unwrap();
            prop_assert_eq!(shown(&one, &record(2)).to_string(), &text[..]);
        }
        two.apply_remote(&[one.outgoing(0, Style::Compact).unwrap().unwrap().batch], None, NOW).unwrap();
        prop_assert_eq!(shown(&two, &tea()).to_string(), &text[..]);
        prop_assert_eq!(one.digest(), two.digest());
    }
}

/// One list, or one object, in another, with `levels` names or items on the way to the innermost.
fn nested(levels: usize, pattern: u32) -> Json {
    (0..levels).fold(Json::Null, |inner, level| match pattern >> (level % 32) & 1 {
        0 => Json::Array(vec![Json::Bool(true), inner]),
        _ => Json::Object(Map::from_iter([("".to_owned(), inner)])),
    })
}

#[test]
fn json_may_be_nested_to_the_limit_and_no_deeper() {
    for pattern in [0, u32::MAX, 1, 0xaaaa_aaaa, 0xffff, 0xffff_0000, 0x1234_5678] {
        for innermost in [Json::Null, Json::Array(Vec::new()), Json::Object(Map::new())] {
            for levels in [0, 1, DEPTH_MAX - 2, DEPTH_MAX - 1] {
                let text = format!("{{\"x\":{}}}", nested(levels, pattern)).replace("null", &innermost.to_string());
                let mut store = store(1);
                let fields = json::parse(&text).unwrap();
                store.commit_local(&[(tea(), FieldEdit::Set(fields.clone()))], NOW).unwrap();
                assert_eq!(shown(&store, &tea()).to_string(), text);
                store.commit_local(&[(record(1), FieldEdit::Import(fields))], NOW).unwrap();
                assert_eq!(shown(&store, &record(1)).to_string(), text);
            }
            let text = format!("{{\"x\":{}}}", nested(DEPTH_MAX, pattern)).replace("null", &innermost.to_string());
            assert_eq!(json::parse(&text), Err(JsonError::TooDeep));
        }
    }
    for text in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        assert!(json::parse(&text).is_err());
    }
}

#[test]
fn values_too_deep_for_a_view_are_refused_when_they_are_set() {
    for wrap in [|inner| Value::List(vec![inner]), |inner| Value::Map([("m".to_owned(), inner)].into())] {
        for (maps, more) in [(0, DEPTH_MAX), (DEPTH_MAX - 1, 1), (DEPTH_MAX / 2, DEPTH_MAX / 2), (0, 500)] {
            let inner = (0..more).fold(Value::Null, |inner, _| wrap(inner));
            let value = (0..maps).fold(inner, |inner, _| Value::Map([("m".to_owned(), inner)].into()));
            for edit in [FieldEdit::Set, FieldEdit::Import] {
                let mut store = store(1);
                let edit = edit([("x".to_owned(), value.clone())].into());
                let refused = store.commit_local(&[(tea(), edit)], NOW).unwrap_err();
                assert_eq!(refused, StoreError::Edit { record: tea(), error: EditError::TooDeep });
                assert_eq!(store.get(&tea()).unwrap(), None);
            }
        }
    }
}

#[test]
fn a_number_set_on_a_counter_shows_as_it_was_set() {
    let number = |store: &mut Store, value: Value| {
        store.commit_local(&[(tea(), FieldEdit::Set([("kg".to_owned(), value)].into()))], NOW).unwrap();
    };
    let add = |store: &mut Store, by| {
        store.commit_local(&[(tea(), FieldEdit::Increment { field: "kg".to_owned(), by })], NOW).unwrap();
    };
    let (mut one, mut two) = (store(1), store(2));
    add(&mut one, 3);
    let exchange = |from: &Store, to: &mut Store| {
        let mut next = 0;
        while let Some(outgoing) = from.outgoing(next, Style::Compact).unwrap() {
            to.apply_remote(&[outgoing.batch], None, NOW).unwrap();
            next = outgoing.through + 1;
        }
    };
    exchange(&one, &mut two);
    for float in [0.1, 2.7, -1e-9, 1e300, 0.30000000000000004] {
        number(&mut one, Value::Float(float));
        assert_eq!(shown(&one, &tea()).to_string(), format!("{{\"kg\":{}}}", Json::from(float)));
    }
    number(&mut one, Value::Float(0.5));
    add(&mut two, -2);
    exchange(&one, &mut two);
    exchange(&two, &mut one);
    assert_eq!(shown(&one, &tea()).to_string(), "{\"kg\":-1.5}");
    assert_eq!(shown(&two, &tea()).to_string(), "{\"kg\":-1.5}");
}
