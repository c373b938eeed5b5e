//! A stream that counts what a device has sent of a message nobody has dealt with yet: before its welcome it may send a
//! hello's worth, afterwards a little of its own and for the rest its workspace's share. Must not know what a message is.

use crate::room::Room;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest first message, in bytes: a token has 4096.
pub(super) const HELLO_BYTES_MAX: usize = 16 << 10;
/// What each session may have unread beside its workspace's share, in bytes.
const OWN_BYTES: usize = 64 << 10;

/// The count, held by the stream and by whoever takes messages off it.
#[derive(Clone, Default)]
pub(super) struct Meter {
    count: Arc<Mutex<Count>>,
}

#[derive(Default)]
struct Count {
    bytes: usize,
    /// Taken of the workspace's share.
    shared: usize,
    room: Option<Arc<Room>>,
    over: Option<Over>,
    stopped: bool,
}

/// The limit that was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Hello,
    Workspace { bytes_max: usize },
}

impl Count {
    fn add(&mut self, bytes: usize) -> Result<(), Over> {
        if self.stopped {
            return Ok(());
        }
        self.bytes += bytes;
        let Some(room) = &self.room else {
            return if self.bytes > HELLO_BYTES_MAX { Err(Over::Hello) } else { Ok(()) };
        };
        let more = self.bytes.saturating_sub(OWN_BYTES).saturating_sub(self.shared);
        if more > 0 && !room.shares().take_unread(more) {
            return Err(Over::Workspace { bytes_max: room.shares().unread_bytes_max() });
        }
        self.shared += more;
        Ok(())
    }

    fn clear(&mut self) {
        self.bytes = 0;
        if let Some(room) = self.room.as_ref().filter(|_| self.shared > 0) {
            room.shares().give_back_unread(std::mem::take(&mut self.shared));
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Meter {
    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted has been dealt with.
    pub(super) fn clear(&self) {
        self.count().clear();
    }

    /// So many bytes were no part of a message.
    pub(super) fn forget(&self, bytes: usize) {
        let mut count = self.count();
        count.bytes = count.bytes.saturating_sub(bytes);
    }

    /// From now on it takes of this room's share.
    pub(super) fn welcome(&self, room: Arc<Room>) {
        self.count().room = Some(room);
    }

    /// Nothing is counted any more: what still comes is thrown away.
    pub(super) fn stop(&self) {
        let mut count = self.count();
        count.clear();
        count.stopped = true;
    }

    /// The limit that was passed, if one was.
    pub(super) fn over(&self) -> Option<Over> {
        self.count().over
    }
}

/// A stream whose reads are counted.
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, meter: Meter) -> Self {
        Self { stream, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        let mut count = self.meter.count();
        match count.add(read) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(over) => {
                count.over = Some(over);
                Poll::Ready(Err(io::Error::other("more was sent than may wait")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
