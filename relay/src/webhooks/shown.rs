//! A webhook as it is asked for and shown. Must not know who asks.

use super::hook::Hook;
use super::kept::Reason;
use comptoir_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A webhook to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Where its deliveries go: `https://`, to a public address unless the relay's settings allow others.
    #[schema(max_length = 2048, example = "https://example.com/comptoir")]
    pub url: String,
    /// What you call it.
    #[serde(default)]
    #[schema(max_length = 128)]
    pub name: Option<String>,
    /// Of these collections alone; of all that the token may read where none is named.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub collections: Vec<String>,
    /// The most changes of one delivery: 1 unless said otherwise.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub batch: Option<usize>,
    /// Where it begins: a cursor of the change feed, `start`, or `end`, which it is unless said otherwise.
    #[serde(default)]
    pub after: Option<String>,
}

/// A message that is being tried again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Failed {
    /// Its `webhook-id`.
    pub id: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again, RFC 3339.
    pub next: String,
}

/// A webhook.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Where its deliveries go.
    pub url: String,
    /// Of these collections alone; of all that its token may read where none is named.
    pub collections: Vec<String>,
    /// The most changes of one delivery.
    pub batch: usize,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The id of the token it was made with: it tells what that token may read, as long as it is good.
    pub token: String,
    /// Why it sends nothing; none where it does.
    #[schema(required)]
    pub suspended: Option<Reason>,
    /// The place in the change feed behind what was delivered, or is a dead letter.
    pub cursor: String,
    /// Entries of the log behind that place; none where it does not follow.
    #[schema(required)]
    pub lag_entries: Option<u64>,
    /// The message that is being tried again, if there is one.
    #[schema(required)]
    pub failing: Option<Failed>,
    /// Messages that were given up.
    pub dead_letters: usize,
}

impl Webhook {
    pub(super) fn of(hook: &Arc<Hook>) -> Self {
        let kept = hook.kept();
        let failed = |failing: super::kept::Failing| Failed {
            id: failing.id,
            attempts: failing.attempts,
            next: Timestamp { unix_ms: failing.due_unix_ms }.to_string(),
        };
        Self {
            token: kept.grant.token().to_owned(),
            id: kept.id,
            name: kept.name,
            url: kept.url,
            collections: kept.collections,
            batch: kept.batch,
            created: kept.created,
            suspended: kept.suspended,
            cursor: kept.cursor,
            lag_entries: hook.lag_entries(),
            failing: kept.failing.map(failed),
            dead_letters: hook.letters().len(),
        }
    }
}

/// A webhook that was made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Created {
    /// It.
    #[serde(flatten)]
    pub webhook: Webhook,
    /// What its deliveries are signed with. It is told this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=")]
    pub secret: String,
}
