//! The writer of a connection, which the socket's task and the room share.
//!
//! A socket that has received all events needs no turn of its task for the next event: the broadcast of the room
//! writes the event straight to the socket, by one system call. So a delivery costs about that call, without a wake-up
//! of a task. The socket's task writes the bytes that the system does not take at once.

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

/// The write half of a connection.
pub struct SocketWriter(Mutex<Option<SocketWriterState>>);

struct SocketWriterState {
    tcp: OwnedWriteHalf,
    /// `true` if the system has taken a part of the library's last write: the rest of it must follow next.
    has_partial_write: bool,
    /// The bytes of a direct write that the system has not taken. They go before all others.
    pending: Bytes,
}

/// The outcome of [`SocketWriter::try_write`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// The system has taken all bytes.
    Written,
    /// The system has taken a part or nothing. The next flush writes the rest first.
    Partial,
    /// Nothing is written, because other bytes must be flushed before.
    Blocked,
    /// Nothing is written, because the connection has ended.
    Closed,
}

impl SocketWriter {
    /// The writer of a connection.
    #[must_use]
    pub fn new(tcp: OwnedWriteHalf) -> Self {
        Self(Mutex::new(Some(SocketWriterState {
            tcp,
            has_partial_write: false,
            pending: Bytes::new(),
        })))
    }

    /// Writes whole frames, if no other bytes must go before them.
    pub(super) fn try_write(&self, frames: Bytes) -> WriteOutcome {
        let mut state = self.lock();
        let Some(state) = &mut *state else {
            return WriteOutcome::Closed;
        };
        if state.has_partial_write || !state.pending.is_empty() {
            return WriteOutcome::Blocked;
        }
        // A system call without the runtime, whose knowledge of the connection would take longer to look up.
        match SockRef::from(state.tcp.as_ref()).send(&frames) {
            Ok(taken) if taken == frames.len() => WriteOutcome::Written,
            Ok(taken) => {
                state.pending = frames.slice(taken..);
                WriteOutcome::Partial
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                state.pending = frames;
                WriteOutcome::Partial
            }
            Err(_) => WriteOutcome::Closed,
        }
    }

    /// Returns `true` while bytes of a direct write wait for a flush.
    pub(super) fn has_pending(&self) -> bool {
        self.lock()
            .as_ref()
            .is_some_and(|state| !state.pending.is_empty())
    }

    /// Writes as [`AsyncWrite`] does, for the library of the WebSocket.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, bytes.len(), |tcp, cx| tcp.poll_write(cx, bytes))
    }

    /// Writes as [`AsyncWrite`] does, for the library of the WebSocket.
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.poll_write_with(cx, length, |tcp, cx| tcp.poll_write_vectored(cx, slices))
    }

    /// Flushes as [`AsyncWrite`] does, with the bytes of direct writes.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let state = state.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        ready!(state.poll_write_pending(cx))?;
        Pin::new(&mut state.tcp).poll_flush(cx)
    }

    /// Shuts the connection down as [`AsyncWrite`] does.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let state = state.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        Pin::new(&mut state.tcp).poll_shutdown(cx)
    }

    /// Ends all writes. The connection closes with its read half, even while other owners hold this writer.
    pub fn close(&self) {
        if let Some(state) = self.lock().take() {
            // A drop of the write half would shut the connection down in order, even where it must be reset.
            state.tcp.forget();
        }
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        write: impl FnOnce(Pin<&mut OwnedWriteHalf>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        let state = state.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        ready!(state.poll_write_pending(cx))?;
        let taken = ready!(write(Pin::new(&mut state.tcp), cx))?;
        state.has_partial_write = taken < length;
        Poll::Ready(Ok(taken))
    }

    fn lock(&self) -> MutexGuard<'_, Option<SocketWriterState>> {
        // A panic elsewhere leaves the state as it was between two writes.
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
