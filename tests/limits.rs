//! Unit tests of the limits. The time is an argument.

use std::{collections::HashSet, num::NonZeroU32, time::Duration};

use ipnet::IpNet;
use proptest::prelude::*;
use salam::limits::{
    FrameRateLimiter, NetworkCounts, RateKey, RateLimited, RateLimiter, SocketLimiter,
    TooManySockets, logins::FailureCount,
};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

fn user(id: impl Into<i64>) -> RateKey {
    RateKey::User(id.into())
}

fn limited(retry_after: Duration) -> RateLimited {
    RateLimited { retry_after }
}

#[test]
fn a_rate_limit_refills_over_time() {
    let rates = RateLimiter::new("test", 4, HOUR);
    let two = NonZeroU32::new(2).unwrap();
    rates.check_n(user(1), two).unwrap();
    rates.check(user(1)).unwrap();
    let RateLimited { retry_after: wait } = rates.check_n(user(1), two).unwrap_err();
    assert!(
        wait > Duration::from_secs(14 * 60) && wait <= HOUR / 4,
        "{wait:?}"
    );
    rates.check(user(1)).unwrap();
    rates.check(user(1)).unwrap_err();
    rates.check(user(2)).unwrap();
    let five = NonZeroU32::new(5).unwrap();
    let RateLimited { retry_after: never } = rates.check_n(user(3), five).unwrap_err();
    assert_eq!(never, HOUR, "more than there ever is");
}

#[test]
fn rate_limiter_memory_is_bounded() {
    let rates = RateLimiter::new("test", 1, HOUR);
    for id in 0..400_000_u32 {
        rates.check(user(id)).unwrap();
        assert!(rates.key_count() <= 50_000, "{id}");
    }
    rates.check(user(399_999)).unwrap_err();
}

#[test]
fn a_socket_permit_is_released_on_drop() {
    let (here, there): (IpNet, IpNet) = (
        "192.0.2.1/32".parse().unwrap(),
        "2001:db8::/64".parse().unwrap(),
    );
    let sockets = SocketLimiter::new(2, 3);
    let first = sockets.try_acquire(1, here).unwrap();
    let _second = sockets.try_acquire(1, there).unwrap();
    assert_eq!(
        sockets.try_acquire(1, here).err(),
        Some(TooManySockets::User)
    );
    drop(first);
    let _third = sockets.try_acquire(1, here).unwrap();
    let _others = [
        sockets.try_acquire(2, here).unwrap(),
        sockets.try_acquire(3, here).unwrap(),
    ];
    assert_eq!(
        sockets.try_acquire(4, here).err(),
        Some(TooManySockets::Network)
    );
    assert_eq!(
        sockets.try_acquire(1, here).err(),
        Some(TooManySockets::Network)
    );
    sockets.try_acquire(4, there).unwrap();
}

#[test]
fn login_wait_doubles_up_to_a_minute_and_resets_after_an_hour() {
    let mut now = Instant::now();
    let mut count = FailureCount::new(now);
    for _ in 0..10 {
        count.record_attempt(now).unwrap();
    }
    for expected in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        let wait = Duration::from_secs(expected);
        assert_eq!(count.record_attempt(now), Err(limited(wait)));
        let almost = now + wait - Duration::from_millis(1);
        assert_eq!(
            count.record_attempt(almost),
            Err(limited(Duration::from_millis(1)))
        );
        now += wait;
        count.record_attempt(now).unwrap();
    }
    now += HOUR;
    for _ in 0..10 {
        count.record_attempt(now).unwrap();
    }
    count.record_attempt(now).unwrap_err();
}

proptest! {
    /// For any times of attempts: 10 guesses at once, and otherwise at most one a minute, except for the
    /// first waits.
    #[test]
    fn login_attempts_never_exceed_the_backoff(
        gaps in prop::collection::vec(prop_oneof![0..2_000_u64, 0..120_000_u64, 0..4_000_000_u64], 1..400)
    ) {
        let mut now = Instant::now();
        let mut count = FailureCount::new(now);
        let mut guesses = Vec::new();
        for gap in gaps {
            now += Duration::from_millis(gap);
            if count.record_attempt(now).is_ok() {
                guesses.push(now);
            }
        }
        for (i, first) in guesses.iter().enumerate() {
            let within = guesses[i..].iter().take_while(|at| **at - *first < HOUR).count();
            // After an hour without attempts, ten more guesses are free.
            prop_assert!(within <= 2 * 10 + 6 + 60, "{within} in an hour");
        }
    }

    #[test]
    fn login_wait_is_at_most_a_minute(failures in 0..u32::MAX) {
        let count = FailureCount { failures, last_failure_at: Instant::now() };
        prop_assert!(count.required_wait() <= Duration::from_secs(60));
    }

    /// A client that sends as fast as possible gets the burst and the rate, but not more.
    #[test]
    fn frames_are_never_read_above_the_rate_limit(
        per_second in 1..2_000_u32,
        gaps in prop::collection::vec(prop_oneof![Just(0), 0..1_000_u64, 0..5_000_000_u64], 1..500),
    ) {
        let begin = Instant::now();
        let (mut now, mut accepted) = (begin, 0_u32);
        let mut pace = FrameRateLimiter::new(per_second, begin);
        for gap in gaps {
            now += Duration::from_micros(gap);
            if let Some(until) = pace.throttled_until(now) {
                now = until;
            }
            prop_assert!(pace.throttled_until(now).is_none(), "an attempt after the wait succeeds");
            pace.record_frame(now);
            accepted += 1;
            let most = (now - begin + Duration::from_secs(2)).as_secs_f64() * f64::from(per_second);
            // Each frame may round by a billionth of a second.
            prop_assert!(f64::from(accepted) <= most * 1.001 + 1.0, "{accepted} of {most}");
        }
    }

    #[test]
    fn a_socket_within_its_rate_limit_is_never_throttled(per_second in 1..1_000_u32, frames in 1..2_000_u32) {
        let mut now = Instant::now();
        let mut pace = FrameRateLimiter::new(per_second, now);
        for _ in 0..frames {
            prop_assert_eq!(pace.throttled_until(now), None);
            pace.record_frame(now);
            now += Duration::from_secs(1) / per_second;
        }
        prop_assert_eq!(pace.over_limit_for(), Duration::ZERO);
    }
}

#[test]
fn frame_rate_excess_resets_after_a_pause() {
    let mut now = Instant::now();
    let mut pace = FrameRateLimiter::new(10, now);
    let mut seen = HashSet::new();
    for _ in 0..100 {
        now = pace.throttled_until(now).unwrap_or(now);
        pace.record_frame(now);
        seen.insert(pace.over_limit_for());
    }
    // The first twenty frames arrived at the same time.
    assert_eq!(pace.over_limit_for(), Duration::from_secs(8));
    assert_eq!(seen.len(), 81);
    now += Duration::from_secs(3);
    pace.record_frame(now);
    assert_eq!(pace.over_limit_for(), Duration::ZERO);
}

#[test]
fn a_full_rate_limiter_evicts_the_oldest_keys() {
    let rates = RateLimiter::new("test", 1, HOUR);
    rates.check(user(u32::MAX)).unwrap();
    for network in 0..49_000_u32 {
        rates.check(user(network)).unwrap();
    }
    // This key was used again, so it is not the oldest.
    rates.check(user(u32::MAX)).unwrap_err();
    for network in 49_000..90_000_u32 {
        rates.check(user(network)).unwrap();
    }
    rates.check(user(u32::MAX)).unwrap_err();
    for network in [89_999, 70_000, 50_000] {
        rates.check(user(network)).unwrap_err();
    }
    assert!(rates.key_count() <= 50_000, "{}", rates.key_count());
    rates.check(user(0)).unwrap();
}

#[test]
fn requests_that_a_site_refuses_count_for_their_network() {
    let rates = RateLimiter::new("test", 2, HOUR);
    let network = |number: u32| {
        let network = format!("2001:db8:1:{number:x}::/64");
        RateKey::Network(network.parse().unwrap())
    };
    for number in 0..32 {
        rates.check(network(number / 2)).unwrap();
    }
    for _ in 0..2 {
        let RateLimited { retry_after: wait } = rates.check(network(16)).unwrap_err();
        assert!(wait <= HOUR / 32, "the site refuses: {wait:?}");
    }
    let RateLimited { retry_after: wait } = rates.check(network(16)).unwrap_err();
    assert!(wait > HOUR / 4, "the network refuses: {wait:?}");
}

#[test]
fn connections_of_one_ipv6_site_are_limited() {
    let mut counts = NetworkCounts::default();
    let network = |number: u32| {
        format!("2001:db8:1:{number:x}::/64")
            .parse::<IpNet>()
            .unwrap()
    };
    let added = (0..100)
        .filter(|number| counts.try_add(network(*number), 2))
        .count();
    assert_eq!(added, 32);
    let elsewhere = "2001:db8:2::/64".parse().unwrap();
    assert!(counts.try_add(elsewhere, 2));
    counts.remove(network(0));
    assert!(counts.try_add(network(99), 2) && !counts.try_add(network(98), 2));
}
