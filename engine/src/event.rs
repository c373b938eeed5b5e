//! What the engine tells its owner. Must not know how it is delivered.

use crate::digest::Digest;
use crate::id::RecordId;
use crate::time::Timestamp;

/// Something that happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A record changed, here or elsewhere.
    Changed(RecordId),
    /// More changed than could be listed: read again what is shown.
    Refresh,
    /// The status may differ.
    Status,
    /// Close the connection; the reason is in the status.
    Disconnect,
}

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The outbox is empty, the cursor is at the tail, and relay and device have equal digests, as of now.
    UpToDate,
    /// Edits wait, and this session will not send them.
    Pending,
    /// Connecting, sending or receiving.
    Syncing,
    /// The relay is not connected.
    Offline,
    /// Something needs attention: see the error.
    Error,
}

/// The engine's status at one moment. Never claims more than is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// In one word.
    pub state: State,
    /// When the store was last known to be up to date.
    pub last_sync: Option<Timestamp>,
    /// Whether a session is at work.
    pub in_progress: bool,
    /// What is wrong, or was at the last attempt.
    pub error: Option<String>,
    /// Records that are not deleted.
    pub total_records: u64,
    /// Edits the relay has not acknowledged.
    pub pending: u64,
    /// Changes set aside.
    pub quarantined: u64,
    /// The digest of all records.
    pub digest: Digest,
}
