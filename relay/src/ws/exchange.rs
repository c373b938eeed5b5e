//! What the relay and a welcomed device say to each other, as a state machine without sockets, clocks, threads or disks.
//! A session drives it over a socket, and so does a simulation. Must not know how frames travel or how a log keeps its
//! rows.
//!
//! `handle_*` tells it what happened; [`Exchange::poll`] asks what goes out next, whenever the message before has left:
//! receipts first, so that a bulk pull does not delay them, then answers of a comparison, then entries.

use super::comparison::{Comparing, Comparison};
use super::follow::Follow;
use super::pushes::Pushes;
use super::{End, over_limit};
use crate::auth::Grant;
use crate::log::{ENTRY_BYTES_MAX, Entry, Head, LogError, Outcome};
use crate::room::Room;
use comptoir_engine::id::{LogSeq, RecordId};
use comptoir_engine::wire::message::{Ack, Denial, FromDevice, FromRelay, Hello, Reach, Welcome};
use std::sync::Arc;

/// What a device's message asks of the log.
pub enum Task {
    /// Store this push; what becomes of it goes to [`Exchange::handle_outcome`].
    Append(Vec<u8>),
    /// Read all leaves, begin a [`Comparison`] at this head with them and answer the message; the result goes to
    /// [`Exchange::handle_answer`].
    Begin {
        /// The device's first message.
        payload: Vec<u8>,
        /// The log as it was before the leaves are read.
        at: Head,
    },
    /// Answer the message with the comparison; the result goes to [`Exchange::handle_answer`].
    Answer(Box<Comparison>, Vec<u8>),
    /// Read these documents through this entry; each batch goes to [`Exchange::handle_records`], the end to
    /// [`Exchange::handle_served`].
    Serve(Vec<RecordId>, LogSeq),
}

/// What goes out next.
pub enum Due {
    /// This message.
    Message(FromRelay),
    /// Entries that are not at hand: read them, and hand them to [`Exchange::handle_page`].
    Page {
        /// Those after this one,
        after: LogSeq,
        /// through this one,
        through: LogSeq,
        /// so many bytes at most, and one entry at least.
        bytes_max: usize,
    },
    /// Nothing.
    Nothing,
}

/// The state machine.
pub struct Exchange {
    device: String,
    /// Whether the device wants entries at all.
    pulls: bool,
    /// Said right behind the welcome.
    writable: Option<Reach>,
    follow: Follow,
    pushes: Pushes,
    comparing: Comparing,
    /// Through where a page is being read.
    paging: Option<LogSeq>,
}

impl Exchange {
    /// Accepts a hello whose token was checked. The device follows from its cursor when that is a place in this log;
    /// else it has to compare histories first.
    pub fn begin(hello: &Hello, grant: &Grant, room: &Room) -> (Self, FromRelay) {
        let (epoch, head) = (room.epoch(), room.durable());
        let position = match hello.cursor() {
            None => Some(LogSeq(0)),
            Some(cursor) => Some(cursor.through).filter(|through| cursor.epoch == epoch && *through <= head.tail),
        };
        let welcome = Welcome { epoch: epoch.0, tail: head.tail.0, digest: head.digest.0, role: grant.role() };
        let follow = Follow::new(position, hello.credit_bytes);
        let device = format!("{} ({})", super::named(hello), hello.device());
        let (pushes, comparing) = (Pushes::default(), Comparing::default());
        let pulls = hello.credit_bytes > 0;
        let exchange = Self { device, pulls, writable: grant.writable(), follow, pushes, comparing, paging: None };
        (exchange, FromRelay::Welcome(welcome))
    }

    /// Whether a comparison is being answered or served: no message may be handed in until that is done.
    pub fn is_busy(&self) -> bool {
        self.comparing.is_busy()
    }

    /// Whether histories are being compared.
    pub fn is_comparing(&self) -> bool {
        self.comparing.is_open()
    }

    /// A message of the device, and what it asks of the log.
    pub fn handle(&mut self, message: FromDevice, room: &Room) -> Result<Option<Task>, End> {
        match message {
            FromDevice::Hello(_) | FromDevice::Pair { .. } => Err(End::Denied(Denial::OutOfTurn)),
            FromDevice::Push { push, offered, batch } => self.push(push, offered, batch),
            FromDevice::Credit { bytes } => {
                self.follow.add_credit(bytes);
                Ok(None)
            }
            FromDevice::Reconcile { payload } => {
                self.follow.pause();
                self.paging = None;
                self.comparing.handle_reconcile(payload, room.durable()).map(Some)
            }
            FromDevice::Want { leaves, last } => {
                let wanted = self.comparing.handle_want(&leaves, last)?;
                Ok(Some(Task::Serve(wanted, room.durable().tail)))
            }
        }
    }

    fn push(&mut self, push: u64, offered: bool, batch: Vec<u8>) -> Result<Option<Task>, End> {
        if batch.len() > ENTRY_BYTES_MAX {
            return Err(over_limit("bytes in a push", ENTRY_BYTES_MAX as u64));
        }
        self.pushes.check(batch.len() as u64)?;
        if !self.pushes.is_due(push) {
            // Answered in its turn, as if the log had said so.
            self.pushes.add(push, offered, 0, Some(Outcome::Unclear));
            return Ok(None);
        }
        self.pushes.add(push, offered, batch.len() as u64, None);
        Ok(Some(Task::Append(batch)))
    }

    /// What became of the first push whose fate was open; nothing when the log failed.
    pub fn handle_outcome(&mut self, outcome: Option<Outcome>) -> Result<(), End> {
        self.pushes.settle(outcome.ok_or(LogError::Unavailable)?);
        Ok(())
    }

    /// The device's name and id.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Through where the device has been sent the log; `None` while histories are compared.
    pub fn position(&self) -> Option<LogSeq> {
        (!self.is_comparing()).then(|| self.follow.position())
    }

    /// Whether the device has been sent all that it wants.
    pub fn has_all(&self, head: Head) -> bool {
        !self.is_comparing() && (!self.pulls || self.follow.position() == head.tail)
    }

    /// How many changes that the log had lost it got back from this device, once no offer waits any more or the
    /// session ends; said once.
    pub fn take_regained(&mut self, ends: bool) -> Option<u64> {
        self.pushes.take_regained(ends)
    }

    /// The comparison was asked, and this is its answer.
    pub fn handle_answer(&mut self, comparison: Box<Comparison>, payload: Vec<u8>) -> FromRelay {
        self.comparing.listen(comparison);
        FromRelay::Reconcile { payload }
    }

    /// Some of the documents the device wanted.
    pub fn handle_records(&mut self, batch: Vec<u8>) -> FromRelay {
        FromRelay::Records { batch }
    }

    /// All documents of one message have been sent; more may be wanted.
    pub fn handle_served(&mut self) -> Option<FromRelay> {
        let head = self.comparing.handle_served()?;
        self.follow.resume(head.tail);
        Some(FromRelay::Reconciled { through: head.tail.0, digest: head.digest.0 })
    }

    /// What goes out next, now that nothing is on its way. `head` is what the room showed before the outcomes that are
    /// known were handed over: then this session's own entries through it are known as its own.
    pub fn poll(&mut self, head: Head, room: &Room) -> Result<Due, End> {
        if room.is_lost() {
            return Err(End::Denied(Denial::Unavailable));
        }
        if let Some(writable) = self.writable.take() {
            return Ok(Due::Message(FromRelay::Writable(writable)));
        }
        if let Some((push, outcome)) = self.pushes.poll() {
            return self.receipt(push, outcome, room).map(Due::Message);
        }
        if self.paging.is_some() || !self.follow.may_send(head) {
            return Ok(Due::Nothing);
        }
        let (after, bytes_max) = (self.follow.position(), self.follow.bytes_wanted());
        if let Some(entries) = room.recent(after, bytes_max) {
            let message = self.follow.take(&entries, head).map(FromRelay::Entries);
            return Ok(message.map_or(Due::Nothing, Due::Message));
        }
        self.paging = Some(head.tail);
        Ok(Due::Page { after, through: head.tail, bytes_max })
    }

    /// The page that was read; `head` as for [`Exchange::poll`]. When receipts have come meanwhile they go first, and it
    /// is read again.
    pub fn handle_page(&mut self, page: &[Arc<Entry>], head: Head) -> Result<Option<FromRelay>, End> {
        let Some(through) = self.paging.take().filter(|_| !self.pushes.has_answer()) else { return Ok(None) };
        if page.is_empty() && head.tail > through {
            // What was to be read may have become one with what came since: to be read again.
            return Ok(None);
        }
        match self.follow.take(page, head).map(FromRelay::Entries) {
            None if self.follow.may_send(head) => {
                let damage = format!("entries behind {} are missing", self.follow.position().0);
                Err(LogError::Damaged(damage).into())
            }
            message => Ok(message),
        }
    }

    fn receipt(&mut self, push: u64, outcome: Outcome, room: &Room) -> Result<FromRelay, End> {
        match outcome {
            Outcome::Unclear => {
                self.pushes.ask_again(push);
                Ok(FromRelay::Unclear { push })
            }
            Outcome::Unreadable(fault) => Err(End::Denied(Denial::Unreadable(fault.to_string()))),
            Outcome::Stored(receipt) => {
                let (through, digest) = self.follow.acknowledge(&receipt, room.head());
                if self.pushes.has_to_come_again(push) {
                    return Ok(FromRelay::Unclear { push });
                }
                Ok(FromRelay::Ack(Ack { push, through, digest, refused: receipt.refused }))
            }
        }
    }
}
