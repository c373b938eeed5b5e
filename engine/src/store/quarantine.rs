//! Changes set aside with their reasons. Must not decide what is set aside.

use super::rows::{QuarantineRow, StateRow};
use super::{Store, StoreError, keys, put_row};
use crate::change::Change;
use crate::codec;
use crate::disk::txn::{self, Txn};
use crate::gate::Refusal;
use crate::id::{ActorId, ChangeHash, RecordId};
use crate::time::Timestamp;

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
        record: &RecordId,
        reason: Refusal,
        own: bool,
        bytes: Vec<u8>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let known = !bytes.is_empty() && self.quarantine_rows(record)?.iter().any(|row| row.bytes == bytes);
        if known {
            return Ok(());
        }
        let row = QuarantineRow { reason, own, bytes, at_ms: now.unix_ms };
        put_row(tx, keys::quarantine(record, state.quarantine_next), &row)?;
        state.quarantine_next += 1;
        state.quarantined += 1;
        Ok(())
    }

    pub(super) fn has_own_quarantined(&self, record: &RecordId) -> Result<bool, StoreError> {
        Ok(self.quarantine_rows(record)?.iter().any(|row| row.own))
    }

    /// The hash of a change that was set aside: later changes may name it, though they must wait.
    pub(super) fn quarantined_hash(
        &self,
        record: &RecordId,
        actor: &ActorId,
        seq: u64,
    ) -> Result<Option<ChangeHash>, StoreError> {
        if self.state.quarantined == 0 {
            return Ok(None);
        }
        let rows = self.quarantine_rows(record)?;
        let changes = rows.iter().filter_map(|row| Change::parse(&row.bytes).ok());
        let mut named = changes.filter(|change| change.parts().actor == *actor && change.parts().seq == seq);
        Ok(named.next().map(|change| change.hash()))
    }

    fn quarantine_rows(&self, record: &RecordId) -> Result<Vec<QuarantineRow>, StoreError> {
        let (from, until) = keys::quarantine_of(record);
        let rows = txn::scan(&*self.disk, &from, &until, usize::MAX)?;
        rows.into_iter().map(|(_, bytes)| Ok(codec::decode(&bytes)?)).collect()
    }
}
