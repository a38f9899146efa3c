//! Who says what when. All of these end when everything that was said has been heard or answered, so
//! that what the server has spent is spent on what was counted.

use std::time::Duration;

use super::{Load, Spec};
use crate::{Result, figures::nanos};

const A_MOMENT: Duration = Duration::from_millis(1);

/// How long it takes until what was not heard is lost.
const PATIENCE: u64 = 10_000_000_000;

/// Sockets that are opened at the same time, where it is not the opening that is measured.
const AT_ONCE: usize = 128;

/// Long enough for ten thousand.
const TO_OPEN: Duration = Duration::from_secs(60);

/// Opens these and waits until each has been told what a socket is told at first; their numbers.
///
/// # Errors
/// One of them fails, or it takes too long.
pub fn open_all(load: &mut Load, specs: Vec<Spec>) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    for spec in specs {
        let number = load.open(spec)?;
        numbers.push(number);
        let enough = |load: &Load| load.tally.ready + AT_ONCE > number;
        load.until("sockets to open", TO_OPEN, enough)?;
    }
    let all = load.len();
    load.until("sockets to open", TO_OPEN, |load| load.tally.ready >= all)?;
    Ok(numbers)
}

/// Opens these all at once, as after a restart of their server, and waits in the same way.
///
/// # Errors
/// One of them fails, or it takes too long.
pub fn storm(load: &mut Load, specs: Vec<Spec>) -> Result<()> {
    for spec in specs {
        load.open(spec)?;
    }
    let all = load.len();
    load.until("sockets to come back", TO_OPEN, |load| {
        load.tally.ready >= all
    })
}

/// The senders, one for each group, keep so many messages of theirs in flight: what one has to say at
/// once leaves at once.
///
/// # Errors
/// The system's.
pub fn flood(
    load: &mut Load,
    senders: &[(usize, usize)],
    window: u64,
    time: Duration,
) -> Result<()> {
    let end = load.now() + nanos(time);
    loop {
        let now = load.now();
        let mut waiting = false;
        for &(sender, group) in senders {
            let room = window.saturating_sub(load.tally.in_flight(group));
            if now < end && room > 0 {
                load.post_all(sender, room, now)?;
            }
            waiting |= load.tally.in_flight(group) > 0;
        }
        if (now >= end && !waiting) || now > end + PATIENCE || !load.tally.faults.is_empty() {
            return Ok(());
        }
        load.turn(A_MOMENT)?;
    }
}

/// The senders take turns, one message after each such time, whatever becomes of it.
///
/// # Errors
/// The system's.
pub fn pace(
    load: &mut Load,
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
                load.post(sender, due)?;
            }
            due += nanos(each);
        }
        let now = load.now();
        if (now > end && load.tally.all_told())
            || now > end + PATIENCE
            || !load.tally.faults.is_empty()
        {
            return Ok(());
        }
        load.turn(Duration::from_nanos(due.saturating_sub(now)).min(A_MOMENT))?;
    }
}

/// Each of these asks, waits for its answer, and asks again; how long that went on.
///
/// # Errors
/// The system's.
pub fn converse(load: &mut Load, sockets: &[usize], time: Duration) -> Result<Duration> {
    let begin = load.now();
    let end = begin + nanos(time);
    load.take_answered();
    for &socket in sockets {
        load.post(socket, begin)?;
    }
    let mut waiting = sockets.len();
    loop {
        load.turn(A_MOMENT)?;
        let now = load.now();
        for socket in load.take_answered() {
            if now < end {
                load.post(socket, now)?;
            } else {
                waiting = waiting.saturating_sub(1);
            }
        }
        let told = waiting == 0 && load.tally.all_told();
        if told || now > end + PATIENCE || !load.tally.faults.is_empty() {
            return Ok(Duration::from_nanos(load.last_answer.max(begin) - begin));
        }
    }
}
