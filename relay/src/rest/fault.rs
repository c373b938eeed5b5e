//! Why a request is refused. Must not know HTTP's statuses.

use crate::auth::{IssueError, TokenFault};
use crate::backup::BackupError;
use crate::catalog::CatalogError;
use crate::control::ManageError;
use crate::feed::FeedError;
use crate::log::LogError;
use crate::room::EnterError;
use crate::service::ServiceError;
use crate::text::Told;
use crate::webhooks::WebhookError;
use comptoir_engine::id::{Collection, NameError, WorkspaceId};
use comptoir_engine::{QueryError, StoreError};

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RestError {
    #[error("{0}: send `Authorization: Bearer TOKEN` with a token made by `comptoir-relay token create`")]
    Token(TokenFault),
    #[error("this token may not do this with {collection}: ask for one that may")]
    Forbidden { collection: String },
    #[error("this needs a token of the role {role}: ask the relay's operator for one")]
    Role { role: &'static str },
    #[error("this would grant more than the token that asks for it has ({what}): ask for less")]
    Widened { what: String },
    #[error("there is no token {id} in this workspace: its list names them")]
    NoToken { id: String },
    #[error(
        "this removes {workspace} and all its records from the relay, for good: to confirm, add ?confirm={workspace}"
    )]
    Unconfirmed { workspace: WorkspaceId },
    #[error("too much was asked for in a second: ask again in {seconds} seconds")]
    TooFast { seconds: u64 },
    #[error("the relay takes no backups by itself: set [backup] in its settings")]
    BackupsUnset,
    #[error("a backup is under way: wait for its end")]
    BackupRunning,
    #[error("there is nothing at this address: see /v1/openapi.json")]
    NoRoute,
    #[error("this address knows other methods: see /v1/openapi.json")]
    Method,
    #[error("the body is longer than {bytes_max} bytes: send less at once")]
    BodyTooLarge { bytes_max: usize },
    #[error("the body must be {wanted}: set the content type")]
    MediaType { wanted: &'static str },
    #[error("the body did not come within {seconds} seconds: send it faster, or in parts")]
    BodySlow { seconds: u64 },
    #[error("the address's query is not valid ({cause}): see /v1/openapi.json")]
    Query { cause: String },
    #[error("the address is not valid ({cause}): see /v1/openapi.json")]
    Path { cause: String },
    #[error("the body is not what is expected here ({cause}): see /v1/openapi.json")]
    Json { cause: String },
    #[error("the header {name} is not valid ({cause}): correct it or leave it out")]
    Header { name: &'static str, cause: String },
    #[error("this is no cursor of a change feed: use one that it gave, or leave it out to begin at the first change")]
    FeedCursor,
    #[error(
        "this cursor is of another history of this workspace, from before its log was made anew: leave it out to begin at the first change"
    )]
    FeedEpoch,
    #[error(
        "line {line} cannot be imported ({cause}); {saved} records before it are saved: correct it and send the file again"
    )]
    ImportLine { line: u64, cause: String, saved: u64 },
    #[error("the relay is stopping or starting: try again")]
    Unavailable,
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Manage(#[from] ManageError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Webhook(#[from] WebhookError),
}

impl RestError {
    pub(super) fn forbidden(collection: &Collection) -> Self {
        Self::Forbidden { collection: collection.to_string() }
    }

    pub(super) fn json(cause: impl ToString) -> Self {
        Self::Json { cause: cause.to_string() }
    }
}

impl From<CatalogError> for RestError {
    fn from(error: CatalogError) -> Self {
        Self::Manage(error.into())
    }
}

impl From<NameError> for RestError {
    fn from(error: NameError) -> Self {
        Self::Service(error.into())
    }
}

impl From<QueryError> for RestError {
    fn from(error: QueryError) -> Self {
        Self::Service(ServiceError::Store(StoreError::Query(error)))
    }
}

impl From<FeedError> for RestError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Epoch => Self::FeedEpoch,
            FeedError::Unavailable => Self::Unavailable,
            FeedError::Token(fault) => Self::Token(fault),
            FeedError::Log(error) => Self::Log(error),
            FeedError::Service(error) => Self::Service(error),
        }
    }
}

impl From<EnterError> for RestError {
    fn from(error: EnterError) -> Self {
        match error {
            EnterError::Log(error) => Self::Log(error),
            EnterError::Full { .. } => Self::Unavailable,
        }
    }
}

impl Told for RestError {
    fn code(&self) -> &'static str {
        match self {
            Self::Token(TokenFault::Missing) => "token_missing",
            Self::Token(TokenFault::TooLong | TokenFault::Invalid) => "token_invalid",
            Self::Token(TokenFault::Expired) => "token_expired",
            Self::Token(TokenFault::WrongWorkspace) => "token_workspace",
            Self::Token(TokenFault::Revoked) => "token_revoked",
            Self::Token(TokenFault::Suspended) => "workspace_suspended",
            Self::Token(TokenFault::NotOperator) => "not_operator",
            Self::Forbidden { .. } => "forbidden",
            Self::Role { .. } => "role_needed",
            Self::Widened { .. } => "token_widened",
            Self::NoToken { .. } => "no_token",
            Self::Unconfirmed { .. } => "removal_confirm",
            Self::TooFast { .. } => "too_fast",
            Self::BackupsUnset => "backups_unset",
            Self::BackupRunning => "backup_running",
            Self::Issue(error) => error.code(),
            Self::Manage(error) => error.code(),
            Self::Backup(error) => error.code(),
            Self::NoRoute => "no_route",
            Self::Method => "method",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::MediaType { .. } => "media_type",
            Self::BodySlow { .. } => "body_slow",
            Self::Query { .. } => "request_query",
            Self::Path { .. } => "request_path",
            Self::Json { .. } => "request_body",
            Self::Header { .. } => "request_header",
            Self::FeedCursor => "feed_cursor",
            Self::FeedEpoch => "feed_epoch",
            Self::ImportLine { .. } => "import_line",
            Self::Unavailable => "rest_unavailable",
            Self::Log(error) => error.code(),
            Self::Service(error) => error.code(),
            Self::Webhook(error) => error.code(),
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Role { role } => vec![("role", (*role).to_owned())],
            Self::Widened { what } => vec![("what", what.clone())],
            Self::TooFast { seconds } => vec![("seconds", seconds.to_string())],
            Self::NoToken { id } => vec![("id", id.clone())],
            Self::Unconfirmed { workspace } => vec![("workspace", workspace.to_string())],
            Self::Issue(error) => error.args(),
            Self::Manage(error) => error.args(),
            Self::Backup(error) => error.args(),
            Self::Forbidden { collection } => vec![("collection", collection.clone())],
            Self::BodyTooLarge { bytes_max } => vec![("bytes_max", bytes_max.to_string())],
            Self::MediaType { wanted } => vec![("wanted", (*wanted).to_owned())],
            Self::BodySlow { seconds } => vec![("seconds", seconds.to_string())],
            Self::Query { cause } | Self::Path { cause } | Self::Json { cause } => vec![("cause", cause.clone())],
            Self::Header { name, cause } => vec![("name", (*name).to_owned()), ("cause", cause.clone())],
            Self::ImportLine { line, cause, saved } => {
                vec![("line", line.to_string()), ("cause", cause.clone()), ("saved", saved.to_string())]
            }
            Self::Log(error) => error.args(),
            Self::Service(error) => error.args(),
            Self::Webhook(error) => error.args(),
            _ => Vec::new(),
        }
    }
}
