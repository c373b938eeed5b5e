//! Edits from registers alone: the change is Automerge's own, byte for byte, and leaves what the document would.

#![allow(clippy::unwrap_used)]

use comptoir_engine::change::Change;
use comptoir_engine::id::{ActorId, DocumentId};
use comptoir_engine::record::json;
use comptoir_engine::record::{Document, Place, Schema, Shape};
use comptoir_engine::{FieldEdit, Fields, RecordId, Timestamp, Value, WorkspaceId};
use proptest::collection::vec;
use proptest::prelude::*;

/// One field with each rule that a plain field can have.
const RULES: &str = r#"{"fields": {
    "a": {"type": "int", "rule": "max"},
    "b": {"type": "string", "rule": "first"},
    "c": {"type": "string", "rule": "forward(open<paid<closed)"},
    "d": {"type": "int", "required": true, "default": 3}
}}"#;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just("d"), Just("e"), Just("~x"), Just("s/t"), Just("")]
        .prop_map(str::to_owned)
}

fn plain() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-9i64..9).prop_map(Value::Int),
        any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Value::Float),
        prop_oneof![Just("open"), Just("paid"), Just("closed"), Just("né\u{1f5e1}")]
            .prop_map(|text| Value::String(text.to_owned())),
        vec(0u8..5, 0..3).prop_map(Value::Bytes),
        (0i64..9).prop_map(|unix_ms| Value::Timestamp(Timestamp { unix_ms })),
        (-9i64..9).prop_map(Value::Counter),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let map = || proptest::collection::btree_map(name(), plain(), 0..3).prop_map(Value::Map);
    let list = vec(plain(), 0..2).prop_map(Value::List);
    let text = prop_oneof![Just("a"), Just("ab")].prop_map(|text| Value::Text(text.to_owned()));
    prop_oneof![20 => plain(), 6 => map(), 1 => list, 1 => text]
}

fn edit() -> impl Strategy<Value = FieldEdit> {
    let fields = || proptest::collection::btree_map(name(), value(), 0..3);
    let field = || prop_oneof![name().prop_map(|name| name.replace('/', "~1")), Just("/e/a".to_owned())];
    prop_oneof![
        6 => fields().prop_map(FieldEdit::Set),
        1 => fields().prop_map(FieldEdit::Import),
        4 => (field(), -5i64..5).prop_map(|(field, by)| FieldEdit::Increment { field, by }),
        2 => field().prop_map(|field| FieldEdit::Unset { field }),
        1 => Just(FieldEdit::Delete),
        1 => Just(FieldEdit::Restore),
    ]
}

fn id() -> DocumentId {
    DocumentId::derive(&WorkspaceId::new("shop").unwrap(), &RecordId::new("products", "1").unwrap())
}

fn actor(which: u8) -> ActorId {
    ActorId::ordinary([which; 16])
}

/// Where the next change of a document goes.
fn place(document: &Document, actor: &ActorId) -> Place {
    let changes = document.changes().unwrap();
    let seq = changes.iter().filter(|change| change.parts().actor == *actor).count() as u64 + 1;
    let start_op = changes.iter().map(|change| change.max_op()).max().unwrap_or(0) + 1;
    let own = changes.iter().rfind(|change| change.parts().actor == *actor);
    Place::new(actor, seq, start_op, document.heads(), own.map(Change::hash))
}

/// Does all `edits` both ways; answers how many were done from registers alone.
fn compare(edits: &[(u8, Vec<FieldEdit>)], shape: &Shape) -> usize {
    let mut document = Document::empty(id());
    let mut unloaded = 0;
    for (turn, (author, edits)) in edits.iter().enumerate() {
        let (author, time, message) = (actor(*author), turn as i64, if turn % 2 == 0 { "why" } else { "" });
        let made = document.clone().edit(&author, time, message, edits, shape);
        let registers = document.registers().filter(|_| !document.heads().is_empty());
        let without = registers.and_then(|mut registers| {
            if shape.keeps() {
                registers.recall(shape, &document.view(shape));
            }
            registers.edit(&place(&document, &author), time, message, edits, shape).transpose()
        });
        match (&made, without) {
            (Ok((after, changes)), Some(Ok((registers, same)))) => {
                assert_eq!(same, *changes);
                assert_eq!(registers.view(shape), after.view(shape));
                assert_eq!(Some(registers), after.registers());
                unloaded += 1;
            }
            (Err(error), Some(Err(same))) => assert_eq!(*error, same),
            (_, None) => {}
            (made, without) => panic!("{made:?} but {without:?}", made = made.as_ref().map(|(_, changes)| changes)),
        }
        if let Ok((after, _)) = made {
            document = after;
        }
    }
    unloaded
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_change_made_without_the_document_is_the_one_automerge_makes(
        edits in vec((0u8..2, vec(edit(), 1..3)), 1..12),
        ruled in any::<bool>(),
    ) {
        let schema = Schema::read(&json::parse(RULES).unwrap());
        let shape = if ruled { Shape::from(&schema) } else { Shape::default() };
        compare(&edits, &shape);
    }
}

#[test]
fn plain_edits_need_no_document() {
    let text = |text: &str| Value::String(text.to_owned());
    let fields: Fields = [("name".to_owned(), text("Pils")), ("price".to_owned(), Value::Int(3))].into();
    let take = || vec![FieldEdit::Increment { field: "stock".to_owned(), by: -1 }];
    let price = |price| vec![FieldEdit::Set([("price".to_owned(), Value::Int(price))].into())];
    let unset = vec![FieldEdit::Unset { field: "price".to_owned() }];
    // The first makes the record, the second its counter; both take a document.
    let edits = [vec![FieldEdit::Set(fields)], take(), take(), price(4), take(), unset, vec![FieldEdit::Delete]];
    let edits: Vec<_> = edits.into_iter().enumerate().map(|(turn, edits)| (turn as u8 % 2, edits)).collect();
    assert_eq!(compare(&edits, &Shape::default()), 5);
}
