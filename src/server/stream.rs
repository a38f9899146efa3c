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

use super::{crowd::Guest, line_endings::LineEndings};
use crate::channels::line::Line;

/// While an answer waits to be taken, each such time must see some of it go.
const TAKES_WITHIN: Duration = Duration::from_secs(10);

/// Bytes that count as some of it: 400 a second are less than the slowest network has.
const TAKES_AT_LEAST: usize = 4096;

/// Bytes that are read at once. A socket keeps a smaller buffer, because it is idle mostly; but frames
/// that come together would cost a call of the system each.
const READ_AT_ONCE: usize = 4096;

/// Bytes that the kernel takes of what cannot be sent yet: what a client does not read should wait
/// here, where it is seen, and not there.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 16 * 1024;

/// As the system has it: 0 is no limit of the socket's own.
#[cfg(target_os = "linux")]
const UNSENT_BY_DEFAULT: u32 = 0;

/// The longest time that an answer takes, unless it is a stream: Swagger UI's 1.7 MB at 30 KB a second.
const SENT_WITHIN: Duration = Duration::from_secs(60);

/// The answer that a connection sends. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Sending(Arc<Answer>);

#[derive(Default)]
struct Answer {
    /// Whether the client may take its time: a socket or a stream of events.
    is_stream: AtomicBool,
    since: Mutex<Option<Instant>>,
    is_cancelled: AtomicBool,
    /// Wakes the connection while it waits for its client.
    waiting: AtomicWaker,
}

impl Sending {
    /// Begins an answer.
    pub(super) fn begin(&self, is_stream: bool) {
        *self.since() = Some(Instant::now());
        self.0.is_stream.store(is_stream, Ordering::Relaxed);
    }

    /// Closes the connection, if it waits for its client.
    pub(super) fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::Release);
        self.0.waiting.wake();
    }

    fn is_stream(&self) -> bool {
        self.0.is_stream.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        let is_late = || {
            self.since()
                .is_some_and(|since| since.elapsed() >= SENT_WITHIN)
        };
        self.0.is_cancelled.load(Ordering::Acquire) || is_late()
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Stream {
    read: OwnedReadHalf,
    /// What was read and not asked for yet.
    ahead: Bytes,
    line: Arc<Line>,
    sending: Sending,
    line_endings: LineEndings,
    /// Whether the kernel takes little of what waits.
    #[cfg(target_os = "linux")]
    is_tight: bool,
    /// While something waits to be taken: when to look how much went since.
    look: Option<Pin<Box<Sleep>>>,
    /// Bytes that went since the last look.
    taken: usize,
    /// Here, so that it counts for as long as there is a socket.
    _guest: Option<Arc<Guest>>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, sending: Sending, guest: Option<Arc<Guest>>) -> Self {
        #[cfg(target_os = "linux")]
        let is_tight = SockRef::from(&tcp).set_tcp_notsent_lowat(UNSENT).is_ok();
        let (read, write) = tcp.into_split();
        Self {
            #[cfg(target_os = "linux")]
            is_tight,
            read,
            ahead: Bytes::new(),
            line: Arc::new(Line::new(write)),
            sending,
            line_endings: LineEndings::default(),
            look: None,
            taken: 0,
            _guest: guest,
        }
    }

    /// By which others may write to it, once it is a socket.
    pub(super) fn line(&self) -> Arc<Line> {
        self.line.clone()
    }

    /// Gives the kernel room where the client may take its time: who is slow is then told so, however
    /// much waits before it.
    fn give_room(&mut self) {
        #[cfg(target_os = "linux")]
        if self.is_tight && self.sending.is_stream() {
            let socket = SockRef::from(self.read.as_ref());
            self.is_tight = socket.set_tcp_notsent_lowat(UNSENT_BY_DEFAULT).is_err();
        }
    }

    fn check_line_endings(&mut self, bytes: &mut [u8]) {
        let sending = &self.sending;
        self.line_endings.check(bytes, || sending.is_stream());
    }

    /// Notes what came of a try to write; one in vain is waited for, but not for ever.
    fn note(
        &mut self,
        cx: &mut Context<'_>,
        tried: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match tried {
            Poll::Ready(Ok(written)) => {
                self.taken = self.taken.saturating_add(written);
                Poll::Ready(Ok(written))
            }
            Poll::Pending if !self.sending.is_stream() => {
                ready!(self.poll_stuck(cx));
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
    fn poll_stuck(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sending.0.waiting.register(cx.waker());
        if self.sending.is_over() {
            return Poll::Ready(());
        }
        let taken = &mut self.taken;
        let look = self.look.get_or_insert_with(|| {
            *taken = 0;
            Box::pin(sleep(TAKES_WITHIN))
        });
        while look.as_mut().poll(cx).is_ready() {
            if std::mem::take(taken) < TAKES_AT_LEAST {
                return Poll::Ready(());
            }
            look.as_mut().reset(Instant::now() + TAKES_WITHIN);
        }
        Poll::Pending
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let wanted = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(wanted));
            return Poll::Ready(Ok(()));
        }
        let room = buffer.remaining();
        if room == 0 || room >= READ_AT_ONCE {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.read).poll_read(cx, buffer))?;
            let (_, bytes) = buffer.filled_mut().split_at_mut(before);
            self.check_line_endings(bytes);
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [MaybeUninit::uninit(); READ_AT_ONCE];
        let mut read = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.read).poll_read(cx, &mut read))?;
        self.check_line_endings(read.filled_mut());
        let (wanted, ahead) = read.filled().split_at(room.min(read.filled().len()));
        buffer.put_slice(wanted);
        self.ahead = Bytes::copy_from_slice(ahead);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.give_room();
        let tried = self.line.poll_write(cx, bytes);
        self.note(cx, tried)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.give_room();
        let tried = self.line.poll_write_vectored(cx, slices);
        self.note(cx, tried)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// All that was to be written has been.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look = None;
        self.line.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.poll_shutdown(cx)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.line.close();
    }
}
