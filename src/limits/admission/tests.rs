//! The number of clients that start follows the load, and the others wait in turn or are refused.

use std::time::Duration;

use tokio::{task::JoinHandle, time::Instant};

use super::{AdmissionControl, AdmissionKind, Overloaded, StartPermit};
use crate::limits::{RateKey, RetrySchedule};

const INTERVAL: Duration = Duration::from_millis(20);
const MAX_WAIT: Duration = Duration::from_secs(1);

const A: RateKey = RateKey::User(1);
const B: RateKey = RateKey::User(2);

/// The clients that start at the same time at first.
const FIRST: u32 = 64;

/// The clients that may wait at the first rate.
const QUEUE: u32 = 4000;

type Waiting = JoinHandle<Result<StartPermit, Overloaded>>;

fn control() -> AdmissionControl {
    AdmissionControl::new(1024, MAX_WAIT)
}

/// Lets a client wait for its start.
async fn wait(control: &AdmissionControl, kind: AdmissionKind, client: RateKey) -> Waiting {
    let control = control.clone();
    let waiting = tokio::spawn(async move { control.admit(kind, client).await });
    tokio::task::yield_now().await;
    waiting
}

async fn wait_for_handshake(control: &AdmissionControl, client: RateKey) -> Waiting {
    wait(control, AdmissionKind::Handshake, client).await
}

/// Starts as many clients as may start at first.
async fn start_first(control: &AdmissionControl) -> Vec<StartPermit> {
    let mut permits = Vec::new();
    for _ in 0..FIRST {
        permits.push(control.admit(AdmissionKind::Handshake, A).await.unwrap());
    }
    permits
}

/// Fills the queue with clients.
async fn fill_queue(control: &AdmissionControl, client: RateKey) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    for _ in 0..QUEUE {
        waiting.push(wait_for_handshake(control, client).await);
    }
    waiting
}

async fn retry_after(waiting: Waiting) -> Duration {
    waiting.await.unwrap().err().unwrap().retry_after
}

#[tokio::test]
async fn a_client_starts_when_another_has_started() {
    let control = control();
    let mut permits = start_first(&control).await;
    let waiting = wait_for_handshake(&control, A).await;
    assert_eq!(control.counts().waiting, 1);
    permits.pop();
    drop(waiting.await.unwrap().unwrap());
    drop(permits);
    assert_eq!(
        (control.counts().starting, control.counts().waiting),
        (0, 0)
    );
}

#[tokio::test]
async fn the_limit_follows_the_load() {
    let control = control();
    let permits = start_first(&control).await;
    let idle = Duration::ZERO;
    control.adapt(idle, INTERVAL);
    assert_eq!(control.counts().limit, 64, "nobody waits");
    let waiting = wait_for_handshake(&control, A).await;
    control.adapt(idle, INTERVAL);
    assert_eq!(control.counts().limit, 70);
    assert!(waiting.await.unwrap().is_ok());
    for limit in [56, 45, 36] {
        control.adapt(Duration::from_millis(50), INTERVAL);
        assert_eq!(control.counts().limit, limit);
    }
    for _ in 0..20 {
        control.adapt(Duration::from_secs(1), INTERVAL);
    }
    assert_eq!(control.counts().limit, 32);
    drop(permits);
}

#[tokio::test]
async fn the_settings_bound_the_limit() {
    let control = AdmissionControl::new(1, MAX_WAIT);
    let permit = control.admit(AdmissionKind::Handshake, A).await.unwrap();
    let waiting = wait_for_handshake(&control, A).await;
    for queue_time in [Duration::ZERO, Duration::from_secs(1)] {
        control.adapt(queue_time, INTERVAL);
        assert_eq!(control.counts().limit, 1);
    }
    drop(permit);
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test]
async fn clients_take_turns_and_subscriptions_come_first() {
    let control = AdmissionControl::new(1, MAX_WAIT);
    let mut permit = control.admit(AdmissionKind::Handshake, A).await.unwrap();
    let kinds = [
        (AdmissionKind::Handshake, A, "A1"),
        (AdmissionKind::Handshake, A, "A2"),
        (AdmissionKind::Handshake, B, "B1"),
        (AdmissionKind::Subscription, A, "subscription"),
    ];
    let (sender, mut started) = tokio::sync::mpsc::unbounded_channel();
    for (kind, client, name) in kinds {
        let (control, sender) = (control.clone(), sender.clone());
        tokio::spawn(async move {
            let permit = control.admit(kind, client).await.unwrap();
            let _ = sender.send((name, permit));
        });
        tokio::task::yield_now().await;
    }
    let mut order = Vec::new();
    for _ in kinds {
        drop(permit);
        let name;
        (name, permit) = started.recv().await.unwrap();
        order.push(name);
    }
    assert_eq!(order, ["subscription", "A1", "B1", "A2"]);
}

#[tokio::test]
async fn refused_clients_retry_one_after_the_other() {
    let control = control();
    let _permits = start_first(&control).await;
    let _waiting = fill_queue(&control, A).await;
    let mut last_earliest = Instant::now();
    for _ in 0..1000 {
        let before = Instant::now();
        let retry = retry_after(wait_for_handshake(&control, A).await).await;
        // The node computed the wait at a time between these two.
        let (earliest, latest) = (before + retry, Instant::now() + retry);
        assert!(latest > last_earliest);
        last_earliest = earliest;
    }
}

#[test]
fn the_time_until_a_retry_grows_with_the_refused_clients() {
    let (mut retries, now) = (RetrySchedule::default(), Instant::now());
    let backlog = Duration::from_secs(5);
    let times: Vec<_> = (0..100_000)
        .map(|_| retries.next_retry(now, backlog, 1000.0))
        .collect();
    let of = |index: usize| times.get(index).copied();
    assert_eq!(of(0), Some(Duration::from_secs(5)));
    assert_eq!(of(1), Some(Duration::from_millis(5001)));
    assert_eq!(of(1000), Some(Duration::from_secs(6)));
    assert_eq!(of(99_999), Some(Duration::from_secs(60)));
    // All clients have retried, and no client waits.
    let later = now + Duration::from_secs(61);
    let retry = retries.next_retry(later, Duration::ZERO, 1000.0);
    assert_eq!(retry, Duration::from_millis(500));
}

#[tokio::test]
async fn a_flood_from_one_network_takes_no_place_of_another() {
    let control = control();
    let _permits = start_first(&control).await;
    let mut flood = fill_queue(&control, A).await;
    let other = wait_for_handshake(&control, B).await;
    let newest = flood.pop().unwrap();
    assert!(newest.await.unwrap().is_err());
    assert!(!other.is_finished());
    let subscription = wait(&control, AdmissionKind::Subscription, A).await;
    assert!(flood.pop().unwrap().await.unwrap().is_err());
    assert!(!subscription.is_finished());
    assert_eq!(control.counts().waiting, QUEUE as usize);
}

#[tokio::test]
async fn a_client_that_disconnects_takes_no_place() {
    let control = AdmissionControl::new(1, MAX_WAIT);
    let permit = control.admit(AdmissionKind::Handshake, A).await.unwrap();
    let gone = wait_for_handshake(&control, A).await;
    let granted = wait_for_handshake(&control, A).await;
    let last = wait_for_handshake(&control, A).await;
    gone.abort();
    tokio::task::yield_now().await;
    drop(permit);
    // The permit is on its way to a client that disconnects now.
    granted.abort();
    assert!(last.await.unwrap().is_ok());
    assert_eq!(
        (control.counts().starting, control.counts().waiting),
        (0, 0)
    );
}

#[tokio::test]
async fn no_client_waits_for_ever() {
    let control = AdmissionControl::new(1, Duration::from_millis(10));
    let _permit = control.admit(AdmissionKind::Handshake, A).await.unwrap();
    assert!(control.admit(AdmissionKind::Handshake, A).await.is_err());
}

#[tokio::test]
async fn the_queue_is_shorter_when_fewer_clients_start() {
    let control = AdmissionControl::new(1, MAX_WAIT);
    let _permit = control.admit(AdmissionKind::Handshake, A).await.unwrap();
    let _waiting = wait_for_handshake(&control, A).await;
    for _ in 0..1000 {
        // Nothing starts.
        control.adapt(Duration::ZERO, INTERVAL);
    }
    let mut waiting = Vec::new();
    for _ in 1..64 {
        waiting.push(wait_for_handshake(&control, A).await);
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    let refused = wait_for_handshake(&control, A).await;
    assert!(retry_after(refused).await > Duration::from_secs(59));
}
