//! The change feed of a workspace: which records each entry of its log touched, with their fields as they are now. Nothing
//! in between is left out; what is read again after a cut comes again. Must not know how it is sent.

use super::RestError;
use super::caller::Caller;
use super::cursor::FeedPlace;
use crate::auth::Access;
use crate::room::Seat;
use crate::service::Service;
use comptoir_engine::id::{Collection, LogSeq, RecordId, WorkspaceId};
use comptoir_engine::record::json;
use comptoir_engine::wire::batch::Batch;
use comptoir_engine::{Engine, StoreError, View};
use serde::Serialize;
use serde_json::Value as JsonValue;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;

/// Bytes of the log read at once.
const ENTRIES_BYTES: usize = 1 << 20;
/// A page ends when its records' fields hold so many bytes as JSON.
const PAGE_BYTES: usize = 4 << 20;
const ENTER_TIMEOUT: Duration = Duration::from_secs(5);

/// A record that changed.
#[derive(Serialize, ToSchema)]
pub(super) struct FeedChange {
    /// Where to go on behind this change.
    pub(super) cursor: String,
    collection: String,
    key: String,
    /// Whether it is deleted.
    deleted: bool,
    /// Its fields as they are now.
    #[schema(value_type = Object)]
    fields: JsonValue,
}

/// A feed being read.
pub(super) struct Feed {
    pub(super) caller: Caller,
    service: Arc<Service>,
    seat: Seat,
    place: FeedPlace,
    collection: Option<Collection>,
}

/// The record names of one entry that the reader may see, each with the place behind it.
type Touched = Vec<(FeedPlace, RecordId)>;

impl Feed {
    /// Begins behind a cursor; at the first change without one. Errors: `FeedCursor`, `FeedEpoch`.
    pub(super) async fn open(
        caller: Caller,
        after: Option<&str>,
        collection: Option<Collection>,
    ) -> Result<Self, RestError> {
        let seat = timeout(ENTER_TIMEOUT, caller.services.hub().enter(&caller.grant)).await;
        let seat = seat.map_err(|_| RestError::Unavailable)??;
        let epoch = seat.room().epoch();
        let place = match after {
            Some(text) => FeedPlace::parse(text).ok_or(RestError::FeedCursor)?,
            None => FeedPlace::first(epoch),
        };
        if place.epoch != epoch || place.after > seat.room().durable().tail {
            return Err(RestError::FeedEpoch);
        }
        let service = caller.service()?;
        Ok(Self { caller, service, seat, place, collection })
    }

    /// Where the next page begins.
    pub(super) fn cursor(&self) -> String {
        self.place.text()
    }

    /// Returns when there may be more. An error means that this log's feed has ended.
    pub(super) async fn changed(&mut self) -> Result<(), RestError> {
        if self.seat.room().is_lost() {
            return Err(RestError::Unavailable);
        }
        if self.seat.room().head().tail <= self.place.after {
            self.seat.changed().await;
        }
        Ok(())
    }

    /// At most `changes_max` changes; empty when nothing more has happened.
    pub(super) async fn page(&mut self, changes_max: usize) -> Result<Vec<FeedChange>, RestError> {
        // Who waited may have lost the right to what came.
        self.caller.check_again()?;
        loop {
            let tail = self.seat.room().head().tail;
            if self.place.after >= tail {
                return Ok(Vec::new());
            }
            let (touched, end) = self.touched(tail, changes_max).await?;
            if touched.is_empty() {
                self.place = end;
                continue;
            }
            let wanted: Vec<RecordId> = touched.iter().map(|(_, record)| record.clone()).collect();
            let views = self.service.look(move |engine| read(engine, &wanted)).await?;
            let whole = views.len() == touched.len();
            let change = |((place, record), view): ((FeedPlace, RecordId), View)| FeedChange {
                cursor: place.text(),
                collection: record.collection.to_string(),
                key: record.key.to_string(),
                deleted: view.deleted,
                fields: json::object(&view.fields),
            };
            self.place = match touched.get(views.len().saturating_sub(1)) {
                Some((place, _)) if !whole => *place,
                _ => end,
            };
            return Ok(touched.into_iter().zip(views).map(change).collect());
        }
    }

    /// The records that the entries behind the place touched, and the place behind them.
    async fn touched(&self, tail: LogSeq, changes_max: usize) -> Result<(Touched, FeedPlace), RestError> {
        let log = self.caller.services.hub().log();
        let (grant, mut place) = (&self.caller.grant, self.place);
        let mut touched = Vec::new();
        let entries = log.entries(grant, place.after, tail, ENTRIES_BYTES).await?;
        if entries.is_empty() {
            return Ok((touched, FeedPlace { after: tail, within: LogSeq(0), told: 0, ..place }));
        }
        for entry in entries {
            let told = if entry.seq == place.within { place.told } else { 0 };
            let (workspace, of) = (grant.workspace().clone(), entry.clone());
            let records = log.job(move || names(&of.batch, &workspace)).await??;
            for (index, record) in (1u32..).zip(records) {
                if index <= told || !self.shows(&record) {
                    continue;
                }
                if touched.len() >= changes_max {
                    return Ok((touched, place));
                }
                place = FeedPlace { within: entry.seq, told: index, ..place };
                touched.push((place, record));
            }
            place = FeedPlace { after: entry.seq, within: LogSeq(0), told: 0, ..place };
            // Behind the last record of an entry is behind the entry.
            if let Some((last, _)) = touched.last_mut().filter(|(last, _)| last.within == entry.seq) {
                *last = place;
            }
        }
        Ok((touched, place))
    }

    fn shows(&self, record: &RecordId) -> bool {
        let wanted = match &self.collection {
            Some(collection) => record.collection == *collection,
            None => !record.collection.is_reserved(),
        };
        wanted && self.caller.grant.access(&record.collection) >= Access::Read
    }
}

/// The records of an entry, each once, in its order.
fn names(batch: &[u8], workspace: &WorkspaceId) -> Result<Vec<RecordId>, RestError> {
    let damaged = |fault| RestError::Log(crate::log::LogError::from(fault));
    let unpacked = Batch::decode(batch).map_err(damaged)?;
    // The names alone are wanted: which changes they follow is not asked.
    let unpacked = unpacked.unpack(workspace, |_, _, _| None).map_err(damaged)?;
    let mut seen = HashSet::new();
    let records = unpacked.changes.into_iter().map(|(record, _)| record);
    Ok(records.filter(|record| seen.insert(record.clone())).collect())
}

/// The records as they are now, at least one, until they are many bytes.
fn read(engine: &Engine, wanted: &[RecordId]) -> Result<Vec<View>, StoreError> {
    let (mut views, mut bytes) = (Vec::new(), 0);
    for record in wanted {
        if bytes > PAGE_BYTES {
            break;
        }
        let view = engine.get(record)?.unwrap_or_default();
        bytes += json::object(&view.fields).to_string().len();
        views.push(view);
    }
    Ok(views)
}
