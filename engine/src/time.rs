//! Points in time as numbers handed in by the caller. Must not read a clock.

use std::fmt;

/// A point in wall-clock time: milliseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: i64,
}

impl Timestamp {
    /// Reads an RFC 3339 text; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let point: jiff::Timestamp = text.parse().ok()?;
        Some(Self { unix_ms: point.as_millisecond() })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.unix_ms) {
            Ok(point) => write!(f, "{point}"),
            Err(_) => write!(f, "{} ms", self.unix_ms),
        }
    }
}

/// The caller's clocks at one moment: the wall clock names times to people, the monotonic one measures waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// The wall clock; may jump.
    pub wall: Timestamp,
    /// Milliseconds since any fixed moment of this process; never goes back.
    pub monotonic_ms: u64,
}
