//! `migrate-store`: copies the log into a store of another kind. Must not run beside a relay; the store's lock sees to it.

use crate::config::Config;
use crate::log::{self, LogError};
use crate::relay::log_folder;
use crate::text::{hex, text_with};
use comptoir_engine::disk::StoreKind;
use std::path::Path;

/// Copies, compares and puts the copy in the store's place; says what was done.
pub(super) fn migrate(data: &Path, to: StoreKind) -> Result<String, LogError> {
    let copied = log::migrate(&log_folder(data), to, Config::default().cache_bytes)?;
    Ok(match copied {
        None => text_with("said.migrated_already", &[("to", to.to_string())]),
        Some(copied) => {
            let values = [
                ("from", copied.from.to_string()),
                ("to", to.to_string()),
                ("rows", copied.rows.to_string()),
                ("sha256", hex(&copied.hash)),
                ("digest", copied.digest),
            ];
            text_with("said.migrated", &values)
        }
    })
}
