//! What is said to a measured server, and what its frames mean. No I/O.
//!
//! Frames are looked at, not parsed: a load generator that takes longer than the server measures
//! itself. They are those of docs/protocol.md, and their fields come in the order in which it has them.

use memchr::memmem;

/// Of each message, about as long as people write them.
const MESSAGE_TEXT: &str =
    "as long as people write in a chat when they are not in a great hurry, and no longer";

/// Makes a plain frame as long as an event of the rich protocol.
const PADDING: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketProtocol {
    /// `chat.v1.json`, in the group of this name.
    Rich(String),
    /// Salam's sockets without a subprotocol.
    Base,
    /// The floors': numbered texts, which they do not read.
    Plain,
}

/// What a frame means to the load.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameMeaning {
    /// The group is at this number, and the socket is to be told what comes after it.
    Subscribed {
        head: u64,
    },
    /// All that the socket has missed was told.
    CaughtUp,
    /// Something of the group, numbered, and when it was due.
    Event {
        seq: u64,
        due: Option<u64>,
    },
    /// What this socket has asked for is done, and has this number, if any.
    Reply {
        seq: Option<u64>,
    },
    /// It was refused, or this socket is over.
    Rejected,
    Other,
}

impl SocketProtocol {
    /// A text to be sent, the socket's `number`th, that was due at this time.
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

    /// `first`: whether it is the first frame of this socket.
    #[must_use]
    pub fn classify_frame(&self, text: &[u8], first: bool) -> FrameMeaning {
        match self {
            Self::Rich(_) => classify_rich_frame(text),
            Self::Base if first => FrameMeaning::CaughtUp,
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
        b"error" | b"bye" | b"reset" => FrameMeaning::Rejected,
        _ => FrameMeaning::Other,
    }
}

fn parse_number_after(text: &[u8], mark: &[u8]) -> Option<u64> {
    let begin = memmem::find(text, mark)? + mark.len();
    let digits = text
        .get(begin..)?
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number, digit| {
        Some(number.unwrap_or(0u64) * 10 + u64::from(digit - b'0'))
    })
}
