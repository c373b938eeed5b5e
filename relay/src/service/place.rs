//! How far of its relay's log a service device has taken in, read off the frames that pass. Must not know the store.

use comptoir_engine::id::{LogEpoch, LogSeq};
use comptoir_engine::wire::message::{FromDevice, FromRelay};

/// A place in the log; none before the relay's welcome, and while histories are compared.
#[derive(Debug, Default)]
pub(super) struct Place {
    greeted: Option<([u8; 16], u64)>,
    at: Option<(LogEpoch, LogSeq)>,
    epoch: Option<LogEpoch>,
}

impl Place {
    /// The device's first frame says where it stands.
    pub(super) fn sent(&mut self, frame: &[u8]) {
        if self.epoch.is_none()
            && let Ok(FromDevice::Hello(hello)) = FromDevice::decode(frame)
        {
            self.greeted = hello.cursor;
            self.at = None;
        }
    }

    /// A frame of the relay that the store has taken in.
    pub(super) fn heard(&mut self, frame: &[u8]) {
        let Ok(message) = FromRelay::decode(frame) else { return };
        let through = match message {
            FromRelay::Welcome(welcome) => {
                self.epoch = Some(LogEpoch(welcome.epoch));
                match self.greeted {
                    None => Some(0),
                    Some((epoch, through)) => (epoch == welcome.epoch && through <= welcome.tail).then_some(through),
                }
            }
            FromRelay::Entries(entries) => Some(entries.through),
            FromRelay::Ack(ack) => ack.through,
            FromRelay::Reconciled { through, .. } => Some(through),
            _ => None,
        };
        if let (Some(epoch), Some(through)) = (self.epoch, through) {
            self.at = Some((epoch, LogSeq(through)));
        }
    }

    /// The connection is gone, and with it what is known.
    pub(super) fn lost(&mut self) {
        *self = Self::default();
    }

    /// Whether everything through this entry has been taken in.
    pub(super) fn has(&self, epoch: LogEpoch, through: LogSeq) -> bool {
        self.at.is_some_and(|(at, taken)| at == epoch && taken >= through)
    }
}
