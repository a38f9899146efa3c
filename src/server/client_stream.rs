//! The bytes of a connection. A client that does not take its answer is not waited for.

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

use super::{connection_limiter::ConnectionPermit, line_endings::LineEndingChecker};
use crate::channels::socket_writer::SocketWriter;

/// While an answer waits to be taken, each such time must see some of it go.
const WRITE_PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that count as some of it: 400 a second are less than the slowest network has.
const MIN_WRITE_PROGRESS_BYTES: usize = 4096;

/// Bytes that are read at once. A socket keeps a smaller buffer, because it is idle mostly; but frames
/// that come together would cost a call of the system each.
const READ_BUFFER_BYTES: usize = 4096;

/// Bytes that the kernel takes of what cannot be sent yet: what a client does not read should wait
/// here, where it is seen, and not there.
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT_BYTES: u32 = 16 * 1024;

/// As the system has it: 0 is no limit of the socket's own.
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT_UNLIMITED: u32 = 0;

/// The longest time that an answer takes, unless it is a stream: Swagger UI's 1.7 MB at 30 KB a second.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// The answer that a connection sends. Clones share it.
#[derive(Clone, Default)]
pub(super) struct ResponseHandle(Arc<ResponseState>);

#[derive(Default)]
struct ResponseState {
    /// Whether the client may take its time: a socket or a stream of events.
    is_streaming: AtomicBool,
    started_at: Mutex<Option<Instant>>,
    is_cancelled: AtomicBool,
    /// Wakes the connection while it waits for its client.
    waker: AtomicWaker,
}

impl ResponseHandle {
    /// Begins an answer.
    pub(super) fn start(&self, is_stream: bool) {
        *self.lock_started_at() = Some(Instant::now());
        self.0.is_streaming.store(is_stream, Ordering::Relaxed);
    }

    /// Closes the connection, if it waits for its client.
    pub(super) fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    fn is_streaming(&self) -> bool {
        self.0.is_streaming.load(Ordering::Relaxed)
    }

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

pub(super) struct ClientStream {
    read: OwnedReadHalf,
    /// What was read and not asked for yet.
    read_ahead: Bytes,
    writer: Arc<SocketWriter>,
    response: ResponseHandle,
    line_endings: LineEndingChecker,
    /// Whether the kernel takes little of what waits.
    #[cfg(target_os = "linux")]
    is_unsent_limited: bool,
    /// While something waits to be taken: when to look how much went since.
    progress_timer: Option<Pin<Box<Sleep>>>,
    /// Bytes that went since the last look.
    written_since_check: usize,
    /// Here, so that it counts for as long as there is a socket.
    _permit: Option<Arc<ConnectionPermit>>,
}

impl ClientStream {
    pub(super) fn new(
        tcp: TcpStream,
        response: ResponseHandle,
        guest: Option<Arc<ConnectionPermit>>,
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
            _permit: guest,
        }
    }

    /// By which others may write to it, once it is a socket.
    pub(super) fn writer(&self) -> Arc<SocketWriter> {
        self.writer.clone()
    }

    /// Gives the kernel room where the client may take its time: who is slow is then told so, however
    /// much waits before it.
    fn remove_unsent_limit(&mut self) {
        #[cfg(target_os = "linux")]
        if self.is_unsent_limited && self.response.is_streaming() {
            let socket = SockRef::from(self.read.as_ref());
            self.is_unsent_limited = socket
                .set_tcp_notsent_lowat(NOTSENT_LOWAT_UNLIMITED)
                .is_err();
        }
    }

    fn check_line_endings(&mut self, bytes: &mut [u8]) {
        let sending = &self.response;
        self.line_endings.check(bytes, || sending.is_streaming());
    }

    /// Notes what came of a try to write; one in vain is waited for, but not for ever.
    fn record_write(
        &mut self,
        cx: &mut Context<'_>,
        tried: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match tried {
            Poll::Ready(Ok(written)) => {
                self.written_since_check = self.written_since_check.saturating_add(written);
                Poll::Ready(Ok(written))
            }
            Poll::Pending if !self.response.is_streaming() => {
                ready!(self.poll_stalled(cx));
                // Otherwise the kernel would go on in our place, for a minute and more.
                let abort = SockRef::from(self.read.as_ref()).set_linger(Some(Duration::ZERO));
                let error = io::Error::new(ErrorKind::TimedOut, "the client takes nothing");
                Poll::Ready(Err(abort.err().unwrap_or(error)))
            }
            tried => tried,
        }
    }

    /// Ready when too little has gone for too long, or the whole answer has taken too long, or somebody has
    /// cancelled it.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.response.0.waker.register(cx.waker());
        if self.response.must_abort() {
            return Poll::Ready(());
        }
        let taken = &mut self.written_since_check;
        let look = self.progress_timer.get_or_insert_with(|| {
            *taken = 0;
            Box::pin(sleep(WRITE_PROGRESS_TIMEOUT))
        });
        while look.as_mut().poll(cx).is_ready() {
            if std::mem::take(taken) < MIN_WRITE_PROGRESS_BYTES {
                return Poll::Ready(());
            }
            look.as_mut().reset(Instant::now() + WRITE_PROGRESS_TIMEOUT);
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
            let wanted = self.read_ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.read_ahead.split_to(wanted));
            return Poll::Ready(Ok(()));
        }
        let room = buffer.remaining();
        if room == 0 || room >= READ_BUFFER_BYTES {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.read).poll_read(cx, buffer))?;
            let (_, bytes) = buffer.filled_mut().split_at_mut(before);
            self.check_line_endings(bytes);
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [MaybeUninit::uninit(); READ_BUFFER_BYTES];
        let mut read = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.read).poll_read(cx, &mut read))?;
        self.check_line_endings(read.filled_mut());
        let (wanted, ahead) = read.filled().split_at(room.min(read.filled().len()));
        buffer.put_slice(wanted);
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
        let tried = self.writer.poll_write(cx, bytes);
        self.record_write(cx, tried)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.remove_unsent_limit();
        let tried = self.writer.poll_write_vectored(cx, slices);
        self.record_write(cx, tried)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// All that was to be written has been.
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
