//! Changes set aside with their reasons. Must not decide what is set aside.

use super::rows::{QuarantineRow, StateRow};
use super::{Store, StoreError, keys, put_row};
use crate::change::Change;
use crate::codec;
use crate::disk::txn::{self, Txn};
use crate::gate::Refusal;
use crate::id::{ActorId, ChangeHash, RecordId};
use crate::time::Timestamp;
use std::collections::{HashMap, HashSet};

/// A change set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its number, for naming it.
    pub number: u64,
    /// Whose change.
    pub record: RecordId,
    /// Why.
    pub reason: Refusal,
    /// Made here and refused by the relay, or else the other way round.
    pub own: bool,
    /// When it was set aside.
    pub at: Timestamp,
    /// The change's chunk; empty where it could not be rebuilt.
    pub bytes: Vec<u8>,
}

/// What a commit knows to be set aside already, each record's rows read once: there may be thousands of them.
#[derive(Default)]
pub(super) struct Aside {
    known: HashMap<RecordId, HashSet<Vec<u8>>>,
    named: HashMap<RecordId, HashMap<(ActorId, u64), ChangeHash>>,
}

/// What tells one change set aside from another: its chunk, which begins with no letter, or else the reason.
fn print(reason: &Refusal, bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() { reason.to_string().into_bytes() } else { bytes.to_vec() }
}

impl Store {
    /// Everything set aside, by record.
    pub fn quarantine(&self) -> Result<Vec<Quarantined>, StoreError> {
        let (from, until) = keys::all_quarantine();
        let rows = txn::scan(&*self.disk, &from, &until, usize::MAX)?;
        let entry = |(key, bytes): (Vec<u8>, Vec<u8>)| {
            let QuarantineRow { reason, own, bytes, at_ms: unix_ms } = codec::decode(&bytes)?;
            let (number, record) = (keys::number_of(&key)?, keys::quarantined_record(&key)?);
            let at = Timestamp { unix_ms };
            Ok(Quarantined { number, record, reason, own, at, bytes })
        };
        rows.into_iter().map(entry).collect()
    }

    #[expect(clippy::too_many_arguments, reason = "one row's fields and where it goes")]
    pub(super) fn set_aside(
        &self,
        tx: &mut Txn<'_>,
        state: &mut StateRow,
        aside: &mut Aside,
        record: &RecordId,
        reason: Refusal,
        own: bool,
        bytes: Vec<u8>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if !aside.known.contains_key(record) {
            let rows = self.quarantine_rows(record)?;
            let prints = rows.iter().map(|row| print(&row.reason, &row.bytes)).collect();
            aside.known.insert(record.clone(), prints);
        }
        let is_new = aside.known.get_mut(record).is_some_and(|known| known.insert(print(&reason, &bytes)));
        if !is_new {
            return Ok(());
        }
        let row = QuarantineRow { reason, own, bytes, at_ms: now.unix_ms };
        put_row(tx, keys::quarantine(record, state.quarantine_next), &row)?;
        state.quarantine_next = state.quarantine_next.saturating_add(1);
        state.quarantined = state.quarantined.saturating_add(1);
        Ok(())
    }

    pub(super) fn has_own_quarantined(&self, record: &RecordId) -> Result<bool, StoreError> {
        Ok(self.quarantine_rows(record)?.iter().any(|row| row.own))
    }

    /// The hash of a change that was set aside: later changes may name it, though they must wait.
    pub(super) fn quarantined_hash(
        &self,
        aside: &mut Aside,
        record: &RecordId,
        actor: &ActorId,
        seq: u64,
    ) -> Result<Option<ChangeHash>, StoreError> {
        if self.state.quarantined == 0 {
            return Ok(None);
        }
        if !aside.named.contains_key(record) {
            let mut named = HashMap::new();
            for change in self.quarantine_rows(record)?.iter().filter_map(|row| Change::parse(&row.bytes).ok()) {
                named.entry((change.parts().actor.clone(), change.parts().seq)).or_insert_with(|| change.hash());
            }
            aside.named.insert(record.clone(), named);
        }
        Ok(aside.named.get(record).and_then(|named| named.get(&(actor.clone(), seq))).copied())
    }

    fn quarantine_rows(&self, record: &RecordId) -> Result<Vec<QuarantineRow>, StoreError> {
        let (from, until) = keys::quarantine_of(record);
        let rows = txn::scan(&*self.disk, &from, &until, usize::MAX)?;
        rows.into_iter().map(|(_, bytes)| Ok(codec::decode(&bytes)?)).collect()
    }
}
