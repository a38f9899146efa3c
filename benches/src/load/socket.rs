//! One socket of the load, from the connection on: bytes in and out, and where it is in its life.

use std::io::{ErrorKind, Read, Write};

use memchr::memmem;
use mio::net::TcpStream;

use super::{SocketSpec, frames, order_check::OrderCheck};
use crate::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The request for the upgrade is on its way.
    Opening,
    /// The socket is open, and has not been told all that it is told at first.
    Open,
    /// What is measured begins.
    Ready,
    Closed,
}

pub struct LoadSocket {
    pub spec: SocketSpec,
    pub phase: Phase,
    pub order: OrderCheck,
    /// Nanoseconds of the load's clock at which it was opened, and last asked for something.
    pub opened_at: u64,
    pub requested_at: u64,
    /// How many texts it has sent, how many events it was told of, and whether anything has come.
    pub sent: u64,
    pub received: u64,
    pub has_received_frame: bool,
    stream: TcpStream,
    /// What was read of a frame that is not whole, and what could not be written yet.
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

impl LoadSocket {
    pub fn new(spec: SocketSpec, stream: TcpStream, opened_at: u64) -> Self {
        let outbox = spec.upgrade_request().into_bytes();
        Self {
            order: OrderCheck::after(spec.after.unwrap_or_default()),
            spec,
            phase: Phase::Opening,
            opened_at,
            requested_at: opened_at,
            sent: 0,
            received: 0,
            has_received_frame: false,
            stream,
            inbox: Vec::new(),
            outbox,
        }
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Queues a frame; [`Socket::flush`] writes it.
    pub fn queue(&mut self, opcode: u8, payload: &[u8]) {
        frames::write_frame(&mut self.outbox, opcode, payload);
    }

    /// Writes as much as the system takes.
    pub fn flush(&mut self) -> Result<()> {
        let mut written = 0;
        while let Some(rest) = self.outbox.get(written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(count) => written += count,
                // Not connected yet, or full: it is told when that changes.
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

    /// Reads once, after what was left of the last time; whether there may be more.
    ///
    /// # Errors
    /// The connection is over.
    pub fn read(&mut self, into: &mut Vec<u8>, most: usize) -> Result<bool> {
        into.clear();
        into.append(&mut self.inbox);
        let kept = into.len();
        into.resize(kept + most, 0);
        let read = self.stream.read(into.get_mut(kept..).unwrap_or_default());
        let count = match read {
            Ok(0) => return Err("the server has closed the connection".into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error.into()),
        };
        into.truncate(kept + count);
        Ok(count == most)
    }

    /// Keeps what is not whole for the next time. Of 10,000 sockets, each has only what it needs.
    pub fn keep_partial(&mut self, rest: &[u8]) {
        self.inbox = rest.to_vec();
    }

    /// Takes the answer to the upgrade; how many bytes it has, or none until all of it is there.
    ///
    /// # Errors
    /// It is another one.
    pub fn read_upgrade_response(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            return Ok(None);
        };
        if !bytes.starts_with(b"HTTP/1.1 101 ") {
            let line = bytes.split(|&byte| byte == b'\r').next();
            let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
            return Err(format!("no upgrade, but {line}").into());
        }
        self.phase = Phase::Open;
        Ok(Some(end + 4))
    }
}
