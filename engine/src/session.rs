//! The sync session as a state machine without sockets, store or clock: when to connect, what may be sent, what is in
//! flight, what the relay confirmed. Must not know records.
//!
//! Methods come in three kinds: `handle_*` tells it what happened, `poll_*` asks what is due, the rest reads.

pub mod reconcile;

use crate::digest::Digest;
use crate::id::{Collection, Cursor, LogEpoch, LogSeq};
use crate::time::Now;
use crate::wire::message::{Denial, PUSH_WINDOW_BYTES, PUSHES_MAX, Reach, Role, Welcome};
use rand::RngExt as _;
use std::collections::VecDeque;

/// Time to reach the relay and for its welcome, in milliseconds.
pub const CONNECT_TIMEOUT_MS: u64 = 10_000;
/// Time for the relay to answer what is in flight, in milliseconds.
pub const ANSWER_TIMEOUT_MS: u64 = 45_000;
/// The first wait before connecting again, at most, in milliseconds; it doubles with each failure.
pub const RETRY_FIRST_MS: u64 = 500;
/// The longest wait before connecting again, in milliseconds: a shop that is back on the network is up to date in seconds.
pub const RETRY_MAX_MS: u64 = 4_000;
/// The owner of the connection asks for a sign of life so often, in milliseconds.
pub const PING_INTERVAL_MS: u64 = 4_000;
/// And gives it up when no byte came for so long, in milliseconds: nobody may believe for longer in a dead connection.
pub const SILENCE_MAX_MS: u64 = 10_000;

/// Which way changes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// From the device to the relay.
    Push,
    /// From the relay to the device.
    Pull,
    /// Both.
    Both,
}

/// Where the session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Stopped,
    Waiting { until_ms: u64 },
    Connecting { until_ms: u64 },
    Greeting { until_ms: u64 },
    Live,
    Reconciling,
}

/// A push on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// Its number in this session.
    pub push: u64,
    /// The outbox's first transaction in it.
    pub from: u64,
    /// The outbox's last transaction in it.
    pub through: u64,
    bytes: u64,
}

/// The state machine. It begins stopped.
#[derive(Debug)]
pub struct Session {
    mode: Mode,
    phase: Phase,
    failures: u32,
    epoch: LogEpoch,
    role: Role,
    /// Where the token may write, where that is not everywhere.
    writable: Option<Reach>,
    /// What it may read, where that is not everything.
    readable: Option<Reach>,
    in_flight: VecDeque<InFlight>,
    next_push: u64,
    next_transaction: u64,
    confirmed: Option<(LogSeq, Digest)>,
    reconciled: bool,
    heard_ms: u64,
    error: Option<String>,
    denied: bool,
    /// The relay takes pushes more slowly than they come.
    slowed: bool,
    /// The relay had no room for a push: one at a time goes out until it takes one.
    careful: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            mode: Mode::Both,
            phase: Phase::Stopped,
            failures: 0,
            epoch: LogEpoch::NONE,
            role: Role::Reader,
            writable: None,
            readable: None,
            in_flight: VecDeque::new(),
            next_push: 1,
            next_transaction: 0,
            confirmed: None,
            reconciled: false,
            heard_ms: 0,
            error: None,
            denied: false,
            slowed: false,
            careful: false,
        }
    }
}

impl Session {
    /// Wants a connection from now on.
    pub fn start(&mut self, mode: Mode, now: Now) {
        *self = Self { mode, phase: Phase::Waiting { until_ms: now.monotonic_ms }, ..Self::default() };
    }

    /// Wants none any more.
    pub fn stop(&mut self) {
        self.phase = Phase::Stopped;
        self.in_flight.clear();
        self.confirmed = None;
    }

    /// Whether to connect now. From then on it counts as connecting.
    pub fn poll_connect(&mut self, now: Now) -> bool {
        let due = matches!(self.phase, Phase::Waiting { until_ms } if until_ms <= now.monotonic_ms);
        if due {
            self.phase = Phase::Connecting { until_ms: now.monotonic_ms + CONNECT_TIMEOUT_MS };
            self.error = None;
        }
        due
    }

    /// The connection is open: a hello is due.
    pub fn handle_connected(&mut self, now: Now) {
        self.phase = Phase::Greeting { until_ms: now.monotonic_ms + CONNECT_TIMEOUT_MS };
        self.in_flight.clear();
        self.next_push = 1;
        self.next_transaction = 0;
        self.confirmed = None;
        self.reconciled = false;
        (self.writable, self.readable, self.slowed) = (None, None, false);
        self.heard_ms = now.monotonic_ms;
    }

    /// The connection failed or ended. Waits, longer after each failure, with jitter.
    pub fn handle_disconnected(&mut self, cause: &str, now: Now, rng: &mut dyn rand::Rng) {
        if self.phase == Phase::Stopped {
            return;
        }
        self.error.get_or_insert_with(|| cause.to_owned());
        let longest_ms = RETRY_FIRST_MS.saturating_mul(1 << self.failures.min(16)).min(RETRY_MAX_MS);
        self.failures = self.failures.saturating_add(1);
        if planted!(RetriesEnd) && self.failures > 6 {
            return self.stop();
        }
        let wait_ms = rng.random_range(longest_ms / 2..=longest_ms);
        self.phase = Phase::Waiting { until_ms: now.monotonic_ms + wait_ms };
        self.in_flight.clear();
        self.confirmed = None;
    }

    /// The relay accepted the hello. Whether the entries go on from the device's cursor; if not, it must reconcile.
    pub fn handle_welcome(&mut self, welcome: &Welcome, cursor: Option<Cursor>) -> bool {
        self.epoch = LogEpoch(welcome.epoch);
        self.role = welcome.role;
        self.phase = Phase::Live;
        (self.error, self.denied) = (None, false);
        let follows = match cursor {
            None => true,
            Some(_) if planted!(EpochIgnored) => true,
            Some(cursor) => cursor.epoch == self.epoch && cursor.through.0 <= welcome.tail,
        };
        let through = cursor.map_or(0, |cursor| cursor.through.0);
        if follows && through == welcome.tail {
            self.confirmed = Some((LogSeq(welcome.tail), Digest(welcome.digest)));
        }
        follows
    }

    /// The token may write here only.
    pub fn handle_writable(&mut self, writable: Reach) {
        self.writable = Some(writable);
    }

    /// The token may read this only: comes before the welcome.
    pub fn handle_readable(&mut self, readable: Reach) {
        self.readable = Some(readable);
    }

    /// The relay ended the session.
    pub fn handle_denied(&mut self, denial: &Denial) {
        self.error = Some(denial.to_string());
        self.denied = match denial {
            Denial::TokenMissing | Denial::TokenInvalid | Denial::TokenExpired | Denial::WrongWorkspace => true,
            Denial::TokenRevoked | Denial::TokenTooNarrow | Denial::CodeInvalid | Denial::Suspended => true,
            Denial::OverQuota { .. } => true,
            Denial::OutOfTurn | Denial::Unreadable(_) | Denial::OverLimit { .. } => false,
            Denial::Unavailable | Denial::ShuttingDown => false,
        };
        self.careful = matches!(denial, Denial::OverQuota { .. });
        if self.denied {
            self.failures = 16;
        }
    }

    /// What is in flight has come, and waits for its turn.
    pub fn handle_slowed(&mut self) {
        self.slowed = true;
    }

    /// Something the relay sent cannot be used.
    pub fn handle_fault(&mut self, cause: String) {
        self.error = Some(cause);
    }

    /// Any message arrived.
    pub fn handle_heard(&mut self, now: Now) {
        self.heard_ms = now.monotonic_ms;
    }

    /// Notes what the relay holds at the device's cursor. `None`: the cursor is not at the tail.
    pub fn handle_confirmed(&mut self, confirmed: Option<(LogSeq, Digest)>) {
        self.confirmed = confirmed;
        self.failures = 0;
    }

    /// The receipt for a push; `None` when no such push is in flight.
    pub fn handle_ack(&mut self, push: u64) -> Option<InFlight> {
        match self.in_flight.front() {
            Some(front) if front.push == push => {
                (self.slowed, self.careful) = (false, false);
                self.in_flight.pop_front()
            }
            _ => None,
        }
    }

    /// The push in flight with this number.
    pub fn in_flight(&self, push: u64) -> Option<&InFlight> {
        self.in_flight.iter().find(|each| each.push == push)
    }

    /// Compares whole histories now; only once a session.
    pub fn begin_reconcile(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.reconciled, true);
        if first {
            self.phase = Phase::Reconciling;
            self.confirmed = None;
        }
        first
    }

    /// The histories have been compared: the session goes on from this position.
    pub fn end_reconcile(&mut self, through: LogSeq, digest: Digest) {
        self.phase = Phase::Live;
        self.confirmed = Some((through, digest));
        if self.in_flight.is_empty() {
            // What was offered stands before what was sent last.
            self.next_transaction = 0;
        }
    }

    /// The transaction that the next push begins with; `None` when none may be sent now.
    pub fn poll_push(&self) -> Option<u64> {
        let bytes: u64 = self.in_flight.iter().map(|each| each.bytes).sum();
        let room = self.in_flight.len() < PUSHES_MAX && bytes < PUSH_WINDOW_BYTES / 2;
        let room = room && !(self.careful && self.is_pushing());
        (self.phase == Phase::Live && self.sends() && room).then_some(self.next_transaction)
    }

    /// A push goes out: its number.
    pub fn push(&mut self, from: u64, through: u64, bytes: u64) -> u64 {
        let push = self.next_push;
        self.next_push += 1;
        self.next_transaction = through + 1;
        self.in_flight.push_back(InFlight { push, from, through, bytes });
        push
    }

    /// When [`Session::handle_timeout`] is due, in monotonic milliseconds.
    pub fn poll_timeout(&self) -> Option<u64> {
        match self.phase {
            Phase::Stopped => None,
            Phase::Connecting { .. } if planted!(ConnectAwaitedForEver) => None,
            Phase::Waiting { until_ms } | Phase::Connecting { until_ms } | Phase::Greeting { until_ms } => {
                Some(until_ms)
            }
            Phase::Reconciling => Some(self.heard_ms + ANSWER_TIMEOUT_MS),
            Phase::Live => (!self.in_flight.is_empty()).then_some(self.heard_ms + ANSWER_TIMEOUT_MS),
        }
    }

    /// Whether the relay has let a deadline pass: the connection must be closed.
    pub fn handle_timeout(&mut self, now: Now) -> bool {
        let waiting = matches!(self.phase, Phase::Waiting { .. } | Phase::Stopped);
        let late = !waiting && self.poll_timeout().is_some_and(|due_ms| due_ms <= now.monotonic_ms);
        if late {
            self.error = Some("the relay does not answer: it will be tried again".to_owned());
        }
        late
    }

    /// What the token allows, as the relay said.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the last failure will not heal by waiting.
    pub fn needs_attention(&self) -> bool {
        self.denied
    }

    /// The mode it was started with.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether its mode and the token let this session send.
    pub fn sends(&self) -> bool {
        self.mode != Mode::Pull && self.role >= Role::Editor
    }

    /// Whether the token lets this session send changes of this collection's records.
    pub fn may_write(&self, collection: &Collection) -> bool {
        self.sends() && self.writable.as_ref().is_none_or(|writable| writable.contains(collection))
    }

    /// What the token may read, where that is not everything.
    pub fn readable(&self) -> Option<&Reach> {
        self.readable.as_ref()
    }

    /// Whether the relay's log is seen by this session with this collection in it.
    pub fn may_read(&self, collection: &Collection) -> bool {
        self.readable.as_ref().is_none_or(|readable| readable.contains(collection))
    }

    /// Whether there are collections that the token may not write in.
    pub fn is_narrow(&self) -> bool {
        self.writable.is_some()
    }

    /// The log's identity, once welcomed.
    pub fn epoch(&self) -> LogEpoch {
        self.epoch
    }

    /// Whether the relay welcomed this session and it goes on.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live | Phase::Reconciling)
    }

    /// Whether a connection is open or being opened.
    pub fn is_connected(&self) -> bool {
        self.is_live() || matches!(self.phase, Phase::Connecting { .. } | Phase::Greeting { .. })
    }

    /// Whether histories are being compared.
    pub fn is_reconciling(&self) -> bool {
        self.phase == Phase::Reconciling
    }

    /// Whether histories have been compared in this session.
    pub fn has_reconciled(&self) -> bool {
        self.reconciled
    }

    /// Whether pushes wait for their receipts.
    pub fn is_pushing(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// What the relay holds at the device's cursor, when that is the tail.
    pub fn confirmed(&self) -> Option<(LogSeq, Digest)> {
        self.confirmed
    }

    /// What went wrong last.
    pub fn error(&self) -> Option<&str> {
        let slowed = (self.slowed && self.is_live())
            .then_some("the relay takes no more changes in a second: they go up as it lets them");
        self.error.as_deref().or(slowed)
    }
}
