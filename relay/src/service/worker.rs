//! The owner of a service device's store, in a thread of its own: answers reads once everything in the log has come, and
//! writes once everything done is in the log. Must not know HTTP.

use super::ServiceError;
use super::link::{Inside, Link};
use super::place::Place;
use super::receipts::{Receipts, Seen};
use super::write::{Job, Reply, Write, Written, stated};
use crate::auth::Grant;
use crate::room::{Hub, Seat};
use comptoir_engine::disk::DiskError;
use comptoir_engine::id::{LogEpoch, LogSeq};
use comptoir_engine::{Engine, Event, Mode, Now, StoreError, Timestamp};
use rand::rngs::StdRng;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

/// How long a request waits for the log's newest entries.
const BEHIND_MAX: Duration = Duration::from_secs(15);
/// How long a write waits for the log.
const UNSENT_MAX: Duration = Duration::from_secs(10);
/// While an older write than this waits for the log, no new ones are begun: else it would never be their turn.
const HOLD_AFTER: Duration = Duration::from_millis(20);
/// Requests taken in before the channel has to wait.
const WAITING_MAX: usize = 64;
const ENTER_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(200);

/// What a worker stands on.
pub(super) struct Outside {
    pub(super) inside: Inside,
    pub(super) hub: Arc<Hub>,
    pub(super) shutdown: watch::Receiver<bool>,
    /// Makes the device's token anew: the old one may have been revoked.
    pub(super) grant: Box<dyn Fn() -> Result<(String, Grant), ServiceError> + Send>,
    pub(super) wall: Box<dyn Fn() -> Timestamp + Send>,
    /// How long the log may be, in bytes.
    pub(super) log_bytes_max: Box<dyn Fn() -> Option<u64> + Send>,
    pub(super) idle_max: Box<dyn Fn() -> Duration + Send>,
    /// Takes the worker off the list; false where somebody has just come.
    pub(super) retire: Box<dyn Fn() -> bool + Send>,
}

struct Waiting {
    job: Job,
    target: (LogEpoch, LogSeq),
    until: Instant,
}

struct Unsent {
    reply: Option<Reply<Written>>,
    settled: Option<Reply<()>>,
    written: Written,
    since: Instant,
    refused_before: u64,
}

pub(super) struct Worker {
    engine: Engine,
    receipts: Receipts,
    outside: Outside,
    rng: StdRng,
    started: Instant,
    link: Option<Link>,
    place: Place,
    seat: Option<Seat>,
    waiting: VecDeque<Waiting>,
    unsent: VecDeque<Unsent>,
    used: Instant,
    retry_at: Instant,
}

impl Worker {
    pub(super) fn new(mut engine: Engine, receipts: Receipts, outside: Outside, rng: StdRng) -> Self {
        let now = Instant::now();
        engine.start(Mode::Both, Now { wall: (outside.wall)(), monotonic_ms: 0 });
        Self {
            engine,
            receipts,
            outside,
            rng,
            started: now,
            link: None,
            place: Place::default(),
            seat: None,
            waiting: VecDeque::new(),
            unsent: VecDeque::new(),
            used: now,
            retry_at: now,
        }
    }

    /// Runs until it is idle, its disk fails or the relay stops.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut shutdown = self.outside.shutdown.clone();
        let outcome = loop {
            if let Err(error) = self.turn().await {
                break error;
            }
            let due = self.due();
            let takes = self.waiting.len() < WAITING_MAX && self.seat.is_some();
            let frames = self.link.as_ref().map(|link| link.frames.clone());
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stopped| *stopped) => break ServiceError::Closed,
                heard = hear(&mut self.link) => {
                    if let Err(error) = self.heard(heard) {
                        break error;
                    }
                }
                job = jobs.recv(), if takes => match job {
                    Some(job) => self.take(job),
                    None => break ServiceError::Closed,
                },
                () = room(frames), if self.link.as_ref().is_some_and(|link| link.frames.capacity() == 0) => {}
                () = std::future::ready(()), if self.engine.has_index_work() => {
                    if let Err(error) = self.engine.index_step() {
                        break error.into();
                    }
                }
                () = tokio::time::sleep_until(due) => self.engine.handle_timeout(self.now()),
            }
            if self.is_idle() && (self.outside.retire)() {
                return;
            }
        };
        jobs.close();
        self.waiting.drain(..).for_each(|waiting| waiting.job.refuse(outcome.clone()));
        self.unsent.drain(..).for_each(|unsent| unsent.answer(Err(ServiceError::Unsent)));
        while let Ok(job) = jobs.try_recv() {
            job.refuse(outcome.clone());
        }
    }

    fn now(&self) -> Now {
        Now { wall: (self.outside.wall)(), monotonic_ms: self.started.elapsed().as_millis() as u64 }
    }

    fn due(&self) -> Instant {
        let session = self.engine.poll_timeout().map(|due_ms| self.started + Duration::from_millis(due_ms));
        let waiting = self.waiting.iter().map(|waiting| waiting.until);
        let unsent = self.unsent.iter().map(|unsent| unsent.since + UNSENT_MAX);
        let hold = self.unsent.front().map(|unsent| unsent.since + HOLD_AFTER).filter(|at| *at > Instant::now());
        let retry = (self.seat.is_none() || self.link.is_none()).then_some(self.retry_at.max(Instant::now() + RETRY));
        let idle = self.used + (self.outside.idle_max)();
        let idle = idle.max(Instant::now() + RETRY);
        waiting.chain(unsent).chain(session).chain(hold).chain(retry).fold(idle, Instant::min)
    }

    fn is_idle(&self) -> bool {
        let quiet = self.waiting.is_empty() && self.unsent.is_empty() && self.engine.status().pending == 0;
        quiet && self.used.elapsed() >= (self.outside.idle_max)()
    }

    /// Everything that can be done without waiting.
    async fn turn(&mut self) -> Result<(), ServiceError> {
        while let Some(event) = self.engine.poll_event() {
            if event == Event::Disconnect {
                self.disconnected("the relay ended the session");
            }
        }
        self.sit().await;
        if self.engine.wants_connection(self.now()) {
            self.connect().await?;
        }
        self.send()?;
        self.expire();
        self.work()?;
        self.send()
    }

    /// Takes a place in the workspace's room, to know how far the log has come.
    async fn sit(&mut self) {
        if self.seat.as_ref().is_some_and(|seat| !seat.room().is_lost()) || Instant::now() < self.retry_at {
            return;
        }
        self.seat = None;
        if let Ok((_, grant)) = (self.outside.grant)()
            && let Ok(Ok(seat)) = timeout(ENTER_TIMEOUT, self.outside.hub.enter(&grant)).await
        {
            self.seat = Some(seat);
        } else {
            self.retry_at = Instant::now() + RETRY;
        }
    }

    async fn connect(&mut self) -> Result<(), ServiceError> {
        let (token, _) = (self.outside.grant)()?;
        let mut settings = self.engine.settings().clone();
        settings.token = token;
        self.engine.configure(settings)?;
        match self.outside.inside.connect().await {
            Some(link) => {
                self.link = Some(link);
                self.place.lost();
                let now = self.now();
                self.engine.handle_connected(now);
            }
            None => self.disconnected("too many connections of service devices have not ended yet"),
        }
        Ok(())
    }

    fn disconnected(&mut self, cause: &str) {
        self.link = None;
        self.place.lost();
        let now = self.now();
        self.engine.handle_disconnected(cause, now, &mut self.rng);
    }

    fn send(&mut self) -> Result<(), ServiceError> {
        while let Some(link) = &self.link {
            let frames = link.frames.clone();
            let Ok(permit) = frames.try_reserve() else { return Ok(()) };
            let Some(frame) = self.engine.poll_message(self.now())? else { return Ok(()) };
            self.place.sent(&frame);
            permit.send(frame);
        }
        Ok(())
    }

    fn heard(&mut self, frame: Option<Vec<u8>>) -> Result<(), ServiceError> {
        match frame {
            Some(frame) => {
                let now = self.now();
                match self.engine.handle_message(&frame, now) {
                    Ok(()) => self.place.heard(&frame),
                    Err(error) if is_fatal(&error) => return Err(error.into()),
                    Err(error) => self.disconnected(&error.to_string()),
                }
            }
            None => self.disconnected("the relay ended the connection"),
        }
        Ok(())
    }

    /// A request came: it is to see what the log holds now.
    fn take(&mut self, job: Job) {
        self.used = Instant::now();
        let Some(seat) = &self.seat else { return job.refuse(ServiceError::Behind) };
        let target = (seat.room().epoch(), seat.room().durable().tail);
        self.waiting.push_back(Waiting { job, target, until: Instant::now() + BEHIND_MAX });
    }

    fn expire(&mut self) {
        let now = Instant::now();
        let late = |waiting: &Waiting| waiting.until <= now || waiting.job.is_given_up();
        for _ in 0..self.waiting.len() {
            let Some(waiting) = self.waiting.pop_front() else { break };
            match late(&waiting) {
                true => waiting.job.refuse(ServiceError::Behind),
                false => self.waiting.push_back(waiting),
            }
        }
        while self.unsent.front().is_some_and(|unsent| unsent.since + UNSENT_MAX <= now)
            && let Some(unsent) = self.unsent.pop_front()
        {
            unsent.answer(Err(ServiceError::Unsent));
        }
    }

    fn work(&mut self) -> Result<(), ServiceError> {
        self.answer_sent();
        loop {
            let held = self.unsent.front().is_some_and(|unsent| unsent.since.elapsed() > HOLD_AFTER);
            let ready = |waiting: &Waiting| self.place.has(waiting.target.0, waiting.target.1);
            let next = self
                .waiting
                .iter()
                .position(|waiting| ready(waiting) && (!held || matches!(waiting.job, Job::Look(_))));
            let Some(waiting) = next.and_then(|index| self.waiting.remove(index)) else { return Ok(()) };
            match waiting.job {
                Job::Look(look) => look(Ok(&self.engine)),
                Job::Settle(reply) => self.wait_for_log(None, Some(reply), Written::default()),
                Job::Write(write, reply) => self.write(write, reply)?,
            }
            self.answer_sent();
        }
    }

    fn write(&mut self, write: Write, reply: Reply<Written>) -> Result<(), ServiceError> {
        if let Some(once) = &write.once {
            match self.receipts.find(once, self.now().wall) {
                Seen::Never => {}
                Seen::Other => {
                    drop(reply.send(Err(ServiceError::KeyReused)));
                    return Ok(());
                }
                Seen::Unknown => {
                    drop(reply.send(Err(ServiceError::KeyUnknown)));
                    return Ok(());
                }
                Seen::Done(written) => {
                    self.wait_for_log(Some(reply), None, written);
                    return Ok(());
                }
            }
        }
        // Before it is saved here: what was answered would never be in the log.
        let log_bytes = self.seat.as_ref().map_or(0, |seat| seat.room().bytes());
        if let Some(bytes_max) = (self.outside.log_bytes_max)().filter(|max| log_bytes >= *max) {
            drop(reply.send(Err(ServiceError::OverQuota { bytes_max })));
            return Ok(());
        }
        match self.commit(write) {
            Ok(written) => self.wait_for_log(Some(reply), None, written),
            Err(error) => {
                drop(reply.send(Err(error.clone())));
                if ends(&error) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// The key first, then the edits, then what they did: whatever is cut short, the next start knows which came last.
    fn commit(&mut self, write: Write) -> Result<Written, ServiceError> {
        let now = self.now();
        let Write { record, records, once, commit } = write;
        if let Some(once) = &once {
            self.receipts.begin(once, &self.engine, &records, now.wall)?;
        }
        let committed = match commit(&mut self.engine, now) {
            Ok(committed) => committed,
            Err(error) => {
                if let Some(once) = once.as_ref().filter(|_| !ends(&error)) {
                    self.receipts.drop_begun(once)?;
                }
                return Err(error);
            }
        };
        let state = record.map(|record| stated(&self.engine, &record)).transpose()?.flatten();
        let written = Written::of(&committed, state.map(|state| state.etag));
        if let Some(once) = &once {
            self.receipts.end(once, &written, now.wall)?;
        }
        Ok(written)
    }

    fn wait_for_log(&mut self, reply: Option<Reply<Written>>, settled: Option<Reply<()>>, written: Written) {
        let refused_before = self.engine.status().quarantined;
        self.unsent.push_back(Unsent { reply, settled, written, since: Instant::now(), refused_before });
    }

    fn answer_sent(&mut self) {
        if self.unsent.is_empty() || self.engine.status().pending > 0 {
            return;
        }
        let refused = self.engine.status().quarantined;
        for unsent in self.unsent.drain(..) {
            let outcome = if refused > unsent.refused_before { Err(ServiceError::Refused) } else { Ok(()) };
            unsent.answer(outcome);
        }
        self.used = Instant::now();
    }
}

impl Unsent {
    fn answer(self, outcome: Result<(), ServiceError>) {
        // Whoever asked may have gone.
        if let Some(reply) = self.reply {
            drop(reply.send(outcome.clone().map(|()| self.written)));
        }
        if let Some(reply) = self.settled {
            drop(reply.send(outcome));
        }
    }
}

/// Whether the store is to be opened again. A key whose end could not be noted is one: only opening finds out what it did,
/// and until then the same request would be done twice.
fn ends(error: &ServiceError) -> bool {
    match error {
        ServiceError::Store(error) => is_fatal(error),
        error => matches!(error, ServiceError::Keys { .. }),
    }
}

fn is_fatal(error: &StoreError) -> bool {
    use DiskError::{Damaged, Full, Io, Poisoned};
    matches!(error, StoreError::Disk(Full { .. } | Io { .. } | Damaged { .. } | Poisoned))
}

async fn hear(link: &mut Option<Link>) -> Option<Vec<u8>> {
    match link {
        Some(link) => link.heard.recv().await,
        None => std::future::pending().await,
    }
}

async fn room(frames: Option<mpsc::Sender<Vec<u8>>>) {
    match frames {
        Some(frames) => drop(frames.reserve().await),
        None => std::future::pending().await,
    }
}
