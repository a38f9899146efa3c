//! The order of password hashing.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread::available_parallelism,
};

use futures_util::future::join_all;
use ipnet::IpNet;
use salam::models::hashing::{HashPriority, Requester, run_queued};

use crate::support::with_timeout;

fn requester_from(priority: HashPriority, address: &str) -> Requester {
    let address: std::net::IpAddr = address.parse().unwrap();
    Requester::client(priority, IpNet::from(address))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashing_is_fair_between_networks_and_prefers_logins() {
    let threads = available_parallelism()
        .map_or(1, usize::from)
        .saturating_sub(1)
        .max(1);
    let (started, all_begun) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    // All threads are busy until all jobs wait.
    let held = (0..threads).map(|_| {
        let (started, gate) = (started.clone(), gate.clone());
        tokio::spawn(run_queued(Requester::OPERATOR, move |_| {
            started.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
        }))
    });
    let held: Vec<_> = held.collect();
    tokio::task::spawn_blocking(move || (0..threads).for_each(|_| all_begun.recv().unwrap()))
        .await
        .unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    let mut add = |name: &'static str, requester: Requester| {
        let order = order.clone();
        let mut job = Box::pin(run_queued(requester, move |_| {
            order.lock().unwrap().push(name)
        }));
        // A job takes its place in the queue at its first poll.
        let polled = futures_util::FutureExt::now_or_never(&mut job);
        assert!(polled.is_none());
        waiting.push(job);
    };
    for _ in 0..40 {
        add(
            "flood of registrations",
            requester_from(HashPriority::AccountChange, "192.0.2.1"),
        );
    }
    for _ in 0..40 {
        add(
            "flood of logins",
            requester_from(HashPriority::Login, "192.0.2.1"),
        );
    }
    add(
        "other registration",
        requester_from(HashPriority::AccountChange, "192.0.2.2"),
    );
    add(
        "other login",
        requester_from(HashPriority::Login, "192.0.2.2"),
    );
    add(
        "known login",
        requester_from(HashPriority::KnownNetwork, "192.0.2.3"),
    );
    drop(go);
    for done in with_timeout("all passwords", join_all(waiting)).await {
        done.unwrap();
    }
    for done in held {
        done.await.unwrap().unwrap();
    }
    let order = order.lock().unwrap();
    let position = |name: &str| order.iter().position(|done| *done == name).unwrap();
    // As many jobs run at the same time as there are threads.
    let slack = threads + 1;
    assert!(position("known login") <= 1 + slack, "{order:?}");
    assert!(position("other login") <= 5 + slack, "{order:?}");
    assert!(position("other registration") <= 10 + slack, "{order:?}");
}
