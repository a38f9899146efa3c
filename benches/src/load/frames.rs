//! Frames of RFC 6455 as a client uses them: masked when sent, unmasked when received.

use std::ops::Range;

use crate::Result;

/// The opcode of a text frame.
pub const TEXT: u8 = 1;
/// The opcode of a close frame.
pub const CLOSE: u8 = 8;
/// The opcode of a ping.
pub const PING: u8 = 9;
/// The opcode of a pong.
pub const PONG: u8 = 10;

/// The mask of all frames. A load has no secrets, and each mask costs the server the same.
const MASK: [u8; 4] = [0x5a, 0x0f, 0xc3, 0x96];

/// A complete frame at the beginning of a buffer.
pub struct Frame {
    /// The opcode.
    pub opcode: u8,
    /// The range of the payload in the buffer.
    pub payload: Range<usize>,
}

/// Reads a frame. Returns `None` until the frame is complete.
///
/// # Errors
/// When the frame is fragmented or masked. No measured server sends such frames.
pub fn read_frame(bytes: &[u8]) -> Result<Option<Frame>> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0x80 == 0 || second & 0x80 != 0 {
        return Err("a frame is masked or fragmented".into());
    }
    let (head, length) = match (second & 0x7f, rest) {
        (126, &[a, b, ..]) => (4, u64::from(u16::from_be_bytes([a, b]))),
        (127, &[a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        (126 | 127, _) => return Ok(None),
        (short, _) => (2, u64::from(short)),
    };
    let end = head + usize::try_from(length)?;
    Ok((bytes.len() >= end).then_some(Frame {
        opcode: first & 0x0f,
        payload: head..end,
    }))
}

/// Appends a masked frame.
pub fn write_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => out.push(0x80 | short),
        (_, Ok(middle)) => {
            out.push(0x80 | 126);
            out.extend(middle.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}
