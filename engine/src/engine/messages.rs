//! What each message of the relay does to store and session. Must not know how frames travel.

use super::Engine;
use crate::digest::Digest;
use crate::event::Event;
use crate::id::{Cursor, LogSeq};
use crate::session::reconcile::Reconcile;
use crate::store::StoreError;
use crate::time::Now;
use crate::wire::Style;
use crate::wire::message::{Ack, Entries, FromDevice, FromRelay, PULL_WINDOW_BYTES, WANTED_MAX, Welcome};

/// What lies in front of the device's place was hidden from it.
const WIDENED: &str = "the token shows more than the one before: histories are compared";
/// Pushes that are on their way hold the changes as they were.
const PARTED: &str = "this store was rolled back or copied: its newest edits go on under a new author";

impl Engine {
    /// A frame arrived. An error is this device's own: its disk or its store. What the relay did wrong ends the
    /// connection and is in the status.
    pub fn handle_message(&mut self, frame: &[u8], now: Now) -> Result<(), StoreError> {
        self.session.handle_heard(now);
        let mut parted = false;
        let done = loop {
            let message = match FromRelay::decode(frame) {
                Ok(message) => message,
                Err(error) => return self.hang_up(format!("the relay sent something unreadable: {error}")),
            };
            match self.handle(message, now) {
                // A message can show one fork after the other.
                Err(StoreError::Forked(fork)) => self.store.reauthor(&fork)?,
                done => break done,
            }
            parted = true;
        };
        match done {
            Err(StoreError::Batch(fault)) => self.hang_up(format!("the relay sent something unreadable: {fault}")),
            Ok(()) | Err(StoreError::Unclear) if parted => self.hang_up(PARTED.to_owned()),
            Err(StoreError::Unclear) => self.compare(),
            Err(error) => Err(error),
            Ok(()) => self.settle(now),
        }
    }

    fn handle(&mut self, message: FromRelay, now: Now) -> Result<(), StoreError> {
        match message {
            FromRelay::Denied(denial) => {
                self.session.handle_denied(&denial);
                self.tell(Event::Disconnect);
                Ok(())
            }
            FromRelay::Welcome(welcome) => self.welcome(&welcome),
            FromRelay::Readable(readable) if !self.session.is_live() => {
                self.session.handle_readable(readable);
                Ok(())
            }
            FromRelay::TokenWanted if !self.session.is_live() => {
                self.say_hello(self.store.settings().token.clone());
                Ok(())
            }
            FromRelay::TokenWanted => self.hang_up("the relay asked for the token after its welcome".to_owned()),
            FromRelay::Readable(_) => self.hang_up("the relay changed what the token may read".to_owned()),
            _ if !self.session.is_live() => self.hang_up("the relay spoke before its welcome".to_owned()),
            FromRelay::Paired(_) => self.hang_up("the relay paired a device that did not ask".to_owned()),
            FromRelay::Writable(writable) => {
                self.session.handle_writable(writable);
                Ok(())
            }
            FromRelay::Slowed => {
                self.session.handle_slowed();
                self.tell(Event::Status);
                Ok(())
            }
            FromRelay::Ack(ack) => self.ack(&ack, now),
            FromRelay::Unclear { push } => self.spell_out(push),
            FromRelay::Entries(entries) => self.entries(&entries, now),
            FromRelay::Reconcile { payload } => self.reconcile(&payload),
            FromRelay::Records { batch } => {
                let applied = self.store.apply_remote(&[batch], None, now.wall)?;
                self.tell_changed(&applied.changed);
                Ok(())
            }
            FromRelay::Reconciled { through, digest } => {
                let through = LogSeq(through);
                let cursor = Cursor { epoch: self.session.epoch(), through };
                self.store.apply_remote(&[], Some(cursor), now.wall)?;
                self.session.end_reconcile(through, Digest(digest));
                self.tell(Event::Status);
                Ok(())
            }
        }
    }

    fn welcome(&mut self, welcome: &Welcome) -> Result<(), StoreError> {
        let follows = self.session.handle_welcome(welcome, self.store.cursor());
        self.tell(Event::Status);
        if self.store.note_reach(self.session.readable())? {
            return self.hang_up(WIDENED.to_owned());
        }
        if follows {
            return Ok(());
        }
        // Cut short, the comparison leaves behind what the old place's log need not have.
        self.store.lose_place()?;
        self.compare()
    }

    fn ack(&mut self, ack: &Ack, now: Now) -> Result<(), StoreError> {
        let Some(sent) = self.session.handle_ack(ack.push) else {
            return self.hang_up("the relay acknowledged what was not sent".to_owned());
        };
        let forks = self.store.forks(sent.from, sent.through, &ack.refused)?;
        if !forks.is_empty() {
            forks.iter().try_for_each(|fork| self.store.reauthor(fork))?;
            return self.hang_up(PARTED.to_owned());
        }
        // Who never had a place has one now: another log need not have what this one has given a receipt for.
        let through = ack.through.or(self.store.cursor().is_none().then_some(0));
        let cursor = through.map(|seq| Cursor { epoch: self.session.epoch(), through: LogSeq(seq) });
        self.store.acknowledge(sent.from, sent.through, &ack.refused, cursor, now.wall)?;
        // Where others' entries lie in front of this push, what the relay held before says nothing any more.
        if ack.through.is_some() || !planted!(DigestUnchecked) {
            self.session.handle_confirmed(ack.through.map(LogSeq).zip(ack.digest.map(Digest)));
        }
        self.tell(Event::Status);
        Ok(())
    }

    fn spell_out(&mut self, push: u64) -> Result<(), StoreError> {
        let Some(sent) = self.session.in_flight(push) else {
            return self.hang_up("the relay asks again for what was not sent".to_owned());
        };
        let again = self.store.outgoing_again(sent.from, sent.through, Style::Explicit)?;
        self.queue.push_back(FromDevice::Push { push, offered: again.offered, batch: again.batch });
        Ok(())
    }

    fn entries(&mut self, entries: &Entries, now: Now) -> Result<(), StoreError> {
        let through = LogSeq(entries.through);
        let cursor = Cursor { epoch: self.session.epoch(), through };
        let applied = self.store.apply_remote(&entries.batches, Some(cursor), now.wall)?;
        self.session.handle_confirmed(entries.digest.map(|digest| (through, Digest(digest))));
        self.credit_due += entries.batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
        if self.credit_due >= PULL_WINDOW_BYTES / 4 {
            self.queue.push_back(FromDevice::Credit { bytes: std::mem::take(&mut self.credit_due) });
        }
        self.tell_changed(&applied.changed);
        Ok(())
    }

    /// Begins to compare whole histories; the connection ends when that was done already.
    fn compare(&mut self) -> Result<(), StoreError> {
        if !self.session.begin_reconcile() {
            return self.hang_up("relay and device hold different histories: they will be compared again".to_owned());
        }
        let mut leaves = self.store.leaves()?;
        leaves.retain(|(_, record)| self.session.may_read(&record.collection));
        match Reconcile::begin(leaves) {
            Ok((reconcile, payload)) => {
                self.reconcile = Some(reconcile);
                self.queue.push_back(FromDevice::Reconcile { payload });
                Ok(())
            }
            Err(error) => self.hang_up(error.to_string()),
        }
    }

    fn reconcile(&mut self, payload: &[u8]) -> Result<(), StoreError> {
        let Some(reconcile) = &mut self.reconcile else {
            return self.hang_up("the relay compares histories unasked".to_owned());
        };
        let difference = match reconcile.step(payload) {
            Ok(Ok(payload)) => {
                self.queue.push_back(FromDevice::Reconcile { payload });
                return Ok(());
            }
            Ok(Err(difference)) => difference,
            Err(error) => return self.hang_up(error.to_string()),
        };
        self.reconcile = None;
        // What this token may not write, another device has to bring.
        let offered: Vec<_> =
            difference.have.into_iter().filter(|record| self.session.may_write(&record.collection)).collect();
        self.store.offer(&offered)?;
        if self.session.is_pushing() && !offered.is_empty() {
            // What is offered goes before what is on its way.
            return self
                .hang_up("histories were compared while pushes were on their way: it is begun again".to_owned());
        }
        let mut wanted: Vec<Vec<[u8; 32]>> = difference.need.chunks(WANTED_MAX).map(<[_]>::to_vec).collect();
        let last = wanted.pop().unwrap_or_default();
        self.queue.extend(wanted.into_iter().map(|leaves| FromDevice::Want { leaves, last: false }));
        self.queue.push_back(FromDevice::Want { leaves: last, last: true });
        Ok(())
    }

    /// After each message: notes when all is equal, and compares histories when it should be but is not.
    fn settle(&mut self, now: Now) -> Result<(), StoreError> {
        let up_to_date = self.is_up_to_date();
        if up_to_date && !self.was_up_to_date {
            self.store.note_sync(now.wall)?;
            self.store.settle_series()?;
            self.tell(Event::Status);
        }
        self.was_up_to_date = up_to_date;
        if self.differs() && self.store.quarantined() == 0 && !self.session.has_reconciled() {
            return self.compare();
        }
        Ok(())
    }

    /// The relay did something wrong: the connection ends, and the status says why.
    fn hang_up(&mut self, cause: String) -> Result<(), StoreError> {
        self.session.handle_fault(cause);
        self.tell(Event::Disconnect);
        Ok(())
    }
}
