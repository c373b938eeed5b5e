//! One log read to its end beside its writer, page by page, so that what was read and what the log says of itself are one
//! state. Must not know what is done with it.

use super::BackupError;
use crate::auth::Operator;
use crate::log::{Entry, Log, LogError, Standing};
use comptoir_engine::id::{LogSeq, WorkspaceId};
use std::sync::Arc;

/// Bytes of entries read at once.
const PAGE_BYTES: usize = 1 << 20;

/// A log that is being read.
pub(super) struct Pages<'l> {
    log: &'l Log,
    operator: &'l Operator,
    workspace: &'l WorkspaceId,
    begun: Standing,
    last: LogSeq,
    /// A tail behind which no entry was found once.
    missed: Option<LogSeq>,
    end: Option<Standing>,
}

impl<'l> Pages<'l> {
    /// Begins after `after`.
    pub(super) async fn after(
        log: &'l Log,
        operator: &'l Operator,
        workspace: &'l WorkspaceId,
        after: LogSeq,
    ) -> Result<Self, BackupError> {
        let begun = log.standing(operator, workspace).await?;
        let begun = begun.ok_or_else(|| BackupError::LogReplaced { workspace: workspace.clone() })?;
        Ok(Self { log, operator, workspace, begun, last: after, missed: None, end: None })
    }

    /// The next entries, at times none; `None` when there are no more than the log says it has.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Arc<Entry>>>, BackupError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let page = self.log.entries_of(self.operator, self.workspace, self.last, PAGE_BYTES).await?;
        self.last = page.last().map_or(self.last, |entry| entry.seq);
        let standing = self.log.standing(self.operator, self.workspace).await?;
        let standing = standing.filter(|standing| standing.epoch == self.begun.epoch);
        let standing = standing.ok_or_else(|| BackupError::LogReplaced { workspace: self.workspace.clone() })?;
        let tail = standing.head.tail;
        // Entries may have come between the two readings: then the next page has them.
        let is_missing = page.is_empty() && self.missed.replace(tail) == Some(tail);
        if tail < self.last || (tail > self.last && is_missing) {
            let what = format!("the log of {} ends at {}, its entries at {}", self.workspace, tail.0, self.last.0);
            return Err(LogError::Damaged(what).into());
        }
        if tail == self.last {
            self.end = Some(standing);
        }
        Ok(Some(page))
    }

    /// Where the log stood when its last page was read, and began where it was not read to its end.
    pub(super) fn standing(&self) -> Standing {
        self.end.unwrap_or(self.begun)
    }
}
