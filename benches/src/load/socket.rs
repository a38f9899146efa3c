//! One socket of the load: its bytes in both directions, and its phase.

use std::io::{ErrorKind, Read, Write};

use memchr::memmem;
use mio::net::TcpStream;

use super::{SocketSpec, frames, order_check::OrderCheck};
use crate::Result;

/// The phase of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The upgrade request is being sent or answered.
    Opening,
    /// The socket is open, but has not caught up.
    Open,
    /// The socket has caught up, and the measurement can start.
    Ready,
    /// The server was overloaded. The socket reconnects later.
    Waiting,
    /// The socket has failed.
    Closed,
}

/// A socket and its counters.
pub struct LoadSocket {
    /// The target and the protocol.
    pub spec: SocketSpec,
    /// The current phase.
    pub phase: Phase,
    /// The check of received seqs.
    pub order: OrderCheck,
    /// The time of the opening, in nanoseconds of the load's clock.
    pub opened_at: u64,
    /// The time of the last request, in nanoseconds of the load's clock.
    pub requested_at: u64,
    /// The range of the wait before the reconnect, in milliseconds, from the overloaded server.
    pub retry_ms: (u64, u64),
    /// The number of sent texts.
    pub sent: u64,
    /// The number of received events that count.
    pub received: u64,
    /// `true` if a frame has arrived.
    pub has_received_frame: bool,
    stream: TcpStream,
    /// The bytes of an incomplete frame.
    inbox: Vec<u8>,
    /// The bytes that could not yet be written.
    outbox: Vec<u8>,
}

impl LoadSocket {
    /// Creates a socket whose upgrade request is still to be written.
    pub fn new(spec: SocketSpec, stream: TcpStream, opened_at: u64) -> Self {
        let outbox = spec.upgrade_request().into_bytes();
        Self {
            order: OrderCheck::after(spec.after.unwrap_or_default()),
            spec,
            phase: Phase::Opening,
            opened_at,
            requested_at: opened_at,
            retry_ms: (0, 0),
            sent: 0,
            received: 0,
            has_received_frame: false,
            stream,
            inbox: Vec::new(),
            outbox,
        }
    }

    /// Restarts the socket on a new connection. The time of the opening stays.
    pub fn reopen(&mut self, stream: TcpStream) {
        let spec = self.spec.clone();
        *self = Self::new(spec, stream, self.opened_at);
    }

    /// Returns the TCP stream, for registering.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Queues a frame, which [`LoadSocket::flush`] writes.
    pub fn queue(&mut self, opcode: u8, payload: &[u8]) {
        frames::write_frame(&mut self.outbox, opcode, payload);
    }

    /// Writes as many queued bytes as the system accepts.
    pub fn flush(&mut self) -> Result<()> {
        let mut written = 0;
        while let Some(rest) = self.outbox.get(written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(count) => written += count,
                // The socket is not connected yet, or its buffer is full. The poll reports when
                // that changes.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::NotConnected
                    ) =>
                {
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.outbox.drain(..written);
        Ok(())
    }

    /// Reads once, and puts the bytes after the kept bytes of an incomplete frame. Returns `true`
    /// if there may be more.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn read(&mut self, buffer: &mut Vec<u8>, max_bytes: usize) -> Result<bool> {
        buffer.clear();
        buffer.append(&mut self.inbox);
        let kept = buffer.len();
        buffer.resize(kept + max_bytes, 0);
        let read = self.stream.read(buffer.get_mut(kept..).unwrap_or_default());
        let count = match read {
            Ok(0) => return Err("the server closed the connection".into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error.into()),
        };
        buffer.truncate(kept + count);
        Ok(count == max_bytes)
    }

    /// Keeps the bytes of an incomplete frame. With 10,000 sockets, each socket keeps only the
    /// memory that it needs.
    pub fn keep_partial(&mut self, rest: &[u8]) {
        self.inbox = rest.to_vec();
    }

    /// Reads the response to the upgrade request. Returns its length, or `None` until it is
    /// complete.
    ///
    /// # Errors
    /// When the status is not 101.
    pub fn read_upgrade_response(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            return Ok(None);
        };
        if !bytes.starts_with(b"HTTP/1.1 101 ") {
            let status_line = bytes.split(|&byte| byte == b'\r').next();
            let status_line = String::from_utf8_lossy(status_line.unwrap_or_default()).into_owned();
            return Err(format!("the upgrade failed: {status_line}").into());
        }
        self.phase = Phase::Open;
        Ok(Some(end + 4))
    }
}
