//! `backup`, `restore`, `verify`: of a folder that a relay serves, by asking that relay; of any other, by opening it. Must not
//! know how they are done.

mod error;

use super::note;
use crate::backup::{
    BackupError, CheckedBackup, Cut, Found, Lack, Place, Restore, Scratch, Taken, Verified, check_all,
};
use crate::catalog::Catalog;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{BucketSettings, Config};
use crate::control::{Asked, BackupOrder, Control, ask};
use crate::log::{Log, LogError, Standing};
use crate::relay::{keys_folder, log_folder, open_log};
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::disk::{DiskError, StoreKind};
use comptoir_engine::id::{LogSeq, WorkspaceId};
use comptoir_engine::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use error::OperateError;

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
    #[arg(long, help = text("cli.take_over"))]
    take_over: bool,
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

impl BackupArgs {
    pub(super) fn run(self) -> Result<(), OperateError> {
        let out = place_name(&self.out)?;
        let (keep, trial) = (self.keep.map(|keep| keep as usize), !self.no_trial);
        let order = BackupOrder { out: out.clone(), full: self.full, keep, trial, take_over: self.take_over };
        let taken: Taken = wait(async {
            match open(&self.data).await? {
                Some(opened) => opened.with(async |control| control.back_up(&order).await).await,
                None => asked(&self.data, "/backup", &order).await,
            }
        })?;
        note(&self.data, "backup.taken", None, None, &taken.name);
        match self.json {
            true => println!("{}", serde_json::to_string(&taken).map_err(io::Error::from)?),
            false => say_taken(&taken, out),
        }
        match taken.not_removed {
            _ if !taken.lacks.is_empty() => Err(OperateError::Lacking { workspaces: taken.lacks.len() }),
            Some(cause) => Err(OperateError::NotRemoved { cause }),
            None => Ok(()),
        }
    }
}

fn say_taken(taken: &Taken, out: String) {
    say_lacks(&taken.lacks);
    let values = [
        ("name", taken.name.trim_end_matches(".json").to_owned()),
        ("out", out),
        ("workspaces", taken.workspaces.to_string()),
        ("written", taken.bytes_written.to_string()),
        ("bytes", taken.bytes.to_string()),
        ("removed", taken.removed.to_string()),
    ];
    say(if taken.tried { "said.backed_up" } else { "said.backed_up_untried" }, &values);
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
            let place = Place::open(&place_name(&self.from)?, &BucketSettings::default())?;
            Ok(restore.run(&place, &self.data, SystemClock.now()).await?)
        })?;
        say_workspaces(&restored.workspaces);
        say_lacks(&restored.lacks);
        let values = of_backup(&restored.name, &restored.made, restored.workspaces.len(), &self.data);
        say("said.restored", &values);
        Ok(())
    }
}

impl VerifyArgs {
    pub(super) fn run(self) -> Result<(), OperateError> {
        match (self.data, self.from) {
            (_, Some(from)) => verify_backups(&from),
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
    let (mut damaged, mut unread, mut records, mut entries) = (0, 0, 0, 0);
    for one in &verified.workspaces {
        let (key, what) = match &one.found {
            Found::Whole => ("said.whole", ""),
            Found::Uncompared => ("said.uncompared", ""),
            Found::Damaged(what) => ("said.damage", &**what),
            Found::Unread(cause) => ("said.unread", &**cause),
        };
        damaged += usize::from(matches!(one.found, Found::Damaged(_)));
        unread += usize::from(matches!(one.found, Found::Unread(_)));
        (records, entries) = (records + one.records, entries + one.entries);
        let values = [
            ("workspace", one.workspace.clone()),
            ("what", what.to_owned()),
            ("records", one.records.to_string()),
            ("entries", one.entries.to_string()),
        ];
        say(key, &values);
    }
    match (damaged, unread) {
        (0, 0) => {}
        (0, workspaces) => return Err(OperateError::Unread { workspaces }),
        (workspaces, _) => return Err(OperateError::Damaged { workspaces }),
    }
    let values = [
        ("workspaces", verified.workspaces.len().to_string()),
        ("records", records.to_string()),
        ("entries", entries.to_string()),
    ];
    say("said.verified", &values);
    Ok(())
}

/// Restores them where the system has room for what is temporary, and removes that again.
fn verify_backups(from: &Path) -> Result<(), OperateError> {
    let mut unique = [0; 8];
    getrandom::fill(&mut unique).map_err(|_| io::Error::other("no random numbers"))?;
    let scratch = std::env::temp_dir().join(format!("comptoir-verify-{:016x}", u64::from_le_bytes(unique)));
    let checked = wait(async {
        let place = Place::open(&place_name(from)?, &BucketSettings::default())?;
        Ok(check_all(&place, &Scratch::new(scratch), SystemClock.now()).await?)
    })?;
    for backup in &checked {
        let CheckedBackup { name, made, workspaces, lacks, faults } = backup;
        say_workspaces(workspaces);
        say_lacks(lacks);
        let values = of_backup(name, made, workspaces.len(), from);
        for what in faults {
            say("said.backup_damage", &[("name", values[0].1.clone()), ("what", what.clone())]);
        }
        say(if faults.is_empty() { "said.verified_backup" } else { "said.damaged_backup" }, &values);
    }
    let damaged = checked.iter().filter(|backup| !backup.faults.is_empty()).count();
    match damaged {
        0 => Ok(()),
        damaged => {
            Err(OperateError::DamagedBackups { place: from.display().to_string(), backups: checked.len(), damaged })
        }
    }
}

fn of_backup(name: &str, made: &str, workspaces: usize, folder: &Path) -> [(&'static str, String); 4] {
    [
        ("name", name.trim_end_matches(".json").to_owned()),
        ("made", made.to_owned()),
        ("workspaces", workspaces.to_string()),
        ("folder", folder.display().to_string()),
    ]
}

fn say_workspaces(workspaces: &[(WorkspaceId, Standing)]) {
    for (workspace, standing) in workspaces {
        let values = [
            ("workspace", workspace.to_string()),
            ("seq", standing.head.tail.0.to_string()),
            ("digest", standing.head.digest.to_string()),
        ];
        say("said.restored_workspace", &values);
    }
}

fn say_lacks(lacks: &[Lack]) {
    for lack in lacks {
        let values = [
            ("workspace", lack.workspace.clone()),
            ("what", lack.what.clone()),
            ("through", lack.through.unwrap_or_default().to_string()),
        ];
        say(if lack.through.is_some() { "said.behind" } else { "said.left_out" }, &values);
    }
}

fn say(key: &str, values: &[(&str, String)]) {
    println!("{}", text_with(key, values));
}

/// A bucket as it is written; a folder from the root on, as another process has another one to begin at.
fn place_name(place: &Path) -> io::Result<String> {
    match place.to_str() {
        Some(name) if Place::is_bucket(name) => Ok(name.to_owned()),
        _ => Ok(std::path::absolute(place)?.display().to_string()),
    }
}

/// A data folder that nobody else has open.
pub(super) struct OpenedHere {
    pub(super) control: Control,
    pub(super) log: Log,
    pub(super) committer: crate::log::Committer,
}

impl OpenedHere {
    /// Does it, and closes the log again.
    pub(super) async fn with<T, E: Into<OperateError>>(
        self,
        work: impl AsyncFnOnce(&Control) -> Result<T, E>,
    ) -> Result<T, OperateError> {
        let Self { control, log, committer } = self;
        let done = work(&control).await;
        drop(control);
        // It ends with the process where it cannot be waited for.
        let _ = tokio::task::spawn_blocking(move || committer.stop(log)).await;
        done.map_err(Into::into)
    }
}

/// Opens the folder's log; `None` where another process has it.
pub(super) async fn open(data: &Path) -> Result<Option<OpenedHere>, OperateError> {
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
    control.sweep().await?;
    Ok(Some(OpenedHere { control, log, committer }))
}

pub(super) async fn asked<T: Serialize, A: DeserializeOwned>(
    data: &Path,
    path: &str,
    order: &T,
) -> Result<A, OperateError> {
    let locale = rust_i18n::locale().to_string();
    Ok(ask(data, Asked { path, order, locale: &locale }).await?)
}

pub(super) fn wait<T>(work: impl Future<Output = Result<T, OperateError>>) -> Result<T, OperateError> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(work)
}
