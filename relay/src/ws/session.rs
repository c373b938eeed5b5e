//! One session after its welcome, over a socket: it drives an [`Exchange`] until either side ends it. Must not know what
//! the messages mean or how a log keeps its rows.
//!
//! The loop has one rule: **one message is on its way at a time, and what goes next is chosen when it has left**.
//! Reading goes on all the while, so two sides that both write cannot block each other.

use super::compare::{Compare, Done};
use super::exchange::{Due, Exchange, Task};
use super::pass::Pass;
use super::socket::{Incoming, Outgoing};
use super::{Deadlines, End, kinds, stopped};
use crate::auth::Grant;
use crate::limits::{Limits, Load};
use crate::log::{Entry, Head, Log, LogError, Outcome};
use crate::room::Seat;
use comptoir_engine::wire::batch::Batch;
use comptoir_engine::wire::message::{Denial, FromDevice, FromRelay};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{Duration, Instant, sleep_until, timeout};

/// A device whose push waits is told so often: it would take silence for an end.
const SLOWED_EVERY: Duration = Duration::from_secs(3);

/// A push that waits until it may be stored.
type Held = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;
type Page = Pin<Box<dyn Future<Output = Result<Vec<Arc<Entry>>, LogError>> + Send>>;

/// A push that was handed to the log, and when.
struct Awaited {
    since: Instant,
    outcome: oneshot::Receiver<Outcome>,
}

/// A welcomed device's session.
pub(super) struct Session {
    exchange: Exchange,
    pass: Pass,
    seat: Seat,
    log: Log,
    /// What the log will say of the pushes it was handed, in their order.
    outcomes: VecDeque<Awaited>,
    compare: Compare,
    /// Since when the device is to go on with its comparison.
    listening: Option<Instant>,
    /// Entries being read from the disk.
    page: Option<Page>,
    deadlines: Deadlines,
    pinged: Instant,
    /// None for the relay's own devices: their callers have paid.
    limits: Option<Arc<Limits>>,
    held: Option<Held>,
    slowed: Instant,
    /// The log had no room for a push: its limit, in bytes. The session ends when the device has been sent everything.
    full: Option<u64>,
}

impl Session {
    /// Begins behind the welcome.
    pub(super) fn new(
        exchange: Exchange,
        pass: Pass,
        seat: Seat,
        log: Log,
        permits: Arc<Semaphore>,
        (deadlines, limits): (Deadlines, Option<Arc<Limits>>),
    ) -> Self {
        let own = seat.whole().shares().comparisons().clone();
        let compare = Compare::new(log.clone(), pass.grant().clone(), own, permits);
        let (outcomes, listening, page, held, full) = (VecDeque::new(), None, None, None, None);
        let (pinged, slowed) = (Instant::now(), Instant::now());
        Self {
            exchange,
            pass,
            seat,
            log,
            outcomes,
            compare,
            listening,
            page,
            deadlines,
            pinged,
            limits,
            held,
            slowed,
            full,
        }
    }

    pub(super) fn grant(&self) -> &Grant {
        self.pass.grant()
    }

    pub(super) fn device(&self) -> &str {
        self.exchange.device()
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
                self.tell_regained(true);
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
        self.seat.reached(self.exchange.position());
        if free {
            let head = self.seat.room().head();
            self.take_outcomes()?;
            self.tell_regained(false);
            match self.exchange.poll(head, self.seat.room())? {
                Due::Message(message) => return outgoing.start(&message).await,
                Due::Page { after, through, bytes_max } => {
                    let (log, grant) = (self.log.clone(), self.pass.grant().clone());
                    self.page =
                        Some(Box::pin(async move { log.shown_entries(&grant, after, through, bytes_max).await }));
                }
                Due::Nothing => self.refuse_if_full(head)?,
            }
        }
        let due = self.due(outgoing, incoming);
        let busy = self.exchange.is_busy();
        tokio::select! {
            biased;
            () = stopped(shutdown) => Err(End::Denied(Denial::ShuttingDown)),
            denial = self.pass.revoked() => Err(End::Denied(denial)),
            done = outgoing.flushed(), if !free => done,
            outcome = next_outcome(&mut self.outcomes), if free && !planted!(OutcomeUnheard) => self.settle(outcome),
            message = incoming.next(), if !busy && self.held.is_none() => self.handle(message?).await,
            batch = passed(&mut self.held) => {
                self.held = None;
                incoming.excuse();
                self.append(batch).await
            }
            done = self.compare.next(), if free && busy => {
                match self.compared(done?) {
                    Some(message) => outgoing.start(&message).await,
                    None => Ok(()),
                }
                .inspect(|()| incoming.excuse())
            }
            page = read_page(&mut self.page), if free && self.page.is_some() => {
                self.page = None;
                let head = self.seat.room().head();
                self.take_outcomes()?;
                match self.exchange.handle_page(&page?, head)? {
                    Some(message) => outgoing.start(&message).await,
                    None => Ok(()),
                }
            }
            () = self.seat.changed(), if !planted!(FollowerUnwoken) => Ok(()),
            () = sleep_until(due) => self.late(outgoing, incoming).await,
        }
    }

    async fn handle(&mut self, message: FromDevice) -> Result<(), End> {
        match self.exchange.handle(message, self.seat.room())? {
            None => {}
            Some(Task::Append(batch)) => return self.take_in(batch).await,
            Some(task) => {
                (self.page, self.listening) = (None, None);
                self.compare.start(task);
            }
        }
        Ok(())
    }

    /// A push has come: it is stored at once, when its turn comes, or not at all.
    async fn take_in(&mut self, batch: Vec<u8>) -> Result<(), End> {
        let grant = self.pass.grant();
        let Some(limits) = self.limits.clone() else { return self.append(batch).await };
        let bytes_max = limits.log_bytes_max(grant.workspace());
        self.full = self.full.or(bytes_max.filter(|max| self.seat.room().bytes() + batch.len() as u64 > *max));
        match limits.slows(grant) {
            // What comes behind one that was not stored builds on it.
            _ if self.full.is_some() => {}
            false => return self.append(batch).await,
            true => {
                let grant = grant.clone();
                self.slowed = Instant::now();
                self.held = Some(Box::pin(async move {
                    let changes = Batch::decode(&batch).map_or(0, |batch| batch.len());
                    let [changes, bytes] = [changes, batch.len()].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
                    limits.pass(&grant, Load { changes, bytes, requests: 0 }).await;
                    batch
                }));
            }
        }
        Ok(())
    }

    async fn append(&mut self, batch: Vec<u8>) -> Result<(), End> {
        let since = Instant::now();
        let appended = timeout(self.deadlines.write, self.log.append(self.pass.grant(), batch)).await;
        let outcome = appended.map_err(|_| LogError::Unavailable)??;
        self.outcomes.push_back(Awaited { since, outcome });
        Ok(())
    }

    /// Whoever cannot push has at least all there is, and every receipt.
    fn refuse_if_full(&self, head: Head) -> Result<(), End> {
        let has_all = self.exchange.has_all(head) && self.outcomes.is_empty();
        match self.full.filter(|_| has_all) {
            Some(bytes_max) => Err(End::Denied(Denial::OverQuota { bytes_max })),
            None => Ok(()),
        }
    }

    fn tell_regained(&mut self, ends: bool) {
        if let Some(changes) = self.exchange.take_regained(ends) {
            let (workspace, device) = (self.pass.grant().workspace(), self.exchange.device());
            tracing::warn!(%workspace, %device, changes, "the log had lost changes and got them back from a device");
        }
    }

    /// Hands over what the log has said already.
    fn take_outcomes(&mut self) -> Result<(), End> {
        while let Some(first) = self.outcomes.front_mut() {
            let outcome = match first.outcome.try_recv() {
                Ok(outcome) => Some((outcome, first.since)),
                Err(TryRecvError::Closed) => None,
                Err(TryRecvError::Empty) => return Ok(()),
            };
            self.outcomes.pop_front();
            self.settle(outcome)?;
        }
        Ok(())
    }

    /// What became of the first push, and when it was handed over.
    fn settle(&mut self, outcome: Option<(Outcome, Instant)>) -> Result<(), End> {
        if let Some((Outcome::Stored(receipt), since)) = &outcome {
            let metrics = self.log.metrics();
            metrics.pushed(receipt.changes, since.elapsed());
            receipt.refused.iter().for_each(|refused| metrics.change_refused(kinds::refusal(&refused.reason)));
        }
        self.exchange.handle_outcome(outcome.map(|(outcome, _)| outcome))
    }

    fn compared(&mut self, done: Done) -> Option<FromRelay> {
        let message = match done {
            Done::Answered(comparison, payload) => Some(self.exchange.handle_answer(comparison, payload)),
            Done::Records(batch) => Some(self.exchange.handle_records(batch)),
            Done::Served => self.exchange.handle_served(),
        };
        match self.exchange.is_comparing() {
            true if !self.exchange.is_busy() => self.listening = Some(Instant::now()),
            true => {}
            false => self.compare.end(),
        }
        message
    }

    /// The next moment something is late.
    fn due<S>(&self, outgoing: &Outgoing<S>, incoming: &Incoming<S>) -> Instant
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ping = incoming.heard().max(self.pinged) + self.deadlines.ping;
        let silent = incoming.heard() + self.deadlines.idle;
        let mut due = self.pass.expires();
        if !self.exchange.is_busy() && self.held.is_none() {
            due = due.min(silent);
        }
        if self.held.is_some() && !outgoing.is_writing() {
            due = due.min(self.slowed + SLOWED_EVERY);
        }
        if !outgoing.is_writing() {
            due = due.min(ping);
        }
        let others = [outgoing.deadline(), self.listening.map(|since| since + self.deadlines.idle)];
        others.into_iter().flatten().fold(due, Instant::min)
    }

    async fn late<S>(&mut self, outgoing: &mut Outgoing<S>, incoming: &Incoming<S>) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let now = Instant::now();
        if self.pass.expires() <= now {
            return Err(End::Denied(Denial::TokenExpired));
        }
        let heard_late =
            !self.exchange.is_busy() && self.held.is_none() && incoming.heard() + self.deadlines.idle <= now;
        let others = [outgoing.deadline(), self.listening.map(|since| since + self.deadlines.idle)];
        if heard_late || others.into_iter().flatten().any(|due| due <= now) {
            return Err(End::Silent);
        }
        if self.held.is_some() && !outgoing.is_writing() && self.slowed + SLOWED_EVERY <= now {
            self.slowed = now;
            return outgoing.start(&FromRelay::Slowed).await;
        }
        if !outgoing.is_writing() && incoming.heard().max(self.pinged) + self.deadlines.ping <= now {
            self.pinged = now;
            return outgoing.start_ping().await;
        }
        Ok(())
    }
}

/// The push that waited; never when none does. May be dropped and called again.
async fn passed(held: &mut Option<Held>) -> Vec<u8> {
    match held {
        Some(held) => held.await,
        None => std::future::pending().await,
    }
}

async fn read_page(page: &mut Option<Page>) -> Result<Vec<Arc<Entry>>, LogError> {
    match page {
        Some(page) => page.await,
        None => std::future::pending().await,
    }
}

/// What the log says of the first push; never when none waits. May be dropped and called again.
async fn next_outcome(outcomes: &mut VecDeque<Awaited>) -> Option<(Outcome, Instant)> {
    match outcomes.front_mut() {
        Some(first) => {
            let (outcome, since) = ((&mut first.outcome).await.ok(), first.since);
            outcomes.pop_front();
            outcome.map(|outcome| (outcome, since))
        }
        None => std::future::pending().await,
    }
}
