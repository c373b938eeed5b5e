//! What can go wrong, by kind, and how often it did. Must not know how it is done.

/// A kind of fault. Each is counted when it takes effect, not when it is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A message took more than 200 ms.
    Delay,
    /// A connection was reset and what was under way on it is gone.
    Loss,
    /// A push came again after its receipt was lost.
    Duplicate,
    /// A connection's message arrived after one of the connection that replaced it.
    Reorder,
    /// A device and the relay could not reach each other for a while.
    Partition,
    /// A connection went silent without either side being told.
    HalfOpen,
    /// A device read so slowly that the relay had to wait for it.
    SlowFollower,
    /// A device's wall clock was set hours away.
    ClockSkew,
    /// An attempt to connect reached the relay twice.
    DuplicateConnection,
    /// A device's process was killed.
    DeviceKilled,
    /// A device lost its power.
    DevicePowerCut,
    /// The relay's process was killed.
    RelayKilled,
    /// The relay lost its power.
    RelayPowerCut,
    /// A power cut took writes that were not flushed.
    LostUnflushed,
    /// A write found the disk full.
    FullDisk,
    /// A flush failed.
    FailedFlush,
    /// A call of the disk failed between two others.
    FailedCall,
    /// The relay's disk was replaced by an older copy.
    RelayRestored,
    /// The relay's disk was replaced by an empty one.
    RelayWiped,
    /// Another relay took over, with a log of its own: an empty one, or what it held when it was last in charge.
    RelaySwitched,
    /// A device's disk was replaced by a backup, which its marker shows.
    DeviceRestored,
    /// A device's disk was copied to a new device.
    DeviceCloned,
    /// A device's disk was set back, which its marker does not show.
    DeviceRolledBack,
    /// A token ended while its session was going on.
    TokenRevoked,
    /// Entries of the relay's log became one.
    RelayCompacted,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 25] = [
        Self::Delay,
        Self::Loss,
        Self::Duplicate,
        Self::Reorder,
        Self::Partition,
        Self::HalfOpen,
        Self::SlowFollower,
        Self::ClockSkew,
        Self::DuplicateConnection,
        Self::DeviceKilled,
        Self::DevicePowerCut,
        Self::RelayKilled,
        Self::RelayPowerCut,
        Self::LostUnflushed,
        Self::FullDisk,
        Self::FailedFlush,
        Self::FailedCall,
        Self::RelayRestored,
        Self::RelayWiped,
        Self::RelaySwitched,
        Self::DeviceRestored,
        Self::DeviceCloned,
        Self::DeviceRolledBack,
        Self::TokenRevoked,
        Self::RelayCompacted,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Loss => "loss",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Partition => "partition",
            Self::HalfOpen => "half_open",
            Self::SlowFollower => "slow_follower",
            Self::ClockSkew => "clock_skew",
            Self::DuplicateConnection => "duplicate_connection",
            Self::DeviceKilled => "device_killed",
            Self::DevicePowerCut => "device_power_cut",
            Self::RelayKilled => "relay_killed",
            Self::RelayPowerCut => "relay_power_cut",
            Self::LostUnflushed => "lost_unflushed",
            Self::FullDisk => "full_disk",
            Self::FailedFlush => "failed_flush",
            Self::FailedCall => "failed_call",
            Self::RelayRestored => "relay_restored",
            Self::RelayWiped => "relay_wiped",
            Self::RelaySwitched => "relay_switched",
            Self::DeviceRestored => "device_restored",
            Self::DeviceCloned => "device_cloned",
            Self::DeviceRolledBack => "device_rolled_back",
            Self::TokenRevoked => "token_revoked",
            Self::RelayCompacted => "relay_compacted",
        }
    }
}

/// How often each kind took effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults([u64; Fault::ALL.len()]);

impl Faults {
    /// One more.
    pub fn count(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// Adds what another run counted.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, each)| *sum += each);
    }

    /// Every kind with its number.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, u64)> + '_ {
        Fault::ALL.into_iter().map(|fault| (fault, self.0[fault as usize]))
    }
}
