//! `token`: makes, lists and revokes tokens; works beside a running relay. Must not open the log.

use super::{listed, note, say};
use crate::auth::{
    Auth, COLLECTIONS_MAX, Grant, IssueError, Logins, PermissionError, Permissions, Subject, TokenRequest,
    role_by_name, role_name,
};
use crate::catalog::{Allowance, Catalog, CatalogError};
use crate::clock::{Clock as _, SystemClock};
use crate::relay::keys_folder;
use crate::text::{Told, text, text_with};
use clap::{Args, Subcommand};
use comptoir_engine::id::{NameError, WorkspaceId};
use comptoir_engine::time::Timestamp;
use comptoir_engine::wire::message::Role;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a token is good for unless said otherwise.
pub const DEFAULT_EXPIRES: &str = "365d";

/// The units of a time, each in seconds.
const UNITS: [(char, u64); 6] =
    [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400), ('w', 7 * 86_400), ('y', 365 * 86_400)];

/// Why no token was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a workspace's name.
    #[error(transparent)]
    Workspace(#[from] NameError),
    /// Not a role.
    #[error("there is no role \"{role}\": use one of {roles}", roles = roles())]
    Role {
        /// What was given.
        role: String,
    },
    /// Not what a token may allow.
    #[error(transparent)]
    Permission(#[from] PermissionError),
    /// Neither a token of this relay nor the id of one.
    #[error("this is no token of this relay, nor the id of one: `comptoir-relay token list` names them")]
    Unknown,
    /// Not a relay's address.
    #[error("\"{relay}\" is not a relay's address: use ws://HOST:PORT or wss://HOST:PORT, as devices reach it")]
    Relay {
        /// What was given.
        relay: String,
    },
    /// Not a time.
    #[error("\"{expires}\" is no time: use a number and s, m, h, d, w or y, as in 30d")]
    Expires {
        /// What was given.
        expires: String,
    },
    /// The token cannot be signed.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl From<CatalogError> for TokenError {
    fn from(error: CatalogError) -> Self {
        Self::Issue(error.into())
    }
}

impl TokenError {
    /// Whether the command line is at fault.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Issue(IssueError::Catalog(_) | IssueError::Signing))
    }
}

impl Told for TokenError {
    fn code(&self) -> &'static str {
        match self {
            Self::Workspace(_) => "workspace_name",
            Self::Role { .. } => "token_role",
            Self::Permission(PermissionError::Form { .. }) => "token_allow",
            Self::Permission(PermissionError::Collection(_)) => "token_collection",
            Self::Permission(PermissionError::TooMany) => "token_collections",
            Self::Unknown => "token_unknown",
            Self::Relay { .. } => "relay_address",
            Self::Expires { .. } => "token_expires",
            Self::Issue(error) => error.code(),
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Workspace(error) => vec![("name", error.name.clone())],
            Self::Role { role } => vec![("role", role.clone()), ("roles", roles())],
            Self::Permission(PermissionError::Form { given }) => vec![("given", given.clone())],
            Self::Permission(PermissionError::Collection(error)) => vec![("name", error.name.clone())],
            Self::Permission(PermissionError::TooMany) => vec![("collections_max", COLLECTIONS_MAX.to_string())],
            Self::Unknown => Vec::new(),
            Self::Relay { relay } => vec![("relay", relay.clone())],
            Self::Expires { expires } => vec![("expires", expires.clone())],
            Self::Issue(error) => error.args(),
        }
    }
}

fn roles() -> String {
    listed([Role::Reader, Role::Editor, Role::Admin].map(role_name))
}

/// What a token is to be, as the command line says it.
#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct WantedArgs {
    #[arg(long, value_name = text("cli.workspace_name"), help = text("cli.workspace"))]
    pub(super) workspace: String,
    #[arg(long, value_name = text("cli.role_name"), default_value = "editor", hide_default_value = true, help = text("cli.role"))]
    role: String,
    #[arg(long = "allow", value_name = text("cli.allow_name"), help = text("cli.allow"))]
    allowed: Vec<String>,
    #[arg(long, value_name = text("cli.name_name"), conflicts_with = "user", help = text("cli.device"))]
    device: Option<String>,
    #[arg(long, value_name = text("cli.name_name"), help = text("cli.user"))]
    user: Option<String>,
    #[arg(long, value_name = text("cli.name_name"), default_value = "", hide_default_value = true, help = text("cli.name"))]
    name: String,
    #[arg(long, value_name = text("cli.time_name"), default_value = DEFAULT_EXPIRES, hide_default_value = true, help = text("cli.expires"))]
    expires: String,
    #[arg(long, value_name = "N", help = text("cli.limit_changes"))]
    changes_per_second: Option<u32>,
    #[arg(long, value_name = "N", help = text("cli.limit_bytes"))]
    bytes_per_second: Option<u32>,
    #[arg(long, value_name = "N", help = text("cli.limit_requests"))]
    requests_per_second: Option<u32>,
}

impl WantedArgs {
    pub(super) fn request(&self) -> Result<TokenRequest, TokenError> {
        let subject = match (&self.device, &self.user) {
            (Some(name), _) => Some(format!("device:{name}")),
            (None, Some(name)) => Some(format!("user:{name}")),
            (None, None) => None,
        };
        let subject = subject.map(|subject| Subject::parse(&subject).ok_or(IssueError::Name)).transpose()?;
        Ok(TokenRequest {
            workspace: WorkspaceId::new(&self.workspace)?,
            role: role_by_name(&self.role).ok_or_else(|| TokenError::Role { role: self.role.clone() })?,
            permissions: Permissions::parse(self.allowed.iter().map(String::as_str))?,
            allowance: Allowance {
                changes_per_second: self.changes_per_second,
                bytes_per_second: self.bytes_per_second,
                requests_per_second: self.requests_per_second,
                log_bytes_max: None,
            },
            subject,
            name: self.name.clone(),
            valid_for: time(&self.expires)?,
        })
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    #[command(about = text("cli.token_create"), help_template = text("cli.template"))]
    Create(CreateArgs),
    #[command(about = text("cli.token_operator"), help_template = text("cli.template"))]
    Operator(OperatorArgs),
    #[command(about = text("cli.token_list"), help_template = text("cli.template"))]
    List(ListArgs),
    #[command(about = text("cli.token_revoke"), help_template = text("cli.template"))]
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct CreateArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data"))]
    data: PathBuf,
    #[command(flatten)]
    wanted: WantedArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct OperatorArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data"))]
    data: PathBuf,
    #[arg(long, value_name = text("cli.name_name"), default_value = "", hide_default_value = true, help = text("cli.name"))]
    name: String,
    #[arg(long, value_name = text("cli.time_name"), default_value = DEFAULT_EXPIRES, hide_default_value = true, help = text("cli.expires"))]
    expires: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct ListArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data_there"))]
    data: PathBuf,
    #[arg(long, value_name = text("cli.workspace_name"), help = text("cli.only_workspace"))]
    workspace: Option<String>,
    #[arg(long, help = text("cli.json_lines"))]
    json: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
#[command(group = clap::ArgGroup::new("which").required(true).args(["token", "all_of"]))]
pub(super) struct RevokeArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data_there"))]
    data: PathBuf,
    #[arg(value_name = text("cli.token_name"), help = text("cli.token_or_id"))]
    token: Option<String>,
    #[arg(long, value_name = text("cli.workspace_name"), help = text("cli.all_of"))]
    all_of: Option<String>,
}

impl TokenCommand {
    pub(super) fn run(self) -> Result<(), TokenError> {
        match self {
            Self::Create(args) => {
                let (auth, request) = (auth(&args.data)?, args.wanted.request()?);
                let token = auth.issue(&request)?;
                let grant = auth.read(&token);
                note(
                    &args.data,
                    "token.created",
                    Some(&request.workspace),
                    grant.as_ref().map(Grant::id),
                    &request.name,
                );
                println!("{token}");
                Ok(())
            }
            Self::Operator(args) => {
                let auth = auth(&args.data)?;
                let token = auth.issue_to_operator(&args.name, time(&args.expires)?)?;
                note(&args.data, "token.operator_created", None, auth.id_of(&token).as_deref(), &args.name);
                println!("{token}");
                Ok(())
            }
            Self::List(args) => list(&args),
            Self::Revoke(args) => revoke(&args),
        }
    }
}

/// The keys of a data folder, beside whatever relay serves it.
pub(super) fn auth(data: &Path) -> Result<Auth, CatalogError> {
    Ok(Auth::new(Arc::new(Catalog::open(&keys_folder(data))?), Arc::new(SystemClock)))
}

fn list(args: &ListArgs) -> Result<(), TokenError> {
    let workspace = args.workspace.as_deref().map(WorkspaceId::new).transpose()?;
    let catalog = Catalog::open(&keys_folder(&args.data))?;
    let now = SystemClock.now();
    for (token, revoked) in catalog.ledger().issued(workspace.as_ref()) {
        let expired = Timestamp::parse(&token.expires).is_none_or(|expires| expires <= now);
        let state = match (&revoked, expired) {
            (Some(_), _) => "revoked",
            (None, true) => "expired",
            (None, false) => "good",
        };
        let object = json!({
            "id": token.id, "workspace": token.workspace, "role": token.role, "subject": token.subject,
            "name": token.name, "collections": token.collections, "issued": token.issued, "expires": token.expires,
            "revoked": revoked, "state": state,
        });
        say(args.json, &object, || {
            let who = token.subject.as_deref().unwrap_or(&token.name).to_owned();
            let collections: Vec<_> =
                token.collections.iter().map(|(name, access)| format!("{name}={access}")).collect();
            let (state, collections) = (text(&format!("said.token_{state}")), collections.join(" "));
            let line = [token.id, token.workspace, token.role, collections, who, token.expires, state];
            line.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
        });
    }
    Ok(())
}

fn revoke(args: &RevokeArgs) -> Result<(), TokenError> {
    let auth = auth(&args.data)?;
    if let Some(workspace) = &args.all_of {
        let workspace = WorkspaceId::new(workspace)?;
        auth.revoke_all(&workspace)?;
        note(&args.data, "token.all_revoked", Some(&workspace), None, "");
        println!("{}", text_with("said.revoked_all", &[("workspace", workspace.to_string())]));
        return Ok(());
    }
    let given = args.token.as_deref().unwrap_or_default();
    let known = |id: &str| auth.tokens(None).iter().any(|(token, _)| token.id == id);
    let id = match auth.id_of(given) {
        Some(id) => id,
        None if known(given) => given.to_owned(),
        None => Logins::id_of(given).ok_or(TokenError::Unknown)?,
    };
    auth.revoke(&id)?;
    note(&args.data, "token.revoked", None, Some(&id), "");
    println!("{}", text_with("said.revoked", &[("id", id)]));
    Ok(())
}

/// A number and a unit, more than nothing.
pub(super) fn time(text: &str) -> Result<Duration, TokenError> {
    let unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, seconds)));
    let seconds = unit.and_then(|(number, seconds)| number.parse::<u64>().ok()?.checked_mul(*seconds));
    let time = seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs);
    time.ok_or_else(|| TokenError::Expires { expires: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(time("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "d", "30", "0d", "-1d", "1.5h", "99999999999999999999y", "18446744073709551615y"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
