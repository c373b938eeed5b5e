//! The device's core of Comptoir: records, the durable store and the sync session. It knows no network, no clock and no
//! randomness of its own: time and random numbers are handed in. The relay uses its lower layers: names, changes,
//! the admission gate, the wire and the disk.
//!
//! Layers, each using only those before it: `id time digest` · `codec change disk` · `gate archive` · `wire record` · `query` ·
//! `store session event` · `live` · `engine`.

#![deny(clippy::unwrap_used, clippy::expect_used)]

/// Whether a bug is planted here, for a simulation to find; without the feature that is never.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($($bug:ident),+) => {
        matches!(crate::planted::planted(), Some($(crate::planted::Bug::$bug)|+))
    };
}
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($($bug:ident),+) => {
        false
    };
}

pub mod archive;
pub mod change;
pub mod codec;
pub mod digest;
pub mod disk;
pub mod engine;
pub mod event;
pub mod gate;
pub mod id;
pub mod live;
#[cfg(feature = "planted")]
pub mod planted;
pub mod query;
pub mod record;
pub mod session;
pub mod store;
pub mod time;
pub mod wire;

pub use engine::Engine;
pub use event::{Event, State, Status};
pub use id::{ChangeHash, Collection, DeviceId, Key, Label, RecordId, SeriesName, TransactionId, WorkspaceId};
pub use query::{PageCursor, Query, QueryError, Tallied, Tally};
pub use record::document::HistoryPage;
pub use record::{Difference, EditError, FieldEdit, Fields, Schema, SchemaError, Value, View};
pub use session::Mode;
pub use store::{
    Author, Committed, Conflict, Explanation, History, Page, Quarantined, Rival, Series, SeriesAudit, Settings,
    StoreError, Undone, Version,
};
pub use time::{Now, Timestamp};
