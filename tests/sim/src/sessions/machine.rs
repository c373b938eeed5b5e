//! What a simulated device stands on: its simulated disk, a skewed clock, seeded chance, turmoil's streams. Must not know what
//! a device does.

use super::town::{Shared, held};
use super::wire::{Conn, DeviceEnd};
use crate::till::EPOCH_MS;
use comptoir::machine::{Connecting, Machine, Stream};
use comptoir::{Error, Timestamp};
use comptoir_engine::StoreError;
use comptoir_engine::disk::Opened;
use rand::rngs::StdRng;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use turmoil::net::TcpStream;

/// How long a system waits before it repeats an attempt to connect that got no answer.
const SYN_WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// A device's machine.
pub(super) struct Simulated {
    pub(super) town: Shared,
    pub(super) number: usize,
}

impl Machine for Simulated {
    fn open(&mut self, _make: bool) -> Result<Opened, Error> {
        let mut town = held(&self.town);
        let disk = town.open(Some(self.number)).map_err(StoreError::from)?;
        Ok(Opened { disk: Box::new(disk), identity: town.desks[self.number].drive.marker.clone() })
    }

    fn wall(&self) -> Timestamp {
        let town = held(&self.town);
        Timestamp { unix_ms: EPOCH_MS + town.desks[self.number].skew_ms + town.now_ms() as i64 }
    }

    fn rng(&mut self) -> StdRng {
        held(&self.town).rng(Some(self.number))
    }

    fn connect(&self, host: String, port: u16) -> Connecting {
        let (town, number) = (self.town.clone(), self.number);
        Box::pin(async move {
            let stream = dial(&host, port).await?;
            let from = stream.local_addr()?;
            let mut town = held(&town);
            let conn = town.conns.entry(from).or_default().clone();
            let slow = town.desks[number].slow_until_ms > town.now_ms();
            conn.slow(slow);
            town.desks[number].conn = Some(conn.clone());
            town.note(3, number, &[], || format!("till {number} is connected from {from}"));
            let rng = town.rng(Some(number));
            Ok(Box::new(DeviceEnd::new(stream, conn, rng)) as Box<dyn Stream>)
        })
    }
}

/// Connects as a system does, which repeats what gets no answer.
async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    for wait in SYN_WAITS {
        if let Ok(outcome) = timeout(wait, TcpStream::connect((host, port))).await {
            return outcome;
        }
    }
    TcpStream::connect((host, port)).await
}

/// The connection that comes from this address; whoever of both ends is first makes it known.
pub(super) fn conn_from(town: &Shared, from: std::net::SocketAddr) -> Arc<Conn> {
    held(town).conns.entry(from).or_default().clone()
}
