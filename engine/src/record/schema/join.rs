//! Two apps' schemas of one collection as one that both can work under, whichever of them starts first or last. Must not
//! know documents or storage.

use super::check::{SAYS, map};
use super::{Field, FieldType, Schema, write_field};
use crate::record::rule::Rule;
use crate::record::view::{Fields, Value};

impl Schema {
    /// This schema, in force, with what an app `wants`: its fields and indexes are added, and nothing is taken away. Of a
    /// field that both name, what is in force stays, but for what only grows: a field is optional once one app leaves it
    /// so, has a rule or a default once one app gives it one, and a state of `forward` once one app knows it. So apps
    /// that say the same again and again come to rest. Another type replaces the field's; [`super::evolve`] refuses that
    /// where there are records.
    pub fn joined(&self, wants: &Self) -> Self {
        let mut joined = self.clone();
        for (name, field) in &wants.fields {
            let next = match self.fields.get(name) {
                Some(held) => join(held, field),
                None => field.clone(),
            };
            joined.fields.insert(name.clone(), next);
        }
        for (name, index) in &wants.indexes {
            joined.indexes.entry(name.clone()).or_insert_with(|| index.clone());
        }
        joined
    }
}

fn join(held: &Field, wanted: &Field) -> Field {
    if held.kind == FieldType::Any || wanted.kind == FieldType::Any {
        return held.clone();
    }
    if held.kind != wanted.kind {
        return Field { required: held.required && wanted.required, ..wanted.clone() };
    }
    let rule = match (&held.rule, &wanted.rule) {
        (Rule::Last, wanted) => wanted,
        // States that neither holds in its order are left for `evolve` to refuse.
        (Rule::Forward(held_states), Rule::Forward(states)) if !is_within(states, held_states) => &wanted.rule,
        (held, _) => held,
    };
    let field =
        Field { kind: held.kind, required: held.required && wanted.required, default: None, rule: rule.clone() };
    let defaults = [&held.default, &wanted.default].into_iter().flatten();
    let default = defaults.into_iter().find(|default| field.fit(default).is_some()).cloned();
    Field { default, ..field }
}

/// Whether all states are among the others, in the same order.
fn is_within(states: &[String], others: &[String]) -> bool {
    let mut others = others.iter();
    states.iter().all(|state| others.any(|other| other == state))
}

/// The fields of a schema's record once `next` follows `now`, which the record says: whatever else it says stays, and so
/// does a field or an index of which this release cannot read all.
pub fn grown(record: &Fields, now: &Schema, next: &Schema) -> Fields {
    let (mut fields, mut indexes) = (map(record, "fields"), map(record, "indexes"));
    for (name, field) in next.fields.iter().filter(|(name, field)| now.fields.get(*name) != Some(field)) {
        let mut says = map(&fields, name);
        if is_readable(&says) {
            says.retain(|property, _| !SAYS.contains(&property.as_str()));
            says.extend(write_field(field));
            fields.insert(name.clone(), Value::Map(says));
        }
    }
    for (name, index) in &next.indexes {
        indexes.entry(name.clone()).or_insert_with(|| Value::String(index.to_string()));
    }
    let mut grown = record.clone();
    grown.extend([("fields", fields), ("indexes", indexes)].map(|(name, part)| (name.to_owned(), Value::Map(part))));
    grown
}

/// Whether this release knows the type and the rule that a field is said to have.
fn is_readable(says: &Fields) -> bool {
    let known = |name: &str, known: fn(&str) -> bool| match says.get(name) {
        None => true,
        Some(Value::String(word) | Value::Text(word)) => known(word),
        Some(_) => false,
    };
    known("type", |word| FieldType::parse(word).is_some()) && known("rule", |word| Rule::parse(word).is_some())
}
