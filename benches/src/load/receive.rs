//! Processes the received bytes of a socket: its frames, their meaning, and the statistics. No I/O
//! except replies to pings.

use super::{
    frames,
    order_check::{Arrival, OrderCheck},
    protocol::{FrameMeaning, SocketProtocol},
    socket::{LoadSocket, Phase},
    stats::LoadStats,
};
use crate::Result;

/// Processes all complete frames and keeps the rest. Returns the number of replies.
pub fn process_bytes(
    socket: &mut LoadSocket,
    stats: &mut LoadStats,
    bytes: &[u8],
    now: u64,
) -> Result<usize> {
    let (mut rest, mut replies) = (bytes, 0);
    if socket.phase == Phase::Opening {
        let Some(end) = socket.read_upgrade_response(rest)? else {
            socket.keep_partial(rest);
            return Ok(0);
        };
        rest = rest.get(end..).unwrap_or_default();
        if socket.spec.protocol == SocketProtocol::Plain {
            mark_ready(socket, stats, now);
        }
    }
    let before = stats.deliveries;
    while let Some(frame) = frames::read_frame(rest)? {
        let payload = rest.get(frame.payload.clone()).unwrap_or_default();
        match frame.opcode {
            frames::TEXT => replies += usize::from(process_text(socket, stats, payload, now)?),
            frames::PING => {
                socket.queue(frames::PONG, payload);
                socket.flush()?;
            }
            frames::CLOSE if socket.phase == Phase::Waiting => {}
            frames::CLOSE => return Err("the server closed the socket".into()),
            _ => {}
        }
        rest = rest.get(frame.payload.end..).unwrap_or_default();
    }
    socket.keep_partial(rest);
    stats.reads += u64::from(stats.deliveries > before);
    Ok(replies)
}

/// Processes a text frame. Returns `true` if it is a reply.
fn process_text(
    socket: &mut LoadSocket,
    stats: &mut LoadStats,
    text: &[u8],
    now: u64,
) -> Result<bool> {
    let is_first = !std::mem::replace(&mut socket.has_received_frame, true);
    match socket.spec.protocol.classify_frame(text, is_first) {
        FrameMeaning::Subscribed { head } => socket.order = OrderCheck::after(head),
        FrameMeaning::CaughtUp => mark_ready(socket, stats, now),
        FrameMeaning::Event { seq, due } => {
            record_event(socket, stats, seq, due.map(|due| now.saturating_sub(due)))
        }
        FrameMeaning::Reply { seq } => {
            stats.record_reply(
                socket.spec.group,
                seq,
                now.saturating_sub(socket.requested_at),
            );
            return Ok(true);
        }
        FrameMeaning::Overloaded { retry_ms } => {
            socket.phase = Phase::Waiting;
            socket.retry_ms = retry_ms;
            stats.refusals += 1;
        }
        FrameMeaning::Rejected => {
            return Err(format!("refused: {}", String::from_utf8_lossy(text)).into());
        }
        FrameMeaning::Other => {}
    }
    Ok(false)
}

fn record_event(socket: &mut LoadSocket, stats: &mut LoadStats, seq: u64, latency: Option<u64>) {
    let arrival = socket.order.record(seq);
    match arrival {
        Arrival::InOrder => {}
        Arrival::Late => stats.flaws.reordered += 1,
        Arrival::Duplicate => stats.flaws.doubled += 1,
    }
    if socket.spec.is_measured && arrival != Arrival::Duplicate {
        stats.record_delivery(socket.spec.group, socket.received, latency);
        socket.received += 1;
    }
}

fn mark_ready(socket: &mut LoadSocket, stats: &mut LoadStats, now: u64) {
    if socket.phase != Phase::Ready {
        socket.phase = Phase::Ready;
        stats.record_ready(now.saturating_sub(socket.opened_at));
    }
}
