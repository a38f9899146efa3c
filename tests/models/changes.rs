//! Whether retries are looked for at once or when they turn out to be there changes no answer.

use proptest::{collection::vec, prelude::*, sample::select, strategy::ValueTree, test_runner};
use salam::{
    database::for_writing,
    models::{
        changes::{Change, Outcome, Retries, Stored, ToggleLimit, What},
        chat_groups,
        events::{self, Author},
        log::AcknowledgedHeads,
        memberships::{self, Role},
        reactions::Emoji,
        refusals::Refusal,
        users,
    },
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::support::{TestApp, cases};

/// By whom of three, or by the operator; under which of few ids, if any; and what.
type Asked = (usize, Option<String>, What);

fn asked() -> impl Strategy<Value = Asked> {
    let seq = || 1..9_i64;
    let text = || select(vec!["one".to_owned(), "two".to_owned()]);
    let emoji = select(vec!["👍", "🔥"]).prop_map(|emoji| Emoji::parse(emoji).unwrap());
    let what = prop_oneof![
        4 => (text(), prop::option::weighted(0.2, seq()))
            .prop_map(|(text, reply_to)| What::Send { text, reply_to }),
        2 => (seq(), text()).prop_map(|(seq, text)| What::Edit { seq, text }),
        1 => seq().prop_map(|seq| What::Delete { seq }),
        2 => (seq(), emoji, any::<bool>()).prop_map(|(seq, emoji, on)| What::React { seq, emoji, on }),
        1 => seq().prop_map(|seq| What::Read { seq }),
    ];
    let cid = prop::option::weighted(0.8, (0..12).prop_map(|id| format!("c{id}")));
    (0..4_usize, cid, what)
}

#[tokio::test]
async fn retries_are_answered_alike_whether_they_are_expected_or_not() {
    let app = TestApp::start().await;
    let db = &app.ctx.db;
    for name in ["ann", "bob", "eve"] {
        app.user(name).await;
    }
    let people = users::Entity::find().order_by_asc(users::Column::Id);
    let people = people.all(db).await.unwrap();
    let mut runner = test_runner::TestRunner::default();
    let batches = vec(vec(asked(), 1..12), 1..8);
    let (mut retried, mut refused) = (0, 0);
    for _ in 0..cases().div_ceil(10) {
        let batches = batches.new_tree(&mut runner).unwrap().current();
        let expected = make(&app, &people, &batches, Retries::Likely).await;
        let made = make(&app, &people, &batches, Retries::Unlikely).await;
        assert_eq!(made, expected, "{batches:?}");
        let told = expected.0.iter();
        retried += told
            .clone()
            .filter(|told| matches!(told, Ok((_, true))))
            .count();
        refused += told.filter(|told| told.is_err()).count();
    }
    assert!(retried > 0 && refused > 0, "{retried} {refused}");
}

/// What becomes of these batches in a group of the first two of these people, and of its log.
async fn make(
    app: &TestApp,
    people: &[users::Model],
    batches: &[Vec<Asked>],
    retries: Retries,
) -> (
    Vec<Result<(i64, bool), Refusal>>,
    Vec<(i64, String, String)>,
) {
    let db = &app.ctx.db;
    let writing = for_writing(db, None);
    let group = chat_groups::Model::start(db, &people[0], None)
        .await
        .unwrap();
    memberships::Model::create(db, &group, people[1].id, Role::Member)
        .await
        .unwrap();
    let (mut told, mut stored) = (Vec::new(), Vec::new());
    for batch in batches {
        let changes = batch.iter().map(|(who, cid, what)| Change {
            group_id: group.id,
            author: people.get(*who).map(Author::of),
            cid: cid.clone(),
            what: what.clone(),
        });
        let changes: Vec<_> = changes.collect();
        let changes: Vec<_> = changes.iter().collect();
        let (acknowledged, toggles) = (AcknowledgedHeads::default(), ToggleLimit::default());
        let outcomes =
            Change::make_among(&writing, &changes, retries, &acknowledged, &toggles).await;
        let outcomes = outcomes.unwrap();
        for ((who, cid, _), outcome) in batch.iter().zip(&outcomes) {
            if let Ok(Stored {
                event: Some(event), ..
            }) = outcome
            {
                let author = people.get(*who).map(|user| user.id);
                stored.push((event.seq, author, cid.clone()));
            }
        }
        let line = |outcome: Outcome| outcome.map(|stored| (stored.seq, stored.dup));
        told.extend(outcomes.into_iter().map(line));
    }
    let log = events::Entity::find()
        .filter(events::Column::GroupId.eq(group.id))
        .order_by_asc(events::Column::Seq)
        .all(db)
        .await
        .unwrap();
    let found = log
        .iter()
        .map(|event| (event.seq, event.user_id, event.cid.clone()));
    assert_eq!(found.collect::<Vec<_>>(), stored, "{batches:?}");
    let log = log
        .into_iter()
        .map(|event| (event.seq, event.kind, event.data));
    (told, log.collect())
}
