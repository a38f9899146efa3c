//! What a refresh token is worth at a time.

use chrono::{DateTime, Duration, Utc};
use salam::models::sessions::{Model, RefreshId, Standing};
use uuid::Uuid;

fn session(current: Uuid, parent: Option<Uuid>, rotated: Option<DateTime<Utc>>) -> Model {
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
        user_id: 1,
    }
}

#[test]
fn a_refresh_token_is_good_until_its_successor_is_used_and_ten_seconds_more() {
    let ids: Vec<_> = (1..=5).map(Uuid::from_u128).collect();
    let [first, second, sibling, third, stranger] = ids[..] else {
        unreachable!()
    };
    let token = |jti, parent| RefreshId { jti, parent };
    let rotated = Utc::now();
    let new = session(first, None, None);
    let turned = session(second, Some(first), Some(rotated));
    let soon = rotated + Duration::milliseconds(9_999);
    let late = rotated + Duration::seconds(10);
    for (session, token, at, expected) in [
        (&new, token(first, None), late, Standing::Current),
        (&new, token(second, Some(first)), late, Standing::Successor),
        (&new, token(stranger, None), soon, Standing::Reused),
        (&new, token(stranger, Some(third)), soon, Standing::Reused),
        (&turned, token(second, Some(first)), late, Standing::Current),
        (
            &turned,
            token(third, Some(second)),
            late,
            Standing::Successor,
        ),
        (&turned, token(first, None), soon, Standing::Overtaken),
        (&turned, token(first, None), late, Standing::Reused),
        (
            &turned,
            token(sibling, Some(first)),
            soon,
            Standing::Overtaken,
        ),
        (&turned, token(sibling, Some(first)), late, Standing::Reused),
        (&turned, token(stranger, None), soon, Standing::Reused),
    ] {
        assert_eq!(session.standing(token, at), expected, "{token:?}");
    }
}
