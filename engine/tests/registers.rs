//! Registers alone, without the document: an edit makes Automerge's own change, byte for byte, and leaves what the document
//! would; another device's change leaves what merging it would, whoever made it.

#![allow(clippy::unwrap_used)]

use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{ExpandedChange, ScalarValue};
use comptoir_engine::change::Change;
use comptoir_engine::id::{ActorId, DocumentId};
use comptoir_engine::record::json;
use comptoir_engine::record::{Document, Following, Place, Registers, Schema, Shape};
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
        let without = registers_of(&document, shape).and_then(|registers| {
            registers.edit(&id(), &place(&document, &author), (time, message), edits, shape).transpose()
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

/// A document's registers as a store has them; `None` where they do not hold all of it.
fn registers_of(document: &Document, shape: &Shape) -> Option<Registers> {
    if document.heads().is_empty() {
        return Some(Registers::empty(shape));
    }
    let mut registers = document.registers()?;
    if shape.keeps() {
        registers.recall(shape, &document.view(shape));
    }
    Some(registers)
}

/// Merges a change; what the registers make of it alone, if anything, is the same.
fn deliver_one(
    document: &mut Document,
    following: Option<Following>,
    change: &Change,
    shape: &Shape,
) -> Option<Following> {
    let begin = || Following::new(registers_of(document, shape)?, shape);
    let mut heads = document.heads();
    let following = following.or_else(begin).and_then(|following| following.follow(&heads, change, shape));
    heads.retain(|head| !change.parts().deps.contains(head));
    heads.push(change.hash());
    heads.sort_unstable();
    let merged = document.merge(std::slice::from_ref(change), &heads, shape);
    if let Some(following) = following.clone() {
        merged.unwrap_or_else(|fault| panic!("{fault}: {change:?}"));
        let registers = following.registers(shape);
        assert_eq!(registers.view(shape), document.view(shape));
        assert_eq!(Some(registers), document.registers());
        assert!(!document.has_conflicts().unwrap());
    }
    following
}

/// Merges changes, in both ways; answers how many needed no document.
fn deliver(document: &mut Document, changes: &[Change], shape: &Shape) -> usize {
    let (mut following, mut taken) = (None, 0);
    for change in changes {
        following = deliver_one(document, following, change, shape);
        assert!(document.heads().contains(&change.hash()), "an honest change was refused");
        taken += usize::from(following.is_some());
    }
    taken
}

/// Devices that edit one record and hear of each other now and then; answers how many changes needed no document.
fn converse(turns: &[(u8, Option<Vec<FieldEdit>>)], shape: &Shape) -> usize {
    let mut devices: [Document; 3] = std::array::from_fn(|_| Document::empty(id()));
    let mut unloaded = 0;
    for (turn, (which, edits)) in turns.iter().enumerate() {
        let at = usize::from(*which) % devices.len();
        match edits {
            Some(edits) => {
                if let Ok((after, _)) = devices[at].clone().edit(&actor(at as u8), turn as i64, "", edits, shape) {
                    devices[at] = after;
                }
            }
            None => {
                let other = devices[(at + 1 + usize::from(*which) / devices.len() % 2) % devices.len()].clone();
                let (known, mut news) = (devices[at].changes().unwrap(), other.changes().unwrap());
                news.retain(|change| !known.contains(change));
                unloaded += deliver(&mut devices[at], &news, shape);
            }
        }
    }
    unloaded
}

/// What somebody may put into a change, whether or not it makes sense.
fn op() -> impl Strategy<Value = Op> {
    let scalar = prop_oneof![
        (-9i64..9).prop_map(ScalarValue::Int),
        (-9i64..9).prop_map(ScalarValue::counter),
        Just(ScalarValue::Str("open".into())),
        Just(ScalarValue::Bytes(vec![200])),
        Just(ScalarValue::Null),
        Just(ScalarValue::Unknown { type_code: 11, bytes: vec![1] }),
    ];
    let action = prop_oneof![
        6 => scalar.prop_map(OpType::Put),
        2 => Just(OpType::Delete),
        3 => (-5i64..5).prop_map(OpType::Increment),
        1 => Just(OpType::Make(automerge::ObjType::List)),
    ];
    let id = || (1u64..6, 0u8..2).prop_map(|(counter, which)| OpId(counter, actor(which).as_bytes().into()));
    let key = prop_oneof![name(), Just("~c/a".to_owned()), Just("~d".to_owned()), Just("~l/b".to_owned())];
    let in_map = key.prop_map(|key| (ObjectId::Root, Key::Map(key.as_str().into()), false));
    let place = prop_oneof![Just(ElementId::Head), id().prop_map(ElementId::Id)];
    let in_list =
        (id(), place, any::<bool>()).prop_map(|(list, place, insert)| (ObjectId::Id(list), Key::Seq(place), insert));
    (action, prop_oneof![3 => in_map, 1 => in_list], vec(id(), 0..2)).prop_map(|(action, (obj, key, insert), pred)| {
        Op { action, obj, key, pred: pred.into_iter().collect(), insert }
    })
}

/// A change of `ops` that follows all of the document, numbered as it has to be.
fn forge(document: &Document, which: u8, operations: Vec<Op>) -> Option<Change> {
    let changes = document.changes().unwrap();
    let (author, mut deps) = (actor(which), document.heads());
    deps.sort_unstable();
    let seq = changes.iter().filter(|change| change.parts().actor == author).count() as u64 + 1;
    let start_op = changes.iter().map(Change::max_op).max().unwrap_or(0) + 1;
    let expanded = ExpandedChange {
        operations,
        actor_id: author.as_bytes().into(),
        hash: None,
        seq,
        start_op: start_op.try_into().unwrap(),
        time: 0,
        message: None,
        deps: deps.iter().map(|dep| automerge::ChangeHash(dep.0)).collect(),
        extra_bytes: Vec::new(),
        author: None,
    };
    let made = std::panic::catch_unwind(|| automerge::Change::from(expanded).raw_bytes().to_vec());
    Change::parse(&made.ok()?).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_change_taken_over_without_the_document_leaves_what_merging_it_does(
        turns in vec((any::<u8>(), proptest::option::weighted(0.6, vec(edit(), 1..3))), 1..24),
        ruled in any::<bool>(),
    ) {
        let schema = Schema::read(&json::parse(RULES).unwrap());
        let shape = if ruled { Shape::from(&schema) } else { Shape::default() };
        converse(&turns, &shape);
    }

    #[test]
    fn a_forged_change_is_taken_over_as_merging_it_would_or_not_at_all(
        forged in vec((0u8..2, vec(op(), 1..4)), 1..6),
        ruled in any::<bool>(),
    ) {
        let schema = Schema::read(&json::parse(RULES).unwrap());
        let shape = if ruled { Shape::from(&schema) } else { Shape::default() };
        let (mut document, mut following) = (Document::empty(id()), Following::new(Registers::empty(&shape), &shape));
        for (which, ops) in forged {
            let Some(change) = forge(&document, which, ops) else { continue };
            following = deliver_one(&mut document, following, &change, &shape);
        }
    }

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
fn news_of_plain_fields_and_new_lists_need_no_document() {
    let tags = Value::List(["home", "sale"].map(|tag| Value::String(tag.to_owned())).into());
    let fields = [("price", Value::Int(3)), ("stock", Value::Counter(9)), ("tags", tags)];
    let fields: Fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
    let take = || Some(vec![FieldEdit::Increment { field: "stock".to_owned(), by: -1 }]);
    let price = |price| Some(vec![FieldEdit::Set([("price".to_owned(), Value::Int(price))].into())]);
    // The second hears of the new record, three changes; both sell one; each hears of the other's, which did not follow its
    // own and takes the history; one changes the price, and the other hears of it.
    let turns = [(0, Some(vec![FieldEdit::Set(fields)])), (4, None), (0, take()), (4, take()), (4, None), (0, None)];
    let turns: Vec<_> = turns.into_iter().chain([(0, price(4)), (4, None)]).collect();
    assert_eq!(converse(&turns, &Shape::default()), 4);
}

#[test]
fn plain_edits_need_no_document() {
    let text = |text: &str| Value::String(text.to_owned());
    let fields: Fields = [("name".to_owned(), text("Pils")), ("price".to_owned(), Value::Int(3))].into();
    let take = || vec![FieldEdit::Increment { field: "stock".to_owned(), by: -1 }];
    let price = |price| vec![FieldEdit::Set([("price".to_owned(), Value::Int(price))].into())];
    let unset = vec![FieldEdit::Unset { field: "price".to_owned() }];
    let tags = ["home", "sale"].map(text).into();
    let tags = vec![FieldEdit::Set([("tags".to_owned(), Value::List(tags))].into())];
    // The first makes the record, the second its counter, the third its list.
    let made = [vec![FieldEdit::Set(fields)], take(), tags];
    let edits = made.into_iter().chain([take(), price(4), take(), unset, vec![FieldEdit::Delete]]);
    let edits: Vec<_> = edits.enumerate().map(|(turn, edits)| (turn as u8 % 2, edits)).collect();
    assert_eq!(compare(&edits, &Shape::default()), edits.len());
}
