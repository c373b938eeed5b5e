//! One session after its welcome: pushes in, receipts and entries out, until either side ends it. Must not know how
//! frames travel or how a log keeps its rows.
//!
//! The loop has one rule: **one message is on its way at a time, and what goes next is chosen when it has left**:
//! receipts first, so that a bulk pull does not delay them, then answers of a comparison, then entries. Reading goes
//! on all the while, so two sides that both write cannot block each other.

use super::compare::{Compare, Step};
use super::follow::Follow;
use super::pushes::{Answer, Pushes};
use super::socket::{Incoming, Outgoing};
use super::{Deadlines, End, over_limit, stopped};
use crate::auth::Grant;
use crate::log::{ENTRY_BYTES_MAX, Entry, Head, Log, LogError, Outcome};
use crate::room::Seat;
use comptoir_engine::wire::message::{Ack, Denial, FromDevice, FromRelay, Hello};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

type Page = Pin<Box<dyn Future<Output = Result<Vec<Arc<Entry>>, LogError>> + Send>>;

/// A welcomed device's session.
pub(super) struct Session {
    grant: Grant,
    seat: Seat,
    log: Log,
    follow: Follow,
    pushes: Pushes,
    compare: Compare,
    /// Entries being read from the disk.
    page: Option<Page>,
    deadlines: Deadlines,
    expires: Instant,
    pinged: Instant,
}

impl Session {
    /// Begins at `head`, which the device was told. It follows from its cursor when that is a place in this log;
    /// else it has to compare histories first.
    #[expect(clippy::too_many_arguments, reason = "called once, by the door, which holds all of these")]
    pub(super) fn new(
        hello: &Hello,
        grant: Grant,
        seat: Seat,
        head: Head,
        log: Log,
        permits: Arc<Semaphore>,
        deadlines: Deadlines,
        expires_in: Duration,
    ) -> Self {
        let position = match hello.cursor() {
            None => Some(Default::default()),
            Some(cursor) => {
                Some(cursor.through).filter(|through| cursor.epoch == seat.epoch() && *through <= head.tail)
            }
        };
        let follow = Follow::new(position, hello.credit_bytes);
        let compare = Compare::new(log.clone(), grant.clone(), permits);
        let now = Instant::now();
        let expires = now + expires_in;
        Self {
            grant,
            seat,
            log,
            follow,
            pushes: Pushes::default(),
            compare,
            page: None,
            deadlines,
            expires,
            pinged: now,
        }
    }

    /// Runs to the session's end.
    pub(super) async fn run<S>(
        mut self,
        outgoing: &mut Outgoing<S>,
        incoming: &mut Incoming<S>,
        mut shutdown: watch::Receiver<bool>,
    ) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            if let Err(end) = self.turn(outgoing, incoming, &mut shutdown).await {
                return end;
            }
        }
    }

    /// Waits for one thing to happen and deals with it.
    async fn turn<S>(
        &mut self,
        outgoing: &mut Outgoing<S>,
        incoming: &mut Incoming<S>,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let free = !outgoing.is_writing();
        if free && let Some(message) = self.next_entries()? {
            return outgoing.start(&message).await;
        }
        let due = self.due(outgoing, incoming);
        tokio::select! {
            biased;
            () = stopped(shutdown) => Err(End::Denied(Denial::ShuttingDown)),
            done = outgoing.flushed(), if !free => done,
            answer = self.pushes.next(), if free && !self.pushes.is_empty() => {
                let message = self.receipt(answer)?;
                outgoing.start(&message).await
            }
            message = incoming.next(), if !self.compare.is_busy() => self.handle(message?).await,
            step = self.compare.next(), if free && self.compare.is_busy() => {
                match self.compared(step?) {
                    Some(message) => outgoing.start(&message).await,
                    None => Ok(()),
                }
                .inspect(|()| incoming.excuse())
            }
            page = read_page(&mut self.page), if free && self.page.is_some() => {
                self.page = None;
                match self.entries(&page?)? {
                    Some(message) => outgoing.start(&message).await,
                    None => Ok(()),
                }
            }
            () = self.seat.changed() => Ok(()),
            () = sleep_until(due) => self.late(outgoing, incoming).await,
        }
    }

    async fn handle(&mut self, message: FromDevice) -> Result<(), End> {
        match message {
            FromDevice::Hello(_) => Err(End::Denied(Denial::OutOfTurn)),
            FromDevice::Push { push, batch } => self.push(push, batch).await,
            FromDevice::Credit { bytes } => {
                self.follow.add_credit(bytes);
                Ok(())
            }
            FromDevice::Reconcile { payload } => {
                self.follow.pause();
                self.page = None;
                self.compare.handle_reconcile(payload, self.seat.durable())
            }
            FromDevice::Want { leaves, last } => self.compare.handle_want(&leaves, last, self.seat.durable().tail),
        }
    }

    async fn push(&mut self, push: u64, batch: Vec<u8>) -> Result<(), End> {
        if batch.len() > ENTRY_BYTES_MAX {
            return Err(over_limit("bytes in a push", ENTRY_BYTES_MAX as u64));
        }
        let bytes = batch.len() as u64;
        self.pushes.check(bytes)?;
        if !self.pushes.is_due(push) {
            // Answered in its turn, as if the log had said so.
            let (done, outcome) = oneshot::channel();
            let _ = done.send(Outcome::Unclear);
            self.pushes.add(push, 0, outcome);
            return Ok(());
        }
        let appended = timeout(self.deadlines.write, self.log.append(&self.grant, batch)).await;
        let outcome = appended.map_err(|_| LogError::Unavailable)??;
        self.pushes.add(push, bytes, outcome);
        Ok(())
    }

    fn receipt(&mut self, (push, outcome): Answer) -> Result<FromRelay, End> {
        match outcome.ok_or(LogError::Unavailable)? {
            Outcome::Unclear => {
                self.pushes.ask_again(push);
                Ok(FromRelay::Unclear { push })
            }
            Outcome::Unreadable(fault) => Err(End::Denied(Denial::Unreadable(fault.to_string()))),
            Outcome::Stored(receipt) => {
                let (through, digest) = self.follow.acknowledge(&receipt, self.seat.head());
                if self.pushes.has_to_come_again(push) {
                    return Ok(FromRelay::Unclear { push });
                }
                Ok(FromRelay::Ack(Ack { push, through, digest, refused: receipt.refused }))
            }
        }
    }

    fn compared(&mut self, step: Step) -> Option<FromRelay> {
        match step {
            Step::Answer(payload) => Some(FromRelay::Reconcile { payload }),
            Step::Records(batch) => Some(FromRelay::Records { batch }),
            Step::Served => None,
            Step::Reconciled(head) => {
                self.follow.resume(head.tail);
                Some(FromRelay::Reconciled { through: head.tail.0, digest: head.digest.0 })
            }
        }
    }

    /// The next entries, if there are some and they are at hand; else they begin to be read.
    fn next_entries(&mut self) -> Result<Option<FromRelay>, End> {
        if self.seat.is_lost() {
            return Err(End::Denied(Denial::Unavailable));
        }
        let head = self.seat.head();
        if self.page.is_some() || !self.follow.may_send(head) {
            return Ok(None);
        }
        // Receipts come before the tail they made is shown: taken now, this session's own entries are known as its own.
        if let Some(answer) = self.pushes.try_next() {
            return self.receipt(answer).map(Some);
        }
        let bytes = self.follow.bytes_wanted();
        if let Some(entries) = self.seat.recent(self.follow.position(), bytes) {
            return Ok(self.follow.take(&entries, head).map(FromRelay::Entries));
        }
        let (log, grant, after) = (self.log.clone(), self.grant.clone(), self.follow.position());
        self.page = Some(Box::pin(async move { log.entries(&grant, after, head.tail, bytes).await }));
        Ok(None)
    }

    /// The message out of a page that was read.
    fn entries(&mut self, page: &[Arc<Entry>]) -> Result<Option<FromRelay>, End> {
        let head = self.seat.head();
        if let Some(answer) = self.pushes.try_next() {
            // The page is read again behind the receipt.
            return self.receipt(answer).map(Some);
        }
        let message = self.follow.take(page, head).map(FromRelay::Entries);
        match message {
            None if self.follow.may_send(head) => {
                let damage = format!("entries behind {} are missing", self.follow.position().0);
                Err(LogError::Damaged(damage).into())
            }
            message => Ok(message),
        }
    }

    /// The next moment something is late.
    fn due<S>(&self, outgoing: &Outgoing<S>, incoming: &Incoming<S>) -> Instant
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ping = incoming.heard().max(self.pinged) + self.deadlines.ping;
        let silent = incoming.heard() + self.deadlines.idle;
        let mut due = self.expires;
        if !self.compare.is_busy() {
            due = due.min(silent);
        }
        if !outgoing.is_writing() {
            due = due.min(ping);
        }
        let others = [outgoing.deadline(), self.compare.deadline(self.deadlines.idle)];
        others.into_iter().flatten().fold(due, Instant::min)
    }

    async fn late<S>(&mut self, outgoing: &mut Outgoing<S>, incoming: &Incoming<S>) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let now = Instant::now();
        if self.expires <= now {
            return Err(End::Denied(Denial::TokenExpired));
        }
        let heard_late = !self.compare.is_busy() && incoming.heard() + self.deadlines.idle <= now;
        let others = [outgoing.deadline(), self.compare.deadline(self.deadlines.idle)];
        if heard_late || others.into_iter().flatten().any(|due| due <= now) {
            return Err(End::Silent);
        }
        if !outgoing.is_writing() && incoming.heard().max(self.pinged) + self.deadlines.ping <= now {
            self.pinged = now;
            return outgoing.start_ping().await;
        }
        Ok(())
    }
}

async fn read_page(page: &mut Option<Page>) -> Result<Vec<Arc<Entry>>, LogError> {
    match page {
        Some(page) => page.await,
        None => std::future::pending().await,
    }
}
