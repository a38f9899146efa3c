//! Text frames of a server (RFC 6455, section 5.2): whole messages without a mask. No I/O.

use axum::{body::Bytes, extract::ws::Utf8Bytes};

/// The longest header of a frame, in bytes.
const MAX_HEADER_BYTES: usize = 10;

/// The first byte of a text frame that is a whole message.
const FINAL_TEXT_FRAME: u8 = 0x81;

/// Encodes texts, each as one frame, one after the other.
pub(super) fn encode_text_frames(texts: impl IntoIterator<Item = Utf8Bytes>) -> Bytes {
    let mut frames = Vec::new();
    for text in texts {
        frames.reserve(text.len() + MAX_HEADER_BYTES);
        append_text_frame(&mut frames, text.as_bytes());
    }
    frames.into()
}

fn append_text_frame(frames: &mut Vec<u8>, text: &[u8]) {
    frames.push(FINAL_TEXT_FRAME);
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..126), _) => frames.push(length),
        (_, Ok(length)) => {
            frames.push(126);
            frames.extend(length.to_be_bytes());
        }
        _ => {
            frames.push(127);
            frames.extend((text.len() as u64).to_be_bytes());
        }
    }
    frames.extend(text);
}
