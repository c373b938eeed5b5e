//! A schema as documents use it: by the path of each field, with what every read and write asks for put ready. Must not
//! know storage.

use super::field::{EditError, FieldEdit};
use super::layout;
use super::rule::Rule;
use super::schema::{Field, FieldType, Schema, name as kind};
use super::view::{DEPTH_MAX, Fields, Value, View};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a view is made by besides its document: changes whenever the same document may give another view.
pub type Print = [u8; 16];

/// A schema by path. The default one has no effect.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shape {
    fields: BTreeMap<String, Named>,
    print: Print,
}

#[derive(Debug, Clone, PartialEq)]
struct Named {
    name: String,
    field: Field,
}

impl From<&Schema> for Shape {
    fn from(schema: &Schema) -> Self {
        let mut fields = BTreeMap::new();
        for (name, field) in &schema.fields {
            if let Some(path) = layout::path(name).filter(|path| layout::depth(path) <= DEPTH_MAX) {
                fields.entry(path).or_insert_with(|| Named { name: name.clone(), field: field.clone() });
            }
        }
        let mut hash = Sha256::new();
        for (path, Named { field, .. }) in fields.iter().filter(|(_, named)| named.field != Field::default()) {
            hash.update(format!("comptoir.shape.1\0{path}\0{}\0{}\0", field.kind.name(), field.rule));
        }
        let digest: [u8; 32] = hash.finalize().into();
        let print = if fields.is_empty() { Print::default() } else { *digest.first_chunk().unwrap_or(&[0; 16]) };
        Self { fields, print }
    }
}

static NONE: Shape = Shape { fields: BTreeMap::new(), print: [0; 16] };

impl Shape {
    /// That of a collection without a schema.
    pub fn none() -> &'static Self {
        &NONE
    }

    /// What views are made by.
    pub fn print(&self) -> Print {
        self.print
    }

    /// The field at a path.
    pub(super) fn field(&self, path: &str) -> Option<&Field> {
        self.fields.get(path).map(|named| &named.field)
    }

    /// The rule at a path.
    pub(super) fn rule(&self, path: &str) -> &Rule {
        self.field(path).map_or(&Rule::Last, |field| &field.rule)
    }

    /// The fields with a rule that keeps values.
    pub(super) fn keeping(&self) -> impl Iterator<Item = (&str, &Field)> {
        let fields = self.fields.iter().map(|(path, named)| (path.as_str(), &named.field));
        fields.filter(|(_, field)| field.rule.keeps())
    }

    /// Whether there are any.
    pub fn keeps(&self) -> bool {
        self.keeping().next().is_some()
    }

    /// The fields that a record must have.
    pub(super) fn required(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|(_, named)| named.field.required).map(|(path, _)| path.as_str())
    }

    /// What new records get. A counter's is a plain number: two devices that make one record give it once.
    pub(super) fn defaults(&self) -> impl Iterator<Item = (&str, Value)> {
        self.fields.iter().filter_map(|(path, Named { field, .. })| {
            let value = field.fit(field.default.as_ref()?)?;
            Some((path.as_str(), plain(value)))
        })
    }

    /// A value as a view shows it: as the field holds it, or as it is where it does not fit.
    pub(super) fn shown(&self, path: &str, value: Value) -> Value {
        match self.field(path).and_then(|field| field.fit(&value)) {
            Some(fitting) => fitting,
            None => value,
        }
    }

    /// Whether a record that shows `view` under `before` may show something else under this one.
    pub fn may_change(&self, before: &Self, view: &View) -> bool {
        let differs = |path: &str| {
            let (old, new) = (before.field(path), self.field(path));
            let part = |field: Option<&Field>| field.map(|field| (field.kind, field.rule.clone())).unwrap_or_default();
            if part(old) == part(new) {
                return false;
            }
            // What shows under no schema shows under each, unless as something else.
            let Some(value) = layout::value_at(&view.fields, path) else { return false };
            let plain = part(old) == Default::default() && *self.rule(path) == Rule::Last;
            !plain || self.shown(path, value.clone()) != *value
        };
        before.fields.keys().chain(self.fields.keys()).any(|path| differs(path))
    }

    /// The edits with each value as its field holds it. Fields that the schema does not name are left alone.
    pub(super) fn fit<'e>(&self, edits: &'e [FieldEdit]) -> Result<Cow<'e, [FieldEdit]>, EditError> {
        if self.fields.is_empty() {
            return Ok(Cow::Borrowed(edits));
        }
        let fit = |edit: &FieldEdit| -> Result<FieldEdit, EditError> {
            Ok(match edit {
                FieldEdit::Set(fields) => FieldEdit::Set(self.fit_map("", fields, &|value| value)?),
                FieldEdit::Import(fields) => FieldEdit::Import(self.fit_map("", fields, &plain)?),
                FieldEdit::Increment { field, .. } => {
                    self.check_increment(field)?;
                    edit.clone()
                }
                FieldEdit::Unset { .. }
                | FieldEdit::Number { .. }
                | FieldEdit::Delete
                | FieldEdit::Restore
                | FieldEdit::Choose { .. }
                | FieldEdit::Undo { .. } => edit.clone(),
            })
        };
        Ok(Cow::Owned(edits.iter().map(fit).collect::<Result<_, _>>()?))
    }

    fn fit_map(&self, path: &str, fields: &Fields, form: &impl Fn(Value) -> Value) -> Result<Fields, EditError> {
        let fit = |(name, value): (&String, &Value)| {
            let path = layout::join(path, name);
            if layout::depth(&path) > DEPTH_MAX {
                return Err(EditError::TooDeep);
            }
            let fitting = match self.fields.get(&path) {
                Some(Named { field, .. }) if field.required && *value == Value::Null => None,
                Some(Named { field, .. }) => field.fit(value).map(form),
                None => Some(value.clone()),
            };
            match fitting {
                Some(Value::Map(fields)) => Ok((name.clone(), Value::Map(self.fit_map(&path, &fields, form)?))),
                Some(fitting) => Ok((name.clone(), fitting)),
                None => Err(self.misfit(&path, value)),
            }
        };
        fields.iter().map(fit).collect()
    }

    fn check_increment(&self, field: &str) -> Result<(), EditError> {
        let Some(Named { name, field }) = layout::path(field).and_then(|path| self.fields.get(&path)) else {
            return Ok(());
        };
        let number = matches!(field.kind, FieldType::Int | FieldType::Float | FieldType::Any);
        match field.rule {
            Rule::Last | Rule::Counter if number => Ok(()),
            _ => Err(EditError::Misfit {
                field: name.clone(),
                expected: if number { field.rule.to_string() } else { field.expects() },
                got: "increment".to_owned(),
            }),
        }
    }

    fn misfit(&self, path: &str, value: &Value) -> EditError {
        let field = self.field(path);
        let got = match (field.map(|field| &field.rule), value) {
            (Some(Rule::Forward(_)), Value::String(state) | Value::Text(state)) => format!("{state:?}"),
            (_, value) => kind(value).to_owned(),
        };
        EditError::Misfit { field: self.name(path), expected: field.map(Field::expects).unwrap_or_default(), got }
    }

    /// A field is missing in a new record.
    pub(super) fn missing(&self, path: &str) -> EditError {
        let expected = self.field(path).map(Field::expects).unwrap_or_default();
        EditError::Missing { field: self.name(path), expected }
    }

    /// A field may not be unset.
    pub(super) fn kept(&self, path: &str) -> EditError {
        EditError::Kept { field: self.name(path), rule: self.rule(path).to_string() }
    }

    /// What people call the field at a path.
    pub(super) fn name(&self, path: &str) -> String {
        self.fields.get(path).map_or_else(|| path.to_owned(), |named| named.name.clone())
    }
}

/// A counter's value as a number that increments are added to, alike on every device that gives it.
fn plain(value: Value) -> Value {
    match value {
        Value::Counter(number) => Value::Int(number),
        other => other,
    }
}
