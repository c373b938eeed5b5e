//! What is written down of one webhook: its definition, its place in the feed, whether it sends, and its dead letters. Must not
//! know who reads the feed, or how something is sent.
//!
//! `DATA/webhooks/WORKSPACE/ID/webhook.json` holds all but the dead letters, which are a file each in `dead` beside it. All are
//! private, and replaced as a whole.

use super::NewWebhook;
use crate::auth::{Grant, KeptGrant, TokenFault};
use crate::feed::FeedPlace;
use comptoir_engine::id::LogEpoch;
use comptoir_engine::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;
use utoipa::ToSchema;

/// The longest file of a webhook, in bytes: a body is not longer than a record's fields and some bytes around them.
const FILE_BYTES_MAX: u64 = 64 << 20;
const FORMAT: u32 = 1;

/// Why a webhook sends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The token it was made with was revoked, or its key is gone.
    TokenRevoked,
    /// That token's time is over.
    TokenExpired,
    /// The endpoint answered 410: it wants no more.
    Gone,
    /// No dead letter more has room.
    DeadLettersFull,
}

impl From<TokenFault> for Reason {
    fn from(fault: TokenFault) -> Self {
        if fault == TokenFault::Expired { Self::TokenExpired } else { Self::TokenRevoked }
    }
}

impl Reason {
    /// Its name, as in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::TokenRevoked => "token_revoked",
            Self::TokenExpired => "token_expired",
            Self::Gone => "gone",
            Self::DeadLettersFull => "dead_letters_full",
        }
    }
}

/// A message that is being tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failing {
    /// The message.
    pub(super) id: String,
    /// The changes in it.
    pub(super) changes: usize,
    /// How often it was tried.
    pub(super) attempts: u32,
    /// When it is tried again, in milliseconds since 1970.
    pub(super) due_unix_ms: i64,
}

/// One webhook.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    comptoir_webhook: u32,
    pub(super) id: String,
    pub(super) workspace: String,
    pub(super) name: String,
    pub(super) url: String,
    pub(super) collections: Vec<String>,
    pub(super) batch: usize,
    pub(super) secret: String,
    pub(super) created: String,
    pub(super) grant: KeptGrant,
    /// Everything in front of it was delivered, or is a dead letter.
    pub(super) cursor: String,
    pub(super) suspended: Option<Reason>,
    pub(super) failing: Option<Failing>,
    /// How often it was put to another place, or had to send again.
    pub(super) restarts: u64,
}

impl Kept {
    /// A new one, which sends.
    pub(super) fn new(
        (id, secret): (String, String),
        wanted: NewWebhook,
        grant: &Grant,
        place: FeedPlace,
        now: Timestamp,
    ) -> Self {
        Self {
            comptoir_webhook: FORMAT,
            id,
            workspace: grant.workspace().to_string(),
            name: wanted.name.unwrap_or_default(),
            url: wanted.url,
            collections: wanted.collections,
            batch: wanted.batch.unwrap_or(1),
            secret,
            created: now.to_string(),
            grant: grant.keep(),
            cursor: place.text(),
            suspended: None,
            failing: None,
            restarts: 0,
        }
    }

    /// Its place in the feed.
    pub(super) fn place(&self) -> FeedPlace {
        // A text that says none is a place of no log: it begins anew.
        FeedPlace::parse(&self.cursor).unwrap_or(FeedPlace::first(LogEpoch([0; 16])))
    }
}

/// A message that was given up.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// Its `webhook-id`.
    pub id: String,
    /// When it was given up, RFC 3339.
    pub since: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The last answer's status; none where there was no answer.
    #[schema(required)]
    pub status: Option<u16>,
    /// Why there was no answer: `timeout`, `unreachable`, `webhook_address` and others.
    #[schema(required)]
    pub error: Option<String>,
    /// The changes in it.
    pub changes: usize,
    /// The place in the change feed in front of its first change.
    pub after: String,
    /// Whether it is about to be sent again.
    pub resending: bool,
}

/// A dead letter with its content.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Letter {
    comptoir_dead_letter: u32,
    pub(super) about: DeadLetter,
    pub(super) body: String,
}

impl Letter {
    pub(super) fn new(about: DeadLetter, body: String) -> Self {
        Self { comptoir_dead_letter: FORMAT, about, body }
    }
}

/// A webhook's file.
pub(super) fn read_kept(path: &Path) -> io::Result<Kept> {
    let kept: Kept = read(path)?;
    known(kept.comptoir_webhook).map(|()| kept)
}

/// A dead letter's file.
pub(super) fn read_letter(path: &Path) -> io::Result<Letter> {
    let letter: Letter = read(path)?;
    known(letter.comptoir_dead_letter).map(|()| letter)
}

fn known(format: u32) -> io::Result<()> {
    match format {
        FORMAT => Ok(()),
        other => Err(io::Error::other(format!("format {other}, this release knows {FORMAT}"))),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let bytes = fs::metadata(path)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("{bytes} bytes, {FILE_BYTES_MAX} at most")));
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}
