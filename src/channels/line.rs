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
pub struct Line(Mutex<Option<Way>>);

struct Way {
    tcp: OwnedWriteHalf,
    /// Whether the last that the connection wrote by itself was taken in part: what follows belongs to
    /// it, and to nobody else.
    is_torn: bool,
    /// What was put here and not taken by the system yet. It goes before everything else.
    rest: Bytes,
}

/// What has become of frames that were put on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// They are on their way.
    Whole,
    /// A part of them is, or nothing yet; the rest goes first, as soon as somebody flushes.
    Part,
    /// Nothing is, for something else is, which must be flushed before.
    Refused,
    /// Nothing is, nor will be: the connection has ended.
    Ended,
}

impl Line {
    #[must_use]
    pub fn new(tcp: OwnedWriteHalf) -> Self {
        Self(Mutex::new(Some(Way {
            tcp,
            is_torn: false,
            rest: Bytes::new(),
        })))
    }

    /// Writes whole frames, if nothing stands in their way.
    pub(super) fn put(&self, frames: Bytes) -> Put {
        let mut way = self.way();
        let Some(way) = &mut *way else {
            return Put::Ended;
        };
        if way.is_torn || !way.rest.is_empty() {
            return Put::Refused;
        }
        // The system is asked itself: it would take longer to look up what the runtime knows of it.
        match SockRef::from(way.tcp.as_ref()).send(&frames) {
            Ok(taken) if taken == frames.len() => Put::Whole,
            Ok(taken) => {
                way.rest = frames.slice(taken..);
                Put::Part
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                way.rest = frames;
                Put::Part
            }
            Err(_) => Put::Ended,
        }
    }

    /// Whether something that was put here waits to be flushed.
    pub(super) fn has_rest(&self) -> bool {
        self.way().as_ref().is_some_and(|way| !way.rest.is_empty())
    }

    /// As of [`AsyncWrite`], by the connection itself.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(cx, bytes.len(), |tcp, cx| tcp.poll_write(cx, bytes))
    }

    /// As of [`AsyncWrite`], by the connection itself.
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.poll_with(cx, length, |tcp, cx| tcp.poll_write_vectored(cx, slices))
    }

    /// As of [`AsyncWrite`]; with what was put here.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut way = self.way();
        let way = way.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        ready!(way.poll_rest(cx))?;
        Pin::new(&mut way.tcp).poll_flush(cx)
    }

    /// As of [`AsyncWrite`].
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut way = self.way();
        let way = way.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        Pin::new(&mut way.tcp).poll_shutdown(cx)
    }

    /// Nothing is written any more. With the half that is read the connection is closed by it, whoever
    /// still knows the line.
    pub fn close(&self) {
        if let Some(way) = self.way().take() {
            // Its drop would shut the connection down in good order, even one that is to be reset.
            way.tcp.forget();
        }
    }

    fn poll_with(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        write: impl FnOnce(Pin<&mut OwnedWriteHalf>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut way = self.way();
        let way = way.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        ready!(way.poll_rest(cx))?;
        let taken = ready!(write(Pin::new(&mut way.tcp), cx))?;
        way.is_torn = taken < length;
        Poll::Ready(Ok(taken))
    }

    // A panic elsewhere leaves it as it was between two writes.
    fn way(&self) -> MutexGuard<'_, Option<Way>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let taken = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.rest))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest = self.rest.slice(taken..);
        }
        Poll::Ready(Ok(()))
    }
}
