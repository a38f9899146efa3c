//! The bytes of one client connection, with timeouts for clients that do not read their response.

use std::{
    io::{self, ErrorKind, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Bytes;
use futures_util::task::AtomicWaker;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, tcp::OwnedReadHalf},
    time::{Instant, Sleep, sleep},
};

use super::line_endings::LineEndingChecker;
use crate::channels::socket_writer::SocketWriter;
use crate::limits::ConnectionPermit;

/// The interval of checks whether a response that waits for its client makes progress.
const WRITE_PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// The least progress between two checks. It is 400 bytes a second, which the slowest networks
/// exceed.
const MIN_WRITE_PROGRESS_BYTES: usize = 4096;

/// The size of the buffer for reads.
///
/// The buffer of a socket itself is smaller, because a socket is idle most of the time. With that
/// buffer alone, frames that arrive together would cost one system call each.
const READ_BUFFER_BYTES: usize = 4096;

/// The number of unsent bytes that the kernel accepts.
///
/// Bytes that a client does not read should wait in this process, which can see them, and not in
/// the kernel.
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT_BYTES: u32 = 16 * 1024;

/// The kernel's default: 0 means no limit for this socket.
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT_UNLIMITED: u32 = 0;

/// The longest time of a response that is not a stream: Swagger UI's 1.7 MB at 30 KB a second.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// The response that a connection sends. Clones share its state.
#[derive(Clone, Default)]
pub(super) struct ResponseHandle(Arc<ResponseState>);

#[derive(Default)]
struct ResponseState {
    /// `true` if the response is a socket or a stream of events, which has no time limit.
    is_streaming: AtomicBool,
    /// `true` if the connection has become a WebSocket.
    is_socket: AtomicBool,
    /// The start of the response.
    started_at: Mutex<Option<Instant>>,
    /// `true` if the connection must be closed.
    is_cancelled: AtomicBool,
    /// Wakes the connection while it waits for its client.
    waker: AtomicWaker,
}

impl ResponseHandle {
    /// Marks the start of a response. `is_stream` lifts the time limit.
    ///
    /// `is_socket` states that the response is the last response of the connection, which is a
    /// WebSocket from now on.
    pub(super) fn start(&self, is_stream: bool, is_socket: bool) {
        *self.lock_started_at() = Some(Instant::now());
        self.0.is_streaming.store(is_stream, Ordering::Relaxed);
        self.0.is_socket.store(is_socket, Ordering::Relaxed);
    }

    /// Closes the connection, if the connection waits for its client.
    pub(super) fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    fn is_streaming(&self) -> bool {
        self.0.is_streaming.load(Ordering::Relaxed)
    }

    fn is_socket(&self) -> bool {
        self.0.is_socket.load(Ordering::Relaxed)
    }

    /// Returns `true` if the response was cancelled or exceeds its time limit.
    fn must_abort(&self) -> bool {
        let is_late = || {
            self.lock_started_at()
                .is_some_and(|since| since.elapsed() >= RESPONSE_TIMEOUT)
        };
        self.0.is_cancelled.load(Ordering::Acquire) || is_late()
    }

    fn lock_started_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0
            .started_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream of one client connection, as hyper reads and writes it.
pub(super) struct ClientStream {
    read: OwnedReadHalf,
    /// The bytes that were read and that hyper has not yet requested.
    read_ahead: Bytes,
    writer: Arc<SocketWriter>,
    response: ResponseHandle,
    line_endings: LineEndingChecker,
    /// `true` if the kernel limits the unsent bytes.
    #[cfg(target_os = "linux")]
    is_unsent_limited: bool,
    /// The next check of progress, while a write waits for the client.
    progress_timer: Option<Pin<Box<Sleep>>>,
    /// The bytes written since the last check.
    written_since_check: usize,
    /// The permit of the connection. It counts the connection until the stream is dropped.
    _permit: Option<Arc<ConnectionPermit>>,
}

impl ClientStream {
    /// Wraps a connection. `permit` is `None` for a connection that is rejected.
    pub(super) fn new(
        tcp: TcpStream,
        response: ResponseHandle,
        permit: Option<Arc<ConnectionPermit>>,
    ) -> Self {
        #[cfg(target_os = "linux")]
        let is_unsent_limited = SockRef::from(&tcp)
            .set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES)
            .is_ok();
        let (read, write) = tcp.into_split();
        Self {
            #[cfg(target_os = "linux")]
            is_unsent_limited,
            read,
            read_ahead: Bytes::new(),
            writer: Arc::new(SocketWriter::new(write)),
            response,
            line_endings: LineEndingChecker::default(),
            progress_timer: None,
            written_since_check: 0,
            _permit: permit,
        }
    }

    /// Returns the writer that other tasks use for direct writes, once the connection is a socket.
    pub(super) fn writer(&self) -> Arc<SocketWriter> {
        self.writer.clone()
    }

    /// Lifts the kernel's limit for a socket or a stream of events.
    ///
    /// The close frame for a slow client then fits into the kernel's buffer, however much data
    /// waits before it.
    fn remove_unsent_limit(&mut self) {
        #[cfg(target_os = "linux")]
        if self.is_unsent_limited && self.response.is_streaming() {
            let socket = SockRef::from(self.read.as_ref());
            self.is_unsent_limited = socket
                .set_tcp_notsent_lowat(NOTSENT_LOWAT_UNLIMITED)
                .is_err();
        }
    }

    fn replace_bare_feeds(&mut self, bytes: &mut [u8]) {
        let response = &self.response;
        self.line_endings
            .replace_bare_feeds(bytes, || response.is_socket());
    }

    /// Records the result of a write. Fails a pending write when the client has stalled.
    fn record_write(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(written)) => {
                self.written_since_check = self.written_since_check.saturating_add(written);
                Poll::Ready(Ok(written))
            }
            Poll::Pending if !self.response.is_streaming() => {
                ready!(self.poll_stalled(cx));
                // With a normal close, the kernel would keep sending for a minute or more.
                let abort = SockRef::from(self.read.as_ref()).set_linger(Some(Duration::ZERO));
                let error = io::Error::new(ErrorKind::TimedOut, "the client stopped reading");
                Poll::Ready(Err(abort.err().unwrap_or(error)))
            }
            result => result,
        }
    }

    /// Returns ready when the client has stalled, the response has taken too long, or the response
    /// was cancelled.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.response.0.waker.register(cx.waker());
        if self.response.must_abort() {
            return Poll::Ready(());
        }
        let written = &mut self.written_since_check;
        let check = self.progress_timer.get_or_insert_with(|| {
            *written = 0;
            Box::pin(sleep(WRITE_PROGRESS_TIMEOUT))
        });
        while check.as_mut().poll(cx).is_ready() {
            if std::mem::take(written) < MIN_WRITE_PROGRESS_BYTES {
                return Poll::Ready(());
            }
            check
                .as_mut()
                .reset(Instant::now() + WRITE_PROGRESS_TIMEOUT);
        }
        Poll::Pending
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read_ahead.is_empty() {
            let count = self.read_ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.read_ahead.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let capacity = buffer.remaining();
        if capacity == 0 || capacity >= READ_BUFFER_BYTES {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.read).poll_read(cx, buffer))?;
            let (_, bytes) = buffer.filled_mut().split_at_mut(before);
            self.replace_bare_feeds(bytes);
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [MaybeUninit::uninit(); READ_BUFFER_BYTES];
        let mut read = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.read).poll_read(cx, &mut read))?;
        self.replace_bare_feeds(read.filled_mut());
        let (requested, ahead) = read.filled().split_at(capacity.min(read.filled().len()));
        buffer.put_slice(requested);
        self.read_ahead = Bytes::copy_from_slice(ahead);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.remove_unsent_limit();
        let result = self.writer.poll_write(cx, bytes);
        self.record_write(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.remove_unsent_limit();
        let result = self.writer.poll_write_vectored(cx, slices);
        self.record_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Flushes the writer. All bytes have been written then, so the progress timer stops.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.progress_timer = None;
        self.writer.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_shutdown(cx)
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        self.writer.close();
    }
}
