//! One run: devices, a relay and a network in one thread, driven by a queue of what is due, in an order that the seed
//! alone decides. Must not know how a plan is drawn or what is reported.

mod device;
mod faults;
mod finish;
mod session;

use crate::fault::{Fault, Faults};
use crate::net::Conn;
use crate::oracle::{Kind, Violation};
use crate::plan::{Action, Plan, SAFETY_MS, stream};
use crate::post::Post;
use crate::till::Till;
use rand::RngExt as _;
use rand::rngs::StdRng;
use session::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A run that takes more steps than this turns in circles.
const STEPS_MAX: u64 = 400_000;
/// The most devices, copies included.
const TILLS_MAX: usize = 8;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// A sum over everything that happened: the same seed gives the same.
    pub trace_hash: u64,
    /// What happened, in words, where that was asked for.
    pub trace: Vec<String>,
    /// Steps taken.
    pub steps: u64,
    /// Edits that were done.
    pub operations: u64,
    /// What went wrong on purpose.
    pub faults: Faults,
    /// Whether an edit counts twice in the end, where that cannot be known.
    pub counted_twice: bool,
    /// How long after the last fault each device was up to date, in milliseconds.
    pub healed_ms: Vec<u64>,
    /// How long each device took from its last connection on, in milliseconds.
    pub exchanged_ms: Vec<u64>,
}

impl Outcome {
    pub(crate) fn new() -> Self {
        Self {
            violation: None,
            trace_hash: 0,
            trace: Vec::new(),
            steps: 0,
            operations: 0,
            faults: Faults::default(),
            counted_twice: false,
            healed_ms: Vec::new(),
            exchanged_ms: Vec::new(),
        }
    }
}

/// Something that is due.
#[derive(Debug)]
enum Event {
    Plan(Action),
    Connected {
        conn: usize,
    },
    Refused {
        conn: usize,
    },
    Up {
        conn: usize,
        frame: Vec<u8>,
    },
    Down {
        conn: usize,
        frame: Vec<u8>,
    },
    UpClosed {
        conn: usize,
    },
    DownClosed {
        conn: usize,
        cause: &'static str,
    },
    /// Whoever still holds an end gives a silent connection up.
    Silent {
        conn: usize,
    },
    /// The relay has waited long to write.
    WriteLate {
        conn: usize,
        since_ms: u64,
    },
    /// No hello came.
    HelloLate {
        conn: usize,
    },
    /// Work that the relay does away from the session.
    Work {
        conn: usize,
    },
    Timer {
        till: usize,
        life: u64,
    },
    Reopen {
        till: usize,
        life: u64,
    },
    Room {
        till: usize,
    },
    Store {
        life: u64,
    },
    /// The relay looks at its log for what to compact.
    Compact {
        life: u64,
    },
    /// It puts what it found in its place.
    Compacted {
        life: u64,
    },
    RelayReopen {
        life: u64,
    },
    RelayRoom,
    Heal,
}

/// The run.
pub(crate) struct World {
    plan: Plan,
    now_ms: u64,
    rng: StdRng,
    due: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    tills: Vec<Till>,
    post: Post,
    conns: Vec<Conn>,
    sessions: BTreeMap<usize, Session>,
    newest_heard: BTreeMap<usize, usize>,
    tokens: BTreeSet<String>,
    tokens_drawn: u64,
    /// Numbers given, by whom.
    numbers: BTreeMap<String, usize>,
    /// Numbers that may be given again.
    forgiven: BTreeSet<String>,
    relay_forgot: bool,
    rolled_back: bool,
    compared: bool,
    transfers: BTreeMap<String, [usize; 2]>,
    edits: u64,
    healing: bool,
    store_due: bool,
    outcome: Outcome,
    hasher: DefaultHasher,
    traced: bool,
}

/// Runs a plan to its end. What panics is a violation too.
pub fn run(plan: &Plan, traced: bool) -> Outcome {
    let mut world = World::new(plan.clone(), traced);
    let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
    world.outcome.violation = match ended {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some(violation),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
            Some(Violation { kind: Kind::Panic, what: said.unwrap_or_default() })
        }
    };
    world.outcome.trace_hash = world.hasher.finish();
    world.outcome
}

impl World {
    fn new(plan: Plan, traced: bool) -> Self {
        Self {
            now_ms: 0,
            rng: stream(plan.seed, 0, 0),
            due: BTreeMap::new(),
            scheduled: 0,
            tills: Vec::new(),
            post: Post::new(plan.seed),
            conns: Vec::new(),
            sessions: BTreeMap::new(),
            newest_heard: BTreeMap::new(),
            tokens: BTreeSet::new(),
            tokens_drawn: 0,
            numbers: BTreeMap::new(),
            forgiven: BTreeSet::new(),
            relay_forgot: false,
            rolled_back: false,
            compared: false,
            transfers: BTreeMap::new(),
            edits: 0,
            healing: false,
            store_due: false,
            outcome: Outcome::new(),
            hasher: DefaultHasher::new(),
            traced,
            plan,
        }
    }

    fn run(&mut self) -> Result<(), Violation> {
        self.post.open(0)?.map_err(|error| Violation { kind: Kind::LogBroken, what: error.to_string() })?;
        for number in 0..self.plan.devices {
            self.tokens.insert(format!("token {number}"));
            self.tills.push(Till::new(self.plan.seed, number));
            self.start_till(number)?;
        }
        for (at_ms, action) in self.plan.actions.clone() {
            self.at(at_ms, Event::Plan(action));
        }
        self.at(SAFETY_MS, Event::Heal);
        while let Some(((at_ms, _), event)) = self.due.pop_first() {
            self.now_ms = at_ms;
            self.outcome.steps += 1;
            if self.outcome.steps > STEPS_MAX {
                return self.wedged("the run turns in circles");
            }
            self.step(event)?;
            if self.healing && self.is_healed() {
                return self.finish();
            }
            if self.healing && self.is_late() {
                return self.wedged("time is up");
            }
        }
        self.wedged("nothing is due any more")
    }

    fn step(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Plan(action) => self.act(action),
            Event::Connected { conn } => self.connected(conn),
            Event::Refused { conn } => self.device_end(conn, "the relay cannot be reached"),
            Event::Up { conn, frame } => self.heard_up(conn, frame),
            Event::Down { conn, frame } => self.heard_down(conn, &frame),
            Event::UpClosed { conn } => {
                self.end_session(conn);
                Ok(())
            }
            Event::DownClosed { conn, cause } => self.device_end(conn, cause),
            Event::Silent { conn } => self.silent(conn),
            Event::WriteLate { conn, since_ms } => self.write_late(conn, since_ms),
            Event::HelloLate { conn } => {
                if self.sessions.get(&conn).is_some_and(Session::is_mute) {
                    self.hang_up(conn, "the relay ended the connection");
                }
                Ok(())
            }
            Event::Work { conn } => self.work(conn),
            Event::Timer { till, life } => self.timer(till, life),
            Event::Reopen { till, life } => match self.tills[till].life == life {
                true => self.start_till(till),
                false => Ok(()),
            },
            Event::Room { till } => {
                self.tills[till].full = false;
                self.tills[till].disk.fill(false);
                Ok(())
            }
            Event::Store { life } => self.store(life),
            Event::Compact { life } => self.begin_compaction(life),
            Event::Compacted { life } => self.end_compaction(life),
            Event::RelayReopen { life } => match self.post.life == life && !self.post.is_open() {
                true => self.open_relay(),
                false => Ok(()),
            },
            Event::RelayRoom => {
                self.post.full = false;
                self.post.disk.fill(false);
                Ok(())
            }
            Event::Heal => self.heal(),
        }
    }

    fn at(&mut self, at_ms: u64, event: Event) {
        self.scheduled += 1;
        self.due.insert((at_ms.max(self.now_ms), self.scheduled), event);
    }

    fn after(&mut self, wait_ms: u64, event: Event) {
        self.at(self.now_ms + wait_ms, event);
    }

    fn count(&mut self, fault: Fault) {
        self.outcome.faults.count(fault);
    }

    /// Notes what happens; `what` is only made where somebody reads it.
    fn note(&mut self, code: u8, about: usize, bytes: &[u8], what: impl FnOnce() -> String) {
        (self.now_ms, code, about, bytes).hash(&mut self.hasher);
        if self.traced {
            let (at, what) = (self.now_ms, what());
            self.outcome.trace.push(format!("{:>7}.{:03} s  {what}", at / 1000, at % 1000));
        }
    }

    /// How long a message takes.
    fn way_ms(&mut self) -> u64 {
        let usual = self.rng.random_range(1..40);
        if self.plan.delays && !self.healing && self.rng.random_bool(0.05) {
            self.count(Fault::Delay);
            return self.rng.random_range(200..3_000);
        }
        usual
    }
}
