//! The wall clock, behind a trait so that tests and simulation bring their own. Must not know what the time is for;
//! waits are measured by tokio's clock.

use comptoir_engine::time::Timestamp;

/// Says what time it is.
pub trait Clock: Send + Sync {
    /// The wall clock; may jump.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp { unix_ms: jiff::Timestamp::now().as_millisecond() }
    }
}
