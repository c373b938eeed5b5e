//! The change feed of a workspace: which records each entry of its log touched, with their fields as they are now. Nothing
//! in between is left out; what is read again after a cut comes again. Must not know how it is sent.

mod place;

use crate::auth::{Access, Grant, TokenFault};
use crate::log::LogError;
use crate::room::{EnterError, Room, Seat};
use crate::service::{Service, ServiceError, Services};
use comptoir_engine::id::{Collection, LogSeq, RecordId, WorkspaceId};
use comptoir_engine::record::json;
use comptoir_engine::wire::batch::Batch;
use comptoir_engine::{Engine, StoreError, View};
pub use place::FeedPlace;
use serde::Serialize;
use serde_json::Value as JsonValue;
use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;

/// Bytes of the log read at once.
const ENTRIES_BYTES: usize = 1 << 20;
const ENTER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a feed tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Of another log.
    #[error("the place is of another history of this workspace, from before its log was made anew")]
    Epoch,
    /// Nobody may enter the workspace now.
    #[error("the relay is stopping or starting, or the workspace has all its sessions")]
    Unavailable,
    /// The reader's token opens nothing any more.
    #[error(transparent)]
    Token(#[from] TokenFault),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The records cannot be read.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<EnterError> for FeedError {
    fn from(error: EnterError) -> Self {
        match error {
            EnterError::Log(error) => Self::Log(error),
            EnterError::Full { .. } => Self::Unavailable,
        }
    }
}

/// A record that changed.
#[derive(Serialize, ToSchema)]
pub struct FeedChange {
    /// Where to go on behind this change.
    pub cursor: String,
    /// Its collection.
    pub collection: String,
    /// Its key.
    pub key: String,
    /// Whether it is deleted.
    deleted: bool,
    /// Its fields as they are now.
    #[schema(value_type = Object)]
    fields: JsonValue,
}

/// The most of one page.
#[derive(Debug, Clone, Copy)]
pub struct PageMax {
    /// Changes in it.
    pub changes: usize,
    /// It ends when its records' fields hold so many bytes as JSON.
    pub bytes: usize,
}

/// A feed being read.
pub struct Feed {
    grant: Grant,
    services: Arc<Services>,
    seat: Seat,
    place: FeedPlace,
    /// Of these alone; of all that are not the system's where there are none.
    collections: Vec<Collection>,
}

/// The record names of one entry that the reader may see, each with the place behind it.
type Touched = Vec<(FeedPlace, RecordId)>;

/// A place in the workspace's room, once it is there.
pub async fn seated(entering: impl Future<Output = Result<Seat, EnterError>>) -> Result<Seat, FeedError> {
    Ok(timeout(ENTER_TIMEOUT, entering).await.map_err(|_| FeedError::Unavailable)??)
}

impl Feed {
    /// Begins behind a place; at the first change without one. The seat is in the grant's workspace. Errors: `Epoch`.
    pub fn open(
        services: &Arc<Services>,
        grant: Grant,
        seat: Seat,
        after: Option<FeedPlace>,
        collections: Vec<Collection>,
    ) -> Result<Self, FeedError> {
        let epoch = seat.room().epoch();
        let place = after.unwrap_or_else(|| FeedPlace::first(epoch));
        if place.epoch != epoch || place.after > seat.room().durable().tail {
            return Err(FeedError::Epoch);
        }
        Ok(Self { grant, services: services.clone(), seat, place, collections })
    }

    /// Where the next page begins.
    pub fn place(&self) -> FeedPlace {
        self.place
    }

    /// The room it is read in.
    pub fn room(&self) -> &Arc<Room> {
        self.seat.room()
    }

    /// Whether entries came behind its place. They may hold nothing that it tells.
    pub fn has_more(&self) -> bool {
        self.place.after < self.seat.room().head().tail
    }

    /// Returns when there may be more. An error means that this log's feed has ended.
    pub async fn changed(&mut self) -> Result<(), FeedError> {
        if self.seat.room().is_lost() {
            return Err(FeedError::Unavailable);
        }
        if !self.has_more() {
            self.seat.changed().await;
        }
        Ok(())
    }

    /// At most so much; empty when nothing more has happened. `service` is of the same workspace.
    pub async fn page(&mut self, service: &Service, page_max: PageMax) -> Result<Vec<FeedChange>, FeedError> {
        // Who waited may have lost the right to what came.
        self.services.auth().check_again(&self.grant)?;
        loop {
            let tail = self.seat.room().head().tail;
            if self.place.after >= tail {
                return Ok(Vec::new());
            }
            let (touched, end) = self.touched(tail, page_max.changes).await?;
            if touched.is_empty() {
                self.place = end;
                continue;
            }
            let wanted: Vec<RecordId> = touched.iter().map(|(_, record)| record.clone()).collect();
            let views = service.look(move |engine| read(engine, &wanted, page_max.bytes)).await?;
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
    async fn touched(&self, tail: LogSeq, changes_max: usize) -> Result<(Touched, FeedPlace), FeedError> {
        let log = self.services.hub().log();
        let (grant, mut place) = (&self.grant, self.place);
        let mut touched = Vec::new();
        let entries = log.entries(grant, place.after, tail, ENTRIES_BYTES).await?;
        if entries.is_empty() {
            return Ok((touched, FeedPlace::behind(place.epoch, tail)));
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
            place = FeedPlace::behind(place.epoch, entry.seq);
            // Behind the last record of an entry is behind the entry.
            if let Some((last, _)) = touched.last_mut().filter(|(last, _)| last.within == entry.seq) {
                *last = place;
            }
        }
        Ok((touched, place))
    }

    fn shows(&self, record: &RecordId) -> bool {
        let wanted = match self.collections.is_empty() {
            true => !record.collection.is_reserved(),
            false => self.collections.contains(&record.collection),
        };
        wanted && self.grant.access(&record.collection) >= Access::Read
    }
}

/// The records of an entry, each once, in its order.
fn names(batch: &[u8], workspace: &WorkspaceId) -> Result<Vec<RecordId>, LogError> {
    let unpacked = Batch::decode(batch).map_err(LogError::from)?;
    // The names alone are wanted: which changes they follow is not asked.
    let unpacked = unpacked.unpack(workspace, |_, _, _| None).map_err(LogError::from)?;
    let mut seen = HashSet::new();
    let records = unpacked.changes.into_iter().map(|(record, _)| record);
    Ok(records.filter(|record| seen.insert(record.clone())).collect())
}

/// The records as they are now, at least one, until they are many bytes.
fn read(engine: &Engine, wanted: &[RecordId], bytes_max: usize) -> Result<Vec<View>, StoreError> {
    let (mut views, mut bytes) = (Vec::new(), 0);
    for record in wanted {
        if bytes > bytes_max {
            break;
        }
        let view = engine.get(record)?.unwrap_or_default();
        bytes += json::object(&view.fields).to_string().len();
        views.push(view);
    }
    Ok(views)
}
