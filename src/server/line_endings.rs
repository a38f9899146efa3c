//! Bare line feeds in the heads of requests.
//!
//! RFC 9112, section 2.2, lets a recipient take a line feed without a carriage return for the end of a line,
//! and hyper does. A proxy in front may not, and then the two see different requests (request smuggling). So
//! this replaces each bare line feed by a character that no head may have, and hyper answers 400.

use std::mem;

/// The character in place of a bare line feed.
const REFUSED: u8 = 0;

/// The longest line that is kept. hyper refuses longer heads.
const LONGEST_LINE: usize = 16 * 1024;

/// The position in the requests of one connection.
#[derive(Default)]
pub(super) struct LineEndings {
    state: State,
    /// The line so far, without its end.
    line: Vec<u8>,
    /// The head so far.
    head: Head,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    Trailers,
    /// A request with `Upgrade` was read: a socket follows, or the next request.
    Upgrade,
    /// A socket, or a request that hyper refuses.
    Unchecked,
}

#[derive(Default)]
struct Head {
    has_lines: bool,
    length: u64,
    is_chunked: bool,
    is_upgrade: bool,
    is_malformed: bool,
}

impl LineEndings {
    /// Replaces the bare line feeds in the bytes that were read. `is_socket` is whether the last request with
    /// `Upgrade` became a socket.
    pub(super) fn check(&mut self, mut bytes: &mut [u8], is_socket: impl Fn() -> bool) {
        while !bytes.is_empty() {
            if self.state == State::Upgrade {
                self.state = if is_socket() {
                    State::Unchecked
                } else {
                    State::Head
                };
            }
            let used = match self.state {
                State::Unchecked => return,
                State::Body(left) | State::ChunkData(left) => self.skip(left, bytes.len()),
                _ => self.check_line(bytes),
            };
            bytes = mem::take(&mut bytes).split_at_mut(used).1;
        }
    }

    /// Skips bytes of a body. Returns their number.
    fn skip(&mut self, left: u64, available: usize) -> usize {
        let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(available);
        let left = left - skipped as u64;
        self.state = match (self.state, left) {
            (State::Body(_), 0) => State::Head,
            (State::ChunkData(_), 0) => State::ChunkSize,
            (State::Body(_), left) => State::Body(left),
            (_, left) => State::ChunkData(left),
        };
        skipped
    }

    /// Reads to the end of a line, or as far as the bytes go. Returns the number of bytes.
    fn check_line(&mut self, bytes: &mut [u8]) -> usize {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.keep(bytes);
            return bytes.len();
        };
        let (line, _) = bytes.split_at_mut(end + 1);
        if let Some((feed, before)) = line.split_last_mut() {
            self.keep(before);
            if self.line.pop_if(|last| *last == b'\r').is_none() {
                // hyper itself refuses a line feed among the extensions of a chunk, and no other character.
                if self.state != State::ChunkSize || !self.line.contains(&b';') {
                    *feed = REFUSED;
                }
                self.state = State::Unchecked;
                return end + 1;
            }
        }
        let line = mem::take(&mut self.line);
        self.end_line(&line);
        end + 1
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > LONGEST_LINE {
            self.state = State::Unchecked;
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, line: &[u8]) {
        self.state = match self.state {
            State::Head if line.is_empty() && self.head.has_lines => self.end_head(),
            State::Head => {
                self.head.add(line);
                State::Head
            }
            // The data of a chunk ends with a line of its own.
            State::ChunkSize if line.is_empty() => State::ChunkSize,
            State::ChunkSize => match chunk_size(line) {
                Some(0) => State::Trailers,
                Some(size) => State::ChunkData(size),
                None => State::Unchecked,
            },
            State::Trailers if line.is_empty() => State::Head,
            state => state,
        };
    }

    fn end_head(&mut self) -> State {
        let head = mem::take(&mut self.head);
        if head.is_malformed {
            State::Unchecked
        } else if head.is_chunked {
            State::ChunkSize
        } else if head.length > 0 {
            State::Body(head.length)
        } else if head.is_upgrade {
            State::Upgrade
        } else {
            State::Head
        }
    }
}

impl Head {
    fn add(&mut self, line: &[u8]) {
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
            self.length = length.unwrap_or(0);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.is_upgrade = true;
        }
    }
}

/// Reads the size of a chunk, in front of its extensions (RFC 9112, section 7.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line.split(|byte| *byte == b';').next()?;
    u64::from_str_radix(str::from_utf8(size.trim_ascii()).ok()?, 16).ok()
}
