//! The load: up to ten thousand sockets of one thread, which hears every frame and checks its number.
//!
//! The rule: it never waits for one socket, and does as little for each frame as telling apart lost,
//! doubled and reordered allows, so that it is the server that is slow. What is said when stands in
//! [`drive`].

pub mod drive;
pub mod frames;
pub mod order_check;
pub mod protocol;
mod receive;
pub mod socket;
mod socket_spec;
pub mod stats;

use std::{
    net::{Ipv4Addr, SocketAddr},
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

/// Read at once: more than a socket has between two turns.
const READ_BYTES: usize = 128 * 1024;

pub struct LoadGenerator {
    pub stats: LoadStats,
    sockets: Vec<LoadSocket>,
    /// Sockets that were answered since somebody looked.
    replied: Vec<usize>,
    poll: Poll,
    events: Events,
    /// What was read last.
    bytes: Vec<u8>,
    started_at: Instant,
    /// When the last answer came.
    pub last_reply_at: u64,
}

impl LoadGenerator {
    /// # Errors
    /// The system's.
    pub fn new() -> Result<Self> {
        Ok(Self {
            stats: LoadStats::default(),
            sockets: Vec::new(),
            replied: Vec::new(),
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            bytes: Vec::new(),
            started_at: Instant::now(),
            last_reply_at: 0,
        })
    }

    /// Nanoseconds since the load began.
    #[must_use]
    pub fn now(&self) -> u64 {
        nanos(self.started_at.elapsed())
    }

    /// How many sockets there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// # Errors
    /// A socket has failed.
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

    /// Begins to open a socket; its number.
    ///
    /// # Errors
    /// The system has no more of them.
    pub fn open(&mut self, spec: SocketSpec) -> Result<usize> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, spec.port));
        let (number, begun) = (self.sockets.len(), self.now());
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        self.stats.record_open(spec.group, spec.is_measured);
        let mut socket = LoadSocket::new(spec, stream, begun);
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(socket.stream(), Token(number), both)?;
        self.sockets.push(socket);
        Ok(number)
    }

    /// Sends the next text of a socket, which was due at this time.
    ///
    /// # Errors
    /// There is no such socket. (What befalls it is in the tally.)
    pub fn send(&mut self, number: usize, due: u64) -> Result<()> {
        self.send_many(number, 1, due)
    }

    /// Sends the next so many texts of a socket at once.
    ///
    /// # Errors
    /// There is no such socket. (What befalls it is in the tally.)
    pub fn send_many(&mut self, number: usize, texts: u64, due: u64) -> Result<()> {
        let asked = self.now();
        let socket = self.sockets.get_mut(number).ok_or("no such socket")?;
        socket.requested_at = asked;
        for _ in 0..texts {
            socket.sent += 1;
            let text = socket
                .spec
                .protocol
                .encode_message(number, socket.sent, due);
            socket.queue(frames::TEXT, text.as_bytes());
            self.stats.record_send(socket.spec.group);
        }
        let flushed = socket.flush();
        self.record_outcome(number, flushed);
        Ok(())
    }

    /// Reads and writes whatever can be, after waiting so long for something.
    ///
    /// # Errors
    /// The system's.
    pub fn poll_once(&mut self, wait: Duration) -> Result<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(wait)) {
            return if error.kind() == std::io::ErrorKind::Interrupted {
                Ok(())
            } else {
                Err(error.into())
            };
        }
        let turns = self.events.iter();
        let turns: Vec<_> = turns
            .map(|e| (e.token().0, e.is_writable(), e.is_readable()))
            .collect();
        for (number, writable, readable) in turns {
            let done = self.handle_readiness(number, writable, readable);
            self.record_outcome(number, done);
        }
        Ok(())
    }

    /// Takes turns until it is so.
    ///
    /// # Errors
    /// It is not so in time, or a socket was lost meanwhile.
    pub fn run_until(
        &mut self,
        what: &str,
        patience: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let begin = Instant::now();
        while !is_so(self) {
            self.poll_once(Duration::from_millis(1))?;
            self.check()
                .map_err(|error| format!("while waiting for {what}: {error}"))?;
            if begin.elapsed() > patience {
                return Err(format!("waited in vain for {what}").into());
            }
        }
        Ok(())
    }

    /// Sockets that were answered since this was asked last.
    pub fn take_replied(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.replied)
    }

    /// Adds what nobody has been told to what is lost.
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

    fn handle_readiness(&mut self, number: usize, writable: bool, readable: bool) -> Result<()> {
        let socket = self.sockets.get_mut(number).ok_or("no such socket")?;
        if socket.phase == Phase::Closed {
            return Ok(());
        }
        if writable {
            socket.flush()?;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut more = readable;
        let mut done = Ok(());
        while more && done.is_ok() {
            done = match self
                .sockets
                .get_mut(number)
                .ok_or("no such socket")?
                .read(&mut bytes, READ_BYTES)
            {
                Ok(full) => {
                    more = full;
                    self.process_bytes(number, &bytes)
                }
                Err(error) => Err(error),
            };
        }
        self.bytes = bytes;
        done
    }

    fn process_bytes(&mut self, number: usize, bytes: &[u8]) -> Result<()> {
        let now = self.now();
        let socket = self.sockets.get_mut(number).ok_or("no such socket")?;
        let answers = receive::process_bytes(socket, &mut self.stats, bytes, now)?;
        if answers > 0 {
            self.replied.extend(std::iter::repeat_n(number, answers));
            self.last_reply_at = now;
        }
        Ok(())
    }

    /// A socket that failed is over, and the tally says why.
    fn record_outcome(&mut self, number: usize, done: Result<()>) {
        if let (Err(error), Some(socket)) = (done, self.sockets.get_mut(number)) {
            socket.phase = Phase::Closed;
            // It may never have been registered, and goes with the load anyway.
            let _ = self.poll.registry().deregister(socket.stream());
            self.stats.socket_errors.push(error.to_string());
        }
    }
}
