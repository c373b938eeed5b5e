//! A session's pushes that wait for their receipts, in the order they came. Must not know what a receipt means.

use super::{End, over_limit};
use crate::log::Outcome;
use comptoir_engine::wire::message::{PUSH_WINDOW_BYTES, PUSHES_MAX};
use std::collections::VecDeque;

struct Waiting {
    push: u64,
    offered: bool,
    bytes: u64,
    outcome: Option<Outcome>,
}

/// The pushes in flight.
#[derive(Default)]
pub(super) struct Pushes {
    waiting: VecDeque<Waiting>,
    bytes: u64,
    again: Option<Again>,
    /// New changes of offers that were stored and not told yet.
    regained: u64,
}

/// An unclear push has to come again, and so has everything the device sent behind it: what builds on it was judged
/// without it. The numbers from `next` through `last` are due, in this order.
#[derive(Debug, Clone, Copy)]
struct Again {
    next: u64,
    last: u64,
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

    /// A push waits; where its outcome is known already, for its turn only.
    pub(super) fn add(&mut self, push: u64, offered: bool, bytes: u64, outcome: Option<Outcome>) {
        self.bytes += bytes;
        self.waiting.push_back(Waiting { push, offered, bytes, outcome });
    }

    /// A push arrives. `false`: it comes before one that has to come again first, and has to come again itself.
    pub(super) fn is_due(&mut self, push: u64) -> bool {
        match &mut self.again {
            None => true,
            Some(again) if push > again.next => {
                again.last = again.last.max(push);
                false
            }
            Some(again) => {
                again.next = push + 1;
                if again.next > again.last {
                    self.again = None;
                }
                true
            }
        }
    }

    /// The push is unclear.
    pub(super) fn ask_again(&mut self, push: u64) {
        let last = self.waiting.back().map_or(push, |waiting| waiting.push).max(push);
        let before = self.again.unwrap_or(Again { next: push, last });
        self.again = Some(Again { next: before.next.min(push), last: before.last.max(last) });
    }

    /// Whether the push has to come again, whatever became of it.
    pub(super) fn has_to_come_again(&self, push: u64) -> bool {
        self.again.is_some_and(|again| (again.next..=again.last).contains(&push))
    }

    /// What became of the first push whose fate was open.
    pub(super) fn settle(&mut self, outcome: Outcome) {
        if let Some(open) = self.waiting.iter_mut().find(|waiting| waiting.outcome.is_none()) {
            if let (true, Outcome::Stored(receipt)) = (open.offered, &outcome) {
                self.regained += receipt.changes as u64;
            }
            open.outcome = Some(outcome);
        }
    }

    /// Whether [`Pushes::poll`] has an answer.
    pub(super) fn has_answer(&self) -> bool {
        self.waiting.front().is_some_and(|first| first.outcome.is_some())
    }

    /// See [`super::exchange::Exchange::take_regained`].
    pub(super) fn take_regained(&mut self, ends: bool) -> Option<u64> {
        let told = self.regained > 0 && (ends || !self.waiting.iter().any(|waiting| waiting.offered));
        told.then(|| std::mem::take(&mut self.regained))
    }

    /// The first push and what became of it, if that is known.
    pub(super) fn poll(&mut self) -> Option<(u64, Outcome)> {
        let outcome = self.waiting.front_mut()?.outcome.take()?;
        let first = self.waiting.pop_front()?;
        self.bytes -= first.bytes;
        Some((first.push, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(pushes: &mut Pushes, push: u64) {
        pushes.add(push, false, 1, None);
    }

    #[test]
    fn what_was_sent_behind_an_unclear_push_comes_again_in_its_order() {
        let mut pushes = Pushes::default();
        for push in 1..=3 {
            assert!(pushes.is_due(push));
            add(&mut pushes, push);
        }
        pushes.ask_again(1);
        assert!(pushes.has_to_come_again(2) && pushes.has_to_come_again(3));
        assert!(!pushes.is_due(4), "a new push overtakes what has to come again");
        for push in 1..=4 {
            assert!(pushes.is_due(push), "{push}");
            assert!(!pushes.has_to_come_again(push), "{push}");
        }
        assert!(pushes.is_due(5));
    }

    #[test]
    fn two_unclear_pushes_begin_again_at_the_first() {
        let mut pushes = Pushes::default();
        (1..=3).for_each(|push| add(&mut pushes, push));
        pushes.ask_again(1);
        pushes.ask_again(2);
        assert!(!pushes.is_due(2));
        assert!(pushes.is_due(1) && pushes.is_due(2) && pushes.is_due(3));
    }
}
