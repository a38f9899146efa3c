//! Detects bare line feeds in the heads of requests.
//!
//! RFC 9112, section 2.2, lets a recipient accept a line feed without a carriage return as the end
//! of a line. hyper accepts it. A proxy in front may not, and then the proxy and hyper see
//! different requests (request smuggling). This module therefore replaces each bare line feed by a
//! character that is forbidden in heads. hyper answers 400.

use std::mem;

/// The replacement of a bare line feed.
const REPLACEMENT: u8 = 0;

/// The longest line that is kept. hyper refuses longer heads.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// The position in the requests of one connection.
#[derive(Default)]
pub(super) struct LineEndingChecker {
    state: ParseState,
    /// The current line, without its end.
    line: Vec<u8>,
    /// The current head.
    head: RequestHead,
}

/// The part of a request that the next byte belongs to.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum ParseState {
    #[default]
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    Trailers,
    /// A request with `Upgrade` was read. Either a socket follows, or the next request.
    Upgrade,
    /// The connection is a socket, or hyper refuses the current request.
    Unchecked,
}

/// The facts of a head that determine the length of the body.
#[derive(Default)]
struct RequestHead {
    has_lines: bool,
    content_length: u64,
    is_chunked: bool,
    is_upgrade: bool,
    is_malformed: bool,
}

impl LineEndingChecker {
    /// Replaces the bare line feeds in the bytes that were read.
    ///
    /// `is_socket` returns `true` if the last request with `Upgrade` became a socket.
    pub(super) fn check(&mut self, mut bytes: &mut [u8], is_socket: impl Fn() -> bool) {
        while !bytes.is_empty() {
            if self.state == ParseState::Upgrade {
                self.state = if is_socket() {
                    ParseState::Unchecked
                } else {
                    ParseState::Head
                };
            }
            let used = match self.state {
                ParseState::Unchecked => return,
                ParseState::Body(left) | ParseState::ChunkData(left) => {
                    self.skip_body(left, bytes.len())
                }
                _ => self.check_line(bytes),
            };
            bytes = mem::take(&mut bytes).split_at_mut(used).1;
        }
    }

    /// Skips bytes of a body. Returns their number.
    fn skip_body(&mut self, left: u64, available: usize) -> usize {
        let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(available);
        let left = left - skipped as u64;
        self.state = match (self.state, left) {
            (ParseState::Body(_), 0) => ParseState::Head,
            (ParseState::ChunkData(_), 0) => ParseState::ChunkSize,
            (ParseState::Body(_), left) => ParseState::Body(left),
            (_, left) => ParseState::ChunkData(left),
        };
        skipped
    }

    /// Checks the bytes up to the end of a line, or all bytes. Returns the number of checked bytes.
    fn check_line(&mut self, bytes: &mut [u8]) -> usize {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.append_to_line(bytes);
            return bytes.len();
        };
        let (line, _) = bytes.split_at_mut(end + 1);
        if let Some((feed, before)) = line.split_last_mut() {
            self.append_to_line(before);
            if self.line.pop_if(|last| *last == b'\r').is_none() {
                // Among the extensions of a chunk, hyper refuses only a line feed and no other
                // character.
                if self.state != ParseState::ChunkSize || !self.line.contains(&b';') {
                    *feed = REPLACEMENT;
                }
                self.state = ParseState::Unchecked;
                return end + 1;
            }
        }
        let line = mem::take(&mut self.line);
        self.end_line(&line);
        end + 1
    }

    fn append_to_line(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > MAX_LINE_BYTES {
            self.state = ParseState::Unchecked;
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, line: &[u8]) {
        self.state = match self.state {
            ParseState::Head if line.is_empty() && self.head.has_lines => self.end_head(),
            ParseState::Head => {
                self.head.add_line(line);
                ParseState::Head
            }
            // The data of a chunk is followed by an empty line.
            ParseState::ChunkSize if line.is_empty() => ParseState::ChunkSize,
            ParseState::ChunkSize => match chunk_size(line) {
                Some(0) => ParseState::Trailers,
                Some(size) => ParseState::ChunkData(size),
                None => ParseState::Unchecked,
            },
            ParseState::Trailers if line.is_empty() => ParseState::Head,
            state => state,
        };
    }

    fn end_head(&mut self) -> ParseState {
        let head = mem::take(&mut self.head);
        if head.is_malformed {
            ParseState::Unchecked
        } else if head.is_chunked {
            ParseState::ChunkSize
        } else if head.content_length > 0 {
            ParseState::Body(head.content_length)
        } else if head.is_upgrade {
            ParseState::Upgrade
        } else {
            ParseState::Head
        }
    }
}

impl RequestHead {
    fn add_line(&mut self, line: &[u8]) {
        // Empty lines before a request are ignored (RFC 9112, section 2.2).
        self.has_lines |= !line.is_empty();
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok());
            self.is_malformed |= length.is_none();
            self.content_length = length.unwrap_or(0);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.is_upgrade = true;
        }
    }
}

/// Returns the size of a chunk from the line before its data, without extensions (RFC 9112, section
/// 7.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line.split(|byte| *byte == b';').next()?;
    u64::from_str_radix(str::from_utf8(size.trim_ascii()).ok()?, 16).ok()
}
