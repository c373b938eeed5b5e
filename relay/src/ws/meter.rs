//! A stream that counts the messages of a device that nobody has dealt with yet, each with the length it announces, because
//! so much memory is set aside for it: before its welcome a device may send a hello's worth, afterwards a little of its own
//! and for the rest its workspace's share. Must not know what a message is.

use crate::room::Room;
use comptoir_engine::wire::message::FRAME_BYTES_MAX;
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
    frames: Frames,
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

/// Finds the heads of frames (RFC 6455, section 5.2) in the bytes as they come.
#[derive(Default)]
struct Frames {
    head: [u8; 14],
    have: usize,
    /// The rest of a frame's content.
    skip: u64,
}

impl Frames {
    /// The length that the next frame's head announces, and what stands behind the head; `None`: no head is complete yet.
    fn next<'b>(&mut self, mut bytes: &'b [u8]) -> Option<(u64, &'b [u8])> {
        loop {
            let skipped = self.skip.min(bytes.len() as u64);
            self.skip -= skipped;
            bytes = &bytes[skipped as usize..];
            let (first, rest) = bytes.split_first()?;
            bytes = rest;
            self.head[self.have] = *first;
            self.have += 1;
            if let Some(length) = announced(&self.head[..self.have]) {
                (self.have, self.skip) = (0, length);
                let is_control = self.head[0] & 0x08 != 0;
                if !is_control {
                    return Some((length, bytes));
                }
            }
        }
    }
}

/// The length in a frame's head, once the head is complete.
fn announced(head: &[u8]) -> Option<u64> {
    let [_, second, rest @ ..] = head else { return None };
    let mask_bytes = if second & 0x80 != 0 { 4 } else { 0 };
    let (length_bytes, short) = match second & 0x7f {
        126 => (2, 0),
        127 => (8, 0),
        short => (0, short),
    };
    let complete = rest.len() == length_bytes + mask_bytes;
    complete.then(|| rest[..length_bytes].iter().fold(u64::from(short), |length, byte| length << 8 | u64::from(*byte)))
}

impl Count {
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), Over> {
        while !self.stopped
            && let Some((length, rest)) = self.frames.next(bytes)
        {
            bytes = rest;
            // What is longer is refused for its length alone.
            if length <= FRAME_BYTES_MAX as u64 {
                self.announce(length as usize)?;
            }
        }
        Ok(())
    }

    fn announce(&mut self, bytes: usize) -> Result<(), Over> {
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

    fn settle(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        let shared = self.bytes.saturating_sub(OWN_BYTES).min(self.shared);
        if let Some(room) = &self.room {
            room.shares().give_back_unread(self.shared - shared);
        }
        self.shared = shared;
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.settle(usize::MAX);
    }
}

impl Meter {
    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message of so many bytes has been dealt with.
    pub(super) fn settle(&self, bytes: usize) {
        self.count().settle(bytes);
    }

    /// From now on it takes of this room's share.
    pub(super) fn welcome(&self, room: Arc<Room>) {
        self.count().room = Some(room);
    }

    /// Nothing is counted any more: what still comes is thrown away.
    pub(super) fn stop(&self) {
        let mut count = self.count();
        count.settle(usize::MAX);
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
        let mut count = self.meter.count();
        match count.read(&buf.filled()[before..]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_however_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        for (opcode, length) in [(2u8, 5usize), (9, 100), (2, 300), (0, 0), (2, 70_000)] {
            bytes.push(0x80 | opcode);
            match length {
                0..=125 => bytes.push(0x80 | length as u8),
                126..=0xffff => {
                    bytes.push(0x80 | 126);
                    bytes.extend_from_slice(&(length as u16).to_be_bytes());
                }
                _ => {
                    bytes.push(0x80 | 127);
                    bytes.extend_from_slice(&(length as u64).to_be_bytes());
                }
            }
            bytes.extend_from_slice(&[0x82; 4]);
            bytes.resize(bytes.len() + length, 0x82);
        }
        for part_bytes in [1, 2, 3, 7, 100, 4096, bytes.len()] {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for mut part in bytes.chunks(part_bytes) {
                while let Some((length, rest)) = frames.next(part) {
                    found.push(length);
                    part = rest;
                }
            }
            assert_eq!(found, [5, 300, 0, 70_000], "in parts of {part_bytes}; a ping holds nothing up");
        }
    }
}
