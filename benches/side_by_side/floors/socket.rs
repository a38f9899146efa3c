//! A socket of the epoll baseline, and frames as a server reads and writes them.

use std::io::{ErrorKind, Write};

use mio::net::TcpStream;
use salam_benches::Result;

/// A socket of the epoll baseline.
pub struct BaselineSocket {
    /// The TCP stream.
    pub stream: TcpStream,
    /// The received bytes that are not processed yet.
    pub inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// The index of the group. `None` before the upgrade, and for sockets that only get replies.
    pub group: Option<usize>,
    /// `true` if the upgrade is complete.
    pub is_open: bool,
}

impl BaselineSocket {
    /// Creates a socket that waits for its upgrade request.
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            inbox: Vec::new(),
            outbox: Vec::new(),
            group: None,
            is_open: false,
        }
    }

    /// Writes bytes after the queued bytes. Bytes that the system does not accept are queued.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.outbox.is_empty() {
            self.outbox.extend_from_slice(bytes);
            let queued = std::mem::take(&mut self.outbox);
            return self.write(&queued);
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

/// Unmasks the text of the first frame in place. Returns the text and the frame's length, or `None`
/// until the frame is complete.
///
/// # Errors
/// When the frame is not a text frame.
pub fn read_masked_text(bytes: &mut [u8]) -> Result<Option<(&[u8], usize)>> {
    let (head, length) = match *bytes {
        [0x81, length, ..] if length & 0x7f < 126 => (2, usize::from(length & 0x7f)),
        [0x81, length, a, b, ..] if length & 0x7f == 126 => {
            (4, usize::from(u16::from_be_bytes([a, b])))
        }
        [] | [0x81] | [0x81, _, ..] => return Ok(None),
        _ => return Err("not a text frame".into()),
    };
    let frame_length = head + 4 + length;
    let Some((mask, text)) = bytes
        .get_mut(head..frame_length)
        .and_then(|rest| rest.split_at_mut_checked(4))
    else {
        return Ok(None);
    };
    for (byte, mask) in text.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(Some((text, frame_length)))
}

/// Appends an unmasked text frame. The texts of the load are shorter than 64 KiB.
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
