//! A schema and its form as a record say the same.

use comptoir_engine::record::schema::{Field, FieldType, Index, Schema};
use comptoir_engine::record::{Rule, Value};
use proptest::prelude::*;

fn kinds() -> impl Strategy<Value = FieldType> {
    use FieldType::{Any, Bool, Bytes, Float, Int, List, Map, String, Timestamp};
    prop::sample::select(vec![Any, Bool, Int, Float, String, Bytes, Timestamp, List, Map])
}

fn rules() -> impl Strategy<Value = Rule> {
    use Rule::{Counter, First, Last, Max, Min, Set, Text};
    let forward = prop::collection::btree_set("[a-z]{1,8}", 1..4).prop_map(|set| Rule::Forward(Vec::from_iter(set)));
    prop_oneof![prop::sample::select(vec![Last, First, Max, Min, Counter, Set, Text]), forward]
}

prop_compose! {
    fn fields()(kind in kinds(), required: bool, default in prop::option::of("[a-z ]{0,8}"), rule in rules()) -> Field {
        let default = default.filter(|_| kind == FieldType::String && !matches!(rule, Rule::Forward(_)));
        let rule = if rule.suits(kind) { rule } else { Rule::Last };
        Field { kind, required, default: default.map(Value::String), rule }
    }
}

prop_compose! {
    fn indexes()(fields in prop::collection::vec("/?[a-z_]{1,8}", 1..4), words: bool) -> Index {
        Index { fields, words }
    }
}

proptest! {
    #[test]
    fn a_schema_written_as_a_record_is_read_as_it_was(
        fields in prop::collection::btree_map("/?[a-z_]{1,8}", fields(), 0..6),
        indexes in prop::collection::btree_map("[a-z_]{1,8}", indexes(), 0..4),
    ) {
        let schema = Schema { fields, indexes };
        prop_assert_eq!(Schema::read(&schema.fields()), schema);
    }
}
