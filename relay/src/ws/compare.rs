//! A session that compares whole histories: the relay's leaves answer the device's, then the documents it lacks are
//! sent. Must not know the cursor or what else the session does.
//!
//! No writer is held up for a snapshot. The head is taken before the rows are read, so every row holds at least what
//! the log held at that head. A row may hold more: the device then gets those changes twice, which changes nothing.

use super::{End, over_limit};
use crate::auth::Grant;
use crate::log::{Head, Log, LogError};
use comptoir_engine::id::{LogSeq, RecordId};
use comptoir_engine::session::reconcile::{ReconcileError, Responder};
use comptoir_engine::wire::message::{Denial, WANTED_MAX};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// The relay's side of one comparison.
struct Comparison {
    responder: Responder,
    records: HashMap<[u8; 32], RecordId>,
    at: Head,
    _permit: OwnedSemaphorePermit,
}

type Answering = Pin<Box<dyn Future<Output = Result<(Box<Comparison>, Vec<u8>), End>> + Send>>;

enum Phase {
    Idle,
    Answering(Answering),
    /// The device is to speak.
    Listening(Box<Comparison>, Instant),
    Serving {
        comparison: Box<Comparison>,
        batches: mpsc::Receiver<Result<Vec<u8>, LogError>>,
        last: bool,
    },
}

/// What is to be sent next.
pub(super) enum Step {
    /// The answer to the device's message.
    Answer(Vec<u8>),
    /// Some of the documents it wanted.
    Records(Vec<u8>),
    /// One message's documents have been sent; more may be wanted.
    Served,
    /// All has been sent: the device has everything through this head.
    Reconciled(Head),
}

/// Where a session's comparison stands.
pub(super) struct Compare {
    phase: Phase,
    log: Log,
    grant: Grant,
    permits: Arc<Semaphore>,
}

impl From<ReconcileError> for End {
    fn from(error: ReconcileError) -> Self {
        Self::Denied(Denial::Unreadable(error.to_string()))
    }
}

impl Compare {
    pub(super) fn new(log: Log, grant: Grant, permits: Arc<Semaphore>) -> Self {
        Self { phase: Phase::Idle, log, grant, permits }
    }

    /// Whether [`Compare::next`] has something to do. No message may be handed in meanwhile.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Answering(_) | Phase::Serving { .. })
    }

    /// When a device that keeps a comparison open without going on is given up.
    pub(super) fn deadline(&self, idle: Duration) -> Option<Instant> {
        match &self.phase {
            Phase::Listening(_, since) => Some(*since + idle),
            _ => None,
        }
    }

    /// A message of the comparison; the first one begins it at `head`.
    pub(super) fn handle_reconcile(&mut self, payload: Vec<u8>, head: Head) -> Result<(), End> {
        let (log, grant, permits) = (self.log.clone(), self.grant.clone(), self.permits.clone());
        self.phase = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => Phase::Answering(Box::pin(async move {
                let permit = permits.acquire_owned().await.map_err(|_| LogError::Unavailable)?;
                let leaves = log.leaves(&grant).await?;
                let begin = move || {
                    let responder = Responder::new(leaves.iter().map(|(leaf, _)| *leaf))?;
                    let records = leaves.into_iter().map(|(leaf, record)| (leaf.0, record)).collect();
                    Ok::<_, ReconcileError>(Box::new(Comparison { responder, records, at: head, _permit: permit }))
                };
                answer(spawn_blocking(begin).await.map_err(|_| LogError::Unavailable)??, payload).await
            })),
            Phase::Listening(comparison, _) => Phase::Answering(Box::pin(answer(comparison, payload))),
            Phase::Answering(_) | Phase::Serving { .. } => return Err(End::Denied(Denial::OutOfTurn)),
        };
        Ok(())
    }

    /// Documents the device wants; `tail` bounds what is read of them.
    pub(super) fn handle_want(&mut self, leaves: &[[u8; 32]], last: bool, tail: LogSeq) -> Result<(), End> {
        if leaves.len() > WANTED_MAX {
            return Err(over_limit("documents wanted in one message", WANTED_MAX as u64));
        }
        let Phase::Listening(comparison, _) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return Err(End::Denied(Denial::OutOfTurn));
        };
        // A leaf that was never offered has no document: to pass over it would let the device believe it has all.
        let records = leaves.iter().map(|leaf| comparison.records.get(leaf).cloned()).collect::<Option<Vec<_>>>();
        let records = records.ok_or(End::Denied(Denial::OutOfTurn))?;
        let batches = self.log.records(&self.grant, records, tail);
        self.phase = Phase::Serving { comparison, batches, last };
        Ok(())
    }

    /// What is to be sent next. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Step, End> {
        match &mut self.phase {
            Phase::Idle | Phase::Listening(..) => std::future::pending().await,
            Phase::Answering(answering) => {
                let (comparison, payload) = answering.await?;
                self.phase = Phase::Listening(comparison, Instant::now());
                Ok(Step::Answer(payload))
            }
            Phase::Serving { batches, .. } => match batches.recv().await {
                Some(batch) => Ok(Step::Records(batch?)),
                None => Ok(self.served()),
            },
        }
    }

    fn served(&mut self) -> Step {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Serving { comparison, last: true, .. } => Step::Reconciled(comparison.at),
            Phase::Serving { comparison, .. } => {
                self.phase = Phase::Listening(comparison, Instant::now());
                Step::Served
            }
            phase => {
                self.phase = phase;
                Step::Served
            }
        }
    }
}

async fn answer(mut comparison: Box<Comparison>, payload: Vec<u8>) -> Result<(Box<Comparison>, Vec<u8>), End> {
    let job = spawn_blocking(move || {
        let payload = comparison.responder.answer(&payload)?;
        Ok((comparison, payload))
    });
    job.await.map_err(|_| LogError::Unavailable)?
}
