//! The whole core behind one type: the store and the session, joined. Sans-IO: it never waits, reads no clock and draws
//! no randomness of its own. Must not know sockets, threads or tokio.
//!
//! Methods come in three kinds. `handle_*` tells it what happened; `poll_*` asks what is due, and is asked again after
//! every `handle_*` until it has nothing more; the rest edits and reads. The owner's loop:
//!
//! ```text
//! loop {
//!     while let Some(event) = engine.poll_event() { tell the app }
//!     if engine.wants_connection(now) { connect, then handle_connected }
//!     while let Some(frame) = engine.poll_message(now)? { send it }
//!     wait for: a frame        -> engine.handle_message(frame, now, rng)
//!               the end of it  -> engine.handle_disconnected(cause, now, rng)
//!               poll_timeout() -> engine.handle_timeout(now, rng)
//!               the app        -> engine.commit(..), engine.get(..)
//! }
//! ```

mod backup;
mod check;
mod history;
mod messages;
mod queries;
mod status;

use crate::disk::Disk;
use crate::event::Event;
use crate::id::{Collection, DeviceId, Key, RecordId, SeriesName};
use crate::record::{FieldEdit, Fields, Schema, View};
use crate::session::reconcile::Reconcile;
use crate::session::{Mode, Session};
use crate::store::{Committed, Quarantined, Series, SeriesAudit, Settings, Store, StoreError};
use crate::time::Now;
use crate::wire::Style;
use crate::wire::message::{FromDevice, Hello, PULL_WINDOW_BYTES, Role, TOKEN_BYTES_SHORT, short_name};
use std::collections::VecDeque;
use std::sync::Arc;

/// Events kept for an owner who does not ask; then one `Refresh` stands for all.
const EVENTS_MAX: usize = 4096;

/// The device's core. Made by [`Engine::create`] or [`Engine::open`].
pub struct Engine {
    store: Store,
    session: Session,
    reconcile: Option<Reconcile>,
    /// Small messages that go before pushes; their number is bounded by the protocol's turns.
    queue: VecDeque<FromDevice>,
    /// Bytes of entries stored since the relay was last given credit.
    credit_due: u64,
    events: VecDeque<Event>,
    was_up_to_date: bool,
}

impl Engine {
    /// Makes a store in an empty disk. `identity` is the disk's marker ([`crate::disk::Opened::identity`]).
    pub fn create(
        disk: Box<dyn Disk>,
        identity: &str,
        settings: Settings,
        rng: &mut dyn rand::Rng,
    ) -> Result<Self, StoreError> {
        Ok(Self::new(Store::create(disk, identity, settings, rng)?))
    }

    /// Opens a store. A copied or restored one goes on under a fresh device id and actor.
    pub fn open(disk: Box<dyn Disk>, identity: &str, rng: &mut dyn rand::Rng) -> Result<Self, StoreError> {
        Ok(Self::new(Store::open(disk, identity, rng)?))
    }

    fn new(store: Store) -> Self {
        Self {
            store,
            session: Session::default(),
            reconcile: None,
            queue: VecDeque::new(),
            credit_due: 0,
            events: VecDeque::new(),
            was_up_to_date: false,
        }
    }

    /// What the store was told.
    pub fn settings(&self) -> &Settings {
        self.store.settings()
    }

    /// Changes relay, token or device name; the session uses them from its next connection.
    pub fn configure(&mut self, settings: Settings) -> Result<(), StoreError> {
        self.store.configure(settings)
    }

    /// This installation.
    pub fn device(&self) -> DeviceId {
        self.store.device()
    }

    /// Does all of `edits` or none. When it returns, the outcome would survive a power cut. Comptoir's own collections are
    /// not edited this way.
    pub fn commit(&mut self, edits: &[(RecordId, FieldEdit)], now: Now) -> Result<Committed, StoreError> {
        self.commit_labelled(edits, None, now)
    }

    /// Sets a collection's schema, given as the fields of its record, on every device; setting the same changes nothing.
    pub fn set_schema(&mut self, collection: &Collection, given: &Fields, now: Now) -> Result<Committed, StoreError> {
        let committed = self.store.set_schema(collection, given, now.wall)?;
        self.tell_changed(&committed.changed);
        Ok(committed)
    }

    /// Adds what an app wants to a collection's schema; where it is all there, nothing changes.
    pub fn ensure_schema(
        &mut self,
        collection: &Collection,
        wants: &Schema,
        now: Now,
    ) -> Result<Committed, StoreError> {
        let committed = self.store.ensure_schema(collection, wants, now.wall)?;
        self.tell_changed(&committed.changed);
        Ok(committed)
    }

    /// A collection's schema; the default one where none was set.
    pub fn schema(&self, collection: &Collection) -> Arc<Schema> {
        self.store.schema(collection)
    }

    /// A record, deleted ones too; `None` when there never was one.
    pub fn get(&self, record: &RecordId) -> Result<Option<View>, StoreError> {
        self.store.get(record)
    }

    /// At most `records_max` records after `after`, in order of key, deleted ones too.
    pub fn list(
        &self,
        collection: &Collection,
        after: Option<&Key>,
        records_max: usize,
    ) -> Result<Vec<(Key, View)>, StoreError> {
        self.store.list(collection, after, records_max)
    }

    /// The collections that hold or held records.
    pub fn collections(&self) -> Vec<Collection> {
        self.store.collections()
    }

    /// Claims a number series for this device alone; the claim is settled when the device is next up to date.
    pub fn claim_series(&mut self, name: &SeriesName, now: Now) -> Result<Series, StoreError> {
        let series = self.store.claim_series(name, now.wall)?;
        if self.is_up_to_date() {
            self.store.settle_series()?;
        }
        self.tell(Event::Status);
        Ok(series)
    }

    /// The number series this device counts in.
    pub fn series(&self) -> Result<Vec<Series>, StoreError> {
        self.store.series()
    }

    /// Looks through a field for gaps and for numbers given twice.
    pub fn audit(&self, collection: &Collection, field: &str) -> Result<Vec<SeriesAudit>, StoreError> {
        self.store.audit(collection, field)
    }

    /// What was set aside.
    pub fn quarantine(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.store.quarantine()
    }

    /// Tries a record's changes again that were set aside.
    pub fn retry(&mut self, record: &RecordId, now: Now) -> Result<(), StoreError> {
        let applied = self.store.retry(record, now.wall)?;
        self.tell_changed(&applied.changed);
        Ok(())
    }

    /// Gives up a record's changes that were made here and that the relay refused.
    pub fn discard(&mut self, record: &RecordId) -> Result<(), StoreError> {
        self.store.discard(record)?;
        self.tell_changed(std::slice::from_ref(record));
        Ok(())
    }

    /// Begins to sync and goes on until [`Engine::stop`].
    pub fn start(&mut self, mode: Mode, now: Now) {
        self.session.start(mode, now);
        self.tell(Event::Status);
    }

    /// Stops syncing; the owner closes the connection.
    pub fn stop(&mut self) {
        self.session.stop();
        self.forget_connection();
        self.tell(Event::Status);
    }

    /// Whether to connect now; it then counts as connecting until told otherwise.
    pub fn wants_connection(&mut self, now: Now) -> bool {
        self.session.poll_connect(now)
    }

    /// The connection is open.
    pub fn handle_connected(&mut self, now: Now) {
        self.session.handle_connected(now);
        self.forget_connection();
        let token = &self.store.settings().token;
        // A relay that knows this device has seen its token.
        let known = self.store.cursor().is_some() && token.len() > TOKEN_BYTES_SHORT;
        let token = if known { short_name(token) } else { token.clone() };
        self.say_hello(token);
        self.tell(Event::Status);
    }

    fn say_hello(&mut self, token: String) {
        let settings = self.store.settings();
        let credit_bytes = if self.session.mode() == Mode::Push { 0 } else { PULL_WINDOW_BYTES };
        self.queue.push_back(FromDevice::Hello(Hello {
            workspace: settings.workspace.as_str().to_owned(),
            device: self.store.device().0,
            device_name: settings.device_name.clone(),
            token,
            cursor: self.store.cursor().map(|cursor| (cursor.epoch.0, cursor.through.0)),
            credit_bytes,
        }));
    }

    /// The connection failed or ended, for the reason given.
    pub fn handle_disconnected(&mut self, cause: &str, now: Now, rng: &mut dyn rand::Rng) {
        if planted!(OutboxDropped) {
            let sent: Vec<_> = (0..64).filter_map(|push| self.session.in_flight(push)).cloned().collect();
            for sent in sent {
                let _ = self.store.acknowledge(sent.from, sent.through, &[], None, now.wall);
            }
        }
        self.session.handle_disconnected(cause, now, rng);
        self.forget_connection();
        self.tell(Event::Status);
    }

    fn forget_connection(&mut self) {
        self.queue.clear();
        self.reconcile = None;
        self.credit_due = 0;
        self.was_up_to_date = false;
    }

    /// A deadline of [`Engine::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.session.handle_timeout(now) {
            self.tell(Event::Disconnect);
        }
    }

    /// When [`Engine::handle_timeout`] or [`Engine::wants_connection`] is due, in monotonic milliseconds.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.session.poll_timeout()
    }

    /// What happened since, one at a time.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next frame to send. Pushes come straight from the outbox, so only durable changes leave the device.
    pub fn poll_message(&mut self, _now: Now) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(message) = self.queue.pop_front() {
            return Ok(Some(message.encode()?));
        }
        if self.reconcile.is_some() {
            return Ok(None);
        }
        let Some(from) = self.session.poll_push() else { return Ok(None) };
        let Some(outgoing) = self.store.outgoing(from, Style::Compact)? else { return Ok(None) };
        let push = self.session.push(outgoing.from, outgoing.through, outgoing.batch.len() as u64);
        Ok(Some(FromDevice::Push { push, offered: outgoing.offered, batch: outgoing.batch }.encode()?))
    }

    fn tell_changed(&mut self, records: &[RecordId]) {
        records.iter().for_each(|record| self.tell(Event::Changed(record.clone())));
        if self.store.take_rebuilt() {
            self.tell(Event::Refresh);
        }
        self.tell(Event::Status);
    }

    fn tell(&mut self, event: Event) {
        if event == Event::Status && self.events.back() == Some(&Event::Status) {
            return;
        }
        if self.events.len() >= EVENTS_MAX {
            let disconnect = self.events.contains(&Event::Disconnect);
            self.events.clear();
            self.events.push_back(Event::Refresh);
            if disconnect {
                self.events.push_back(Event::Disconnect);
            }
        }
        self.events.push_back(event);
    }

    /// What the token allows, once welcomed.
    pub fn role(&self) -> Option<Role> {
        self.session.is_live().then(|| self.session.role())
    }
}
