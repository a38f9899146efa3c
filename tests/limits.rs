//! The rules of the limits, which know no clock but the one they are given.

use std::{collections::HashSet, num::NonZeroU32, time::Duration};

use ipnet::IpNet;
use proptest::prelude::*;
use salam::{
    limits::{Full, NetworkCounts, Pace, Rates, Seats, TooFast},
    logins::Count,
};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn what_is_taken_comes_back_over_the_time() {
    let rates = Rates::new(4, HOUR);
    let two = NonZeroU32::new(2).unwrap();
    rates.take_many(1, two).unwrap();
    rates.take(1).unwrap();
    let TooFast(wait) = rates.take_many(1, two).unwrap_err();
    assert!(
        wait > Duration::from_secs(14 * 60) && wait <= HOUR / 4,
        "{wait:?}"
    );
    rates.take(1).unwrap();
    rates.take(1).unwrap_err();
    rates.take(2).unwrap();
    let TooFast(never) = rates.take_many(3, NonZeroU32::new(5).unwrap()).unwrap_err();
    assert_eq!(never, HOUR, "more than there ever is");
}

#[test]
fn many_clients_do_not_fill_the_memory() {
    let rates = Rates::new(1, HOUR);
    for network in 0..400_000_u32 {
        rates.take(network).unwrap();
        assert!(rates.remembered() <= 110_000, "{network}");
    }
    rates.take(399_999).unwrap_err();
}

#[test]
fn a_seat_is_free_again_when_its_socket_is_gone() {
    let (here, there): (IpNet, IpNet) = (
        "192.0.2.1/32".parse().unwrap(),
        "2001:db8::/64".parse().unwrap(),
    );
    let seats = Seats::new(2, 3);
    let first = seats.take(1, here).unwrap();
    let _second = seats.take(1, there).unwrap();
    assert_eq!(seats.take(1, here).err(), Some(Full::User));
    drop(first);
    let _third = seats.take(1, here).unwrap();
    let _others = [seats.take(2, here).unwrap(), seats.take(3, here).unwrap()];
    assert_eq!(seats.take(4, here).err(), Some(Full::Network));
    assert_eq!(seats.take(1, here).err(), Some(Full::Network));
    seats.take(4, there).unwrap();
}

#[test]
fn a_wait_doubles_up_to_a_minute_and_is_forgotten_after_an_hour() {
    let mut now = Instant::now();
    let mut count = Count::new(now);
    for _ in 0..10 {
        count.attempt(now).unwrap();
    }
    for expected in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        let wait = Duration::from_secs(expected);
        assert_eq!(count.attempt(now), Err(TooFast(wait)));
        let almost = now + wait - Duration::from_millis(1);
        assert_eq!(
            count.attempt(almost),
            Err(TooFast(Duration::from_millis(1)))
        );
        now += wait;
        count.attempt(now).unwrap();
    }
    now += HOUR;
    for _ in 0..10 {
        count.attempt(now).unwrap();
    }
    count.attempt(now).unwrap_err();
}

proptest! {
    /// Whatever the times at which somebody tries: 10 guesses at once, and no more than one a minute
    /// besides, but for those of the first waits.
    #[test]
    fn nobody_guesses_faster_than_the_waits_let_them(
        gaps in prop::collection::vec(prop_oneof![0..2_000_u64, 0..120_000_u64, 0..4_000_000_u64], 1..400)
    ) {
        let mut now = Instant::now();
        let mut count = Count::new(now);
        let mut guesses = Vec::new();
        for gap in gaps {
            now += Duration::from_millis(gap);
            if count.attempt(now).is_ok() {
                guesses.push(now);
            }
        }
        for (i, first) in guesses.iter().enumerate() {
            let within = guesses[i..].iter().take_while(|at| **at - *first < HOUR).count();
            // At the end of an hour of silence one more ten may begin.
            prop_assert!(within <= 2 * 10 + 6 + 60, "{within} in an hour");
        }
    }

    #[test]
    fn a_wait_is_never_longer_than_a_minute(failures in 0..u32::MAX) {
        let count = Count { failures, at: Instant::now() };
        prop_assert!(count.wait() <= Duration::from_secs(60));
    }

    /// Whoever sends as fast as they are let gets the burst and the rate, and no more.
    #[test]
    fn no_socket_is_read_faster_than_its_pace(
        per_second in 1..2_000_u32,
        gaps in prop::collection::vec(prop_oneof![Just(0), 0..1_000_u64, 0..5_000_000_u64], 1..500),
    ) {
        let begin = Instant::now();
        let (mut now, mut heard) = (begin, 0_u32);
        let mut pace = Pace::new(per_second, begin);
        for gap in gaps {
            now += Duration::from_micros(gap);
            if let Some(until) = pace.held_until(now) {
                now = until;
            }
            prop_assert!(pace.held_until(now).is_none(), "who has waited is let in");
            pace.heard(now);
            heard += 1;
            let most = (now - begin + Duration::from_secs(2)).as_secs_f64() * f64::from(per_second);
            // Rounding of a billionth of a second for each frame.
            prop_assert!(f64::from(heard) <= most * 1.001 + 1.0, "{heard} of {most}");
        }
    }

    #[test]
    fn who_keeps_to_the_pace_is_never_held(per_second in 1..1_000_u32, frames in 1..2_000_u32) {
        let mut now = Instant::now();
        let mut pace = Pace::new(per_second, now);
        for _ in 0..frames {
            prop_assert_eq!(pace.held_until(now), None);
            pace.heard(now);
            now += Duration::from_secs(1) / per_second;
        }
        prop_assert_eq!(pace.in_excess_for(), Duration::ZERO);
    }
}

#[test]
fn excess_is_forgotten_once_the_socket_was_quiet() {
    let mut now = Instant::now();
    let mut pace = Pace::new(10, now);
    let mut seen = HashSet::new();
    for _ in 0..100 {
        now = pace.held_until(now).unwrap_or(now);
        pace.heard(now);
        seen.insert(pace.in_excess_for());
    }
    // The first twenty came at once.
    assert_eq!(pace.in_excess_for(), Duration::from_secs(8));
    assert_eq!(seen.len(), 81);
    now += Duration::from_secs(3);
    pace.heard(now);
    assert_eq!(pace.in_excess_for(), Duration::ZERO);
}

#[test]
fn when_a_limit_is_full_it_forgets_the_oldest_alone() {
    let rates = Rates::new(1, HOUR);
    rates.take(u32::MAX).unwrap();
    for network in 0..49_000_u32 {
        rates.take(network).unwrap();
    }
    // It was used again, so it is not the oldest.
    rates.take(u32::MAX).unwrap_err();
    for network in 49_000..90_000_u32 {
        rates.take(network).unwrap();
    }
    rates.take(u32::MAX).unwrap_err();
    for network in [89_999, 70_000, 50_000] {
        rates.take(network).unwrap_err();
    }
    assert!(rates.remembered() <= 50_000, "{}", rates.remembered());
    rates.take(0).unwrap();
}

#[test]
fn a_site_has_room_for_so_many_of_its_networks() {
    let mut counts = NetworkCounts::default();
    let network = |number: u32| {
        format!("2001:db8:1:{number:x}::/64")
            .parse::<IpNet>()
            .unwrap()
    };
    let added = (0..100)
        .filter(|number| counts.add(network(*number), 2))
        .count();
    assert_eq!(added, 32);
    let elsewhere = "2001:db8:2::/64".parse().unwrap();
    assert!(counts.add(elsewhere, 2));
    counts.remove(network(0));
    assert!(counts.add(network(99), 2) && !counts.add(network(98), 2));
}
