//! The bytes on their way to a peer, which its task and the room both may write.
//!
//! A socket that has been told all there is needs no task to be told one thing more: whoever brings an
//! event into a room writes it, in one call of the system, to each socket that waits for nothing else.
//! So a delivery costs about that call, and not a task's turn as well. What the system does not take at
//! once is left to the task.

use std::{
    io,
    io::IoSlice,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use axum::body::Bytes;
use socket2::SockRef;
use tokio::{io::AsyncWrite, net::tcp::OwnedWriteHalf};

/// One connection, as far as it is written to.
pub struct SocketWriter(Mutex<Option<SocketWriterState>>);

struct SocketWriterState {
    tcp: OwnedWriteHalf,
    /// Whether the last that the connection wrote by itself was taken in part: what follows belongs to
    /// it, and to nobody else.
    has_partial_write: bool,
    /// What was put here and not taken by the system yet. It goes before everything else.
    pending: Bytes,
}

/// What has become of frames that were put on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// They are on their way.
    Written,
    /// A part of them is, or nothing yet; the rest goes first, as soon as somebody flushes.
    Partial,
    /// Nothing is, for something else is, which must be flushed before.
    Blocked,
    /// Nothing is, nor will be: the connection has ended.
    Closed,
}

impl SocketWriter {
    #[must_use]
    pub fn new(tcp: OwnedWriteHalf) -> Self {
        Self(Mutex::new(Some(SocketWriterState {
            tcp,
            has_partial_write: false,
            pending: Bytes::new(),
        })))
    }

    /// Writes whole frames, if nothing stands in their way.
    pub(super) fn try_write(&self, frames: Bytes) -> WriteOutcome {
        let mut way = self.lock();
        let Some(way) = &mut *way else {
            return WriteOutcome::Closed;
        };
        if way.has_partial_write || !way.pending.is_empty() {
            return WriteOutcome::Blocked;
        }
        // The system is asked itself: it would take longer to look up what the runtime knows of it.
        match SockRef::from(way.tcp.as_ref()).send(&frames) {
            Ok(taken) if taken == frames.len() => WriteOutcome::Written,
            Ok(taken) => {
                way.pending = frames.slice(taken..);
                WriteOutcome::Partial
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                way.pending = frames;
                WriteOutcome::Partial
            }
            Err(_) => WriteOutcome::Closed,
        }
    }

    /// Whether something that was put here waits to be flushed.
    pub(super) fn has_pending(&self) -> bool {
        self.lock()
            .as_ref()
            .is_some_and(|way| !way.pending.is_empty())
    }

    /// As of [`AsyncWrite`], by the connection itself.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, bytes.len(), |tcp, cx| tcp.poll_write(cx, bytes))
    }

    /// As of [`AsyncWrite`], by the connection itself.
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.poll_write_with(cx, length, |tcp, cx| tcp.poll_write_vectored(cx, slices))
    }

    /// As of [`AsyncWrite`]; with what was put here.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut way = self.lock();
        let way = way.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        ready!(way.poll_write_pending(cx))?;
        Pin::new(&mut way.tcp).poll_flush(cx)
    }

    /// As of [`AsyncWrite`].
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut way = self.lock();
        let way = way.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        Pin::new(&mut way.tcp).poll_shutdown(cx)
    }

    /// Nothing is written any more. With the half that is read the connection is closed by it, whoever
    /// still knows the line.
    pub fn close(&self) {
        if let Some(way) = self.lock().take() {
            // Its drop would shut the connection down in good order, even one that is to be reset.
            way.tcp.forget();
        }
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        write: impl FnOnce(Pin<&mut OwnedWriteHalf>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut way = self.lock();
        let way = way.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        ready!(way.poll_write_pending(cx))?;
        let taken = ready!(write(Pin::new(&mut way.tcp), cx))?;
        way.has_partial_write = taken < length;
        Poll::Ready(Ok(taken))
    }

    // A panic elsewhere leaves it as it was between two writes.
    fn lock(&self) -> MutexGuard<'_, Option<SocketWriterState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SocketWriterState {
    fn poll_write_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let taken = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.pending))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending = self.pending.slice(taken..);
        }
        Poll::Ready(Ok(()))
    }
}
