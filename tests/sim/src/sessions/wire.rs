//! Both ends of a connection over turmoil's streams, and what can be done to it: reset, cut off in silence, read slowly. What
//! is under way is bounded, so that whoever writes to a slow reader has to wait. Must not know what is said.

use rand::RngExt as _;
use rand::rngs::StdRng;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use turmoil::net::TcpStream;

/// Bytes to a device that has not read them, before the relay has to wait.
const WINDOW_BYTES: u64 = 500;
/// What a slow device reads at a time.
const FEW_BYTES: usize = 100;

/// A connection, as both ends and the driver know it.
#[derive(Default)]
pub(super) struct Conn {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reset: bool,
    dead: bool,
    slow: bool,
    closed: bool,
    /// Bytes that the relay wrote and the device has not read.
    under_way: u64,
    /// How often the relay had to wait for a slow device.
    waited: u64,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The device's end of a dead connection: it closes without a word.
    buried: Option<TcpStream>,
}

impl State {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl Conn {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it at the device: what it writes and reads fails.
    pub(super) fn reset(&self) {
        let mut state = self.state();
        state.reset = true;
        state.wake();
    }

    /// From now on nothing gets through, and nobody is told.
    pub(super) fn kill(&self) {
        self.state().dead = true;
    }

    /// Whether the device reads slowly from now on.
    pub(super) fn slow(&self, slow: bool) {
        self.state().slow = slow;
    }

    /// How often the relay had to wait for a slow device, since this was asked last.
    pub(super) fn take_waited(&self) -> u64 {
        std::mem::take(&mut self.state().waited)
    }

    /// Whether both ends are still held.
    pub(super) fn is_open(&self) -> bool {
        let state = self.state();
        !state.closed && !state.dead && !state.reset
    }
}

/// The device's end.
pub(super) struct DeviceEnd {
    stream: Option<TcpStream>,
    conn: Arc<Conn>,
    nap: Option<Pin<Box<Sleep>>>,
    rng: StdRng,
}

impl DeviceEnd {
    pub(super) fn new(stream: TcpStream, conn: Arc<Conn>, rng: StdRng) -> Self {
        Self { stream: Some(stream), conn, nap: None, rng }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for DeviceEnd {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(nap) = &mut self.nap {
            ready!(nap.as_mut().poll(cx));
            self.nap = None;
        }
        let slow = {
            let mut state = self.conn.state();
            state.reader = Some(cx.waker().clone());
            if state.reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if state.dead {
                return Poll::Pending;
            }
            state.slow
        };
        let bytes = match slow {
            false => {
                let before = buf.filled().len();
                ready!(self.stream()?.poll_read(cx, buf))?;
                buf.filled().len() - before
            }
            true => {
                let mut few = [0; FEW_BYTES];
                let few = &mut few[..FEW_BYTES.min(buf.remaining())];
                let mut few = ReadBuf::new(few);
                ready!(self.stream()?.poll_read(cx, &mut few))?;
                buf.put_slice(few.filled());
                let nap_ms = self.rng.random_range(100..2_000);
                // wait: simulated; a slow device
                self.nap = Some(Box::pin(sleep(Duration::from_millis(nap_ms))));
                few.filled().len()
            }
        };
        let mut state = self.conn.state();
        state.under_way = state.under_way.saturating_sub(bytes as u64);
        state.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for DeviceEnd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (reset, dead) = {
            let state = self.conn.state();
            (state.reset, state.dead)
        };
        match (reset, dead) {
            (true, _) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            (false, true) => Poll::Ready(Ok(bytes.len())),
            (false, false) => self.stream()?.poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let dead = self.conn.state().dead;
        match dead {
            true => Poll::Ready(Ok(())),
            false => self.stream()?.poll_shutdown(cx),
        }
    }
}

impl Drop for DeviceEnd {
    fn drop(&mut self) {
        let mut state = self.conn.state();
        state.closed = true;
        state.wake();
        if state.dead {
            state.buried = self.stream.take();
        }
    }
}

/// The relay's end.
pub(super) struct RelayEnd {
    pub(super) stream: TcpStream,
    pub(super) conn: Arc<Conn>,
}

impl AsyncRead for RelayEnd {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for RelayEnd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        {
            let mut state = self.conn.state();
            if state.under_way >= WINDOW_BYTES && !state.closed {
                state.waited += u64::from(state.slow);
                state.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.conn.state().under_way += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for RelayEnd {
    fn drop(&mut self) {
        self.conn.state().closed = true;
    }
}
