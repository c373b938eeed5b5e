//! `workspace`: lists, shows, suspends, resumes, limits and removes workspaces; works beside a running relay. Must not know how
//! it is done.

use super::backup::{OperateError, asked, open, wait};
use super::token::auth;
use super::{note, say};
use crate::catalog::Allowance;
use crate::control::Workspace;
use crate::text::{text, text_with};
use clap::{Args, Subcommand};
use comptoir_engine::id::WorkspaceId;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum WorkspaceCommand {
    #[command(about = text("cli.workspace_list"), help_template = text("cli.template"))]
    List(AllArgs),
    #[command(about = text("cli.workspace_show"), help_template = text("cli.template"))]
    Show(OneArgs),
    #[command(about = text("cli.workspace_suspend"), help_template = text("cli.template"))]
    Suspend(OneArgs),
    #[command(about = text("cli.workspace_resume"), help_template = text("cli.template"))]
    Resume(OneArgs),
    #[command(about = text("cli.workspace_remove"), help_template = text("cli.template"))]
    Remove(RemoveArgs),
    #[command(about = text("cli.workspace_limits"), help_template = text("cli.template"))]
    Limits(LimitsArgs),
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct AllArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data_there"))]
    data: PathBuf,
    #[arg(long, help = text("cli.json_lines"))]
    json: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct OneArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data_there"))]
    data: PathBuf,
    #[arg(value_name = text("cli.workspace_name"), help = text("cli.which_workspace"))]
    workspace: String,
    #[arg(long, help = text("cli.json"))]
    json: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    one: OneArgs,
    #[arg(long, value_name = text("cli.workspace_name"), help = text("cli.yes"))]
    yes: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct LimitsArgs {
    #[command(flatten)]
    one: OneArgs,
    #[arg(long, value_name = "N", help = text("cli.limit_changes"))]
    changes_per_second: Option<u32>,
    #[arg(long, value_name = "N", help = text("cli.limit_bytes"))]
    bytes_per_second: Option<u32>,
    #[arg(long, value_name = "N", help = text("cli.limit_requests"))]
    requests_per_second: Option<u32>,
    #[arg(long, value_name = "N", help = text("cli.limit_log"))]
    log_bytes_max: Option<u64>,
    #[arg(long, help = text("cli.limit_default"))]
    default: bool,
}

impl WorkspaceCommand {
    pub(super) fn run(self) -> Result<(), OperateError> {
        match self {
            Self::List(args) => list(&args),
            Self::Show(args) => show(&args),
            Self::Suspend(args) => {
                let workspace = WorkspaceId::new(&args.workspace)?;
                auth(&args.data)?.suspend(&workspace)?;
                done(&args, &workspace, "workspace.suspended", "said.suspended")
            }
            Self::Resume(args) => {
                let workspace = WorkspaceId::new(&args.workspace)?;
                auth(&args.data)?.resume(&workspace)?;
                done(&args, &workspace, "workspace.resumed", "said.resumed")
            }
            Self::Remove(args) => remove(&args),
            Self::Limits(args) => limits(&args),
        }
    }
}

fn list(args: &AllArgs) -> Result<(), OperateError> {
    let all: Vec<Workspace> = wait(async {
        match open(&args.data).await? {
            Some(opened) => opened.with(async |control| control.workspaces().await).await,
            None => asked(&args.data, "/workspaces", &()).await,
        }
    })?;
    all.iter().for_each(|workspace| tell(args.json, workspace));
    Ok(())
}

fn show(args: &OneArgs) -> Result<(), OperateError> {
    let workspace = WorkspaceId::new(&args.workspace)?;
    let found: Workspace = wait(async {
        match open(&args.data).await? {
            Some(opened) => opened.with(async |control| control.workspace(&workspace).await).await,
            None => asked(&args.data, "/workspace", &workspace.as_str()).await,
        }
    })?;
    tell(args.json, &found);
    Ok(())
}

fn tell(json: bool, workspace: &Workspace) {
    let object = serde_json::to_value(workspace).unwrap_or_default();
    say(json, &object, || {
        let values = [
            ("workspace", workspace.workspace.clone()),
            ("state", text(&format!("said.workspace_{}", workspace.state))),
            ("entries", workspace.entries.to_string()),
            ("bytes", workspace.bytes.to_string()),
            ("devices", workspace.devices.to_string()),
            ("sessions", workspace.sessions.to_string()),
            ("tokens", workspace.tokens.to_string()),
            ("last", workspace.last_activity.clone().unwrap_or_else(|| "-".to_owned())),
        ];
        text_with("said.workspace", &values)
    });
}

fn remove(args: &RemoveArgs) -> Result<(), OperateError> {
    let workspace = WorkspaceId::new(&args.one.workspace)?;
    if args.yes.as_deref() != Some(workspace.as_str()) {
        return Err(OperateError::Unconfirmed { workspace });
    }
    wait(async {
        match open(&args.one.data).await? {
            Some(opened) => opened.with(async |control| control.remove(&workspace).await).await,
            None => asked(&args.one.data, "/remove", &workspace.as_str()).await,
        }
    })?;
    done(&args.one, &workspace, "workspace.removed", "said.removed")
}

fn limits(args: &LimitsArgs) -> Result<(), OperateError> {
    let (one, workspace) = (&args.one, WorkspaceId::new(&args.one.workspace)?);
    let auth = auth(&one.data)?;
    let LimitsArgs { changes_per_second, bytes_per_second, requests_per_second, log_bytes_max, .. } = *args;
    let given = Allowance { changes_per_second, bytes_per_second, requests_per_second, log_bytes_max };
    if args.default || given != Allowance::default() {
        let before = if args.default { Allowance::default() } else { auth.allowance(&workspace) };
        auth.limit(&workspace, given.or(before))?;
        note(&one.data, "workspace.limited", Some(&workspace), None, &shown(auth.allowance(&workspace)));
    }
    let object = serde_json::to_value(auth.allowance(&workspace)).unwrap_or_default();
    say(one.json, &object, || {
        let values = [("workspace", workspace.to_string()), ("limits", shown(auth.allowance(&workspace)))];
        text_with("said.limits", &values)
    });
    Ok(())
}

fn shown(allowance: Allowance) -> String {
    let limits = serde_json::to_value(allowance).unwrap_or_default();
    let limits = limits.as_object().into_iter().flatten().map(|(name, limit)| format!("{name}={limit}"));
    let limits: Vec<_> = limits.collect();
    if limits.is_empty() { text("said.limits_default") } else { limits.join(" ") }
}

fn done(args: &OneArgs, workspace: &WorkspaceId, deed: &str, key: &str) -> Result<(), OperateError> {
    note(&args.data, deed, Some(workspace), None, "");
    let object = serde_json::json!({"workspace": workspace.as_str(), "done": deed});
    say(args.json, &object, || text_with(key, &[("workspace", workspace.to_string())]));
    Ok(())
}
