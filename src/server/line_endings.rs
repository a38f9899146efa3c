//! Replaces bare line feeds in the heads, chunk sizes and trailers of requests, so that hyper refuses
//! the requests.
//!
//! RFC 9112, section 2.2, lets a recipient accept a line feed without a carriage return as the end
//! of a line. hyper accepts it. A proxy in front may not, and then the proxy and hyper see
//! different requests (request smuggling). This module therefore replaces each bare line feed by a
//! character that is forbidden there. The client gets 400.

use std::mem;

/// The replacement of a bare line feed.
const REPLACEMENT: u8 = 0;

/// The longest line that is kept. No client needs longer lines.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// The state of the replacement on one connection: the position in its requests.
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
    /// A line is longer than [`MAX_LINE_BYTES`]. All further bytes are replaced, so that hyper
    /// refuses the request: hyper itself limits neither the digits of a chunk size nor the spaces
    /// after the digits.
    TooLong,
    /// The connection is a socket, or hyper refuses the current request.
    Unchecked,
}

/// The facts of a head that determine the next part of the request.
#[derive(Default)]
struct RequestHead {
    has_lines: bool,
    content_length: u64,
    is_chunked: bool,
    is_upgrade: bool,
    has_invalid_length: bool,
}

impl LineEndingChecker {
    /// Replaces the bare line feeds in the bytes that were read.
    ///
    /// `is_socket` returns `true` if the last request with `Upgrade` became a socket.
    pub(super) fn replace_bare_feeds(
        &mut self,
        mut bytes: &mut [u8],
        is_socket: impl Fn() -> bool,
    ) {
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
                ParseState::TooLong => {
                    bytes.fill(REPLACEMENT);
                    return;
                }
                ParseState::Body(left) | ParseState::ChunkData(left) => {
                    self.skip_body(left, bytes.len())
                }
                _ => self.replace_in_line(bytes),
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

    /// Handles the bytes up to the end of the line, or all bytes if the line continues. Returns
    /// their number.
    fn replace_in_line(&mut self, bytes: &mut [u8]) -> usize {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let room = MAX_LINE_BYTES.saturating_sub(self.line.len());
        if end.unwrap_or(bytes.len()) > room {
            // The bytes up to the limit stay, so that hyper answers 431 to a head that is too large.
            self.state = ParseState::TooLong;
            return room;
        }
        let Some(end) = end else {
            self.line.extend_from_slice(bytes);
            return bytes.len();
        };
        let (line, _) = bytes.split_at_mut(end + 1);
        if let Some((feed, before)) = line.split_last_mut() {
            self.line.extend_from_slice(before);
            if self.line.pop_if(|last| *last == b'\r').is_none() {
                // hyper accepts every character in the extensions of a chunk, except a line feed.
                // So the line feed stays there.
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
        if head.has_invalid_length {
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
            // hyper ignores a length after `Transfer-Encoding`, and refuses any other malformed length.
            self.has_invalid_length |= length.is_none() && !self.is_chunked;
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

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED_HEAD: &str = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";

    /// The sizes of the reads: one byte, a part of a line, and all bytes.
    const READ_BYTES: [usize; 3] = [1, 4096, 100_000];

    /// Returns the bytes as hyper gets them, if each read returns `read_bytes` bytes.
    fn replaced(requests: &str, read_bytes: usize) -> Vec<u8> {
        let mut checker = LineEndingChecker::default();
        let mut bytes = requests.as_bytes().to_vec();
        for part in bytes.chunks_mut(read_bytes) {
            checker.replace_bare_feeds(part, || false);
        }
        bytes
    }

    #[test]
    fn the_request_after_a_line_of_the_longest_length_is_checked() {
        // With the carriage return, the line has `MAX_LINE_BYTES` bytes.
        let zeros = "0".repeat(MAX_LINE_BYTES - 2);
        let chunks = format!("{zeros}1\r\nx\r\n0\r\n\r\n");
        let requests = format!("{CHUNKED_HEAD}{chunks}GET / HTTP/1.1\nhost: x\r\n\r\n");
        let expected = requests.replace("1.1\nhost", "1.1\0host");
        assert_ne!(expected, requests);
        for read_bytes in READ_BYTES {
            let replaced = replaced(&requests, read_bytes);
            assert!(replaced == expected.as_bytes(), "{read_bytes}");
        }
    }

    #[test]
    fn all_bytes_after_the_longest_length_of_a_line_are_replaced() {
        let filler = |text: &str| text.repeat(40_000);
        for (before, line) in [
            (CHUNKED_HEAD, filler("0")),
            (CHUNKED_HEAD, format!("0{}", filler(" "))),
            (CHUNKED_HEAD, format!("0;{}", filler("a"))),
            ("GET / HTTP/1.1\r\n", format!("x: {}", filler("y"))),
        ] {
            let end = "1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\nhost: x\r\n\r\n";
            let requests = format!("{before}{line}{end}");
            let (kept, rest) = requests.split_at(before.len() + MAX_LINE_BYTES);
            let expected = [kept.as_bytes(), &vec![REPLACEMENT; rest.len()]].concat();
            for read_bytes in READ_BYTES {
                let replaced = replaced(&requests, read_bytes);
                assert!(replaced == expected, "{read_bytes}: {:?}", line.get(..2));
            }
        }
    }
}
