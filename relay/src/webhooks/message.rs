//! One delivery: the changes in it, as JSON, and its name, which is the same whenever they are told. Must not know how it is sent.

use super::kept::Kept;
use crate::feed::{FeedChange, FeedPlace};
use crate::text::hex;
use comptoir_engine::time::Timestamp;
use hyper::body::Bytes;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

const KIND: &str = "records.changed";

/// A delivery that is to be made.
pub(super) struct Pending {
    pub(super) id: String,
    pub(super) body: Bytes,
    pub(super) changes: usize,
    /// In front of its first change.
    pub(super) after: FeedPlace,
    /// Behind its last one.
    pub(super) behind: FeedPlace,
}

#[derive(Serialize)]
struct Body<'b> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Data<'b>,
}

#[derive(Serialize)]
struct Data<'b> {
    workspace: &'b str,
    webhook: &'b str,
    changes: &'b [FeedChange],
}

impl Pending {
    /// Of these changes, of which there is one at least; `None` where they end nowhere.
    pub(super) fn of(kept: &Kept, after: FeedPlace, changes: &[FeedChange], now: Timestamp) -> Option<Self> {
        let behind = FeedPlace::parse(&changes.last()?.cursor)?;
        let mut name = Sha256::new();
        name.update(&kept.id);
        for change in changes {
            for part in [&change.cursor, &change.collection, &change.key] {
                name.update((part.len() as u64).to_be_bytes());
                name.update(part);
            }
        }
        let data = Data { workspace: &kept.workspace, webhook: &kept.id, changes };
        let body = serde_json::to_vec(&Body { kind: KIND, timestamp: now.to_string(), data }).ok()?;
        let id = format!("msg_{}", hex(&name.finalize()[..16]));
        Some(Self { id, body: body.into(), changes: changes.len(), after, behind })
    }
}
