//! The validity of refresh tokens over time.

use chrono::{DateTime, Duration, Utc};
use proptest::{collection::vec, prelude::*};
use salam::models::sessions::{Model, RefreshId, RefreshTokenStatus};
use uuid::Uuid;

fn session_row(current: Uuid, parent: Option<Uuid>, rotated: Option<DateTime<Utc>>) -> Model {
    let now = Utc::now();
    Model {
        created_at: now.into(),
        updated_at: now.into(),
        id: Uuid::new_v4(),
        used_at: now.into(),
        expires_at: now.into(),
        user_agent: None,
        refresh_jti: current,
        parent_jti: parent,
        rotated_at: rotated.map(Into::into),
        generation: 0,
        successor_at: None,
        user_id: 1,
    }
}

#[test]
fn a_refresh_token_is_valid_until_ten_seconds_after_its_successor_is_used() {
    let ids: Vec<_> = (1..=5).map(Uuid::from_u128).collect();
    let [first, second, sibling, third, stranger] = ids[..] else {
        unreachable!()
    };
    let token = |jti, parent| RefreshId { jti, parent };
    let rotated = Utc::now();
    let new = session_row(first, None, None);
    let turned = session_row(second, Some(first), Some(rotated));
    let soon = rotated + Duration::milliseconds(9_999);
    let late = rotated + Duration::seconds(10);
    for (session, token, at, expected) in [
        (&new, token(first, None), late, RefreshTokenStatus::Current),
        (
            &new,
            token(second, Some(first)),
            late,
            RefreshTokenStatus::Successor,
        ),
        (
            &new,
            token(stranger, None),
            soon,
            RefreshTokenStatus::Reused,
        ),
        (
            &new,
            token(stranger, Some(third)),
            soon,
            RefreshTokenStatus::Reused,
        ),
        (
            &turned,
            token(second, Some(first)),
            late,
            RefreshTokenStatus::Current,
        ),
        (
            &turned,
            token(third, Some(second)),
            late,
            RefreshTokenStatus::Successor,
        ),
        (
            &turned,
            token(first, None),
            soon,
            RefreshTokenStatus::Superseded,
        ),
        (
            &turned,
            token(first, None),
            late,
            RefreshTokenStatus::Reused,
        ),
        (
            &turned,
            token(sibling, Some(first)),
            soon,
            RefreshTokenStatus::Superseded,
        ),
        (
            &turned,
            token(sibling, Some(first)),
            late,
            RefreshTokenStatus::Reused,
        ),
        (
            &turned,
            token(stranger, None),
            soon,
            RefreshTokenStatus::Reused,
        ),
    ] {
        assert_eq!(session.clone().use_token(token, at), expected, "{token:?}");
    }
}

/// A client with a refresh token of the session, which rotates the token.
#[derive(Clone, Copy)]
struct RotatingClient(RefreshId);

impl RotatingClient {
    /// Returns whether the session goes on. A lost response leaves the client with its old token.
    fn rotate(&mut self, session: &mut Model, is_lost: bool, now: DateTime<Utc>) -> bool {
        let status = session.use_token(self.0, now);
        if status == RefreshTokenStatus::Reused {
            return false;
        }
        let rotated = session.rotate(self.0, status, now);
        if !is_lost {
            self.0 = rotated.id;
        }
        true
    }
}

proptest! {
    #[test]
    fn lost_refresh_responses_do_not_end_the_session(
        steps in vec((any::<bool>(), 0_i64..100_000), 1..50),
    ) {
        let first = RefreshId::for_login();
        let mut session = session_row(first.jti, None, None);
        let (mut client, mut now) = (RotatingClient(first), Utc::now());
        for (is_lost, waits) in steps {
            now += Duration::seconds(waits);
            prop_assert!(client.rotate(&mut session, is_lost, now));
        }
    }

    /// Two tabs rotate the same token within the grace period, and both go on at any later time.
    #[test]
    fn concurrent_rotations_share_one_successor(
        apart in 0_i64..10_000,
        uses in vec((any::<bool>(), 0_i64..1_000_000), 1..20),
    ) {
        let first = RefreshId::for_login();
        let mut session = session_row(first.jti, None, None);
        let (mut one, mut other, mut now) = (RotatingClient(first), RotatingClient(first), Utc::now());
        prop_assert!(one.rotate(&mut session, false, now));
        now += Duration::milliseconds(apart);
        prop_assert!(other.rotate(&mut session, false, now));
        prop_assert_eq!(one.0, other.0);
        for (is_one, waits) in uses {
            now += Duration::milliseconds(waits);
            let tab = if is_one { one } else { other };
            prop_assert!(session.use_token(tab.0, now) != RefreshTokenStatus::Reused);
        }
    }

    /// A client that presents an old token long after its successor was issued gets another token than
    /// the one in use.
    #[test]
    fn a_late_copy_of_a_refresh_token_gets_another_successor(late in 0_i64..10_000, later in 10_000_i64..1_000_000) {
        let first = RefreshId::for_login();
        let mut session = session_row(first.jti, None, None);
        let (mut one, mut other, mut now) = (RotatingClient(first), RotatingClient(first), Utc::now());
        prop_assert!(one.rotate(&mut session, false, now));
        now += Duration::seconds(900);
        prop_assert_eq!(session.use_token(one.0, now), RefreshTokenStatus::Successor);
        now += Duration::milliseconds(late);
        prop_assert!(other.rotate(&mut session, false, now));
        prop_assert!(other.0 != one.0 && other.0.parent == Some(one.0.jti));
        now += Duration::milliseconds(later);
        prop_assert!(one.rotate(&mut session, false, now));
        prop_assert_eq!(session.use_token(one.0, now), RefreshTokenStatus::Successor);
        now += Duration::milliseconds(later);
        prop_assert_eq!(session.use_token(other.0, now), RefreshTokenStatus::Reused);
    }

    #[test]
    fn reuse_of_a_copied_refresh_token_is_detected(
        before in 0_usize..5,
        steps in vec((any::<bool>(), any::<bool>(), 10_i64..100_000), 0..50),
    ) {
        let first = RefreshId::for_login();
        let mut session = session_row(first.jti, None, None);
        let (mut client, mut now) = (RotatingClient(first), Utc::now());
        for _ in 0..before {
            client.rotate(&mut session, false, now);
        }
        let mut thief = client;
        let mut gone_on = [0; 2];
        for (is_thief, is_lost, waits) in steps {
            now += Duration::seconds(waits);
            let rotator = if is_thief { &mut thief } else { &mut client };
            if !rotator.rotate(&mut session, is_lost, now) {
                return Ok(());
            }
            gone_on[usize::from(is_thief)] += usize::from(!is_lost);
            // The first responses are equally valid, and the second use is one too many.
            prop_assert!(gone_on[0].min(gone_on[1]) < 2);
        }
    }
}
