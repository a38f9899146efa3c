//! Texts as a server frames them (RFC 6455, section 5.2): whole, without a mask. No I/O.

use axum::{body::Bytes, extract::ws::Utf8Bytes};

/// Bytes that stand before a text, at most.
const MAX_HEADER_BYTES: usize = 10;

/// The last frame of a message, of a text.
const FINAL_TEXT_FRAME: u8 = 0x81;

/// Texts, each as one frame, one after the other.
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
