//! `comptoir watch`.

use super::output::Output;
use super::run::asked_to_stop;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use crate::worker::Notice;
use clap::Args;
use comptoir_engine::record::json;
use comptoir_engine::{Collection, Mode};
use serde_json::json as object;

#[derive(Args)]
pub(super) struct Watch {
    #[arg(help = text("arg.collection"))]
    collection: String,
}

impl Watch {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let collection = Collection::new(&self.collection)?;
        let mut notices = shop.watch_collection(&collection);
        if shop.status().await?.enabled {
            shop.stay_live(Mode::Both).await?;
        }
        let work = async {
            while let Some(notice) = notices.next().await {
                match notice {
                    Notice::Changed(record) => {
                        show(shop, output, record.collection.as_str(), record.key.as_str()).await?;
                    }
                    Notice::Refresh => output.say(|| text("said.refresh"), || object!({"refresh": true})),
                }
            }
            Ok(())
        };
        tokio::select! {
            outcome = work => outcome,
            () = asked_to_stop() => Ok(()),
        }
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
