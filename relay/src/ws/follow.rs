//! How far a session has followed its log, and what it may be sent next. Pure bookkeeping: must not know sockets, rooms
//! or disks.

use crate::log::{Entry, Head, Receipt};
use comptoir_engine::id::LogSeq;
use comptoir_engine::wire::message::{Entries, FRAME_BYTES_MAX, PULL_WINDOW_BYTES};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One message holds so many bytes of batches, if it holds more than one.
pub(super) const MESSAGE_BYTES: usize = 256 << 10;
/// Bytes a batch may take in a message beside its own.
const BATCH_OVERHEAD_BYTES: usize = 16;
/// Room for a message's other fields, in bytes.
const MESSAGE_OVERHEAD_BYTES: usize = 128;
/// The session's own entries it remembers ahead of its position. One that is forgotten is sent back to its author,
/// where it changes nothing.
const OWN_MAX: usize = 4096;

/// A session's position.
#[derive(Debug)]
pub(super) struct Follow {
    position: LogSeq,
    /// Below zero when an entry was longer than what was left.
    credit_bytes: i64,
    own: BTreeSet<LogSeq>,
    paused: bool,
}

impl Follow {
    /// Goes on behind `position`; without one it waits for [`Follow::resume`].
    pub(super) fn new(position: Option<LogSeq>, credit_bytes: u64) -> Self {
        let mut follow =
            Self { position: LogSeq(0), credit_bytes: 0, own: BTreeSet::new(), paused: position.is_none() };
        follow.position = position.unwrap_or_default();
        follow.add_credit(credit_bytes);
        follow
    }

    /// The last entry the device has, or will have once it got what was sent.
    pub(super) fn position(&self) -> LogSeq {
        self.position
    }

    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    /// The device has everything through `position`.
    pub(super) fn resume(&mut self, position: LogSeq) {
        self.position = position;
        self.own = self.own.split_off(&LogSeq(position.0.saturating_add(1)));
        self.paused = false;
    }

    pub(super) fn add_credit(&mut self, bytes: u64) {
        let window = PULL_WINDOW_BYTES as i64;
        self.credit_bytes = self.credit_bytes.saturating_add_unsigned(bytes).min(window);
    }

    /// Whether anything could be sent: there is credit, or the next entry is the session's own. Where positions are not
    /// one apart, an own entry may wait for credit; nothing is lost by that.
    pub(super) fn may_send(&self, head: Head) -> bool {
        let next_is_own = self.own.first().is_some_and(|own| own.0 == self.position.0 + 1);
        !self.paused && self.position < head.tail && (self.credit_bytes > 0 || next_is_own)
    }

    /// How many bytes of entries are worth reading.
    pub(super) fn bytes_wanted(&self) -> usize {
        usize::try_from(self.credit_bytes).unwrap_or(0).clamp(1, MESSAGE_BYTES)
    }

    /// The next message out of `entries`, which follow each other without a gap from the position or before it, and end
    /// at `head` at the latest. `None` when there is nothing to say.
    pub(super) fn take(&mut self, entries: &[Arc<Entry>], head: Head) -> Option<Entries> {
        let before = self.position;
        let mut batches = Vec::new();
        let mut bytes = 0;
        for entry in entries {
            if entry.seq <= self.position {
                continue;
            }
            if entry.after > self.position || entry.seq > head.tail {
                break;
            }
            if entry.seq.0 > entry.after.0 + 1 {
                // Several that became one: others' among them, perhaps.
                self.own = self.own.split_off(&LogSeq(entry.seq.0 + 1));
            }
            if !self.own.remove(&entry.seq) && !entry.batch.is_empty() {
                let next = bytes + entry.batch.len() + BATCH_OVERHEAD_BYTES;
                let full =
                    !batches.is_empty() && next > MESSAGE_BYTES || next > FRAME_BYTES_MAX - MESSAGE_OVERHEAD_BYTES;
                if full || self.credit_bytes <= 0 {
                    break;
                }
                bytes = next;
                self.credit_bytes -= entry.batch.len() as i64;
                batches.push(entry.batch.clone());
            }
            self.position = entry.seq;
        }
        if self.position == before {
            return None;
        }
        let digest = (self.position == head.tail).then_some(head.digest.0);
        Some(Entries { batches, through: self.position.0, digest })
    }

    /// A push of this session is durable: what its receipt says of the cursor. `head` is the log as the room shows it,
    /// which may not have come as far as the receipt.
    pub(super) fn acknowledge(&mut self, receipt: &Receipt, head: Head) -> (Option<u64>, Option<[u8; 32]>) {
        let reached = match receipt.seq {
            Some(seq) if !self.paused && (receipt.after == self.position || planted!(ReceiptJumps)) => {
                self.position = seq;
                seq
            }
            Some(seq) => {
                if seq > self.position && self.own.len() < OWN_MAX {
                    self.own.insert(seq);
                }
                return (None, None);
            }
            None if !self.paused && self.position == receipt.head.tail => self.position,
            None => return (None, None),
        };
        let is_tail = receipt.head.tail == reached && head.tail <= reached;
        match (receipt.seq, is_tail) {
            (None, false) => (None, None),
            (_, is_tail) => (Some(reached.0), is_tail.then_some(receipt.head.digest.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use comptoir_engine::digest::Digest;

    fn head(tail: u64) -> Head {
        Head { tail: LogSeq(tail), digest: Digest([tail as u8; 32]) }
    }

    fn entries(seqs: std::ops::RangeInclusive<u64>, bytes: usize) -> Vec<Arc<Entry>> {
        let entry = |seq| Arc::new(Entry { seq: LogSeq(seq), after: LogSeq(seq - 1), batch: vec![0; bytes] });
        seqs.map(entry).collect()
    }

    fn receipt(seq: u64, tail: u64) -> Receipt {
        let (seq, after) = (LogSeq(seq), LogSeq(seq - 1));
        Receipt { seq: Some(seq), changes: 1, after, head: head(tail), refused: Vec::new() }
    }

    #[test]
    fn credit_lets_one_entry_past_its_end_and_no_more() {
        let mut follow = Follow::new(Some(LogSeq(0)), 15);
        let sent = follow.take(&entries(1..=5, 10), head(5)).expect("credit for some");
        assert_eq!((sent.batches.len(), sent.through, sent.digest), (2, 2, None));
        assert!(!follow.may_send(head(5)));
        follow.add_credit(20);
        let sent = follow.take(&entries(1..=5, 10), head(5)).expect("credit again");
        assert_eq!((sent.batches.len(), sent.through), (2, 4));
    }

    #[test]
    fn a_sessions_own_entries_move_its_cursor_without_being_sent_and_without_credit() {
        let mut follow = Follow::new(Some(LogSeq(1)), 0);
        assert_eq!(follow.acknowledge(&receipt(3, 3), head(2)), (None, None));
        assert!(!follow.may_send(head(3)));
        follow.add_credit(1);
        let sent = follow.take(&entries(2..=3, 10), head(3)).expect("a foreign entry and an own one");
        assert_eq!((sent.batches.len(), sent.through, sent.digest), (1, 3, Some([3; 32])));
    }

    #[test]
    fn a_receipt_moves_the_cursor_only_when_nothing_foreign_lies_between() {
        let mut follow = Follow::new(Some(LogSeq(0)), 0);
        assert_eq!(follow.acknowledge(&receipt(1, 1), head(0)), (Some(1), Some([1; 32])));
        assert_eq!(follow.acknowledge(&receipt(2, 3), head(1)), (Some(2), None));
        assert_eq!(follow.acknowledge(&receipt(4, 4), head(3)), (None, None));
        assert_eq!(follow.position(), LogSeq(2));
    }

    #[test]
    fn entries_that_became_one_with_an_own_one_are_sent_once_there_is_credit() {
        let mut follow = Follow::new(Some(LogSeq(1)), 0);
        assert_eq!(follow.acknowledge(&receipt(2, 3), head(1)), (Some(2), None));
        assert_eq!(follow.acknowledge(&receipt(4, 4), head(2)), (None, None));
        let compacted = [Arc::new(Entry { seq: LogSeq(4), after: LogSeq(2), batch: vec![0; 10] })];
        assert_eq!(follow.take(&compacted, head(4)), None);
        assert!(!follow.may_send(head(4)), "to be read again and again");
        follow.add_credit(1);
        let sent = follow.take(&compacted, head(4)).expect("another's entry is in it");
        assert_eq!((sent.batches.len(), sent.through, sent.digest), (1, 4, Some([4; 32])));
    }

    #[test]
    fn a_push_without_news_confirms_a_device_at_the_tail() {
        let mut follow = Follow::new(Some(LogSeq(7)), 0);
        let nothing = Receipt { seq: None, changes: 0, after: LogSeq(7), head: head(7), refused: Vec::new() };
        assert_eq!(follow.acknowledge(&nothing, head(7)), (Some(7), Some([7; 32])));
        assert_eq!(follow.acknowledge(&nothing, head(8)), (None, None));
        follow.pause();
        assert_eq!(follow.acknowledge(&nothing, head(7)), (None, None));
    }

    #[test]
    fn a_gap_is_never_sent_across() {
        let mut follow = Follow::new(Some(LogSeq(0)), 1000);
        assert_eq!(follow.take(&entries(2..=3, 10), head(3)), None);
    }
}
