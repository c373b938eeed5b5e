//! `token create`: makes a token; works beside a running relay. Must not open the log.

use super::listed;
use crate::auth::{Auth, IssueError, Permissions, TokenRequest, role_by_name, role_name};
use crate::catalog::{Catalog, CatalogError};
use crate::clock::SystemClock;
use crate::relay::keys_folder;
use crate::text::Told;
use comptoir_engine::id::{NameError, WorkspaceId};
use comptoir_engine::wire::message::Role;
use std::path::Path;
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
            Self::Expires { .. } => "token_expires",
            Self::Issue(error) => error.code(),
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Workspace(error) => vec![("name", error.name.clone())],
            Self::Role { role } => vec![("role", role.clone()), ("roles", roles())],
            Self::Expires { expires } => vec![("expires", expires.clone())],
            Self::Issue(error) => error.args(),
        }
    }
}

fn roles() -> String {
    listed([Role::Reader, Role::Editor, Role::Admin].map(role_name))
}

/// Makes a token with the newest key of the relay whose data is in `data`.
pub(super) fn create(
    data: &Path,
    workspace: &str,
    role: &str,
    name: &str,
    expires: &str,
) -> Result<String, TokenError> {
    let workspace = WorkspaceId::new(workspace)?;
    let role = role_by_name(role).ok_or_else(|| TokenError::Role { role: role.to_owned() })?;
    let valid_for = time(expires).ok_or_else(|| TokenError::Expires { expires: expires.to_owned() })?;
    let auth = Auth::new(Arc::new(Catalog::open(&keys_folder(data))?), Arc::new(SystemClock));
    Ok(auth.issue(&TokenRequest {
        workspace,
        role,
        name: name.to_owned(),
        valid_for,
        permissions: Permissions::ALL,
        subject: None,
    })?)
}

/// A number and a unit, more than nothing.
fn time(text: &str) -> Option<Duration> {
    let (number, seconds) = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, seconds)))?;
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    number.checked_mul(*seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(time("30d"), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(time("90s"), Some(Duration::from_secs(90)));
        for wrong in ["", "d", "30", "0d", "-1d", "1.5h", "99999999999999999999y", "18446744073709551615y"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }
}
