//! The work of a comparison: leaves and documents are read and answers computed away from the session's task, one thing
//! at a time. Must not know what the answers mean.

use super::End;
use super::comparison::Comparison;
use super::exchange::Task;
use crate::auth::Grant;
use crate::log::{Log, LogError};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

type Answering = Pin<Box<dyn Future<Output = Result<Answer, End>> + Send>>;

enum Job {
    Answering(Answering),
    Serving(mpsc::Receiver<Result<Vec<u8>, LogError>>),
}

struct Answer {
    comparison: Box<Comparison>,
    payload: Vec<u8>,
    permit: Option<Permit>,
}

/// One of the workspace's comparisons, and of all.
type Permit = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// What has been done.
pub(super) enum Done {
    /// The device's message was answered.
    Answered(Box<Comparison>, Vec<u8>),
    /// Some of the documents were read.
    Records(Vec<u8>),
    /// All of them were.
    Served,
}

/// The work of one session's comparisons.
pub(super) struct Compare {
    job: Option<Job>,
    permit: Option<Permit>,
    log: Log,
    grant: Grant,
    own: Arc<Semaphore>,
    permits: Arc<Semaphore>,
}

impl Compare {
    pub(super) fn new(log: Log, grant: Grant, own: Arc<Semaphore>, permits: Arc<Semaphore>) -> Self {
        Self { job: None, permit: None, log, grant, own, permits }
    }

    /// Begins what a message asks for; a push is not for this.
    pub(super) fn start(&mut self, task: Task) {
        let (log, grant) = (self.log.clone(), self.grant.clone());
        let (own, permits) = (self.own.clone(), self.permits.clone());
        self.job = match task {
            Task::Append(_) => None,
            Task::Begin { payload, at } => Some(Job::Answering(Box::pin(async move {
                // Of the workspace first: who waits there keeps nobody else waiting.
                let own = own.acquire_owned().await.map_err(|_| LogError::Unavailable)?;
                let permit = (own, permits.acquire_owned().await.map_err(|_| LogError::Unavailable)?);
                let leaves = log.leaves(&grant).await?;
                let begin = log.job(move || Comparison::begin(leaves, at));
                answer(&log, begin.await??, payload, Some(permit)).await
            }))),
            Task::Answer(comparison, payload) => {
                Some(Job::Answering(Box::pin(async move { answer(&log, comparison, payload, None).await })))
            }
            Task::Serve(records, through) => Some(Job::Serving(log.records(&grant, records, through))),
        };
    }

    /// What has been done. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Done, End> {
        match &mut self.job {
            None => std::future::pending().await,
            Some(Job::Answering(answering)) => {
                let Answer { comparison, payload, permit } = answering.await?;
                self.permit = permit.or(self.permit.take());
                self.job = None;
                Ok(Done::Answered(comparison, payload))
            }
            Some(Job::Serving(batches)) => match batches.recv().await {
                Some(batch) => Ok(Done::Records(batch?)),
                None => {
                    self.job = None;
                    Ok(Done::Served)
                }
            },
        }
    }

    /// The comparison is over: others may begin theirs.
    pub(super) fn end(&mut self) {
        self.permit = None;
    }
}

async fn answer(
    log: &Log,
    mut comparison: Box<Comparison>,
    payload: Vec<u8>,
    permit: Option<Permit>,
) -> Result<Answer, End> {
    let job = log.job(move || {
        let payload = comparison.answer(&payload)?;
        Ok(Answer { comparison, payload, permit })
    });
    job.await?
}
