//! Why a webhook is not as it was asked for. Must not know HTTP.

use crate::auth::COLLECTIONS_MAX;
use crate::feed::FeedError;
use crate::text::Told;
use comptoir_engine::id::WorkspaceId;

use super::address::URL_BYTES_MAX;
use super::{BATCH_MAX, NAME_BYTES_MAX};

/// Why a webhook is not as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The token is no admin's.
    #[error("only a token with the role admin manages webhooks: ask for one")]
    NotAdmin,
    /// There is none of that id.
    #[error("the workspace {workspace} has no webhook {id}: its list names them")]
    Unknown {
        /// Where.
        workspace: WorkspaceId,
        /// What was given.
        id: String,
    },
    /// Not a URL, or one with more than an address.
    #[error(
        "this is no address for a webhook: use https://HOST/PATH without user, password and #, {URL_BYTES_MAX} bytes at most"
    )]
    Url,
    /// Without TLS.
    #[error("webhooks are sent over https:// only: use that, or set allow_http in [webhooks]")]
    Http,
    /// Not an address of the internet.
    #[error("webhooks reach public addresses only: use one, or set allow_private in [webhooks]")]
    Address,
    /// The token may not read the collection.
    #[error("this token may not read {collection}: leave it out, or use a token that may")]
    Collection {
        /// Which.
        collection: String,
    },
    /// Too many collections.
    #[error("a webhook names at most {COLLECTIONS_MAX} collections: name none for all")]
    Collections,
    /// Not a name.
    #[error("the webhook's name is not valid: use at most {NAME_BYTES_MAX} bytes without control characters")]
    Name,
    /// No number of changes.
    #[error("a delivery holds 1 to {BATCH_MAX} changes: use a number between them")]
    Batch,
    /// No more of them.
    #[error("there are {webhooks_max} webhooks already: remove one, or raise {setting} in [webhooks]")]
    Full {
        /// The limit.
        webhooks_max: usize,
        /// Its name.
        setting: &'static str,
    },
    /// Not a place in this workspace's feed.
    #[error("this is no place in the change feed of this workspace: use a cursor that it gave, start or end")]
    Place,
    /// It sends nothing at the moment.
    #[error(
        "the webhook is suspended ({reason}): replay it once the cause is mended; where its token is gone, make a new one from its cursor"
    )]
    Suspended {
        /// Why.
        reason: &'static str,
    },
    /// There is no dead letter of that id.
    #[error("the webhook has no dead letter {id}: its list names them")]
    NoLetter {
        /// What was given.
        id: String,
    },
    /// Its files cannot be written or read.
    #[error("the webhook cannot be kept ({cause}): check the data folder and its disk")]
    Disk {
        /// The operating system's words.
        cause: String,
    },
    /// The log does not say where it ends.
    #[error("the workspace's log cannot be read now ({cause}): try again")]
    Log {
        /// Why not.
        cause: String,
    },
    /// An order of another release.
    #[error("the relay that serves does not know this order ({cause}): use its own release")]
    Order {
        /// What is wrong with it.
        cause: String,
    },
}

impl From<FeedError> for WebhookError {
    fn from(error: FeedError) -> Self {
        Self::Log { cause: error.to_string() }
    }
}

impl From<std::io::Error> for WebhookError {
    fn from(error: std::io::Error) -> Self {
        Self::Disk { cause: error.to_string() }
    }
}

impl Told for WebhookError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotAdmin => "webhook_admin",
            Self::Unknown { .. } => "webhook_unknown",
            Self::Url => "webhook_url",
            Self::Http => "webhook_http",
            Self::Address => "webhook_address",
            Self::Collection { .. } => "webhook_collection",
            Self::Collections => "webhook_collections",
            Self::Name => "webhook_name",
            Self::Batch => "webhook_batch",
            Self::Full { .. } => "webhooks_full",
            Self::Place => "webhook_place",
            Self::Suspended { .. } => "webhook_suspended",
            Self::NoLetter { .. } => "dead_letter_unknown",
            Self::Disk { .. } => "webhook_disk",
            Self::Log { .. } => "webhook_log",
            Self::Order { .. } => "webhook_order",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Unknown { workspace, id } => vec![("workspace", workspace.to_string()), ("id", id.clone())],
            Self::Url => vec![("bytes_max", URL_BYTES_MAX.to_string())],
            Self::Collection { collection } => vec![("collection", collection.clone())],
            Self::Collections => vec![("collections_max", COLLECTIONS_MAX.to_string())],
            Self::Name => vec![("bytes_max", NAME_BYTES_MAX.to_string())],
            Self::Batch => vec![("batch_max", BATCH_MAX.to_string())],
            Self::Full { webhooks_max, setting } => {
                vec![("webhooks_max", webhooks_max.to_string()), ("setting", (*setting).to_owned())]
            }
            Self::Suspended { reason } => vec![("reason", (*reason).to_owned())],
            Self::NoLetter { id } => vec![("id", id.clone())],
            Self::Disk { cause } | Self::Log { cause } | Self::Order { cause } => vec![("cause", cause.clone())],
            _ => Vec::new(),
        }
    }
}
