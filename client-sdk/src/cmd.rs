//! The command line: one file a command. Everything here goes through the SDK's public face.

mod audit;
mod backup;
mod choose;
mod conflicts;
mod delete;
mod demo;
mod export;
mod get;
mod history;
mod import;
mod incr;
mod init;
mod lines;
mod list;
mod migrate_store;
mod output;
mod put;
mod quarantine;
mod restore;
mod run;
mod schema;
mod series;
mod show;
mod status;
mod sync;
mod tx;
mod undo;
mod unset;
mod watch;

use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{self, text};
use clap::error::{ContextKind, ErrorKind};
use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use output::Output;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is said before any command.
#[derive(Parser)]
#[command(name = "comptoir", version, about = text("cli.about"), disable_help_subcommand = true)]
#[command(disable_help_flag = true, disable_version_flag = true, subcommand_value_name = text("cli.command-name"))]
#[command(subcommand_help_heading = text("cli.commands"))]
struct Cli {
    #[arg(short, long, global = true, action = ArgAction::Help, help = text("cli.help"))]
    help: Option<bool>,
    #[arg(short = 'V', long, action = ArgAction::Version, help = text("cli.version"))]
    version: Option<bool>,
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
    #[command(about = text("cli.history"))]
    History(history::History),
    #[command(about = text("cli.show"))]
    Show(show::Show),
    #[command(about = text("cli.undo"))]
    Undo(undo::Undo),
    #[command(about = text("cli.conflicts"))]
    Conflicts(conflicts::Conflicts),
    #[command(about = text("cli.choose"))]
    Choose(choose::Choose),
    #[command(about = text("cli.schema"))]
    Schema(schema::Schema),
    #[command(about = text("cli.import"))]
    Import(import::Import),
    #[command(about = text("cli.export"))]
    Export(export::Export),
    #[command(about = text("cli.tx"))]
    Tx(tx::Tx),
    #[command(about = text("cli.series"))]
    Series(series::Series),
    #[command(about = text("cli.audit"))]
    Audit(audit::Audit),
    #[command(about = text("cli.quarantine"))]
    Quarantine(quarantine::Quarantine),
    #[command(about = text("cli.sync"))]
    Sync(sync::Sync),
    #[command(about = text("cli.run"))]
    Run(run::Run),
    #[command(about = text("cli.watch"))]
    Watch(watch::Watch),
    #[command(about = text("cli.status"))]
    Status(status::Status),
    #[command(about = text("cli.backup"))]
    Backup(backup::Backup),
    #[command(about = text("cli.verify"))]
    Verify(backup::Verify),
    #[command(about = text("cli.migrate-store"))]
    MigrateStore(migrate_store::MigrateStore),
    #[command(about = text("cli.demo"))]
    Demo(demo::Demo),
}

/// Runs the command line of this process: exit status 0 done, 1 failed, 2 usage.
pub async fn main() -> ExitCode {
    text::choose_locale();
    let parsed = in_our_words(Cli::command()).try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
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
            ExitCode::from(if matches!(error, Error::Usage { .. } | Error::Argument { .. } | Error::Query(_)) {
                2
            } else {
                1
            })
        }
    }
}

/// Help without a word that is not in `locales/`: what clap would add by itself is left out.
fn in_our_words(command: clap::Command) -> clap::Command {
    let heading = |arg: clap::Arg| match arg.is_positional() {
        true => arg.help_heading(text("cli.arguments")),
        false => arg.help_heading(text("cli.options")),
    };
    let plain = move |arg| heading(arg).hide_default_value(true).hide_possible_values(true).hide_env(true);
    let command = command.help_template(text("cli.template")).mut_args(plain);
    command.mut_subcommands(in_our_words)
}

impl Command {
    async fn run(self, place: &Place, output: &Output) -> Result<(), Error> {
        match self {
            Self::Init(command) => command.run(place, output).await,
            Self::Demo(command) => command.run(output).await,
            Self::MigrateStore(command) => command.run(place, output).await,
            Self::Restore(restore::Restore { from: Some(file), .. }) => {
                restore::restore_store(&file, place, output).await
            }
            Self::Verify(backup::Verify { from: Some(file) }) => backup::verify_backup(&file, output).await,
            command => {
                let shop = Comptoir::open(&place.store).await?;
                let lasting = matches!(command, Self::Run(_) | Self::Watch(_));
                let mut outcome = command.run_on(&shop, output).await;
                // A short command has no idle time in which indexes would be filled.
                if !lasting && outcome.is_ok() {
                    outcome = shop.finish_indexes().await;
                }
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
            Self::Backup(command) => command.run(shop, output).await,
            Self::Verify(command) => command.run(shop, output).await,
            Self::History(command) => command.run(shop, output).await,
            Self::Show(command) => command.run(shop, output).await,
            Self::Undo(command) => command.run(shop, output).await,
            Self::Conflicts(command) => command.run(shop, output).await,
            Self::Choose(command) => command.run(shop, output).await,
            Self::Schema(command) => command.run(shop, output).await,
            Self::Import(command) => command.run(shop, output).await,
            Self::Export(command) => command.run(shop, output).await,
            Self::Sync(command) => command.run(shop, output).await,
            Self::Run(command) => command.run(shop, output).await,
            Self::Watch(command) => command.run(shop, output).await,
            Self::Status(command) => command.run(shop, output).await,
            Self::Tx(command) => command.run(shop, output).await,
            Self::Quarantine(command) => command.run(shop, output).await,
            Self::Series(command) => command.run(shop, output).await,
            Self::Audit(command) => command.run(shop, output).await,
            Self::Init(_) | Self::Demo(_) | Self::MigrateStore(_) => Ok(()),
        }
    }
}

/// What is wrong with the command line, in one line.
fn usage(error: &clap::Error) -> String {
    let part = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let argument = part(ContextKind::InvalidArg);
    let (key, value) = match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            ("usage.command", String::new())
        }
        ErrorKind::InvalidSubcommand => ("usage.unknown-command", part(ContextKind::InvalidSubcommand)),
        ErrorKind::UnknownArgument => ("usage.unknown-argument", argument),
        ErrorKind::MissingRequiredArgument => ("usage.missing", text::one_line(&argument)),
        ErrorKind::ArgumentConflict => ("usage.twice", argument),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => match part(ContextKind::InvalidValue) {
            value if value.is_empty() => ("usage.no-value", argument),
            value => ("usage.value", format!("{argument} {value}").trim().to_owned()),
        },
        _ => ("usage.other", String::new()),
    };
    text::text_with(key, &[("value", value)])
}
