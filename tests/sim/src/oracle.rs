//! What must hold, and how it is seen. Must not know how a run goes on.
//!
//! Every change of a hot record carries a mark: a field `#<edit>` of its own, set in the same change, whose value is
//! what the change adds to the record's counter. So each copy of a record says by itself which edits it holds and what its
//! counter must show, whatever was lost or done twice on the way. The promises, in these terms:
//!
//! - **Saved**: a mark that a device has shown after a commit is on that device for good, through every crash. Only
//!   another disk in its place (a backup, a state set back) sets it to what that disk held.
//! - **Acknowledged**: a mark that the relay's log held when it answered is in its log for good, through every crash.
//!   Only another disk (wiped, an older copy) sets it to what that disk held.
//! - **Held somewhere**: when faults end, every mark that any device or the relay still holds comes to all of them.
//! - **Counters**: on every copy at every moment, the counter is the sum of the marks that copy holds. Except where a device
//!   was set back unseen and the relay lost its log as well, both in one run: an edit that was made again under another
//!   author may then meet its first form, which nobody could know of, and count twice. Such runs are counted.
//! - **Up to date**: a device says so only with an empty outbox, and with a digest that the relay's log had at some
//!   moment of the last [`STALE_MS`]; and then it holds exactly the marks the log has with that digest.
//! - **Numbers**: no receipt number is given twice; except that a device set back unseen may give again what it gave
//!   since, and that a name held by one device alone may be taken by another once the relay forgot the claim.
//! - **Closed log**: a follower that reads the log from its first entry can take every entry, in order, as it stands, and
//!   comes out with the relay's digest after each.

use comptoir_engine::{Value, View};
use std::collections::BTreeMap;
use std::fmt;

/// How long a connection may be dead before both sides know, in milliseconds: the silence a device bears, and a message's
/// way.
pub const STALE_MS: u64 = 20_000;
/// Every device is up to date so long after the last fault, in milliseconds: 10 s until a silent connection is given up, the
/// wait before the next attempt, and the exchange itself.
pub const HEAL_MS: u64 = 15_000;
/// And 99 of 100 devices so long after it, in milliseconds.
pub const HEAL_P99_MS: u64 = 5_000;
/// And so long after it was connected again.
pub const EXCHANGE_MS: u64 = 15_000;

/// Which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An edit that was reported saved is gone from its device.
    SavedLost,
    /// A change that the relay acknowledged is gone from its log, or did not come everywhere.
    AckedLost,
    /// After healing, copies differ.
    Diverged,
    /// A device says it is up to date and is not.
    FalseUpToDate,
    /// A counter is not the sum of its increments.
    Counter,
    /// A transaction is there in part.
    Torn,
    /// A receipt number was given twice.
    NumberTwice,
    /// A device did not get up to date in time.
    Wedged,
    /// Something was set aside although everybody is honest.
    SetAside,
    /// A store failed although its disk did not.
    StoreFailed,
    /// The log cannot be followed.
    LogBroken,
    /// An app was not told of a change.
    Untold,
    /// A session goes on without a good token.
    Unauthorised,
    /// Something panicked.
    Panic,
}

impl Kind {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::SavedLost => "saved_lost",
            Self::AckedLost => "acked_lost",
            Self::Diverged => "diverged",
            Self::FalseUpToDate => "false_up_to_date",
            Self::Counter => "counter",
            Self::Torn => "torn_transaction",
            Self::NumberTwice => "number_twice",
            Self::Wedged => "wedged",
            Self::SetAside => "set_aside",
            Self::StoreFailed => "store_failed",
            Self::LogBroken => "log_broken",
            Self::Untold => "untold",
            Self::Unauthorised => "unauthorised",
            Self::Panic => "panic",
        }
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub kind: Kind,
    /// Where and how.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.what)
    }
}

/// A violation as an error.
pub(crate) fn broken<T>(kind: Kind, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { kind, what: what.into() })
}

/// The counter of every hot record.
pub(crate) const COUNTER: &str = "sold";

/// The name of an edit's mark.
pub(crate) fn mark(edit: &str) -> String {
    format!("#{edit}")
}

/// What one copy of a record says: its marks and what each added, and its counter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sheet {
    pub(crate) marks: BTreeMap<String, i64>,
    pub(crate) counter: i64,
}

impl Sheet {
    pub(crate) fn read(view: &View) -> Self {
        let mut sheet = Self::default();
        for (name, value) in &view.fields {
            match (name.strip_prefix('#'), value) {
                (Some(edit), Value::Int(by)) => drop(sheet.marks.insert(edit.to_owned(), *by)),
                (None, Value::Counter(sum) | Value::Int(sum)) if name == COUNTER => sheet.counter = *sum,
                _ => {}
            }
        }
        sheet
    }

    /// The counter is the sum of the marks.
    pub(crate) fn check(&self, whose: &str) -> Result<(), Violation> {
        let sum: i64 = self.marks.values().sum();
        match sum == self.counter {
            true => Ok(()),
            false => broken(Kind::Counter, format!("{whose}: {} instead of {sum}", self.counter)),
        }
    }

    /// The first mark that is here and not in `later`.
    pub(crate) fn missing_in(&self, later: Option<&Self>) -> Option<&str> {
        self.marks.keys().find(|mark| later.is_none_or(|later| !later.marks.contains_key(*mark))).map(String::as_str)
    }
}
