//! What was read of a socket: its frames, what they mean, and what the tally makes of them. No I/O but
//! the answer to a ping.

use super::{
    frames,
    order_check::{Arrival, OrderCheck},
    protocol::{FrameMeaning, SocketProtocol},
    socket::{LoadSocket, Phase},
    stats::LoadStats,
};
use crate::Result;

/// Goes through all that is whole, and keeps the rest; how often the socket was answered.
pub fn process_bytes(
    socket: &mut LoadSocket,
    tally: &mut LoadStats,
    bytes: &[u8],
    now: u64,
) -> Result<usize> {
    let (mut rest, mut answers) = (bytes, 0);
    if socket.phase == Phase::Opening {
        let Some(end) = socket.read_upgrade_response(rest)? else {
            socket.keep_partial(rest);
            return Ok(0);
        };
        rest = rest.get(end..).unwrap_or_default();
        if socket.spec.protocol == SocketProtocol::Plain {
            mark_ready(socket, tally, now);
        }
    }
    let before = tally.deliveries;
    while let Some(frame) = frames::read_frame(rest)? {
        let payload = rest.get(frame.payload.clone()).unwrap_or_default();
        match frame.opcode {
            frames::TEXT => answers += usize::from(process_text(socket, tally, payload, now)?),
            frames::PING => {
                socket.queue(frames::PONG, payload);
                socket.flush()?;
            }
            frames::CLOSE => return Err("the server has closed a socket".into()),
            _ => {}
        }
        rest = rest.get(frame.payload.end..).unwrap_or_default();
    }
    socket.keep_partial(rest);
    tally.reads += u64::from(tally.deliveries > before);
    Ok(answers)
}

/// What a text means for its socket; whether it is an answer.
fn process_text(
    socket: &mut LoadSocket,
    tally: &mut LoadStats,
    text: &[u8],
    now: u64,
) -> Result<bool> {
    let first = !std::mem::replace(&mut socket.has_received_frame, true);
    match socket.spec.protocol.classify_frame(text, first) {
        FrameMeaning::Subscribed { head } => socket.order = OrderCheck::after(head),
        FrameMeaning::CaughtUp => mark_ready(socket, tally, now),
        FrameMeaning::Event { seq, due } => {
            record_event(socket, tally, seq, due.map(|due| now.saturating_sub(due)))
        }
        FrameMeaning::Reply { seq } => {
            tally.record_reply(
                socket.spec.group,
                seq,
                now.saturating_sub(socket.requested_at),
            );
            return Ok(true);
        }
        FrameMeaning::Rejected => {
            return Err(format!("refused: {}", String::from_utf8_lossy(text)).into());
        }
        FrameMeaning::Other => {}
    }
    Ok(false)
}

fn record_event(socket: &mut LoadSocket, tally: &mut LoadStats, seq: u64, latency: Option<u64>) {
    let arrival = socket.order.record(seq);
    match arrival {
        Arrival::InOrder => {}
        Arrival::Late => tally.flaws.reordered += 1,
        Arrival::Duplicate => tally.flaws.doubled += 1,
    }
    if socket.spec.is_measured && arrival != Arrival::Duplicate {
        tally.record_delivery(socket.spec.group, socket.received, latency);
        socket.received += 1;
    }
}

fn mark_ready(socket: &mut LoadSocket, tally: &mut LoadStats, now: u64) {
    if socket.phase != Phase::Ready {
        socket.phase = Phase::Ready;
        tally.record_ready(now.saturating_sub(socket.opened_at));
    }
}
