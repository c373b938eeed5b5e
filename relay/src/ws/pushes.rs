//! A session's pushes that wait for their receipts, in the order they came. Must not know what a receipt means.

use super::{End, over_limit};
use crate::log::Outcome;
use comptoir_engine::wire::message::{PUSH_WINDOW_BYTES, PUSHES_MAX};
use std::collections::VecDeque;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

struct Waiting {
    push: u64,
    bytes: u64,
    outcome: oneshot::Receiver<Outcome>,
}

/// What became of the first push that waited: its number, and nothing when the log failed.
pub(super) type Answer = (u64, Option<Outcome>);

/// The pushes in flight.
#[derive(Default)]
pub(super) struct Pushes {
    waiting: VecDeque<Waiting>,
    bytes: u64,
}

impl Pushes {
    /// Whether one more push of this size keeps to the limits.
    pub(super) fn check(&self, bytes: u64) -> Result<(), End> {
        if self.waiting.len() >= PUSHES_MAX {
            return Err(over_limit("pushes without receipt", PUSHES_MAX as u64));
        }
        match self.bytes + bytes > PUSH_WINDOW_BYTES {
            true => Err(over_limit("pushed bytes without receipt", PUSH_WINDOW_BYTES)),
            false => Ok(()),
        }
    }

    pub(super) fn add(&mut self, push: u64, bytes: u64, outcome: oneshot::Receiver<Outcome>) {
        self.bytes += bytes;
        self.waiting.push_back(Waiting { push, bytes, outcome });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The first push's answer; never when none waits. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Answer {
        match self.waiting.front_mut() {
            Some(first) => {
                let outcome = (&mut first.outcome).await.ok();
                self.take(outcome)
            }
            None => std::future::pending().await,
        }
    }

    /// The first push's answer, if it is here.
    pub(super) fn try_next(&mut self) -> Option<Answer> {
        let outcome = match self.waiting.front_mut()?.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Closed) => None,
            Err(TryRecvError::Empty) => return None,
        };
        Some(self.take(outcome))
    }

    fn take(&mut self, outcome: Option<Outcome>) -> Answer {
        let first = self.waiting.pop_front();
        self.bytes -= first.as_ref().map_or(0, |first| first.bytes);
        (first.map_or(0, |first| first.push), outcome)
    }
}
