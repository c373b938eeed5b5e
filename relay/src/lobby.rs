//! Connections that are no session yet: whoever has not shown a token. Anybody can open thousands of them, so they are few,
//! and where there are too many the longest waiting goes: a device is through in milliseconds. Must not know what a
//! connection says.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// All that wait.
pub struct Lobby {
    waiting: Mutex<Waiting>,
    guests_max: usize,
    guests_per_address_max: usize,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    /// By the order they came in.
    guests: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
    addresses: HashMap<IpAddr, usize>,
}

impl Waiting {
    fn leave(&mut self, number: u64) -> Option<Arc<Notify>> {
        let (address, gone) = self.guests.remove(&number)?;
        if let Some(count) = self.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
        Some(gone)
    }
}

impl Lobby {
    /// Nobody waits yet.
    pub fn new(guests_max: u32, guests_per_address_max: u32) -> Arc<Self> {
        let (guests_max, guests_per_address_max) = (guests_max as usize, guests_per_address_max as usize);
        Arc::new(Self { waiting: Mutex::default(), guests_max, guests_per_address_max })
    }

    /// One more waits; where that is too many, of its address or in all, the one that came first is asked to go.
    pub fn enter(self: &Arc<Self>, address: IpAddr, permit: OwnedSemaphorePermit) -> Guest {
        let mut waiting = self.held();
        let crowded = waiting.addresses.get(&address).is_some_and(|count| *count >= self.guests_per_address_max);
        let mut guests = waiting.guests.iter();
        let first = match crowded {
            true => guests.find(|(_, (other, _))| *other == address),
            false if waiting.guests.len() >= self.guests_max => guests.next(),
            false => None,
        };
        if let Some(number) = first.map(|(number, _)| *number)
            && let Some(gone) = waiting.leave(number)
        {
            gone.notify_one();
        }
        let (number, gone) = (waiting.next, Arc::new(Notify::new()));
        waiting.next += 1;
        waiting.guests.insert(number, (address, gone.clone()));
        *waiting.addresses.entry(address).or_default() += 1;
        let welcomed = AtomicBool::new(false);
        Guest { lobby: self.clone(), number, address, gone, welcomed, _permit: permit }
    }

    /// How many wait.
    pub fn guests(&self) -> usize {
        self.held().guests.len()
    }

    fn held(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place. Dropping it ends the connection's part in the relay's limits.
pub struct Guest {
    lobby: Arc<Lobby>,
    number: u64,
    address: IpAddr,
    gone: Arc<Notify>,
    welcomed: AtomicBool,
    _permit: OwnedSemaphorePermit,
}

impl Guest {
    /// It is a session now: it does not wait any more, and is not asked to go.
    pub fn welcome(&self) {
        self.welcomed.store(true, Ordering::Relaxed);
        self.lobby.held().leave(self.number);
    }

    /// Whether it has shown a token.
    pub fn is_welcome(&self) -> bool {
        self.welcomed.load(Ordering::Relaxed)
    }

    /// Returns when it has to go.
    pub async fn asked_to_go(&self) {
        self.gone.notified().await;
    }

    /// Where it comes from.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The limit that it went over.
    pub fn guests_max(&self) -> usize {
        self.lobby.guests_max.min(self.lobby.guests_per_address_max)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.welcome();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    async fn is_asked(guest: &Guest) -> bool {
        timeout(Duration::ZERO, guest.asked_to_go()).await.is_ok()
    }

    #[tokio::test]
    async fn the_longest_waiting_goes_and_of_an_address_with_many_its_own() {
        let permits = Arc::new(Semaphore::new(100));
        let lobby = Lobby::new(4, 2);
        let enter = |last| {
            let permit = permits.clone().try_acquire_owned().expect("a permit");
            lobby.enter(IpAddr::from([127, 0, 0, last]), permit)
        };
        let (first, second, other) = (enter(1), enter(1), enter(2));
        assert!(!is_asked(&first).await, "two of one address may wait");
        let _third = enter(1);
        assert!(
            is_asked(&first).await && !is_asked(&second).await,
            "the first of the address that sends too many goes"
        );
        let (_fourth, _fifth) = (enter(3), enter(4));
        assert!(is_asked(&second).await && !is_asked(&other).await, "the first of all goes");
        other.welcome();
        let _sixth = enter(5);
        assert!(!is_asked(&other).await, "a session is never asked to go");
        drop((first, second));
        assert_eq!(lobby.held().guests.len(), 4, "whoever was asked to go is counted no more");
    }
}
