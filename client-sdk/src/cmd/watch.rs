//! `comptoir watch`.

use super::output::Output;
use super::run::asked_to_stop;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use crate::worker::Notice;
use clap::Args;
use comptoir_engine::live::{LiveEvent, Step};
use comptoir_engine::record::json;
use comptoir_engine::{Collection, Key, Mode, Query, View};
use serde_json::{Value as Json, json as object};

#[derive(Args)]
pub(super) struct Watch {
    #[arg(help = text("arg.collection"))]
    collection: String,
    #[arg(long = "where", value_name = "FILTER", help = text("arg.where"))]
    filter: Option<String>,
    #[arg(long, value_name = "WORDS", help = text("arg.search"))]
    search: Option<String>,
    #[arg(long, value_name = "FIELDS", help = text("arg.order"))]
    order: Option<String>,
    #[arg(long, value_name = "N", help = text("arg.limit"))]
    limit: Option<usize>,
}

impl Watch {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let asks = self.filter.is_some() || self.search.is_some() || self.order.is_some() || self.limit.is_some();
        let work = async { if asks { self.follow(shop, output).await } else { self.notices(shop, output).await } };
        tokio::select! {
            outcome = work => outcome,
            () = asked_to_stop() => Ok(()),
        }
    }

    /// Every record that changes.
    async fn notices(&self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let collection = Collection::new(&self.collection)?;
        let mut notices = shop.watch_collection(&collection);
        connect(shop).await?;
        while let Some(notice) = notices.next().await {
            match notice {
                Notice::Changed(record) => {
                    show(shop, output, record.collection.as_str(), record.key.as_str()).await?;
                }
                Notice::Refresh => output.say(|| text("said.refresh"), || object!({"refresh": true})),
            }
        }
        Ok(())
    }

    /// What a query shows, and each step from there.
    async fn follow(&self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let mut query = self.filter.as_deref().map(Query::parse).transpose()?.unwrap_or_default();
        query.order = self.order.as_deref().map(Query::parse_order).transpose()?.unwrap_or_default();
        query.search = self.search.clone();
        query.limit = self.limit;
        let mut live = shop.live(&self.collection, query)?;
        connect(shop).await?;
        while let Some(event) = live.next().await? {
            match event {
                LiveEvent::Refresh(rows) => refresh(&rows, output),
                LiveEvent::Changed(steps) => steps.iter().for_each(|step| tell(step, output)),
            }
        }
        Ok(())
    }
}

async fn connect(shop: &Comptoir) -> Result<(), Error> {
    match shop.status().await?.enabled {
        true => shop.stay_live(Mode::Both).await,
        false => Ok(()),
    }
}

async fn show(shop: &Comptoir, output: &Output, collection: &str, key: &str) -> Result<(), Error> {
    let Some(view) = shop.get(collection, key).await? else { return Ok(()) };
    let fields = json::object(&view.fields);
    output.say(
        || match view.deleted {
            true => text_with("said.watch-deleted", &[("key", key.to_owned())]),
            false => format!("{key} {fields}"),
        },
        || object!({"collection": collection, "key": key, "deleted": view.deleted, "fields": fields}),
    );
    Ok(())
}

fn refresh(rows: &[(Key, View)], output: &Output) {
    let row = |(key, view): &(Key, View)| object!({"key": key.as_str(), "fields": json::object(&view.fields)});
    output.say(
        || {
            let lines = rows.iter().map(|(key, view)| format!("= {key} {}", json::object(&view.fields)));
            [text_with("said.watch-all", &[("records", rows.len().to_string())])]
                .into_iter()
                .chain(lines)
                .collect::<Vec<_>>()
                .join("\n")
        },
        || object!({"event": "refresh", "records": rows.iter().map(row).collect::<Vec<_>>()}),
    );
}

fn tell(step: &Step, output: &Output) {
    let with = |event: &str, key: &Key, view: &View, mut said: Json| {
        said["event"] = event.into();
        said["key"] = key.as_str().into();
        said["fields"] = json::object(&view.fields);
        said
    };
    match step {
        Step::Added { index, key, view } => output.say(
            || format!("+ {index} {key} {}", json::object(&view.fields)),
            || with("added", key, view, object!({"index": index})),
        ),
        Step::Changed { index, key, view } => output.say(
            || format!("~ {index} {key} {}", json::object(&view.fields)),
            || with("changed", key, view, object!({"index": index})),
        ),
        Step::Moved { from, to, key, view } => output.say(
            || format!("> {from} {to} {key} {}", json::object(&view.fields)),
            || with("moved", key, view, object!({"from": from, "to": to})),
        ),
        Step::Removed { index, key } => output
            .say(|| format!("- {index} {key}"), || object!({"event": "removed", "index": index, "key": key.as_str()})),
    }
}
