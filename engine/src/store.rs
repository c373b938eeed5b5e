//! The device's durable state: every record, the outbox, the cursor, the quarantine. Each public method that changes
//! something is one atomic, flushed commit. Must not know the session, sockets or clocks.

mod backup;
mod check;
mod devices;
mod draft;
mod history;
mod indexes;
mod keys;
mod local;
mod outbox;
mod place;
mod quarantine;
mod query;
mod read;
mod reauthor;
mod rebuild;
mod release;
mod remote;
mod rows;
mod schemas;
mod series;
mod transactions;

use crate::archive::ArchiveError;
use crate::codec::{self, CodecError, Versioned};
use crate::digest::Digest;
use crate::disk::{Disk, DiskError, txn, txn::Txn};
use crate::id::{ActorId, Collection, DeviceId, NameError, RecordId, TransactionId, WorkspaceId};
use crate::query::QueryError;
use crate::record::{DocumentFault, EditError, Schema, SchemaError, Shape};
use crate::time::Timestamp;
use crate::wire::BatchFault;
use indexes::Indexes;
use rows::{CollectionRow, IdentityRow, SettingsRow, StateRow};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use backup::restore;
pub use check::Checked;
pub use devices::{Author, DEVICES};
pub use history::{CONFLICTS_MAX, Conflict, History, Rival, Undone, Version};
pub use local::{Committed, TRANSACTION_BYTES_MAX};
pub use outbox::Outgoing;
pub use quarantine::Quarantined;
pub use query::{Explanation, PAGE_BYTES_MAX, Page, Sorted};
pub use remote::Applied;
pub use series::{SERIES, SERIES_MAX, Series, SeriesAudit};

/// What a store is told when it is made. All but the workspace may change later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whose records.
    pub workspace: WorkspaceId,
    /// The relay's address, `ws://host:port`; empty for a store that never syncs.
    pub relay: String,
    /// The token for it; empty for none.
    pub token: String,
    /// What people call this device.
    pub device_name: String,
}

/// A change of this store's own under whose author and number the relay holds another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// Whose change.
    pub record: RecordId,
    /// The author both claim.
    pub actor: ActorId,
    /// The number both claim.
    pub seq: u64,
}

/// Why a store could not do what was asked. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no store yet.
    #[error("there is no store here yet: make one with `comptoir init`")]
    NotInitialised,
    /// There is one already, for another workspace.
    #[error("this store belongs to the workspace \"{found}\": use another folder for \"{wanted}\"")]
    OtherWorkspace {
        /// The store's.
        found: WorkspaceId,
        /// What was asked for.
        wanted: WorkspaceId,
    },
    /// An edit was refused; of a transaction, nothing was done.
    #[error("{record}: {error}")]
    Edit {
        /// Whose edit.
        record: RecordId,
        /// Why.
        error: EditError,
    },
    /// A schema was refused.
    #[error("the schema of {collection} is refused: {error}")]
    Schema {
        /// Whose schema.
        collection: Collection,
        /// Why.
        error: SchemaError,
    },
    /// A record of one of Comptoir's own collections, which apps do not edit.
    #[error("{record} is Comptoir's own: take a collection whose name does not begin with _")]
    Reserved {
        /// Which record.
        record: RecordId,
    },
    /// A transaction that is too large for one push.
    #[error("the transaction is over the limit of {limit_max} {limit}: split it")]
    TooLarge {
        /// Which limit, with its unit.
        limit: &'static str,
        /// The limit.
        limit_max: usize,
    },
    /// A row is not what was written.
    #[error("the store is damaged: {what}; keep the folder, and rebuild from the relay into a new one")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// A backup cannot be written, or is not one.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The relay sent a batch that cannot be read.
    #[error("the relay sent something unreadable: {0}")]
    Batch(#[from] BatchFault),
    /// A batch's changes do not come out as their author made them: this history differs from the relay's.
    #[error("the relay's history differs from this device's: both are being compared")]
    Unclear,
    /// The relay holds another change under a name this store has used: the store was rolled back or copied.
    #[error("{} has two different changes under one author and number: this store was rolled back or copied", .0.record)]
    Forked(Fork),
    /// Nothing of the record is set aside.
    #[error("{record}: none of its changes is set aside")]
    NotQuarantined {
        /// Which record.
        record: RecordId,
    },
    /// A change set aside is part of the relay's history.
    #[error("{record}: the change set aside is on the relay, so this device cannot give it up: upgrade, then retry it")]
    OnRelay {
        /// Which record.
        record: RecordId,
    },
    /// A name breaks its rules.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No record here has a change of this transaction.
    #[error("there is no transaction {id} on this device: see the history of one of its records")]
    NoTransaction {
        /// As given.
        id: TransactionId,
    },
    /// A change's name that fits none or more than one.
    #[error("{record} has no change, or several, whose hash begins with \"{digits}\": see its history")]
    NoChange {
        /// Whose change.
        record: RecordId,
        /// As given.
        digits: String,
    },
    /// A query that cannot be answered.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Version { found, known, .. } if found > known => {
                Self::Disk(DiskError::NewerFormat { found, known })
            }
            other => Self::Damaged { what: other.to_string() },
        }
    }
}

impl From<DocumentFault> for StoreError {
    fn from(fault: DocumentFault) -> Self {
        Self::Damaged { what: fault.to_string() }
    }
}

/// An open store. One process and one thread at a time.
pub struct Store {
    disk: Box<dyn Disk>,
    settings: Settings,
    device: DeviceId,
    actor: ActorId,
    /// The device name that the other devices can read of the actor.
    announced: Option<String>,
    state: StateRow,
    collections: BTreeMap<Collection, CollectionRow>,
    /// Those of the collections that have one.
    schemas: BTreeMap<Collection, Arc<Schema>>,
    /// The same, as documents use them.
    shapes: BTreeMap<Collection, Shape>,
    rebuilt: bool,
    indexes: Indexes,
}

impl Store {
    /// Makes a store in an empty disk, or opens and configures the one that is there. `identity` is the disk's marker, so
    /// that a copy is noticed. Errors: `OtherWorkspace` when the store that is there belongs to another.
    pub fn create(
        disk: Box<dyn Disk>,
        identity: &str,
        settings: Settings,
        rng: &mut dyn rand::Rng,
    ) -> Result<Self, StoreError> {
        if txn::read(&*disk, &keys::settings())?.is_some() {
            let mut store = Self::open(disk, identity, rng)?;
            store.configure(settings)?;
            return Ok(store);
        }
        let mut tx = Txn::new(&*disk);
        put_row(&mut tx, keys::settings(), &SettingsRow::from(&settings))?;
        put_row(&mut tx, keys::identity(), &draw_identity(identity, rng))?;
        put_row(&mut tx, keys::state(), &StateRow { outbox_next: outbox::FIRST_NUMBER, ..StateRow::default() })?;
        tx.commit()?;
        disk.flush()?;
        Self::open(disk, identity, rng)
    }

    /// Opens what [`Store::create`] made. When `identity` is not the one it was made or last opened with, the store is a
    /// copy or was restored: it goes on under a fresh device id and actor, so that no actor ever has two contents.
    pub fn open(disk: Box<dyn Disk>, identity: &str, rng: &mut dyn rand::Rng) -> Result<Self, StoreError> {
        let settings = read_row::<SettingsRow>(&*disk, &keys::settings())?.ok_or(StoreError::NotInitialised)?;
        let mut known = read_row::<IdentityRow>(&*disk, &keys::identity())?.ok_or_else(|| missing("its identity"))?;
        if known.marker != identity && !planted!(ActorReused) {
            known = draw_identity(identity, rng);
            let mut tx = Txn::new(&*disk);
            put_row(&mut tx, keys::identity(), &known)?;
            tx.commit()?;
            disk.flush()?;
        }
        let state = read_row(&*disk, &keys::state())?.ok_or_else(|| missing("its state"))?;
        let mut collections = BTreeMap::new();
        let (from, until) = keys::collections();
        for (key, bytes) in txn::scan(&*disk, &from, &until, usize::MAX)? {
            collections.insert(keys::collection_of(&key)?, codec::decode(&bytes)?);
        }
        let (settings, device, actor) = (settings.settings()?, DeviceId(known.device), ActorId::ordinary(known.actor));
        let announced = known.announced;
        let mut store = Self {
            disk,
            settings,
            device,
            actor,
            announced,
            state,
            collections,
            schemas: BTreeMap::new(),
            shapes: BTreeMap::new(),
            indexes: Indexes::new(),
            rebuilt: false,
        };
        store.read_schemas()?;
        store.read_indexes()?;
        store.rebuild_stale()?;
        store.settle_indexes()?;
        Ok(store)
    }

    /// Changes relay, token or device name.
    pub fn configure(&mut self, settings: Settings) -> Result<(), StoreError> {
        if settings.workspace != self.settings.workspace {
            let (found, wanted) = (self.settings.workspace.clone(), settings.workspace);
            return Err(StoreError::OtherWorkspace { found, wanted });
        }
        let mut tx = Txn::new(&*self.disk);
        put_row(&mut tx, keys::settings(), &SettingsRow::from(&settings))?;
        self.finish(tx)?;
        self.settings = settings;
        Ok(())
    }

    /// What the store was told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// This installation.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The digest of all records, those not yet on the relay included.
    pub fn digest(&self) -> Digest {
        self.digest_of(|_| true)
    }

    /// The same of some collections' records.
    pub fn digest_of(&self, counts: impl Fn(&Collection) -> bool) -> Digest {
        let counted = self.collections.iter().filter(|(name, _)| counts(name));
        counted.fold(Digest::default(), |sum, (_, row)| sum.plus(Digest(row.digest)))
    }

    /// Records that are not deleted, Comptoir's own left out.
    pub fn records(&self) -> u64 {
        let own = |(name, row): (&Collection, &CollectionRow)| if name.is_reserved() { 0 } else { row.live };
        self.collections.iter().map(own).sum()
    }

    /// Edits the relay has not acknowledged: one for each record of each transaction, what Comptoir itself adds to one
    /// left out.
    pub fn pending(&self) -> u64 {
        self.state.pending
    }

    /// Whether the relay has acknowledged everything.
    pub fn is_outbox_empty(&self) -> bool {
        self.state.queued == 0
    }

    /// Changes set aside.
    pub fn quarantined(&self) -> u64 {
        self.state.quarantined
    }

    /// When the store was last known to be up to date.
    pub fn last_sync(&self) -> Option<Timestamp> {
        self.state.last_sync_ms.map(|unix_ms| Timestamp { unix_ms })
    }

    /// Notes that the store is up to date. Becomes durable with the next commit.
    pub fn note_sync(&mut self, at: Timestamp) -> Result<(), StoreError> {
        let state = StateRow { last_sync_ms: Some(at.unix_ms), ..self.state.clone() };
        let mut tx = Txn::new(&*self.disk);
        put_row(&mut tx, keys::state(), &state)?;
        tx.commit()?;
        self.state = state;
        Ok(())
    }

    fn finish(&self, tx: Txn<'_>) -> Result<(), StoreError> {
        if tx.is_empty() {
            return Ok(());
        }
        tx.commit()?;
        if !planted!(SavedBeforeFlush) {
            self.disk.flush()?;
        }
        Ok(())
    }
}

fn missing(what: &str) -> StoreError {
    StoreError::Damaged { what: format!("{what} is missing") }
}

fn draw_identity(marker: &str, rng: &mut dyn rand::Rng) -> IdentityRow {
    let mut row = IdentityRow { marker: marker.to_owned(), device: [0; 16], actor: [0; 16], announced: None };
    rng.fill_bytes(&mut row.device);
    rng.fill_bytes(&mut row.actor);
    row
}

fn read_row<T: Versioned>(disk: &dyn Disk, key: &[u8]) -> Result<Option<T>, StoreError> {
    Ok(txn::read(disk, key)?.map(|bytes| codec::decode(&bytes)).transpose()?)
}

fn put_row<T: Versioned>(tx: &mut Txn<'_>, key: Vec<u8>, row: &T) -> Result<(), StoreError> {
    tx.put(key, &codec::encode(row)?);
    Ok(())
}
