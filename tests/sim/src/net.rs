//! Connections: bytes in order, each way with its own delays; what is under way, and who has hung up. Must not know what
//! a message says.

/// Messages under way from a device before it has to wait.
pub(crate) const UP_MAX: usize = 8;
/// Messages under way to a device before the relay has to wait.
pub(crate) const DOWN_MAX: usize = 3;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// When the last message will be there.
    pub(crate) last_ms: u64,
    pub(crate) under_way: usize,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) till: usize,
    pub(crate) up: Way,
    pub(crate) down: Way,
    /// The device holds its end.
    pub(crate) device_end: bool,
    /// The relay holds its end.
    pub(crate) relay_end: bool,
    /// Nothing gets through any more, and nobody is told.
    pub(crate) dead: bool,
    /// Reset: what is under way is gone.
    pub(crate) reset: bool,
    /// A second copy of another connection's attempt: nobody holds its device's end.
    pub(crate) ghost: bool,
    /// A second copy of this one, while it gets the hello too.
    pub(crate) twin: Option<usize>,
    /// Since when the relay waits to write.
    pub(crate) blocked_ms: Option<u64>,
}

impl Conn {
    pub(crate) fn new(till: usize, ghost: bool) -> Self {
        Self {
            till,
            up: Way::default(),
            down: Way::default(),
            device_end: !ghost,
            relay_end: false,
            dead: false,
            reset: false,
            ghost,
            twin: None,
            blocked_ms: None,
        }
    }
}
