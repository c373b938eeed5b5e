//! A comparison of whole histories, without sockets or disks: the relay's leaves answer the device's, then the documents
//! it lacks are named. Must not know the cursor or what else the session does.
//!
//! No writer is held up for a snapshot. The head is taken before the rows are read, so every row holds at least what
//! the log held at that head. A row may hold more: the device then gets those changes twice, which changes nothing.

use super::exchange::Task;
use super::{End, over_limit};
use crate::log::{Head, Leaf};
use comptoir_engine::id::RecordId;
use comptoir_engine::session::reconcile::{ReconcileError, Responder};
use comptoir_engine::wire::message::{Denial, WANTED_MAX};
use std::collections::HashMap;

/// The relay's side of one comparison.
pub struct Comparison {
    responder: Responder,
    records: HashMap<[u8; 32], RecordId>,
    at: Head,
}

impl From<ReconcileError> for End {
    fn from(error: ReconcileError) -> Self {
        Self::Denied(Denial::Unreadable(error.to_string()))
    }
}

impl Comparison {
    /// With the leaves as they were read, at the head taken before that.
    pub fn begin(leaves: Vec<Leaf>, at: Head) -> Result<Box<Self>, End> {
        let responder = Responder::new(leaves.iter().map(|(leaf, _)| *leaf))?;
        let records = leaves.into_iter().map(|(leaf, record)| (leaf.0, record)).collect();
        Ok(Box::new(Self { responder, records, at }))
    }

    /// The answer to a message of the device.
    pub fn answer(&mut self, payload: &[u8]) -> Result<Vec<u8>, End> {
        Ok(self.responder.answer(payload)?)
    }
}

/// Where a session's comparison stands.
#[derive(Default)]
pub(super) enum Comparing {
    #[default]
    Idle,
    Answering,
    /// The device is to speak.
    Listening(Box<Comparison>),
    Serving(Box<Comparison>, bool),
}

impl Comparing {
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Answering | Self::Serving(..))
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self, Self::Idle)
    }

    /// A message of the comparison; the first one begins it at `head`.
    pub(super) fn handle_reconcile(&mut self, payload: Vec<u8>, head: Head) -> Result<Task, End> {
        match std::mem::replace(self, Self::Answering) {
            Self::Idle => Ok(Task::Begin { payload, at: head }),
            Self::Listening(comparison) => Ok(Task::Answer(comparison, payload)),
            Self::Answering | Self::Serving(..) => Err(End::Denied(Denial::OutOfTurn)),
        }
    }

    pub(super) fn listen(&mut self, comparison: Box<Comparison>) {
        *self = Self::Listening(comparison);
    }

    /// The documents the device wants.
    pub(super) fn handle_want(&mut self, leaves: &[[u8; 32]], last: bool) -> Result<Vec<RecordId>, End> {
        if leaves.len() > WANTED_MAX {
            return Err(over_limit("documents wanted in one message", WANTED_MAX as u64));
        }
        let Self::Listening(comparison) = std::mem::take(self) else {
            return Err(End::Denied(Denial::OutOfTurn));
        };
        // A leaf that was never offered has no document: to pass over it would let the device believe it has all.
        let records = leaves.iter().map(|leaf| comparison.records.get(leaf).cloned()).collect::<Option<Vec<_>>>();
        let records = records.ok_or(End::Denied(Denial::OutOfTurn))?;
        *self = Self::Serving(comparison, last);
        Ok(records)
    }

    /// One message's documents have been sent: the head at which all are equal, if it was the last message.
    pub(super) fn handle_served(&mut self) -> Option<Head> {
        match std::mem::take(self) {
            Self::Serving(comparison, true) => Some(comparison.at),
            Self::Serving(comparison, false) => {
                *self = Self::Listening(comparison);
                None
            }
            other => {
                *self = other;
                None
            }
        }
    }
}
