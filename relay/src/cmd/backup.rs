//! `backup`, `restore`, `verify`: of a folder that a relay serves, by asking that relay; of any other, by opening it. Must not
//! know how they are done.

use crate::backup::{BackupError, Cut, Place, Restore, Restored, Taken, Verified, check_newest};
use crate::catalog::Catalog;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::control::{Asked, BackupOrder, Control, ControlError, ask};
use crate::log::{Log, LogError};
use crate::relay::{keys_folder, log_folder, open_log};
use crate::text::{Told, text, text_with};
use clap::Args;
use comptoir_engine::disk::{DiskError, StoreKind};
use comptoir_engine::id::{LogSeq, NameError, WorkspaceId};
use comptoir_engine::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct BackupArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data_there"))]
    data: PathBuf,
    #[arg(long, value_name = text("cli.place_name"), help = text("cli.out"))]
    out: PathBuf,
    #[arg(long, value_name = "N", help = text("cli.keep"), value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    #[arg(long, help = text("cli.full"))]
    full: bool,
    #[arg(long, help = text("cli.no_trial"))]
    no_trial: bool,
    #[arg(long, help = text("cli.json"))]
    json: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct RestoreArgs {
    #[arg(long, value_name = text("cli.place_name"), help = text("cli.from"))]
    from: PathBuf,
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data_fresh"))]
    data: PathBuf,
    #[arg(long, value_name = text("cli.point_name"), help = text("cli.at"))]
    at: Option<String>,
    #[arg(long, value_name = "N", help = text("cli.seq"))]
    seq: Option<u64>,
    #[arg(long, value_name = text("cli.workspace_name"), help = text("cli.only_workspace"))]
    workspace: Option<String>,
    #[arg(long, value_name = text("cli.store_name"), help = text("cli.to"))]
    store: Option<StoreKind>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
#[group(required = true, multiple = false)]
pub(super) struct VerifyArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.verify_data"))]
    data: Option<PathBuf>,
    #[arg(long, value_name = text("cli.place_name"), help = text("cli.verify_from"))]
    from: Option<PathBuf>,
}

/// Why nothing was backed up, restored or verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum OperateError {
    /// Of the work itself.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Of the relay that was asked.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Not a workspace's name.
    #[error(transparent)]
    Workspace(#[from] NameError),
    /// Not a point in time.
    #[error("\"{at}\" is no point in time: use one as in 2026-05-31T18:00:00Z")]
    At {
        /// What was given.
        at: String,
    },
    /// No log in the folder.
    #[error("there is no relay's log in {data}: check --data")]
    NoLog {
        /// The data folder.
        data: PathBuf,
    },
    /// Damage was found, and told.
    #[error(
        "{workspaces} workspaces are damaged: keep the folder, restore a backup into a new one; the devices bring back the rest"
    )]
    Damaged {
        /// How many.
        workspaces: usize,
    },
    /// No threads, or no folder for what is tried.
    #[error("the system refused what this takes ({cause}): check its limits, then try again")]
    System {
        /// The operating system's words.
        cause: String,
    },
}

impl From<io::Error> for OperateError {
    fn from(error: io::Error) -> Self {
        Self::System { cause: error.to_string() }
    }
}

impl OperateError {
    /// Whether the command line is at fault.
    pub(super) fn is_usage(&self) -> bool {
        let asked_wrongly = matches!(self, Self::Backup(BackupError::WhichWorkspace { .. }));
        asked_wrongly || matches!(self, Self::Workspace(_) | Self::At { .. } | Self::NoLog { .. })
    }
}

impl Told for OperateError {
    fn code(&self) -> &'static str {
        match self {
            Self::Backup(error) => error.code(),
            Self::Control(error) => error.code(),
            Self::Workspace(_) => "workspace_name",
            Self::At { .. } => "no_point_in_time",
            Self::NoLog { .. } => "no_log",
            Self::Damaged { .. } => "workspaces_damaged",
            Self::System { .. } => "system_refused",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Backup(error) => error.args(),
            Self::Control(error) => error.args(),
            Self::Workspace(error) => vec![("name", error.name.clone())],
            Self::At { at } => vec![("at", at.clone())],
            Self::NoLog { data } => vec![("data", data.display().to_string())],
            Self::Damaged { workspaces } => vec![("workspaces", workspaces.to_string())],
            Self::System { cause } => vec![("cause", cause.clone())],
        }
    }
}

impl BackupArgs {
    pub(super) fn run(self) -> Result<(), OperateError> {
        let out = std::path::absolute(&self.out)?.display().to_string();
        let (keep, trial) = (self.keep.map(|keep| keep as usize), !self.no_trial);
        let order = BackupOrder { out: out.clone(), full: self.full, keep, trial };
        let taken: Taken = wait(async {
            match open(&self.data).await? {
                Some(opened) => opened.with(async |control| control.back_up(&order).await).await,
                None => asked(&self.data, "/backup", &order).await,
            }
        })?;
        let values = [
            ("name", taken.name.trim_end_matches(".json").to_owned()),
            ("out", out),
            ("workspaces", taken.workspaces.to_string()),
            ("written", taken.bytes_written.to_string()),
            ("bytes", taken.bytes.to_string()),
            ("removed", taken.removed.to_string()),
        ];
        match self.json {
            true => println!("{}", serde_json::to_string(&taken).map_err(io::Error::from)?),
            false => println!(
                "{}",
                text_with(if taken.tried { "said.backed_up" } else { "said.backed_up_untried" }, &values)
            ),
        }
        Ok(())
    }
}

impl RestoreArgs {
    pub(super) fn run(self) -> Result<(), OperateError> {
        let by = match &self.at {
            Some(at) => Some(Timestamp::parse(at).ok_or_else(|| OperateError::At { at: at.clone() })?),
            None => None,
        };
        let workspace = self.workspace.as_deref().map(WorkspaceId::new).transpose()?;
        let restore = Restore { by, cut: Cut { workspace, through: self.seq.map(LogSeq) }, store: self.store };
        let restored = wait(async {
            let place = Place::open(&std::path::absolute(&self.from)?.display().to_string())?;
            Ok(restore.run(&place, &self.data, SystemClock.now()).await?)
        })?;
        say_restored("said.restored", &restored, &self.data.display().to_string());
        Ok(())
    }
}

impl VerifyArgs {
    pub(super) fn run(self) -> Result<(), OperateError> {
        match (self.data, self.from) {
            (_, Some(from)) => verify_backup(&from),
            (Some(data), None) => verify_data(&data),
            // The command line has one of them.
            (None, None) => Ok(()),
        }
    }
}

fn verify_data(data: &Path) -> Result<(), OperateError> {
    let verified: Verified = wait(async {
        match open(data).await? {
            Some(opened) => opened.with(async |control| control.verify().await).await,
            None => asked(data, "/verify", &()).await,
        }
    })?;
    for damage in &verified.damaged {
        println!(
            "{}",
            text_with("said.damage", &[("workspace", damage.workspace.clone()), ("what", damage.what.clone())])
        );
    }
    for workspace in &verified.uncompared {
        println!("{}", text_with("said.uncompared", &[("workspace", workspace.clone())]));
    }
    if !verified.damaged.is_empty() {
        return Err(OperateError::Damaged { workspaces: verified.damaged.len() });
    }
    let values = [
        ("workspaces", verified.workspaces.to_string()),
        ("records", verified.records.to_string()),
        ("entries", verified.entries.to_string()),
    ];
    println!("{}", text_with("said.verified", &values));
    Ok(())
}

/// Restores it where the system has room for what is temporary, and removes that again.
fn verify_backup(from: &Path) -> Result<(), OperateError> {
    let mut unique = [0; 8];
    getrandom::fill(&mut unique).map_err(|_| io::Error::other("no random numbers"))?;
    let scratch = std::env::temp_dir().join(format!("comptoir-verify-{:016x}", u64::from_le_bytes(unique)));
    let restored = wait(async {
        let place = Place::open(&std::path::absolute(from)?.display().to_string())?;
        Ok(check_newest(&place, &scratch, SystemClock.now()).await?)
    })?;
    say_restored("said.verified_backup", &restored, &from.display().to_string());
    Ok(())
}

fn say_restored(key: &str, restored: &Restored, folder: &str) {
    for (workspace, standing) in &restored.workspaces {
        let values = [
            ("workspace", workspace.to_string()),
            ("seq", standing.head.tail.0.to_string()),
            ("digest", standing.head.digest.to_string()),
        ];
        println!("{}", text_with("said.restored_workspace", &values));
    }
    let values = [
        ("name", restored.name.trim_end_matches(".json").to_owned()),
        ("made", restored.made.clone()),
        ("workspaces", restored.workspaces.len().to_string()),
        ("folder", folder.to_owned()),
    ];
    println!("{}", text_with(key, &values));
}

/// A data folder that nobody else has open.
struct OpenedHere {
    control: Control,
    log: Log,
    committer: crate::log::Committer,
}

impl OpenedHere {
    /// Does it, and closes the log again.
    async fn with<T>(self, work: impl AsyncFnOnce(&Control) -> Result<T, BackupError>) -> Result<T, OperateError> {
        let Self { control, log, committer } = self;
        let done = work(&control).await;
        drop(control);
        // It ends with the process where it cannot be waited for.
        let _ = tokio::task::spawn_blocking(move || committer.stop(log)).await;
        Ok(done?)
    }
}

/// Opens the folder's log; `None` where another process has it.
async fn open(data: &Path) -> Result<Option<OpenedHere>, OperateError> {
    if !log_folder(data).join("format").exists() {
        return Err(OperateError::NoLog { data: data.to_owned() });
    }
    let (config, clock) = (Config::default(), Arc::new(SystemClock));
    let (log, committer) = match Log::start(open_log(data, &config), &config, clock.clone()) {
        Ok(started) => started,
        Err(LogError::Disk(DiskError::InUse { .. })) => return Ok(None),
        Err(error) => return Err(BackupError::from(error).into()),
    };
    let keys = Catalog::open(&keys_folder(data)).map_err(BackupError::from)?;
    let control = Control::new(data, log.clone(), Arc::new(keys), clock);
    Ok(Some(OpenedHere { control, log, committer }))
}

async fn asked<T: Serialize, A: DeserializeOwned>(data: &Path, path: &str, order: &T) -> Result<A, OperateError> {
    let locale = rust_i18n::locale().to_string();
    Ok(ask(data, Asked { path, order, locale: &locale }).await?)
}

fn wait<T>(work: impl Future<Output = Result<T, OperateError>>) -> Result<T, OperateError> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(work)
}
