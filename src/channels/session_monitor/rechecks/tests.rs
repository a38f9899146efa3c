//! A recheck covers the open sockets of a user, and the sockets that open soon after.

use std::time::Instant;

use super::SessionRechecks;

#[test]
fn a_request_is_taken_once_and_restored_after_a_failure() {
    let mut rechecks = SessionRechecks::default();
    rechecks.request("ann".into());
    let users = rechecks.take_pending();
    assert!(users.contains("ann"));
    assert!(rechecks.take_pending().is_empty());
    rechecks.restore_pending(users);
    assert!(rechecks.take_pending().contains("ann"));
    rechecks.request_all();
    assert!(rechecks.take_all_pending());
    assert!(!rechecks.take_all_pending());
    rechecks.restore_all_pending();
    assert!(rechecks.take_all_pending());
}

#[test]
fn a_socket_that_opens_after_a_request_is_checked() {
    let mut rechecks = SessionRechecks::default();
    let before = Instant::now();
    assert!(!rechecks.request_if_recent(&"ann".into()));
    rechecks.request("ann".into());
    rechecks.take_pending();
    assert!(rechecks.request_if_recent(&"ann".into()));
    assert!(rechecks.take_pending().contains("ann"));
    assert!(!rechecks.request_if_recent(&"bob".into()));
    assert!(rechecks.is_requested_since("ann", before));
    assert!(!rechecks.is_requested_since("bob", before));
    assert!(!rechecks.is_requested_since("ann", Instant::now()));
    rechecks.request_all();
    assert!(rechecks.request_if_recent(&"bob".into()));
    assert!(rechecks.is_requested_since("bob", before));
}
