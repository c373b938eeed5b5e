//! `comptoir migrate-store`.

use super::Place;
use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::disk::StoreKind;
use serde_json::json;

#[derive(Args)]
pub(super) struct MigrateStore {
    #[arg(long, value_name = text("arg.kind-name"), help = text("arg.to-kind"))]
    to: StoreKind,
}

impl MigrateStore {
    pub(super) async fn run(self, place: &Place, output: &Output) -> Result<(), Error> {
        let to = self.to.to_string();
        let Some(copied) = Comptoir::migrate_store(&place.store, self.to).await? else {
            output.say(
                || text_with("said.migrated-already", &[("to", to.clone())]),
                || json!({"from": to, "to": to, "copied": false}),
            );
            return Ok(());
        };
        let hash: String = copied.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let (from, rows) = (copied.from.to_string(), copied.rows.to_string());
        let values = [("from", &from), ("to", &to), ("rows", &rows), ("sha256", &hash), ("digest", &copied.digest)];
        output.say(
            || text_with("said.migrated", &values.map(|(name, value)| (name, value.clone()))),
            || {
                json!({"from": from, "to": to, "copied": true, "rows": copied.rows, "sha256": hash, "digest": copied.digest})
            },
        );
        Ok(())
    }
}
