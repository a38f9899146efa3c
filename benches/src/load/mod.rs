//! The load generator: up to ten thousand sockets in one thread, which checks the seq of every
//! frame.
//!
//! The rule: the generator never waits for a single socket. It does only the work for each frame
//! that detects lost, duplicated and reordered events. So the server is the bottleneck. The
//! schedules of messages are in [`drive`].

pub mod drive;
pub mod frames;
pub mod order_check;
pub mod protocol;
mod receive;
pub mod socket;
mod socket_spec;
pub mod stats;

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    net::{Ipv4Addr, Shutdown, SocketAddr},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

pub use self::socket_spec::SocketSpec;
use self::{
    protocol::SocketProtocol,
    socket::{LoadSocket, Phase},
    stats::LoadStats,
};
use crate::{Result, statistics::nanos};

/// The number of bytes in one read. A socket receives less between two polls.
const READ_BYTES: usize = 128 * 1024;

/// The readiness that the load waits for.
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The sockets of the load and their statistics.
pub struct LoadGenerator {
    /// The statistics of all sockets.
    pub stats: LoadStats,
    sockets: Vec<LoadSocket>,
    /// The refused sockets, by the time at which they reconnect.
    retries: BinaryHeap<Reverse<(u64, usize)>>,
    /// The sockets that received a reply since the last call of `take_replied`.
    replied: Vec<usize>,
    poll: Poll,
    events: Events,
    /// The buffer of the last read.
    bytes: Vec<u8>,
    started_at: Instant,
    /// The time of the last reply.
    pub last_reply_at: u64,
}

impl LoadGenerator {
    /// Creates a load without sockets.
    ///
    /// # Errors
    /// When the system refuses a poll.
    pub fn new() -> Result<Self> {
        Ok(Self {
            stats: LoadStats::default(),
            sockets: Vec::new(),
            retries: BinaryHeap::new(),
            replied: Vec::new(),
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            bytes: Vec::new(),
            started_at: Instant::now(),
            last_reply_at: 0,
        })
    }

    /// Returns the nanoseconds since the load was created.
    #[must_use]
    pub fn now(&self) -> u64 {
        nanos(self.started_at.elapsed())
    }

    /// Returns the number of sockets, closed sockets included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Returns `true` if there are no sockets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Checks that no socket has failed.
    ///
    /// # Errors
    /// The number of failed sockets and the first error.
    pub fn check(&self) -> Result<()> {
        match self.stats.socket_errors.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(format!(
                "{} sockets failed, the first: {first}",
                self.stats.socket_errors.len()
            )
            .into()),
        }
    }

    /// Starts to open a socket. Returns its index.
    ///
    /// # Errors
    /// When the system has no more sockets.
    pub fn open(&mut self, spec: SocketSpec) -> Result<usize> {
        let (index, opened_at) = (self.sockets.len(), self.now());
        let stream = connect(spec.port)?;
        self.stats.record_open(spec.group, spec.is_measured);
        let mut socket = LoadSocket::new(spec, stream, opened_at);
        self.poll
            .registry()
            .register(socket.stream(), Token(index), INTEREST)?;
        self.sockets.push(socket);
        Ok(index)
    }

    /// Sends the next text of a socket, which was due at a time.
    ///
    /// # Errors
    /// When the index is invalid. Failures of the socket are in the statistics.
    pub fn send(&mut self, index: usize, due: u64) -> Result<()> {
        self.send_many(index, 1, due)
    }

    /// Sends the next texts of a socket at once.
    ///
    /// # Errors
    /// When the index is invalid. Failures of the socket are in the statistics.
    pub fn send_many(&mut self, index: usize, texts: u64, due: u64) -> Result<()> {
        let now = self.now();
        let socket = self.sockets.get_mut(index).ok_or("no such socket")?;
        socket.requested_at = now;
        for _ in 0..texts {
            socket.sent += 1;
            let text = socket.spec.protocol.encode_message(index, socket.sent, due);
            socket.queue(frames::TEXT, text.as_bytes());
            self.stats.record_send(socket.spec.group);
        }
        let result = socket.flush();
        self.record_outcome(index, result);
        Ok(())
    }

    /// Waits for ready sockets, at most for `wait`, and reads from and writes to them.
    ///
    /// # Errors
    /// When the system refuses the poll.
    pub fn poll_once(&mut self, wait: Duration) -> Result<()> {
        self.reconnect_due_sockets()?;
        if let Err(error) = self.poll.poll(&mut self.events, Some(wait)) {
            return if error.kind() == std::io::ErrorKind::Interrupted {
                Ok(())
            } else {
                Err(error.into())
            };
        }
        let events = self.events.iter();
        let events: Vec<_> = events
            .map(|e| (e.token().0, e.is_writable(), e.is_readable()))
            .collect();
        for (index, writable, readable) in events {
            let result = self.handle_readiness(index, writable, readable);
            self.record_outcome(index, result);
        }
        Ok(())
    }

    /// Polls until a condition is met.
    ///
    /// # Errors
    /// When the condition is not met within `limit`, or when a socket fails before.
    pub fn run_until(
        &mut self,
        condition: &str,
        limit: Duration,
        is_met: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let started_at = Instant::now();
        while !is_met(self) {
            self.poll_once(Duration::from_millis(1))?;
            self.check()
                .map_err(|error| format!("while waiting for {condition}: {error}"))?;
            if started_at.elapsed() > limit {
                return Err(format!("timed out while waiting for {condition}").into());
            }
        }
        Ok(())
    }

    /// Returns the sockets that received a reply since the last call.
    pub fn take_replied(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.replied)
    }

    /// Adds the events that never arrived to the lost events.
    pub fn count_lost(&mut self) {
        for socket in &self.sockets {
            let missing = socket
                .order
                .missing_count(self.stats.last_seq(socket.spec.group));
            if socket.phase == Phase::Ready && socket.spec.protocol != SocketProtocol::Base {
                self.stats.flaws.lost += missing;
            }
        }
    }

    /// Reconnects the refused sockets whose wait is over.
    fn reconnect_due_sockets(&mut self) -> Result<()> {
        let now = self.now();
        while let Some(&Reverse((due, index))) = self.retries.peek()
            && due <= now
        {
            self.retries.pop();
            let socket = self.sockets.get_mut(index).ok_or("no such socket")?;
            socket.reopen(connect(socket.spec.port)?);
            let registry = self.poll.registry();
            registry.register(socket.stream(), Token(index), INTEREST)?;
        }
        Ok(())
    }

    fn handle_readiness(&mut self, index: usize, writable: bool, readable: bool) -> Result<()> {
        let socket = self.sockets.get_mut(index).ok_or("no such socket")?;
        if matches!(socket.phase, Phase::Closed | Phase::Waiting) {
            return Ok(());
        }
        if writable {
            socket.flush()?;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut has_more = readable;
        let mut result = Ok(());
        while has_more && result.is_ok() {
            result = match self
                .sockets
                .get_mut(index)
                .ok_or("no such socket")?
                .read(&mut bytes, READ_BYTES)
            {
                Ok(is_full) => {
                    has_more = is_full;
                    self.process_bytes(index, &bytes)
                }
                Err(error) => Err(error),
            };
        }
        self.bytes = bytes;
        result
    }

    fn process_bytes(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        let now = self.now();
        let socket = self.sockets.get_mut(index).ok_or("no such socket")?;
        let replies = receive::process_bytes(socket, &mut self.stats, bytes, now)?;
        if replies > 0 {
            self.replied.extend(std::iter::repeat_n(index, replies));
            self.last_reply_at = now;
        }
        Ok(())
    }

    /// Closes a socket that failed, and records the error in the statistics. A socket that an overloaded server refused
    /// reconnects later.
    fn record_outcome(&mut self, index: usize, result: Result<()>) {
        let now = self.now();
        if let Some(socket) = self.sockets.get_mut(index)
            && socket.phase == Phase::Waiting
        {
            let (earliest, latest) = socket.retry_ms;
            // The sockets are spread over the range.
            let spread = latest.saturating_sub(earliest) + 1;
            let retry_ms = earliest + (index as u64).wrapping_mul(7919) % spread;
            let retry_at = now + nanos(Duration::from_millis(retry_ms));
            self.retries.push(Reverse((retry_at, index)));
            let _ = self.poll.registry().deregister(socket.stream());
            let _ = socket.stream().shutdown(Shutdown::Both);
            return;
        }
        if let (Err(error), Some(socket)) = (result, self.sockets.get_mut(index)) {
            socket.phase = Phase::Closed;
            // The socket may never have been registered.
            let _ = self.poll.registry().deregister(socket.stream());
            self.stats.socket_errors.push(error.to_string());
        }
    }
}

/// Starts to connect to a server of this machine.
fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
