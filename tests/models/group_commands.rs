//! Retries get the same results, whether the check for duplicates runs before the insert or after a
//! conflict.

use proptest::{collection::vec, prelude::*, sample::select, strategy::ValueTree, test_runner};
use salam::{
    database::open_writer_pool,
    models::{
        chat_groups,
        events::{self, Actor},
        group_commands::{
            CommandKind, CommandOutcome, DuplicateCheck, GroupCommand, ToggleLimiter,
        },
        log::AcknowledgedHeads,
        memberships::{self, Role},
        reactions::Emoji,
        rejections::Rejection,
        users,
    },
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::support::{TestApp, proptest_cases};

/// The index of the actor, or of the operator; an id; and the command.
type CommandInput = (usize, Option<String>, CommandKind);

fn command_strategy() -> impl Strategy<Value = CommandInput> {
    let seq = || 1..9_i64;
    let text = || select(vec!["one".to_owned(), "two".to_owned()]);
    let emoji = select(vec!["👍", "🔥"]).prop_map(|emoji| Emoji::parse(emoji).unwrap());
    let what = prop_oneof![
        4 => (text(), prop::option::weighted(0.2, seq()))
            .prop_map(|(text, reply_to)| CommandKind::Send { text, reply_to }),
        2 => (seq(), text()).prop_map(|(seq, text)| CommandKind::Edit { seq, text }),
        1 => seq().prop_map(|seq| CommandKind::Delete { seq }),
        2 => (seq(), emoji, any::<bool>()).prop_map(|(seq, emoji, on)| CommandKind::React { seq, emoji, on }),
        1 => seq().prop_map(|seq| CommandKind::Read { seq }),
    ];
    let cid = prop::option::weighted(0.8, (0..12).prop_map(|id| format!("c{id}")));
    (0..4_usize, cid, what)
}

#[tokio::test]
async fn duplicate_checks_do_not_change_the_results() {
    let app = TestApp::start().await;
    let db = &app.ctx.db;
    for name in ["ann", "bob", "eve"] {
        app.user(name).await;
    }
    let users = users::Entity::find().order_by_asc(users::Column::Id);
    let users = users.all(db).await.unwrap();
    let mut runner = test_runner::TestRunner::default();
    let batches = vec(vec(command_strategy(), 1..12), 1..8);
    let (mut retried, mut rejected) = (0, 0);
    for _ in 0..proptest_cases().div_ceil(10) {
        let batches = batches.new_tree(&mut runner).unwrap().current();
        let expected = apply_batches(&app, &users, &batches, DuplicateCheck::Upfront).await;
        let made = apply_batches(&app, &users, &batches, DuplicateCheck::OnConflict).await;
        assert_eq!(made, expected, "{batches:?}");
        let results = expected.0.iter();
        retried += results
            .clone()
            .filter(|result| matches!(result, Ok((_, true))))
            .count();
        rejected += results.filter(|result| result.is_err()).count();
    }
    assert!(retried > 0 && rejected > 0, "{retried} {rejected}");
}

/// Applies the batches in a group of the first two users. Returns the results and the log.
async fn apply_batches(
    app: &TestApp,
    users: &[users::Model],
    batches: &[Vec<CommandInput>],
    retries: DuplicateCheck,
) -> (
    Vec<Result<(i64, bool), Rejection>>,
    Vec<(i64, String, String)>,
) {
    let db = &app.ctx.db;
    let writing = open_writer_pool(db, None);
    let group = chat_groups::Model::create(db, &users[0], None)
        .await
        .unwrap();
    memberships::Model::create(db, &group, users[1].id, Role::Member)
        .await
        .unwrap();
    let (mut results, mut stored) = (Vec::new(), Vec::new());
    for batch in batches {
        let changes = batch.iter().map(|(actor, cid, what)| GroupCommand {
            group_id: group.id,
            actor: users.get(*actor).map(Actor::from_user),
            cid: cid.clone(),
            kind: what.clone(),
        });
        let changes: Vec<_> = changes.collect();
        let changes: Vec<_> = changes.iter().collect();
        let (acknowledged, toggles) = (AcknowledgedHeads::default(), ToggleLimiter::default());
        let outcomes =
            GroupCommand::apply_batch(&writing, &changes, retries, &acknowledged, &toggles).await;
        let outcomes = outcomes.unwrap();
        for ((actor, cid, _), outcome) in batch.iter().zip(&outcomes) {
            let author = users.get(*actor).map(|user| user.id);
            for event in outcome.iter().flat_map(|applied| &applied.events) {
                stored.push((event.seq, author, cid.clone()));
            }
        }
        let line = |outcome: CommandOutcome| outcome.map(|stored| (stored.seq, stored.dup));
        results.extend(outcomes.into_iter().map(line));
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
    (results, log.collect())
}
