//! `comptoir backup` and `comptoir verify`.

use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::store::Checked;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Backup {
    #[arg(long, value_name = text("arg.file-name"), help = text("arg.backup-out"))]
    out: PathBuf,
}

#[derive(Args)]
pub(super) struct Verify {
    #[arg(long, value_name = text("arg.file-name"), help = text("arg.verify-from"))]
    pub(super) from: Option<PathBuf>,
}

impl Backup {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let contents = shop.back_up(&self.out).await?;
        let (file, rows) = (self.out.display().to_string(), contents.rows);
        let hash: String = contents.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let values = [("file", file.clone()), ("rows", rows.to_string()), ("sha256", hash.clone())];
        output.say(|| text_with("said.backup", &values), || json!({"file": file, "rows": rows, "sha256": hash}));
        Ok(())
    }
}

impl Verify {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        say(&shop.verify().await?, output);
        Ok(())
    }
}

/// `comptoir verify --from`.
pub(super) async fn verify_backup(file: &Path, output: &Output) -> Result<(), Error> {
    say(&Comptoir::verify_backup(file).await?, output);
    Ok(())
}

fn say(checked: &Checked, output: &Output) {
    let Checked { records, queued, quarantined } = *checked;
    let values = [("records", records), ("queued", queued), ("quarantined", quarantined)];
    output.say(
        || text_with("said.verified", &values.map(|(name, value)| (name, value.to_string()))),
        || json!({"records": records, "queued": queued, "quarantined": quarantined}),
    );
}
