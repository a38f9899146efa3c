//! The messages to a measured server, and the meaning of its frames. No I/O.
//!
//! The load searches frames for a few fields and does not parse them. A load generator that needs
//! more time than the server would measure itself. The frames are those of docs/protocol.md, with
//! their fields in the documented order.

use memchr::memmem;

/// The text of each message, about as long as a typical message.
const MESSAGE_TEXT: &str =
    "as long as people write in a chat when they are not in a great hurry, and no longer";

/// The padding that makes a plain frame as long as an event of the rich protocol.
const PADDING: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The protocol of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketProtocol {
    /// `chat.v1.json`, in the group with this name.
    Rich(String),
    /// Salam's sockets without a subprotocol.
    Base,
    /// The baseline servers' protocol: numbered texts, which the servers do not read.
    Plain,
}

/// The meaning of a frame for the load.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameMeaning {
    /// The socket is subscribed. Events after `head` follow.
    Subscribed { head: u64 },
    /// The socket has received all missed events.
    CaughtUp,
    /// An event with its seq, and the time at which it was due.
    Event { seq: u64, due: Option<u64> },
    /// The reply to a request of this socket, with the seq of its event, if there is one.
    Reply { seq: Option<u64> },
    /// The server is overloaded, and closes the socket. The client waits for a time in this range, in milliseconds, and
    /// reconnects.
    Overloaded { retry_ms: (u64, u64) },
    /// The request was refused, or the socket is closed.
    Rejected,
    /// Another frame, which the load ignores.
    Other,
}

impl SocketProtocol {
    /// Returns the text number `number` of a socket, which was due at a time.
    #[must_use]
    pub fn encode_message(&self, socket: usize, number: u64, due: u64) -> String {
        match self {
            Self::Rich(group) => format!(
                r#"{{"type":"send","id":{number},"group":"{group}","cid":"{socket}.{number}","text":"@{due} {MESSAGE_TEXT}"}}"#
            ),
            Self::Base => "{}".to_owned(),
            Self::Plain => {
                format!(
                    r#"{{"seq":{number},"stuffing":"{PADDING}","text":"@{due} {MESSAGE_TEXT}"}}"#
                )
            }
        }
    }

    /// Returns the meaning of a frame. `is_first` marks the first frame of the socket.
    #[must_use]
    pub fn classify_frame(&self, text: &[u8], is_first: bool) -> FrameMeaning {
        match self {
            Self::Rich(_) => classify_rich_frame(text),
            Self::Base if is_first => FrameMeaning::CaughtUp,
            Self::Base => FrameMeaning::Reply { seq: None },
            Self::Plain => match parse_number_after(text, br#""seq":"#) {
                Some(seq) => FrameMeaning::Event {
                    seq,
                    due: parse_number_after(text, b"@"),
                },
                None => FrameMeaning::Reply { seq: None },
            },
        }
    }
}

fn classify_rich_frame(text: &[u8]) -> FrameMeaning {
    let kind = text.strip_prefix(br#"{"type":""#).unwrap_or_default();
    let kind = kind.split(|&byte| byte == b'"').next().unwrap_or_default();
    match kind {
        b"event" => FrameMeaning::Event {
            seq: parse_number_after(text, br#""seq":"#).unwrap_or_default(),
            due: parse_number_after(text, b"@"),
        },
        b"ok" => FrameMeaning::Reply {
            seq: parse_number_after(text, br#""seq":"#),
        },
        b"group" if memmem::find(text, br#""mode":"live""#).is_some() => FrameMeaning::Subscribed {
            head: parse_number_after(text, br#""head":"#).unwrap_or_default(),
        },
        b"sync" => FrameMeaning::CaughtUp,
        b"bye" if memmem::find(text, br#""code":1013"#).is_some() => {
            let earliest = parse_number_after(text, br#""retry_ms":["#).unwrap_or_default();
            let latest = format!(r#""retry_ms":[{earliest},"#);
            let latest = parse_number_after(text, latest.as_bytes()).unwrap_or(earliest);
            FrameMeaning::Overloaded {
                retry_ms: (earliest, latest),
            }
        }
        b"error" | b"bye" | b"reset" => FrameMeaning::Rejected,
        _ => FrameMeaning::Other,
    }
}

fn parse_number_after(text: &[u8], prefix: &[u8]) -> Option<u64> {
    let start = memmem::find(text, prefix)? + prefix.len();
    let digits = text
        .get(start..)?
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number, digit| {
        Some(number.unwrap_or(0u64) * 10 + u64::from(digit - b'0'))
    })
}
