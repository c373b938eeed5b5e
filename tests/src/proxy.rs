//! A TCP proxy that counts what passes, both ways, and can be cut. Must not know what the bytes mean.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Counts {
    up: AtomicU64,
    down: AtomicU64,
    turns: AtomicU64,
    last_up: Mutex<Option<bool>>,
}

impl Counts {
    fn passed(&self, up: bool, bytes: u64) {
        let count = if up { &self.up } else { &self.down };
        count.fetch_add(bytes, Ordering::SeqCst);
        let mut last = self.last_up.lock().expect("not poisoned");
        if up && *last != Some(true) {
            self.turns.fetch_add(1, Ordering::SeqCst);
        }
        *last = Some(up);
    }
}

/// Passes connections on to one address until the process ends.
pub struct Proxy {
    address: SocketAddr,
    counts: Arc<Counts>,
}

impl Proxy {
    /// Begins to pass connections on to `target`.
    pub fn start(target: SocketAddr) -> Self {
        Self::throttled(target, usize::MAX)
    }

    /// As [`Proxy::start`], over a line that takes some `bytes_each_tick` bytes a tenth of a second, each way.
    pub fn throttled(target: SocketAddr, bytes_each_tick: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let counts = Arc::new(Counts::default());
        let counting = counts.clone();
        thread::spawn(move || {
            for device in listener.incoming().map_while(Result::ok) {
                let Ok(relay) = TcpStream::connect(target) else { continue };
                pass(&device, &relay, true, bytes_each_tick, &counting);
                pass(&relay, &device, false, bytes_each_tick, &counting);
            }
        });
        Self { address, counts }
    }

    /// Where devices find it.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Bytes to the relay so far.
    pub fn up(&self) -> u64 {
        self.counts.up.load(Ordering::SeqCst)
    }

    /// Bytes to the devices so far.
    pub fn down(&self) -> u64 {
        self.counts.down.load(Ordering::SeqCst)
    }

    /// How often a device spoke after having been spoken to, or first: round trips, the upgrade and the close included.
    pub fn turns(&self) -> u64 {
        self.counts.turns.load(Ordering::SeqCst)
    }
}

fn pass(from: &TcpStream, to: &TcpStream, up: bool, bytes_each_tick: usize, counts: &Arc<Counts>) {
    let mut from = from.try_clone().expect("a second handle");
    let mut to = to.try_clone().expect("a second handle");
    let counts = counts.clone();
    thread::spawn(move || {
        let mut bytes = vec![0; bytes_each_tick.min(16 << 10)];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            counts.passed(up, count as u64);
            if count == bytes_each_tick {
                // wait: a slow line
                thread::sleep(TICK);
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
