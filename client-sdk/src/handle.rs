//! The SDK's public face: a cloneable handle to the thread that owns the store. Must not know sockets.

mod backup;
mod history;
mod live;
mod migrate;
mod numbers;
mod pair;
mod quarantine;
mod queries;
mod records;
mod trust;

use crate::error::Error;
use crate::machine::{Computer, Machine};
use crate::worker::{Command, Notice, Reply, Status, Telling, Use, Worker};
use comptoir_engine::disk::StoreKind;
use comptoir_engine::{
    Collection, Committed, Engine, FieldEdit, Fields, Key, Mode, Now, RecordId, Schema, Settings, StoreError, View,
};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

pub use live::LiveQuery;
pub use pair::Pairing;
pub use records::RecordPage;

/// Commands that may wait for the thread.
const COMMANDS_MAX: usize = 64;
/// Notices kept for a slow watcher; then it gets one `Refresh`.
const NOTICES_MAX: usize = 4096;

/// A stream of notices. Dropping it ends it.
pub struct Watch {
    notices: broadcast::Receiver<Notice>,
    collection: Option<Collection>,
    /// Comptoir's own collections too.
    own: bool,
}

impl Watch {
    /// The next notice; `None` when the store is shut down.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            match self.notices.recv().await {
                Ok(notice) if !self.concerns(&notice) => {}
                Ok(notice) => return Some(notice),
                Err(broadcast::error::RecvError::Lagged(_)) => return Some(Notice::Refresh),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// The next notice if there is one already.
    pub fn now(&mut self) -> Option<Notice> {
        loop {
            match self.notices.try_recv() {
                Ok(notice) if !self.concerns(&notice) => {}
                Ok(notice) => return Some(notice),
                Err(broadcast::error::TryRecvError::Lagged(_)) => return Some(Notice::Refresh),
                Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => return None,
            }
        }
    }

    fn concerns(&self, notice: &Notice) -> bool {
        match (notice, &self.collection) {
            (Notice::Refresh, _) => true,
            (Notice::Changed(record), Some(collection)) => record.collection == *collection,
            (Notice::Changed(record), None) => self.own || !record.collection.is_reserved(),
        }
    }
}

/// A store on this device. Clones share it; it is shut down by [`Comptoir::shut_down`] or when the last clone goes.
#[derive(Clone)]
pub struct Comptoir {
    commands: mpsc::Sender<Command>,
    telling: Telling,
}

impl Comptoir {
    /// Makes a store in an empty or new folder, or opens the one there with new settings.
    pub async fn init(dir: &Path, settings: Settings) -> Result<Self, Error> {
        Self::start(Computer { dir: dir.to_owned(), kind: None }, Some(settings)).await
    }

    /// As [`Comptoir::init`], with the kind of store it is kept in; an error where the folder holds one of another kind.
    pub async fn init_on(dir: &Path, kind: StoreKind, settings: Settings) -> Result<Self, Error> {
        Self::start(Computer { dir: dir.to_owned(), kind: Some(kind) }, Some(settings)).await
    }

    /// Opens the store in a folder. One process at a time.
    pub async fn open(dir: &Path) -> Result<Self, Error> {
        Self::start(Computer { dir: dir.to_owned(), kind: None }, None).await
    }

    /// As [`Comptoir::init`] with settings and as [`Comptoir::open`] without, on any machine, and without a thread: nothing
    /// happens but while the loop that comes with the handle is polled. It ends when the store is shut down.
    pub fn on(machine: impl Machine, make: Option<Settings>) -> Result<(Self, impl Future<Output = ()>), Error> {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let telling = Telling { notices: broadcast::channel(NOTICES_MAX).0, status: watch::channel(None).0 };
        let worker = Worker::open(Box::new(machine), make, telling.clone())?;
        Ok((Self { commands, telling }, worker.run(inbox)))
    }

    /// Runs the loop in a thread with a runtime of its own, so that an app needs none.
    async fn start(machine: Computer, make: Option<Settings>) -> Result<Self, Error> {
        let (opened, answer) = oneshot::channel();
        let thread = std::thread::Builder::new().name("comptoir".to_owned());
        let spawned = thread.spawn(move || {
            let on = Self::on(machine, make);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime =
                runtime.map_err(|cause| Error::File { path: PathBuf::from("runtime"), cause: cause.to_string() });
            match on.and_then(|on| Ok((on, runtime?))) {
                Ok(((shop, work), runtime)) => {
                    // Whoever opened the store may have gone: then there are no handles, and the loop ends at once.
                    drop(opened.send(Ok(shop)));
                    runtime.block_on(work);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        });
        spawned.map_err(|cause| Error::File { path: PathBuf::from("thread"), cause: cause.to_string() })?;
        answer.await.map_err(|_| Error::ShutDown)?
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Error::ShutDown)?;
        answer.await.map_err(|_| Error::ShutDown)?
    }

    /// Has the thread do something with the engine. What was done stays done even if nobody waits for the answer.
    async fn with<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Engine, Now) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let using = |reply: Reply<T>| -> Use {
            Box::new(|worker| {
                let done = worker.with(run);
                // Who looks after the answer sees what it did.
                worker.tell();
                drop(reply.send(done));
            })
        };
        self.ask(|reply| Command::Use(using(reply))).await
    }

    /// Sets the given fields and leaves the rest; makes the record if there is none. Durable when it returns.
    pub async fn put(&self, collection: &str, key: &str, fields: Fields) -> Result<Committed, Error> {
        self.edit(collection, key, FieldEdit::Set(fields)).await
    }

    /// Adds to a counter; concurrent increments all count. Durable when it returns.
    pub async fn increment(&self, collection: &str, key: &str, field: &str, by: i64) -> Result<Committed, Error> {
        self.edit(collection, key, FieldEdit::Increment { field: field.to_owned(), by }).await
    }

    /// Removes a field. Durable when it returns.
    pub async fn unset(&self, collection: &str, key: &str, field: &str) -> Result<Committed, Error> {
        self.edit(collection, key, FieldEdit::Unset { field: field.to_owned() }).await
    }

    /// Marks a record deleted. Durable when it returns.
    pub async fn delete(&self, collection: &str, key: &str) -> Result<Committed, Error> {
        self.edit(collection, key, FieldEdit::Delete).await
    }

    /// Takes the mark of [`Comptoir::delete`] away. Durable when it returns.
    pub async fn restore(&self, collection: &str, key: &str) -> Result<Committed, Error> {
        self.edit(collection, key, FieldEdit::Restore).await
    }

    async fn edit(&self, collection: &str, key: &str, edit: FieldEdit) -> Result<Committed, Error> {
        self.commit(vec![(RecordId::new(collection, key)?, edit)]).await
    }

    /// Does all of the edits or none, as one transaction. Durable when it returns.
    pub async fn commit(&self, edits: Vec<(RecordId, FieldEdit)>) -> Result<Committed, Error> {
        self.with(move |engine, now| engine.commit(&edits, now)).await
    }

    /// Sets a collection's schema, given as the fields of its record (see `docs/schemas.md`), for every device; setting the
    /// same again changes nothing. Durable when it returns.
    pub async fn set_schema(&self, collection: &str, schema: Fields) -> Result<Committed, Error> {
        let collection = Collection::new(collection)?;
        self.with(move |engine, now| engine.set_schema(&collection, &schema, now)).await
    }

    /// A collection's schema; the default one, which allows everything, where none was set.
    pub async fn schema(&self, collection: &str) -> Result<Arc<Schema>, Error> {
        let collection = Collection::new(collection)?;
        self.with(move |engine, _| Ok(engine.schema(&collection))).await
    }

    /// A record, deleted ones too; `None` when there never was one.
    pub async fn get(&self, collection: &str, key: &str) -> Result<Option<View>, Error> {
        let record = RecordId::new(collection, key)?;
        self.with(move |engine, _| engine.get(&record)).await
    }

    /// At most `records_max` records after `after`, in order of key, deleted ones too.
    pub async fn list(
        &self,
        collection: &Collection,
        after: Option<&Key>,
        records_max: usize,
    ) -> Result<Vec<(Key, View)>, Error> {
        let (collection, after) = (collection.clone(), after.cloned());
        self.with(move |engine, _| engine.list(&collection, after.as_ref(), records_max)).await
    }

    /// The collections that hold or held records.
    pub async fn collections(&self) -> Result<Vec<Collection>, Error> {
        self.with(|engine, _| Ok(engine.collections())).await
    }

    /// Changes relay, token or device name.
    pub async fn configure(&self, settings: Settings) -> Result<(), Error> {
        self.with(|engine, _| engine.configure(settings)).await
    }

    /// Every change of a record from now on, made here or elsewhere. What was saved before is not told again.
    pub fn watch(&self) -> Watch {
        Watch { notices: self.telling.notices.subscribe(), collection: None, own: false }
    }

    /// As [`Comptoir::watch`], Comptoir's own collections too.
    fn watch_all(&self) -> Watch {
        Watch { own: true, ..self.watch() }
    }

    /// Every change of one collection from now on, made here or elsewhere.
    pub fn watch_collection(&self, collection: &Collection) -> Watch {
        Watch { collection: Some(collection.clone()), ..self.watch() }
    }

    /// Syncs once. `Ok` means that all the mode asks for was done: for `Both`, that everything saved here is durable on the
    /// relay and everything there is durable here, and both sides hold equal data. Returns how things stood then.
    pub async fn sync_once(&self, mode: Mode, deadline: Duration) -> Result<Status, Error> {
        if let Ok(outcome) = tokio::time::timeout(deadline, self.ask(|reply| Command::SyncOnce(mode, reply))).await {
            return outcome;
        }
        let cause = self.ask(Command::GiveUp).await?;
        let (seconds, pending) = (deadline.as_millis().div_ceil(1000) as u64, self.status().await?.engine.pending);
        Err(cause.map_or(Error::Timeout { seconds, pending }, |cause| Error::Sync { cause }))
    }

    /// Stays connected, and connects again when the connection breaks, until [`Comptoir::pause`].
    pub async fn stay_live(&self, mode: Mode) -> Result<(), Error> {
        self.ask(|reply| Command::Live(mode, reply)).await
    }

    /// Ends what [`Comptoir::stay_live`] began.
    pub async fn pause(&self) -> Result<(), Error> {
        self.ask(Command::Pause).await
    }

    /// How things stand now.
    pub async fn status(&self) -> Result<Status, Error> {
        self.ask(Command::Status).await
    }

    /// How things stand, whenever that changes. `None` only before the first.
    pub fn statuses(&self) -> watch::Receiver<Option<Status>> {
        self.telling.status.subscribe()
    }

    /// Closes the store for all clones; returns when another process may open it.
    pub async fn shut_down(&self) -> Result<(), Error> {
        match self.ask(Command::ShutDown).await {
            Err(Error::ShutDown) => Ok(()),
            outcome => outcome,
        }
    }
}
