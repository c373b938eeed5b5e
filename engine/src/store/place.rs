//! Where the device is in a relay's log, and what of that log it is shown. Must not know the session.

use super::rows::{ReachRow, StateRow};
use super::{Store, StoreError, keys, put_row, read_row};
use crate::disk::txn::Txn;
use crate::id::{Cursor, LogEpoch, LogSeq};
use crate::wire::message::Reach;

/// The cursor of a device that is at no place of any log.
const NOWHERE: Option<([u8; 16], u64)> = Some((LogEpoch::NONE.0, 0));

impl Store {
    /// Where the device is in the relay's log.
    pub fn cursor(&self) -> Option<Cursor> {
        let (epoch, through) = self.state.cursor?;
        Some(Cursor { epoch: LogEpoch(epoch), through: LogSeq(through) })
    }

    /// From now on the device is at no place of any log: histories are compared after the next welcome, whichever relay's.
    /// What is taken in from one log need not be in another one that the old place stands for. Becomes durable with the
    /// next commit.
    pub fn lose_place(&mut self) -> Result<(), StoreError> {
        if self.state.cursor == NOWHERE {
            return Ok(());
        }
        let state = StateRow { cursor: NOWHERE, ..self.state.clone() };
        let mut tx = Txn::new(&*self.disk);
        put_row(&mut tx, keys::state(), &state)?;
        tx.commit()?;
        self.state = state;
        Ok(())
    }

    /// Notes what the relay shows of its log from now on, everything unless said. Where that is more than before, what was
    /// hidden stands in front of the device's place, which is lost. Answers whether there was a place to lose.
    pub fn note_reach(&mut self, readable: Option<&Reach>) -> Result<bool, StoreError> {
        let known: Option<ReachRow> = read_row(&*self.disk, &keys::reach())?;
        let known = known.map(|row| row.0);
        if known.as_ref() == readable {
            return Ok(false);
        }
        let wider = match (&known, readable) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(known), Some(readable)) => !readable.is_within(known),
        };
        let lost = wider && self.state.cursor.is_some() && self.state.cursor != NOWHERE;
        let cursor = if lost { NOWHERE } else { self.state.cursor };
        let state = StateRow { cursor, ..self.state.clone() };
        let mut tx = Txn::new(&*self.disk);
        match readable {
            Some(readable) => put_row(&mut tx, keys::reach(), &ReachRow(readable.clone()))?,
            None => tx.remove(keys::reach()),
        }
        put_row(&mut tx, keys::state(), &state)?;
        tx.commit()?;
        self.state = state;
        Ok(lost)
    }
}
