//! The command line: one file a command. Everything here goes through the SDK's public face.

mod delete;
mod demo;
mod export;
mod get;
mod import;
mod incr;
mod init;
mod lines;
mod list;
mod output;
mod put;
mod restore;
mod run;
mod status;
mod sync;
mod unset;
mod watch;

use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{self, text};
use clap::error::{ContextKind, ErrorKind};
use clap::{Args, Parser, Subcommand};
use output::Output;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is said before any command.
#[derive(Parser)]
#[command(name = "comptoir", version, about = text("cli.about"), disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Which store, and how to answer.
#[derive(Args)]
struct Place {
    #[arg(long, global = true, env = "COMPTOIR_STORE", default_value = "comptoir-store", value_name = "DIR", help = text("cli.store"))]
    store: PathBuf,
    #[arg(long, global = true, help = text("cli.json"))]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    #[command(about = text("cli.init"))]
    Init(init::Init),
    #[command(about = text("cli.put"))]
    Put(put::Put),
    #[command(about = text("cli.incr"))]
    Incr(incr::Incr),
    #[command(about = text("cli.unset"))]
    Unset(unset::Unset),
    #[command(about = text("cli.get"))]
    Get(get::Get),
    #[command(about = text("cli.list"))]
    List(list::List),
    #[command(about = text("cli.delete"))]
    Delete(delete::Delete),
    #[command(about = text("cli.restore"))]
    Restore(restore::Restore),
    #[command(about = text("cli.import"))]
    Import(import::Import),
    #[command(about = text("cli.export"))]
    Export(export::Export),
    #[command(about = text("cli.sync"))]
    Sync(sync::Sync),
    #[command(about = text("cli.run"))]
    Run(run::Run),
    #[command(about = text("cli.watch"))]
    Watch(watch::Watch),
    #[command(about = text("cli.status"))]
    Status(status::Status),
    #[command(about = text("cli.demo"))]
    Demo(demo::Demo),
}

/// Runs the command line of this process: exit status 0 done, 1 failed, 2 usage.
pub async fn main() -> ExitCode {
    text::choose_locale();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // A reader who has gone needs no help.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let json = std::env::args().any(|word| word == "--json");
            Output { json }.error(&Error::Usage { what: usage(&error) });
            return ExitCode::from(2);
        }
    };
    let output = Output { json: cli.place.json };
    match cli.command.run(&cli.place, &output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(if matches!(error, Error::Usage { .. } | Error::Argument { .. }) { 2 } else { 1 })
        }
    }
}

impl Command {
    async fn run(self, place: &Place, output: &Output) -> Result<(), Error> {
        match self {
            Self::Init(command) => command.run(place, output).await,
            Self::Demo(command) => command.run(output).await,
            command => {
                let shop = Comptoir::open(&place.store).await?;
                let outcome = command.run_on(&shop, output).await;
                let shut = shop.shut_down().await;
                outcome.and(shut)
            }
        }
    }

    async fn run_on(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        match self {
            Self::Put(command) => command.run(shop, output).await,
            Self::Incr(command) => command.run(shop, output).await,
            Self::Unset(command) => command.run(shop, output).await,
            Self::Get(command) => command.run(shop, output).await,
            Self::List(command) => command.run(shop, output).await,
            Self::Delete(command) => command.run(shop, output).await,
            Self::Restore(command) => command.run(shop, output).await,
            Self::Import(command) => command.run(shop, output).await,
            Self::Export(command) => command.run(shop, output).await,
            Self::Sync(command) => command.run(shop, output).await,
            Self::Run(command) => command.run(shop, output).await,
            Self::Watch(command) => command.run(shop, output).await,
            Self::Status(command) => command.run(shop, output).await,
            Self::Init(_) | Self::Demo(_) => Ok(()),
        }
    }
}

/// What is wrong with the command line, in one line.
fn usage(error: &clap::Error) -> String {
    let part = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let with = |key: &str, value: String| text::text_with(key, &[("value", value)]);
    match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => text("usage.command"),
        ErrorKind::InvalidSubcommand => with("usage.unknown-command", part(ContextKind::InvalidSubcommand)),
        ErrorKind::UnknownArgument => with("usage.unknown-argument", part(ContextKind::InvalidArg)),
        ErrorKind::MissingRequiredArgument => with("usage.missing", part(ContextKind::InvalidArg)),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = part(ContextKind::InvalidValue);
            with("usage.value", format!("{} {value}", part(ContextKind::InvalidArg)).trim().to_owned())
        }
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}
