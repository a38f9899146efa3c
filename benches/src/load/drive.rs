//! Who says what when. All of these end when everything that was said has been heard or answered, so
//! that what the server has spent is spent on what was counted.

use std::time::Duration;

use super::{LoadGenerator, SocketSpec};
use crate::{Result, statistics::nanos};

const POLL_WAIT: Duration = Duration::from_millis(1);

/// How long it takes until what was not heard is lost.
const LOSS_TIMEOUT_NANOS: u64 = 10_000_000_000;

/// Sockets that are opened at the same time, where it is not the opening that is measured.
const MAX_OPENING: usize = 128;

/// Long enough for ten thousand.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens these and waits until each has been told what a socket is told at first; their numbers.
///
/// # Errors
/// One of them fails, or it takes too long.
pub fn open_all(load: &mut LoadGenerator, specs: Vec<SocketSpec>) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    for spec in specs {
        let number = load.open(spec)?;
        numbers.push(number);
        let enough = |load: &LoadGenerator| load.stats.ready_sockets + MAX_OPENING > number;
        load.run_until("sockets to open", OPEN_TIMEOUT, enough)?;
    }
    let all = load.len();
    load.run_until("sockets to open", OPEN_TIMEOUT, |load| {
        load.stats.ready_sockets >= all
    })?;
    Ok(numbers)
}

/// Opens these all at once, as after a restart of their server, and waits in the same way.
///
/// # Errors
/// One of them fails, or it takes too long.
pub fn open_all_at_once(load: &mut LoadGenerator, specs: Vec<SocketSpec>) -> Result<()> {
    for spec in specs {
        load.open(spec)?;
    }
    let all = load.len();
    load.run_until("sockets to come back", OPEN_TIMEOUT, |load| {
        load.stats.ready_sockets >= all
    })
}

/// The senders, one for each group, keep so many messages of theirs in flight: what one has to say at
/// once leaves at once.
///
/// # Errors
/// The system's.
pub fn send_with_window(
    load: &mut LoadGenerator,
    senders: &[(usize, usize)],
    window: u64,
    time: Duration,
) -> Result<()> {
    let end = load.now() + nanos(time);
    loop {
        let now = load.now();
        let mut waiting = false;
        for &(sender, group) in senders {
            let room = window.saturating_sub(load.stats.in_flight(group));
            if now < end && room > 0 {
                load.send_many(sender, room, now)?;
            }
            waiting |= load.stats.in_flight(group) > 0;
        }
        if (now >= end && !waiting)
            || now > end + LOSS_TIMEOUT_NANOS
            || !load.stats.socket_errors.is_empty()
        {
            return Ok(());
        }
        load.poll_once(POLL_WAIT)?;
    }
}

/// The senders take turns, one message after each such time, whatever becomes of it.
///
/// # Errors
/// The system's.
pub fn send_at_rate(
    load: &mut LoadGenerator,
    senders: &[(usize, usize)],
    each: Duration,
    time: Duration,
) -> Result<()> {
    let mut due = load.now();
    let end = due + nanos(time);
    let mut turns = senders.iter().cycle();
    loop {
        while due <= load.now().min(end) {
            if let Some(&(sender, _)) = turns.next() {
                load.send(sender, due)?;
            }
            due += nanos(each);
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

/// Each of these asks, waits for its answer, and asks again; how long that went on.
///
/// # Errors
/// The system's.
pub fn request_and_repeat(
    load: &mut LoadGenerator,
    sockets: &[usize],
    time: Duration,
) -> Result<Duration> {
    let begin = load.now();
    let end = begin + nanos(time);
    load.take_replied();
    for &socket in sockets {
        load.send(socket, begin)?;
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
        let told = waiting == 0 && load.stats.is_all_delivered();
        if told || now > end + LOSS_TIMEOUT_NANOS || !load.stats.socket_errors.is_empty() {
            return Ok(Duration::from_nanos(load.last_reply_at.max(begin) - begin));
        }
    }
}
