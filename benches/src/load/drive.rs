//! Schedules of the load: which socket sends which message, and when.
//!
//! Each schedule ends only when all messages were delivered and all requests were answered. So the
//! CPU time of the server belongs to the counted messages.

use std::time::Duration;

use super::{LoadGenerator, SocketSpec};
use crate::{Result, statistics::nanos};

/// The longest wait in one poll.
const POLL_WAIT: Duration = Duration::from_millis(1);

/// The time after which an undelivered message counts as lost.
const LOSS_TIMEOUT_NANOS: u64 = 10_000_000_000;

/// The number of sockets that open at the same time, if the opening itself is not measured.
const MAX_OPENING: usize = 128;

/// The longest time for opening all sockets. It is enough for ten thousand.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens sockets, and waits until each is ready. Returns their indices.
///
/// # Errors
/// When a socket fails, or when opening takes too long.
pub fn open_all(load: &mut LoadGenerator, specs: Vec<SocketSpec>) -> Result<Vec<usize>> {
    let mut indices = Vec::new();
    for spec in specs {
        let index = load.open(spec)?;
        indices.push(index);
        let has_capacity = |load: &LoadGenerator| load.stats.ready_sockets + MAX_OPENING > index;
        load.run_until("sockets to open", OPEN_TIMEOUT, has_capacity)?;
    }
    let total = load.len();
    load.run_until("sockets to open", OPEN_TIMEOUT, |load| {
        load.stats.ready_sockets >= total
    })?;
    Ok(indices)
}

/// Opens all sockets at once, as after a restart of their server, and waits until all are ready.
///
/// # Errors
/// When a socket fails, or when opening takes too long.
pub fn open_all_at_once(load: &mut LoadGenerator, specs: Vec<SocketSpec>) -> Result<()> {
    for (index, spec) in specs.into_iter().enumerate() {
        load.open(spec)?;
        // The server closes a connection without a request after some seconds.
        if index.is_multiple_of(64) {
            load.poll_once(Duration::ZERO)?;
        }
    }
    let total = load.len();
    load.run_until("sockets to reconnect", OPEN_TIMEOUT, |load| {
        load.stats.ready_sockets >= total
    })
}

/// Lets each sender keep a number of its messages in flight. There is one sender for each group.
///
/// A sender sends all messages that fit into its window at once.
///
/// # Errors
/// When the system refuses an operation.
pub fn send_with_window(
    load: &mut LoadGenerator,
    senders: &[(usize, usize)],
    window: u64,
    time: Duration,
) -> Result<()> {
    let end = load.now() + nanos(time);
    loop {
        let now = load.now();
        let mut is_waiting = false;
        for &(sender, group) in senders {
            let capacity = window.saturating_sub(load.stats.in_flight(group));
            if now < end && capacity > 0 {
                load.send_many(sender, capacity, now)?;
            }
            is_waiting |= load.stats.in_flight(group) > 0;
        }
        if (now >= end && !is_waiting)
            || now > end + LOSS_TIMEOUT_NANOS
            || !load.stats.socket_errors.is_empty()
        {
            return Ok(());
        }
        load.poll_once(POLL_WAIT)?;
    }
}

/// Lets the senders take turns, with one message after each `interval`, independent of deliveries.
///
/// # Errors
/// When the system refuses an operation.
pub fn send_at_rate(
    load: &mut LoadGenerator,
    senders: &[(usize, usize)],
    interval: Duration,
    time: Duration,
) -> Result<()> {
    let mut due = load.now();
    let end = due + nanos(time);
    let mut next_senders = senders.iter().cycle();
    loop {
        while due <= load.now().min(end) {
            if let Some(&(sender, _)) = next_senders.next() {
                load.send(sender, due)?;
            }
            due += nanos(interval);
        }
        let now = load.now();
        if (now > end && load.stats.is_all_delivered())
            || now > end + LOSS_TIMEOUT_NANOS
            || !load.stats.socket_errors.is_empty()
        {
            return Ok(());
        }
        load.poll_once(Duration::from_nanos(due.saturating_sub(now)).min(POLL_WAIT))?;
    }
}

/// Lets each socket send a request, wait for its reply, and repeat. Returns the duration.
///
/// # Errors
/// When the system refuses an operation.
pub fn request_and_repeat(
    load: &mut LoadGenerator,
    sockets: &[usize],
    time: Duration,
) -> Result<Duration> {
    let start = load.now();
    let end = start + nanos(time);
    load.take_replied();
    for &socket in sockets {
        load.send(socket, start)?;
    }
    let mut waiting = sockets.len();
    loop {
        load.poll_once(POLL_WAIT)?;
        let now = load.now();
        for socket in load.take_replied() {
            if now < end {
                load.send(socket, now)?;
            } else {
                waiting = waiting.saturating_sub(1);
            }
        }
        let is_finished = waiting == 0 && load.stats.is_all_delivered();
        if is_finished || now > end + LOSS_TIMEOUT_NANOS || !load.stats.socket_errors.is_empty() {
            return Ok(Duration::from_nanos(load.last_reply_at.max(start) - start));
        }
    }
}
