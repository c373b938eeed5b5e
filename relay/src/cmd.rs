//! The command line: what is asked, in which language, and how it ends: 0 done, 1 failed, 2 asked wrongly. Must not know
//! how a command does its work.

mod backup;
mod key;
mod logs;
mod migrate;
mod pair;
mod serve;
mod token;
mod usage;
mod webhook;
mod workspace;

use crate::audit::{Audit, Deed};
use crate::clock::SystemClock;
use crate::config::LogFormat;
use crate::log::LogError;
use crate::text::{self, Told, text, text_with};
use clap::{ArgAction, Args, Parser, Subcommand};
use comptoir_engine::disk::StoreKind;
use comptoir_engine::id::WorkspaceId;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

pub use serve::{Serve, ServeError};
pub use token::{DEFAULT_EXPIRES, TokenError};

/// The program's exit code for a command line it does not understand.
const EXIT_USAGE: u8 = 2;

#[derive(Debug, Parser)]
#[command(name = "comptoir-relay", version, about = text("cli.about"), disable_help_subcommand = true)]
#[command(disable_help_flag = true, disable_version_flag = true, subcommand_required = true)]
#[command(help_template = text("cli.template"), subcommand_help_heading = text("cli.commands"))]
#[command(subcommand_value_name = text("cli.command_name"), next_help_heading = text("cli.options"))]
struct Cli {
    #[arg(short, long, global = true, action = ArgAction::Help, help = text("cli.help"))]
    help: Option<bool>,
    #[arg(short = 'V', long, action = ArgAction::Version, help = text("cli.version"))]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(about = text("cli.serve"), help_template = text("cli.template"))]
    Serve(ServeArgs),
    #[command(about = text("cli.backup"), help_template = text("cli.template"))]
    Backup(backup::BackupArgs),
    #[command(about = text("cli.restore"), help_template = text("cli.template"))]
    Restore(backup::RestoreArgs),
    #[command(about = text("cli.verify"), help_template = text("cli.template"))]
    Verify(backup::VerifyArgs),
    #[command(about = text("cli.migrate_store"), help_template = text("cli.template"))]
    MigrateStore(MigrateArgs),
    #[command(about = text("cli.token"), help_template = text("cli.template"), subcommand_required = true)]
    #[command(subcommand_help_heading = text("cli.commands"), subcommand_value_name = text("cli.command_name"))]
    Token {
        #[command(subcommand)]
        command: token::TokenCommand,
    },
    #[command(about = text("cli.key"), help_template = text("cli.template"), subcommand_required = true)]
    #[command(subcommand_help_heading = text("cli.commands"), subcommand_value_name = text("cli.command_name"))]
    Key {
        #[command(subcommand)]
        command: key::KeyCommand,
    },
    #[command(about = text("cli.workspaces"), help_template = text("cli.template"), subcommand_required = true)]
    #[command(subcommand_help_heading = text("cli.commands"), subcommand_value_name = text("cli.command_name"))]
    Workspace {
        #[command(subcommand)]
        command: workspace::WorkspaceCommand,
    },
    #[command(about = text("cli.webhook"), help_template = text("cli.template"), subcommand_required = true)]
    #[command(subcommand_help_heading = text("cli.commands"), subcommand_value_name = text("cli.command_name"))]
    Webhook {
        #[command(subcommand)]
        command: webhook::WebhookCommand,
    },
    #[command(about = text("cli.pair"), help_template = text("cli.template"))]
    Pair(pair::PairArgs),
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
struct ServeArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data"))]
    data: PathBuf,
    #[arg(long, value_name = text("cli.address_name"), help = text("cli.listen"))]
    listen: Option<String>,
    #[arg(long, value_name = text("cli.file_name"), help = text("cli.config"))]
    config: Option<PathBuf>,
    #[arg(long, value_name = text("cli.store_name"), help = text("cli.store"))]
    store: Option<StoreKind>,
    #[arg(long, value_name = text("cli.file_name"), help = text("cli.tls_cert"))]
    tls_cert: Option<PathBuf>,
    #[arg(long, value_name = text("cli.file_name"), help = text("cli.tls_key"))]
    tls_key: Option<PathBuf>,
    #[arg(long, value_name = text("cli.format_name"), help = text("cli.log_format"))]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
struct MigrateArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data"))]
    data: PathBuf,
    #[arg(long, value_name = text("cli.store_name"), help = text("cli.to"))]
    to: StoreKind,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CmdError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Operate(#[from] backup::OperateError),
}

impl CmdError {
    fn told(&self) -> &dyn Told {
        match self {
            Self::Serve(error) => error,
            Self::Token(error) => error,
            Self::Log(error) => error,
            Self::Operate(error) => error,
        }
    }

    /// What was asked wrongly is told apart from what failed.
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Operate(error) if error.is_usage() => ExitCode::from(EXIT_USAGE),
            Self::Token(error) if error.is_usage() => ExitCode::from(EXIT_USAGE),
            _ => ExitCode::FAILURE,
        }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    text::choose_locale();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            complain(&usage::UsageError::from(error));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error.told());
            error.exit_code()
        }
    }
}

fn complain(error: &dyn Told) {
    eprintln!("comptoir-relay: {}", text::tell(error));
}

fn run(cli: Cli) -> Result<(), CmdError> {
    match cli.command {
        Command::Serve(args) => {
            let ServeArgs { data, listen, config, store, tls_cert, tls_key, log_format } = args;
            Ok(Serve { data, listen, config, store, tls_cert, tls_key, log_format }.run()?)
        }
        Command::Backup(args) => Ok(args.run()?),
        Command::Restore(args) => Ok(args.run()?),
        Command::Verify(args) => Ok(args.run()?),
        Command::MigrateStore(args) => {
            println!("{}", migrate::migrate(&args.data, args.to)?);
            Ok(())
        }
        Command::Token { command } => Ok(command.run()?),
        Command::Key { command } => Ok(command.run()?),
        Command::Workspace { command } => Ok(command.run()?),
        Command::Webhook { command } => command.run(),
        Command::Pair(args) => Ok(args.run()?),
    }
}

/// What was done, for people or as one JSON object.
fn say(json: bool, object: &serde_json::Value, people: impl FnOnce() -> String) {
    println!("{}", if json { object.to_string() } else { people() });
}

/// Notes in the audit what the operator did. It is done: where nothing can be written, that is said and no more.
fn note(data: &Path, deed: &str, workspace: Option<&WorkspaceId>, token: Option<&str>, detail: &str) {
    match Audit::open(data, None, Arc::new(SystemClock)) {
        Ok(audit) => audit.note(&Deed { deed, who: "operator", workspace, token, detail }),
        Err(error) => eprintln!("{}", text_with("said.unaudited", &[("cause", error.to_string())])),
    }
}

/// A list as people read it.
fn listed(names: impl IntoIterator<Item = impl fmt::Display>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}
