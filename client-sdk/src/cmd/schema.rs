//! `comptoir schema set` and `comptoir schema show`.

use super::lines;
use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::{Args, Subcommand};
use comptoir_engine::record::json;
use comptoir_engine::record::schema::SCHEMAS;
use comptoir_engine::{Collection, Fields};
use serde_json::json as object;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

/// The longest schema, in bytes.
const SCHEMA_BYTES_MAX: u64 = 1 << 20;
/// Schemas read at a time.
const PAGE_SCHEMAS: usize = 100;

#[derive(Args)]
pub(super) struct Schema {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(about = text("cli.schema-set"))]
    Set(Set),
    #[command(about = text("cli.schema-show"))]
    Show(Show),
}

#[derive(Args)]
struct Set {
    #[arg(help = text("arg.collection"))]
    collection: String,
    #[arg(value_name = "FILE", help = text("arg.schema-file"))]
    file: PathBuf,
}

#[derive(Args)]
struct Show {
    #[arg(help = text("arg.schema-collection"))]
    collection: Option<String>,
}

impl Schema {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        match self.command {
            Command::Set(command) => command.run(shop, output).await,
            Command::Show(command) => command.run(shop, output).await,
        }
    }
}

impl Set {
    async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let committed = shop.set_schema(&self.collection, json::parse(&read(&self.file)?)?).await?;
        let changed = !committed.changed.is_empty();
        let said = if changed { "said.schema" } else { "said.schema-same" };
        output.say(
            || text_with(said, &[("collection", self.collection.clone())]),
            || object!({"collection": self.collection, "changed": changed}),
        );
        Ok(())
    }
}

/// A file's text; `-` is standard input.
fn read(path: &Path) -> Result<String, Error> {
    let io = |cause: std::io::Error| lines::file_error(path, &cause);
    let mut text = String::new();
    lines::open(path, |_| {})?.take(SCHEMA_BYTES_MAX + 1).read_to_string(&mut text).map_err(io)?;
    match text.len() as u64 > SCHEMA_BYTES_MAX {
        true => Err(Error::LongLine { bytes_max: SCHEMA_BYTES_MAX }),
        false => Ok(text),
    }
}

impl Show {
    async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        if let Some(name) = &self.collection {
            let collection = Collection::new(name)?;
            let view = shop.get(SCHEMAS, collection.as_str()).await?.filter(|view| !view.deleted);
            let view = view.ok_or_else(|| Error::NoSchema { collection: name.clone() })?;
            say(output, name, &view.fields, std::io::stdout().is_terminal());
            return Ok(());
        }
        let (schemas, mut after) = (Collection::new(SCHEMAS)?, None);
        loop {
            let page = shop.list(&schemas, after.as_ref(), PAGE_SCHEMAS).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, view) in page.into_iter().filter(|(_, view)| !view.deleted) {
                let schema = json::object(&view.fields);
                output.say(|| format!("{key} {schema}"), || object!({"collection": key.as_str(), "schema": schema}));
            }
        }
    }
}

fn say(output: &Output, collection: &str, fields: &Fields, pretty: bool) {
    let schema = json::object(fields);
    output.say(
        || if pretty { format!("{schema:#}") } else { schema.to_string() },
        || object!({"collection": collection, "schema": schema}),
    );
}
