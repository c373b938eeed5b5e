//! The relay's end of connections: the real exchange, its pushes, pages and comparisons, over the simulated network. Must
//! not know devices.

use super::{Event, World};
use crate::fault::Fault;
use crate::net::DOWN_MAX;
use crate::oracle::{Kind, Violation};
use crate::post::grant;
use comptoir_engine::disk::DiskError;
use comptoir_engine::id::LogSeq;
use comptoir_engine::wire::message::{Denial, FromDevice, FromRelay};
use comptoir_relay::log::{Entry, LogError, Outcome, Push};
use comptoir_relay::room::Room;
use comptoir_relay::ws::{Comparison, Due, End, Exchange, Task};
use rand::RngExt as _;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

const HELLO_MS: u64 = 5_000;
const WRITE_MS: u64 = 10_000;
const ENDED: &str = "the relay ended the connection";

/// Work done, and not yet told.
enum Done {
    Answered(Box<Comparison>, Vec<u8>),
    Records(Vec<u8>),
    Served,
    Page(Vec<Arc<Entry>>),
}

/// One connection as the relay sees it.
#[derive(Default)]
pub(super) struct Session {
    exchange: Option<Exchange>,
    room: Option<Arc<Room>>,
    token: String,
    inbox: VecDeque<Vec<u8>>,
    outcomes: VecDeque<oneshot::Receiver<Outcome>>,
    task: Option<Task>,
    page: Option<(LogSeq, LogSeq, usize)>,
    done: VecDeque<Done>,
}

impl Session {
    /// Nothing was said yet.
    pub(super) fn is_mute(&self) -> bool {
        self.exchange.is_none()
    }
}

impl World {
    pub(super) fn accept(&mut self, conn: usize) {
        self.conns[conn].relay_end = true;
        self.sessions.insert(conn, Session::default());
        self.after(HELLO_MS, Event::HelloLate { conn });
    }

    pub(super) fn end_session(&mut self, conn: usize) {
        self.conns[conn].relay_end = false;
        self.sessions.remove(&conn);
    }

    /// The relay closes a connection; what it said before still arrives.
    pub(super) fn hang_up(&mut self, conn: usize, cause: &'static str) {
        self.end_session(conn);
        if !self.conns[conn].dead {
            let at_ms = self.down_arrival(conn);
            self.at(at_ms, Event::DownClosed { conn, cause });
        }
    }

    /// Ends every session whose token is no longer good.
    pub(super) fn drop_token(&mut self, token: &str) -> Result<(), Violation> {
        let ended: Vec<usize> =
            self.sessions.iter().filter(|(_, session)| session.token == token).map(|(conn, _)| *conn).collect();
        for conn in ended {
            self.count(Fault::TokenRevoked);
            self.ended(conn, End::Denied(Denial::TokenExpired))?;
        }
        Ok(())
    }

    /// A message of a device is there.
    pub(super) fn heard_up(&mut self, conn: usize, frame: Vec<u8>) -> Result<(), Violation> {
        self.conns[conn].up.under_way -= 1;
        let till = self.conns[conn].till;
        if self.conns[conn].reset || self.conns[conn].dead {
            return Ok(());
        }
        let newest = self.newest_heard.entry(till).or_insert(conn);
        let late = *newest > conn && !self.conns[conn].ghost;
        *newest = (*newest).max(conn);
        if late {
            self.count(Fault::Reorder);
        }
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.inbox.push_back(frame);
            self.talk(conn)?;
        }
        self.pump(till)
    }

    /// Lets the relay's end do all it can now: read, answer, send.
    pub(super) fn talk(&mut self, conn: usize) -> Result<(), Violation> {
        loop {
            match self.turn(conn) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(end) => return self.ended(conn, end),
            }
        }
    }

    /// One thing, as the session over a socket does it; false when there is none.
    fn turn(&mut self, conn: usize) -> Result<bool, End> {
        let free = self.conns[conn].down.under_way < DOWN_MAX;
        let Some(session) = self.sessions.get_mut(&conn) else { return Ok(false) };
        let (Some(exchange), Some(room)) = (&mut session.exchange, &session.room) else {
            return match session.inbox.pop_front() {
                Some(frame) => self.greet(conn, &frame).map(|()| true),
                None => Ok(false),
            };
        };
        let mut again = 0;
        if free {
            let head = room.head();
            again = take_outcomes(exchange, &mut session.outcomes)?;
            let mut said = None;
            match exchange.poll(head, room)? {
                Due::Message(message) => said = Some(message),
                Due::Page { after, through, bytes_max } => session.page = Some((after, through, bytes_max)),
                Due::Nothing => {
                    let head = room.head();
                    match session.done.pop_front() {
                        None => {}
                        Some(Done::Answered(comparison, payload)) => {
                            said = Some(exchange.handle_answer(comparison, payload));
                        }
                        Some(Done::Records(batch)) => said = Some(exchange.handle_records(batch)),
                        Some(Done::Served) => said = exchange.handle_served(),
                        Some(Done::Page(page)) => {
                            session.page = None;
                            said = exchange.handle_page(&page, head)?;
                        }
                    }
                }
            }
            let paging = session.page.is_some() && session.done.is_empty();
            (0..again).for_each(|_| self.count(Fault::Duplicate));
            if let Some(message) = said {
                self.send_down(conn, &message)?;
                return Ok(true);
            }
            if paging {
                self.begin_work(conn);
            }
        }
        let _ = again;
        self.read(conn)
    }

    /// Takes the next message of the device, unless a comparison is at work.
    fn read(&mut self, conn: usize) -> Result<bool, End> {
        let Some(session) = self.sessions.get_mut(&conn) else { return Ok(false) };
        let (Some(exchange), Some(room)) = (&mut session.exchange, &session.room) else { return Ok(false) };
        if exchange.is_busy() {
            return Ok(false);
        }
        let Some(frame) = session.inbox.pop_front() else { return Ok(false) };
        match exchange.handle(FromDevice::decode(&frame)?, room)? {
            None => {}
            Some(Task::Append(batch)) => {
                let (push, outcome) = Push::new(&grant(), batch);
                session.outcomes.push_back(outcome);
                self.post.queue.extend(push);
                if !std::mem::replace(&mut self.store_due, true) {
                    let (wait_ms, life) = (self.rng.random_range(0..20), self.post.life);
                    self.after(wait_ms, Event::Store { life });
                }
            }
            Some(task) => {
                session.page = None;
                session.done.retain(|done| !matches!(done, Done::Page(_)));
                session.task = Some(task);
                self.begin_work(conn);
            }
        }
        Ok(true)
    }

    fn begin_work(&mut self, conn: usize) {
        let wait_ms = self.rng.random_range(0..30);
        self.after(wait_ms, Event::Work { conn });
    }

    fn greet(&mut self, conn: usize, frame: &[u8]) -> Result<(), End> {
        let FromDevice::Hello(hello) = FromDevice::decode(frame)? else {
            return Err(End::Denied(Denial::OutOfTurn));
        };
        if !self.tokens.contains(&hello.token) {
            return Err(End::Denied(Denial::TokenInvalid));
        }
        let room = self.post.room.clone().filter(|room| self.post.is_open() && !room.is_lost());
        let room = room.ok_or(LogError::Unavailable)?;
        let (exchange, welcome) = Exchange::begin(&hello, &grant(), &room);
        if let Some(session) = self.sessions.get_mut(&conn) {
            (session.exchange, session.room, session.token) = (Some(exchange), Some(room), hello.token);
        }
        self.send_down(conn, &welcome)
    }

    /// Reads what a session waits for.
    pub(super) fn work(&mut self, conn: usize) -> Result<(), Violation> {
        let Some(session) = self.sessions.get_mut(&conn) else { return Ok(()) };
        let Some(reader) = self.post.reader() else { return Ok(()) };
        let grant = grant();
        let worked: Result<(), End> = (|| {
            match session.task.take() {
                None => {
                    if let (Some((after, through, bytes_max)), true) = (session.page, session.done.is_empty()) {
                        let page = reader.entries(&grant, after, through, bytes_max)?;
                        session.done.push_back(Done::Page(page));
                    }
                }
                Some(Task::Append(_)) => {}
                Some(Task::Begin { payload, at }) => {
                    let mut comparison = Comparison::begin(reader.leaves(&grant)?, at)?;
                    let payload = comparison.answer(&payload)?;
                    session.done.push_back(Done::Answered(comparison, payload));
                }
                Some(Task::Answer(mut comparison, payload)) => {
                    let payload = comparison.answer(&payload)?;
                    session.done.push_back(Done::Answered(comparison, payload));
                }
                Some(Task::Serve(records, through)) => {
                    let done = &mut session.done;
                    reader.records(&grant, &records, through, &mut |batch| {
                        done.push_back(Done::Records(batch));
                        Ok(())
                    })?;
                    done.push_back(Done::Served);
                }
            }
            Ok(())
        })();
        match worked {
            Ok(()) => self.talk(conn),
            Err(end) => {
                self.ended(conn, end)?;
                self.check_relay_disk()
            }
        }
    }

    /// A reader met a failed disk: the writer will, too.
    fn check_relay_disk(&mut self) -> Result<(), Violation> {
        use comptoir_engine::disk::Disk as _;
        match self.post.disk.get(b"i") {
            Err(_) if self.post.is_open() => self.relay_failed(),
            _ => Ok(()),
        }
    }

    /// When a message sent down now will be there.
    fn down_arrival(&mut self, conn: usize) -> u64 {
        let mut way_ms = self.way_ms();
        let till = &self.tills[self.conns[conn].till];
        let (held_ms, slow) = (till.partition_until_ms, till.slow_until_ms > self.now_ms);
        if slow {
            way_ms += self.rng.random_range(300..4_000);
        }
        let at_ms = (self.now_ms.max(held_ms) + way_ms).max(self.conns[conn].down.last_ms);
        self.conns[conn].down.last_ms = at_ms;
        at_ms
    }

    fn send_down(&mut self, conn: usize, message: &FromRelay) -> Result<(), End> {
        let frame = message.encode()?;
        self.note(8, conn, &frame, || format!("relay says {} ({conn})", said_by_relay(message)));
        if self.conns[conn].ghost || self.conns[conn].dead {
            // Nobody reads it: the socket's buffer takes some, then no more.
            self.conns[conn].down.under_way += 1;
        } else {
            let at_ms = self.down_arrival(conn);
            self.conns[conn].down.under_way += 1;
            self.at(at_ms, Event::Down { conn, frame });
        }
        if self.conns[conn].down.under_way >= DOWN_MAX {
            let (till, since_ms) = (self.conns[conn].till, self.now_ms);
            if self.tills[till].slow_until_ms > self.now_ms {
                self.count(Fault::SlowFollower);
            }
            self.conns[conn].blocked_ms = Some(since_ms);
            self.after(WRITE_MS, Event::WriteLate { conn, since_ms });
        }
        Ok(())
    }

    pub(super) fn write_late(&mut self, conn: usize, since_ms: u64) -> Result<(), Violation> {
        let late = self.conns[conn].blocked_ms == Some(since_ms) && self.conns[conn].down.under_way >= DOWN_MAX;
        if late && self.sessions.contains_key(&conn) {
            self.hang_up(conn, ENDED);
        }
        Ok(())
    }

    /// A session ends, with a word where the protocol has one.
    fn ended(&mut self, conn: usize, end: End) -> Result<(), Violation> {
        if let End::Denied(denial) = end {
            if matches!(denial, Denial::OutOfTurn | Denial::Unreadable(_) | Denial::OverLimit { .. }) {
                let what = format!("till {} was turned away: {denial}", self.conns[conn].till);
                return Err(Violation { kind: Kind::Wedged, what });
            }
            // It is bounded, and the connection ends in any case.
            let _ = self.send_down(conn, &FromRelay::Denied(denial));
        }
        self.hang_up(conn, ENDED);
        Ok(())
    }

    /// The relay's group commit.
    pub(super) fn store(&mut self, life: u64) -> Result<(), Violation> {
        if self.post.life != life {
            return Ok(());
        }
        self.store_due = false;
        self.note(9, 0, &[], || "relay stores".to_owned());
        if self.post.store(self.now_ms)?.is_err() {
            return self.relay_failed();
        }
        if self.rng.random_bool(0.3) {
            let wait_ms = self.rng.random_range(0..500);
            self.after(wait_ms, Event::Compact { life });
        }
        self.talk_all()
    }

    pub(super) fn begin_compaction(&mut self, life: u64) -> Result<(), Violation> {
        if self.post.life != life || !self.post.look()? {
            return Ok(());
        }
        let wait_ms = self.rng.random_range(0..500);
        self.after(wait_ms, Event::Compacted { life });
        Ok(())
    }

    pub(super) fn end_compaction(&mut self, life: u64) -> Result<(), Violation> {
        if self.post.life != life {
            return Ok(());
        }
        match self.post.replace() {
            Some(Ok(())) => self.count(Fault::RelayCompacted),
            // It is tried again when the log has grown.
            None | Some(Err(LogError::Disk(DiskError::NoRoom { .. }))) => {}
            Some(Err(_)) => return self.relay_failed(),
        }
        Ok(())
    }

    pub(super) fn talk_all(&mut self) -> Result<(), Violation> {
        let conns: Vec<usize> = self.sessions.keys().copied().collect();
        conns.into_iter().try_for_each(|conn| self.talk(conn))
    }
}

/// Hands over what the log has said; how many pushes held nothing new.
fn take_outcomes(exchange: &mut Exchange, outcomes: &mut VecDeque<oneshot::Receiver<Outcome>>) -> Result<usize, End> {
    let mut again = 0;
    while let Some(first) = outcomes.front_mut() {
        let outcome = match first.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Closed) => None,
            Err(TryRecvError::Empty) => break,
        };
        again += usize::from(
            matches!(&outcome, Some(Outcome::Stored(receipt)) if receipt.seq.is_none() && receipt.refused.is_empty()),
        );
        outcomes.pop_front();
        exchange.handle_outcome(outcome)?;
    }
    Ok(again)
}

fn said_by_relay(message: &FromRelay) -> String {
    match message {
        FromRelay::Welcome(welcome) => format!("welcome at {}", welcome.tail),
        FromRelay::Denied(denial) => format!("no: {denial}"),
        FromRelay::Ack(ack) => {
            let refused: Vec<_> = ack.refused.iter().map(|each| format!("{} {}", each.index, each.reason)).collect();
            format!("ack of push {}, through {:?}, refused {refused:?}", ack.push, ack.through)
        }
        FromRelay::Unclear { push } => format!("push {push} is unclear"),
        FromRelay::Entries(entries) => format!("{} entries through {}", entries.batches.len(), entries.through),
        FromRelay::Records { batch } => format!("records of {} bytes", batch.len()),
        FromRelay::Reconciled { through, .. } => format!("reconciled through {through}"),
        other => format!("{other:?}"),
    }
}
