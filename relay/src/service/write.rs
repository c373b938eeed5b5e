//! What a service device is asked, and what it answers. Must not know how the store is reached, or HTTP.

use super::ServiceError;
use comptoir_engine::id::RecordId;
use comptoir_engine::record::json;
use comptoir_engine::{Committed, Engine, Now, StoreError, View};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, ServiceError>>;

/// Something read off the store.
pub(super) type Look = Box<dyn FnOnce(Result<&Engine, ServiceError>) + Send>;

/// Something done with the store: its conditions checked and its edits committed in one go.
pub(super) type Commit = Box<dyn FnOnce(&mut Engine, Now) -> Result<Committed, ServiceError> + Send>;

/// A write.
pub struct Write {
    /// The record it is about, where that is one.
    pub record: Option<RecordId>,
    /// Every record it names, for the count of those that are new.
    pub records: Vec<RecordId>,
    /// Makes it known again.
    pub once: Option<Once>,
    pub(super) commit: Commit,
}

impl Write {
    /// A write that `commit` does. It must do all or nothing.
    pub fn new(
        records: Vec<RecordId>,
        once: Option<Once>,
        commit: impl FnOnce(&mut Engine, Now) -> Result<Committed, ServiceError> + Send + 'static,
    ) -> Self {
        let record = match records.as_slice() {
            [record] => Some(record.clone()),
            _ => None,
        };
        Self { record, records, once, commit: Box::new(commit) }
    }
}

/// What tells a request that comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Whose key, and the key: 512 bytes at most.
    pub key: String,
    /// The hash of all that the request says, in hexadecimal digits.
    pub says: String,
}

/// What a write did. Durable here and in the relay's log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Written {
    /// Records it changed.
    pub changed: u64,
    /// Those of them that are new.
    pub created: u64,
    /// What names the transaction, where it was one over several records.
    pub transaction: Option<String>,
    /// The numbers its records were given, in order.
    pub numbers: Vec<String>,
    /// The state of the one record it was about.
    pub etag: Option<String>,
}

impl Written {
    pub(super) fn of(committed: &Committed, etag: Option<String>) -> Self {
        Self {
            changed: committed.changed.len() as u64,
            created: committed.created,
            transaction: committed.transaction.map(|id| id.to_string()),
            numbers: committed.numbers.clone(),
            etag,
        }
    }
}

/// A record with the name of its state.
#[derive(Debug, Clone, PartialEq)]
pub struct Stated {
    /// As people read it.
    pub view: View,
    /// Another state has another name; in hexadecimal digits.
    pub etag: String,
}

/// A record as it is now; `None` when there never was one. The name of its state comes from all its changes that nothing follows,
/// concurrent ones too, and from what is shown of it, which a schema changes without a change of its own.
pub fn stated(engine: &Engine, record: &RecordId) -> Result<Option<Stated>, StoreError> {
    let Some(view) = engine.get(record)? else { return Ok(None) };
    let mut hash = Sha256::new();
    engine.heads(record)?.iter().for_each(|head| hash.update(head.0));
    hash.update([u8::from(view.deleted)]);
    hash.update(json::object(&view.fields).to_string());
    Ok(Some(Stated { view, etag: crate::text::hex(&hash.finalize()[..16]) }))
}

/// What waits for the thread.
pub(super) enum Job {
    Look(Look),
    Write(Write, Reply<Written>),
    /// Answered when nothing waits to be sent.
    Settle(Reply<()>),
}

impl Job {
    /// Nobody waits for it any more: then it is not begun.
    pub(super) fn is_given_up(&self) -> bool {
        match self {
            Self::Look(_) => false,
            Self::Write(_, reply) => reply.is_closed(),
            Self::Settle(reply) => reply.is_closed(),
        }
    }

    pub(super) fn refuse(self, error: ServiceError) {
        // Whoever asked may have gone.
        match self {
            Self::Look(look) => look(Err(error)),
            Self::Write(_, reply) => drop(reply.send(Err(error))),
            Self::Settle(reply) => drop(reply.send(Err(error))),
        }
    }
}
