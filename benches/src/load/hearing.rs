//! What was read of a socket: its frames, what they mean, and what the tally makes of them. No I/O but
//! the answer to a ping.

use super::{
    frames,
    order::{Arrival, Order},
    socket::{Phase, Socket},
    speech::{Heard, Speech},
    tally::Tally,
};
use crate::Result;

/// Goes through all that is whole, and keeps the rest; how often the socket was answered.
pub fn hear(socket: &mut Socket, tally: &mut Tally, bytes: &[u8], now: u64) -> Result<usize> {
    let (mut rest, mut answers) = (bytes, 0);
    if socket.phase == Phase::Opening {
        let Some(end) = socket.opened(rest)? else {
            socket.keep(rest);
            return Ok(0);
        };
        rest = rest.get(end..).unwrap_or_default();
        if socket.spec.speech == Speech::Plain {
            ready(socket, tally, now);
        }
    }
    let before = tally.delivered;
    while let Some(frame) = frames::read(rest)? {
        let payload = rest.get(frame.payload.clone()).unwrap_or_default();
        match frame.opcode {
            frames::TEXT => answers += usize::from(text(socket, tally, payload, now)?),
            frames::PING => {
                socket.queue(frames::PONG, payload);
                socket.flush()?;
            }
            frames::CLOSE => return Err("the server has closed a socket".into()),
            _ => {}
        }
        rest = rest.get(frame.payload.end..).unwrap_or_default();
    }
    socket.keep(rest);
    tally.reads += u64::from(tally.delivered > before);
    Ok(answers)
}

/// What a text means for its socket; whether it is an answer.
fn text(socket: &mut Socket, tally: &mut Tally, text: &[u8], now: u64) -> Result<bool> {
    let first = !std::mem::replace(&mut socket.greeted, true);
    match socket.spec.speech.hear(text, first) {
        Heard::Greeted { head } => socket.order = Order::after(head),
        Heard::CaughtUp => ready(socket, tally, now),
        Heard::Event { seq, due } => {
            event(socket, tally, seq, due.map(|due| now.saturating_sub(due)))
        }
        Heard::Answered { seq } => {
            tally.answered(socket.spec.group, seq, now.saturating_sub(socket.asked));
            return Ok(true);
        }
        Heard::Refused => {
            return Err(format!("refused: {}", String::from_utf8_lossy(text)).into());
        }
        Heard::Other => {}
    }
    Ok(false)
}

fn event(socket: &mut Socket, tally: &mut Tally, seq: u64, latency: Option<u64>) {
    let arrival = socket.order.arrived(seq);
    match arrival {
        Arrival::InOrder => {}
        Arrival::Late => tally.flaws.reordered += 1,
        Arrival::Doubled => tally.flaws.doubled += 1,
    }
    if socket.spec.counts && arrival != Arrival::Doubled {
        tally.delivered(socket.spec.group, socket.heard, latency);
        socket.heard += 1;
    }
}

fn ready(socket: &mut Socket, tally: &mut Tally, now: u64) {
    if socket.phase != Phase::Ready {
        socket.phase = Phase::Ready;
        tally.ready(now.saturating_sub(socket.begun));
    }
}
