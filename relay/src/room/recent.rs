//! The newest entries of one log, so that live followers need no disk. Must not know who follows.

use crate::log::Entry;
use comptoir_engine::id::LogSeq;
use std::collections::VecDeque;
use std::sync::Arc;

/// Entries without a gap, up to a number of bytes. What is pushed out is still in the log.
pub(super) struct Recent {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    bytes_max: usize,
}

impl Recent {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(super) fn extend(&mut self, entries: &[Arc<Entry>]) {
        for entry in entries {
            self.bytes += entry.batch.len();
            self.entries.push_back(entry.clone());
        }
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.batch.len();
        }
    }

    /// `None` when entries after `after` have been pushed out, or none are here.
    pub(super) fn after(&self, after: LogSeq, bytes_max: usize) -> Option<Vec<Arc<Entry>>> {
        if self.entries.front()?.after > after && !planted!(GapFollowed) {
            return None;
        }
        let from = self.entries.partition_point(|entry| entry.seq <= after);
        let mut found = Vec::new();
        let mut bytes = 0;
        for entry in self.entries.range(from..) {
            bytes += entry.batch.len();
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, bytes: usize) -> Arc<Entry> {
        Arc::new(Entry { seq: LogSeq(seq), after: LogSeq(seq - 1), batch: vec![0; bytes] })
    }

    fn seqs(found: Option<Vec<Arc<Entry>>>) -> Option<Vec<u64>> {
        found.map(|entries| entries.iter().map(|entry| entry.seq.0).collect())
    }

    #[test]
    fn what_was_pushed_out_is_not_answered_with_a_gap() {
        let mut recent = Recent::new(30);
        recent.extend(&[entry(1, 10), entry(2, 10), entry(3, 10), entry(4, 10)]);
        assert_eq!(seqs(recent.after(LogSeq(0), 100)), None);
        assert_eq!(seqs(recent.after(LogSeq(1), 100)), Some(vec![2, 3, 4]));
        assert_eq!(seqs(recent.after(LogSeq(4), 100)), Some(vec![]));
    }

    #[test]
    fn an_answer_is_bounded_and_holds_one_entry_at_least() {
        let mut recent = Recent::new(100);
        recent.extend(&[entry(1, 40), entry(2, 40)]);
        assert_eq!(seqs(recent.after(LogSeq(0), 10)), Some(vec![1]));
        assert_eq!(seqs(Recent::new(1).after(LogSeq(0), 10)), None);
    }

    #[test]
    fn an_entry_larger_than_the_memory_is_left_to_the_log() {
        let mut recent = Recent::new(30);
        recent.extend(&[entry(1, 10), entry(2, 31)]);
        assert_eq!(seqs(recent.after(LogSeq(1), 100)), None);
        recent.extend(&[entry(3, 10)]);
        assert_eq!(seqs(recent.after(LogSeq(1), 100)), None);
        assert_eq!(seqs(recent.after(LogSeq(2), 100)), Some(vec![3]));
    }
}
