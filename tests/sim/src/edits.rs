//! The plan's edits as edits of records, each with its mark. Must not know who makes them.

use crate::oracle::{COUNTER, mark};
use crate::plan::Edit;
use crate::till::Sheets;
use comptoir_engine::{FieldEdit, Fields, RecordId, SeriesName, Value};

pub(crate) fn stock(record: usize) -> RecordId {
    RecordId::new("stock", &format!("article {record}")).expect("a valid name")
}

fn field(field: usize) -> String {
    ["name", "price", "shelf"][field].to_owned()
}

pub(crate) fn series_name(series: usize) -> SeriesName {
    SeriesName::new(["T1", "T2"][series]).expect("a valid name")
}

/// What an edit is to an engine; `None` when it is nothing. `sheets` is what its device shows.
pub(crate) fn edits_of(edit: Edit, name: &str, sheets: &Sheets) -> Option<Vec<(RecordId, FieldEdit)>> {
    let marked = |by: i64| FieldEdit::Set(Fields::from([(mark(name), Value::Int(by))]));
    let add = |record: usize, by: i64| {
        let sum = FieldEdit::Increment { field: COUNTER.to_owned(), by };
        [(stock(record), marked(by)), (stock(record), sum)]
    };
    Some(match edit {
        Edit::Put { record, field: number, value } => {
            let fields = [(field(number), Value::Int(value)), (mark(name), Value::Int(0))];
            vec![(stock(record), FieldEdit::Set(Fields::from(fields)))]
        }
        Edit::Add { record, by } => add(record, by).into(),
        Edit::Count { record, to } => {
            let seen = sheets.get(&stock(record)).map_or(0, |sheet| sheet.counter);
            let fields = [(COUNTER.to_owned(), Value::Counter(to)), (mark(name), Value::Int(to - seen))];
            vec![(stock(record), FieldEdit::Set(Fields::from(fields)))]
        }
        Edit::Unset { record, field: number } => {
            vec![(stock(record), marked(0)), (stock(record), FieldEdit::Unset { field: field(number) })]
        }
        Edit::Delete { record } => vec![(stock(record), marked(0)), (stock(record), FieldEdit::Delete)],
        Edit::Restore { record } => vec![(stock(record), FieldEdit::Restore), (stock(record), marked(0))],
        Edit::Import { record } => {
            let row = [(field(0), Value::Int(7)), (mark(&format!("row {record}")), Value::Int(0))];
            vec![(stock(record), FieldEdit::Import(Fields::from(row)))]
        }
        Edit::Transfer { from, to, .. } if from == to => return None,
        Edit::Transfer { from, to, by } => add(from, -by).into_iter().chain(add(to, by)).collect(),
        Edit::Receipt { series } => {
            let record = RecordId::new("sales", &format!("sale {name}")).ok()?;
            let number = FieldEdit::Number { field: "number".to_owned(), series: series_name(series) };
            vec![(record.clone(), marked(0)), (record, number)]
        }
        Edit::Claim { .. } => return None,
    })
}
