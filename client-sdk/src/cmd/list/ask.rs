//! `comptoir list` with a question: its words on the command line, and what is answered.

use super::super::output::Output;
use super::show;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::query::{Field, PAGE_RECORDS_MAX};
use comptoir_engine::record::json;
use comptoir_engine::store::Sorted;
use comptoir_engine::{Explanation, PageCursor, Query, Tallied, Tally, Value};
use serde_json::json as object;

#[derive(Args)]
pub(super) struct Ask {
    #[arg(long = "where", value_name = "FILTER", help = text("arg.where"))]
    filter: Option<String>,
    #[arg(long, value_name = "WORDS", help = text("arg.search"))]
    search: Option<String>,
    #[arg(long, value_name = "FIELDS", help = text("arg.order"), conflicts_with_all = ["count", "sum", "group"])]
    order: Option<String>,
    #[arg(long, value_name = "N", help = text("arg.limit"), conflicts_with_all = ["count", "sum", "group"])]
    limit: Option<usize>,
    #[arg(long, value_name = "CURSOR", help = text("arg.after"), conflicts_with_all = ["count", "sum", "group"])]
    after: Option<String>,
    #[arg(long, help = text("arg.count"))]
    count: bool,
    #[arg(long, value_name = "FIELD", help = text("arg.sum"))]
    sum: Option<String>,
    #[arg(long, value_name = "FIELD", help = text("arg.group"))]
    group: Option<String>,
    #[arg(long, help = text("arg.explain"), conflicts_with_all = ["count", "sum", "group"])]
    explain: bool,
}

impl Ask {
    /// Whether anything is asked.
    pub(super) fn asks(&self) -> bool {
        let words = [&self.filter, &self.search, &self.order, &self.after, &self.sum, &self.group];
        words.iter().any(|word| word.is_some()) || self.limit.is_some() || self.count || self.explain
    }

    pub(super) async fn run(
        self,
        shop: &Comptoir,
        collection: &str,
        deleted: bool,
        output: &Output,
    ) -> Result<(), Error> {
        let mut query = self.filter.as_deref().map(Query::parse).transpose()?.unwrap_or_default();
        query.order = self.order.as_deref().map(Query::parse_order).transpose()?.unwrap_or_default();
        query.after = self.after.as_deref().map(str::parse::<PageCursor>).transpose()?;
        query.search = self.search.clone();
        query.limit = self.limit;
        query.deleted = deleted;
        if self.explain {
            explain(&shop.explain(collection, &query).await?, output);
            return Ok(());
        }
        if self.count || self.sum.is_some() || self.group.is_some() {
            let field = |name: &Option<String>| name.as_deref().map(Field::typed);
            let tally = Tally { sum: field(&self.sum), group: field(&self.group) };
            let counted = shop.tally(collection, &query, &tally).await?;
            counted.iter().for_each(|line| self.tallied(line, output));
            return Ok(());
        }
        list(shop, collection, query, output).await
    }

    fn tallied(&self, line: &Tallied, output: &Output) {
        let group = line.group.as_ref().map(plain);
        let sum = line.sum.as_ref().map(plain);
        output.say(
            || {
                let word = |json: &serde_json::Value| json.as_str().map_or_else(|| json.to_string(), str::to_owned);
                let count = (self.count || self.group.is_some()).then(|| line.count.to_string());
                let words = [group.as_ref().map(word), count, sum.as_ref().map(word)];
                words.into_iter().flatten().collect::<Vec<_>>().join(" ")
            },
            || {
                let mut said = object!({"count": line.count});
                for (name, value) in [("group", &group), ("sum", &sum)] {
                    if let Some(value) = value {
                        said[name] = value.clone();
                    }
                }
                said
            },
        );
    }
}

/// A value as JSON has it.
fn plain(value: &Value) -> serde_json::Value {
    json::object(&[(String::new(), value.clone())].into())[""].take()
}

/// All pages, or as many as the limit asks for.
async fn list(shop: &Comptoir, collection: &str, mut query: Query, output: &Output) -> Result<(), Error> {
    let mut left = query.limit;
    loop {
        query.limit = left.map(|left| left.min(PAGE_RECORDS_MAX));
        let page = shop.query(collection, &query).await?;
        page.records.iter().for_each(|(key, view)| show(key, view, output));
        left = left.map(|left| left - page.records.len());
        let Some(next) = page.next else { return Ok(()) };
        if left == Some(0) {
            let cursor = next.to_string();
            output.say(|| text_with("said.next", &[("cursor", cursor.clone())]), || object!({"next": cursor}));
            return Ok(());
        }
        query.after = Some(next);
    }
}

fn explain(how: &Explanation, output: &Output) {
    let sorted = match how.sorted {
        Sorted::Nothing => "nothing",
        Sorted::Groups => "groups",
        Sorted::All => "all",
    };
    let lines = || {
        let index = how.index.clone();
        let counts = |index: String| {
            let count = |number: u64| number.to_string();
            [("index", index), ("rows", count(how.rows)), ("records", count(how.records)), ("found", count(how.found))]
        };
        let key = if index.is_some() { "explain.index" } else { "explain.none" };
        let mut lines = vec![text_with(key, &counts(index.unwrap_or_default()))];
        for (key, parts) in [("explain.served", &how.served), ("explain.rechecked", &how.rechecked)] {
            if !parts.is_empty() {
                lines.push(text_with(key, &[("parts", parts.join("; "))]));
            }
        }
        lines.push(text_with(&format!("explain.{sorted}"), &[("order", how.order.clone())]));
        lines.join("\n")
    };
    output.say(lines, || {
        object!({
            "index": how.index, "served": how.served, "rechecked": how.rechecked, "order": how.order,
            "sorted": sorted, "index_rows": how.rows, "records": how.records, "found": how.found,
        })
    });
}
