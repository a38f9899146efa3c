//! One socket of the floor of epoll, and its frames as a server has them.

use std::io::{ErrorKind, Write};

use mio::net::TcpStream;
use salam_benches::Result;

pub struct BaselineSocket {
    pub stream: TcpStream,
    pub inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Empty until the upgrade, and of sockets that are answered.
    pub group: Option<usize>,
    pub is_open: bool,
}

impl BaselineSocket {
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            inbox: Vec::new(),
            outbox: Vec::new(),
            group: None,
            is_open: false,
        }
    }

    /// Writes this after what waits; what the system does not take waits.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.outbox.is_empty() {
            self.outbox.extend_from_slice(bytes);
            let waiting = std::mem::take(&mut self.outbox);
            return self.write(&waiting);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.outbox = rest.to_vec();
        Ok(())
    }
}

/// The text of the first frame, unmasked where it lies, and the length of all of it; `None` until it is
/// whole. An error is anything but a text.
pub fn read_masked_text(bytes: &mut [u8]) -> Result<Option<(&[u8], usize)>> {
    let (head, length) = match *bytes {
        [0x81, length, ..] if length & 0x7f < 126 => (2, usize::from(length & 0x7f)),
        [0x81, length, a, b, ..] if length & 0x7f == 126 => {
            (4, usize::from(u16::from_be_bytes([a, b])))
        }
        [] | [0x81] | [0x81, _, ..] => return Ok(None),
        _ => return Err("no text".into()),
    };
    let whole = head + 4 + length;
    let Some((mask, text)) = bytes
        .get_mut(head..whole)
        .and_then(|rest| rest.split_at_mut_checked(4))
    else {
        return Ok(None);
    };
    for (byte, mask) in text.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(Some((text, whole)))
}

/// Appends a text as a frame of the server; those of the load are below 64 KiB.
pub fn append_text_frame(out: &mut Vec<u8>, text: &[u8]) {
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(short), _) if short < 126 => out.extend([0x81, short]),
        (_, middle) => {
            out.extend([0x81, 126]);
            out.extend(middle.unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}
