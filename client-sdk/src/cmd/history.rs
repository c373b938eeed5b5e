//! `comptoir history`.

use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::record::document::HISTORY_CHANGES_MAX;
use comptoir_engine::record::json;
use comptoir_engine::{Author, ChangeHash, HistoryPage, Value, Version};
use serde_json::{Value as Json, json as object};

#[derive(Args)]
pub(super) struct History {
    #[arg(help = text("arg.collection"))]
    collection: String,
    #[arg(help = text("arg.key"))]
    key: String,
    #[arg(long, default_value_t = 20, help = text("arg.changes-max"))]
    limit: usize,
    #[arg(long, value_name = "CHANGE", help = text("arg.after-change"))]
    after: Option<String>,
    #[arg(long, help = text("arg.history-field"))]
    field: Option<String>,
}

impl History {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let mut after = match &self.after {
            Some(digits) => Some(shop.change_named(&self.collection, &self.key, digits).await?),
            None => None,
        };
        let mut left = self.limit;
        while left > 0 {
            let page = HistoryPage { changes_max: left.min(HISTORY_CHANGES_MAX), after, field: self.field.clone() };
            let history = shop.history(&self.collection, &self.key, page).await?;
            left -= history.versions.len().min(left);
            for version in &history.versions {
                output.say(|| line(version), || version_object(version));
            }
            after = history.next;
            if after.is_none() {
                return Ok(());
            }
        }
        if let (false, Some(after)) = (output.json, after) {
            output.line(&text_with("said.history-more", &[("change", after.short())]));
        }
        Ok(())
    }
}

/// A device's name, or what stands for it.
pub(super) fn name(author: &Author) -> String {
    match author {
        Author::Device { name, device } if name.is_empty() => device.chars().take(8).collect(),
        Author::Device { name, .. } => crate::text::one_line(name),
        Author::Unnamed(actor) => format!("{actor:?}").chars().take(8).collect(),
        Author::Imported => text("history.imported"),
    }
}

/// The author for programs.
pub(super) fn author_object(author: &Author) -> Json {
    match author {
        Author::Device { name, device } => object!({"name": name, "device": device}),
        Author::Unnamed(actor) => object!({"name": null, "actor": format!("{actor:?}")}),
        Author::Imported => object!("imported"),
    }
}

/// One value as JSON.
pub(super) fn value(value: &Value) -> Json {
    json::object(&[("value".to_owned(), value.clone())].into())["value"].take()
}

fn line(version: &Version) -> String {
    let mut parts = vec![version.change.short(), version.at.map_or_else(|| "-".to_owned(), |at| at.to_string())];
    parts.push(name(&version.author));
    parts.extend(version.label.as_ref().map(|label| format!("\"{label}\"")));
    parts.extend(version.transaction.map(|id| text_with("history.transaction", &[("id", id.to_string())])));
    let mark = match (version.created, version.deleted) {
        (_, Some(true)) => Some("history.deleted"),
        (_, Some(false)) => Some("history.restored"),
        (true, _) => Some("history.created"),
        _ => None,
    };
    parts.extend(mark.map(text));
    let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), |v| self::value(v).to_string());
    let fields = version.fields.iter().map(|(name, d)| format!("{name}: {} -> {}", shown(&d.before), shown(&d.after)));
    parts.extend(fields);
    parts.join("  ")
}

fn version_object(version: &Version) -> Json {
    let side = |value: &Option<Value>| value.as_ref().map(self::value);
    let fields = version.fields.iter().map(|(name, d)| {
        let mut sides = serde_json::Map::new();
        sides.extend(side(&d.before).map(|before| ("before".to_owned(), before)));
        sides.extend(side(&d.after).map(|after| ("after".to_owned(), after)));
        (name.clone(), Json::Object(sides))
    });
    object!({
        "change": version.change.to_string(),
        "short": version.change.short(),
        "author": author_object(&version.author),
        "at": version.at.map(|at| at.to_string()),
        "label": version.label.as_ref().map(|label| label.as_str()),
        "transaction": version.transaction.map(|id| id.to_string()),
        "created": version.created,
        "deleted": version.deleted,
        "fields": fields.collect::<serde_json::Map<_, _>>(),
    })
}

/// A change by its hash or the first digits of it.
pub(super) async fn change(shop: &Comptoir, collection: &str, key: &str, digits: &str) -> Result<ChangeHash, Error> {
    match ChangeHash::parse(digits) {
        Some(change) => Ok(change),
        None => shop.change_named(collection, key, digits).await,
    }
}
