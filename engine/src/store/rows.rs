//! What the rows of a device's store hold, each with its format version. Must not know how they are used.

use super::{Settings, StoreError};
use crate::codec::{Decode, Encode, Versioned};
use crate::gate::{Lineage, Refusal};
use crate::id::WorkspaceId;
use crate::record::StoredRegisters;
use crate::record::shape::Print;
use crate::wire::message::Reach;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct SettingsRow {
    workspace: String,
    relay: String,
    token: String,
    device_name: String,
}

impl From<&Settings> for SettingsRow {
    fn from(settings: &Settings) -> Self {
        let Settings { workspace, relay, token, device_name } = settings.clone();
        Self { workspace: workspace.as_str().to_owned(), relay, token, device_name }
    }
}

impl SettingsRow {
    pub(super) fn settings(self) -> Result<Settings, StoreError> {
        let Self { workspace, relay, token, device_name } = self;
        Ok(Settings { workspace: WorkspaceId::new(&workspace)?, relay, token, device_name })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct IdentityRow {
    pub(super) marker: String,
    pub(super) device: [u8; 16],
    pub(super) actor: [u8; 16],
    /// The device name that the other devices can read of this actor.
    pub(super) announced: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub(super) struct StateRow {
    pub(super) cursor: Option<([u8; 16], u64)>,
    pub(super) last_sync_ms: Option<i64>,
    pub(super) outbox_next: u64,
    /// Transactions in the outbox.
    pub(super) queued: u64,
    /// User edits in the outbox.
    pub(super) pending: u64,
    pub(super) quarantine_next: u64,
    pub(super) quarantined: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct ReachRow(pub(super) Reach);

#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub(super) struct CollectionRow {
    pub(super) live: u64,
    pub(super) deleted: u64,
    pub(super) digest: [u8; 32],
    /// By what the stored views were made.
    pub(super) views: Print,
}

/// Stands behind the stored view in a record's row.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub(super) struct DocumentRow {
    pub(super) lineage: Lineage,
    pub(super) snapshot: Vec<u8>,
    /// The snapshot has a row of its own.
    pub(super) apart: bool,
    /// Changes since the snapshot.
    pub(super) tail: Vec<Vec<u8>>,
    /// Empty where the record has more than registers hold.
    pub(super) registers: StoredRegisters,
    /// A field has several concurrent values, merge rules aside; then the record has a row of its own under `xc`.
    pub(super) conflicting: bool,
}

/// One change with the names of what it follows.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct SentChange {
    pub(super) collection: String,
    pub(super) key: String,
    pub(super) bytes: Vec<u8>,
    pub(super) deps: Vec<(Vec<u8>, u64)>,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct OutboxRow {
    pub(super) edits: u64,
    /// No new edit, but what the relay has lost.
    pub(super) offered: bool,
    pub(super) changes: Vec<SentChange>,
}

/// The records of one transaction: collection, key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub(super) struct TransactionRow {
    pub(super) records: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct QuarantineRow {
    pub(super) reason: Refusal,
    /// Made on this device and refused by the relay, or else the other way round.
    pub(super) own: bool,
    /// The change's chunk; empty where it could not be rebuilt.
    pub(super) bytes: Vec<u8>,
    pub(super) at_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub(super) struct SeriesRow {
    /// Whose series: under another actor it begins anew.
    pub(super) actor: Vec<u8>,
    /// The claim was made, or was seen to be in vain.
    pub(super) claimed: bool,
    /// The claim stood alone when the device was up to date.
    pub(super) held: bool,
    /// Numbers given under the name itself.
    pub(super) given_held: u64,
    /// Numbers given under the name and the actor's tag.
    pub(super) given_tagged: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) enum IndexState {
    /// Every record through this key is in it, and every one that was written since.
    Building {
        through: Option<String>,
    },
    Complete,
    /// No schema has it any more; its rows go.
    Dropping,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct IndexRow {
    pub(super) collection: String,
    pub(super) fields: Vec<String>,
    pub(super) words: bool,
    pub(super) state: IndexState,
}

macro_rules! versioned {
    ($($row:ident = $what:literal),* $(,)?) => {
        $(impl Versioned for $row {
            const WHAT: &'static str = $what;
            const VERSION: u8 = 1;
        })*
    };
}

versioned! {
    SettingsRow = "the store's settings",
    IdentityRow = "the store's identity",
    StateRow = "the store's state",
    ReachRow = "the token's reach",
    CollectionRow = "a collection's row",
    DocumentRow = "a record's document",
    OutboxRow = "an outbox entry",
    TransactionRow = "a transaction's row",
    SeriesRow = "a number series",
    QuarantineRow = "a quarantined change",
    IndexRow = "an index",
}
