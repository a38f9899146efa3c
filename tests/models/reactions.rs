//! Emoji rules, and concurrent reactions.

use proptest::prelude::*;
use salam::models::{
    chat_groups,
    events::{self, Actor},
    group_commands::{CommandKind, CommandOutcome, GroupCommand},
    memberships::{self, Role},
    messages::{HistoryContent, HistoryWindow, StoredMessage},
    reactions::{self, Emoji},
    rejections::Rejection,
    users,
};
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, PaginatorTrait, Set};

use crate::support::{TestApp, message_without_actor};

#[test]
fn emojis_are_normalized_to_one_form() {
    for (written, normalized) in [
        ("👍", "👍"),
        ("❤", "❤️"),
        ("❤️", "❤️"),
        // A redundant variation selector.
        ("👍\u{fe0f}", "👍"),
        ("☝\u{fe0f}🏽", "☝🏽"),
        // Skin tones, and two of them.
        ("👍🏿", "👍🏿"),
        ("🧑🏻‍🤝‍🧑🏿", "🧑🏻‍🤝‍🧑🏿"),
        // Joined by ZWJ, with all selectors, some, or none.
        ("👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦"),
        ("❤️‍🔥", "❤️‍🔥"),
        ("❤‍🔥", "❤️‍🔥"),
        ("👁️‍🗨️", "👁️‍🗨️"),
        ("👁️‍🗨", "👁️‍🗨️"),
        ("👁‍🗨", "👁️‍🗨️"),
        ("🏳‍🌈", "🏳️‍🌈"),
        // Flags of two letters, and flags of tags.
        ("🇮🇷", "🇮🇷"),
        ("🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"),
        // Keycaps.
        ("1️⃣", "1️⃣"),
        ("1\u{20e3}", "1️⃣"),
        ("#️⃣", "#️⃣"),
        ("©", "©️"),
    ] {
        let emoji = Emoji::parse(written).map(Emoji::as_str);
        assert_eq!(emoji, Some(normalized), "{written}");
    }
    for emoji in emojis::iter() {
        let normalized = Emoji::parse(emoji.as_str()).unwrap().as_str();
        assert_eq!(normalized, emoji.as_str());
        let bare = normalized.replace('\u{fe0f}', "");
        assert_eq!(Emoji::parse(&bare).unwrap().as_str(), normalized);
    }
}

#[test]
fn text_that_is_not_one_emoji_is_rejected() {
    for text in [
        "",
        " ",
        "a",
        "ab",
        "é",
        "س",
        "1",
        "1\u{fe0f}",
        "12",
        "#",
        "*",
        ":)",
        "+1",
        ":thumbsup:",
        "👍👍",
        "👍 ",
        " 👍",
        "👍a",
        "👍\n",
        "👍\0",
        "❤️❤️",
        // Text presentation is not an emoji.
        "❤\u{fe0e}",
        // Only a selector, a joiner, half of a flag, a keycap without a key, a tag, an enclosing circle.
        "\u{fe0f}",
        "\u{fe0f}❤",
        "\u{200d}",
        "👨\u{200d}",
        "🇮",
        "🇮🇷🇩",
        "🇿🇿",
        "\u{20e3}",
        "a\u{20e3}",
        "\u{e0067}",
        "👍\u{20dd}",
        "👍\u{301}",
        // A skin tone on an emoji without skin; three people who are not a known sequence.
        "🔥🏽",
        "👍\u{200d}🔥\u{200d}👍",
        "\u{fffd}",
        "\u{10ffff}",
    ] {
        assert_eq!(Emoji::parse(text), None, "{text:?}");
    }
    assert_eq!(Emoji::parse(&"👍".repeat(100_000)), None);
    assert_eq!(Emoji::parse(&"\u{200d}👍".repeat(100_000)), None);
}

proptest! {
    #[test]
    fn parsing_any_text_as_an_emoji_never_panics(text in any::<String>()) {
        let _ = Emoji::parse(&text);
    }

    /// Texts of the parts that emojis consist of.
    #[test]
    fn emoji_normalization_is_idempotent(text in "[👍👨❤🏽🇮🇷1#a\u{200d}\u{fe0f}\u{fe0e}\u{20e3}\u{e0067}\u{e007f}]{0,6}") {
        if let Some(emoji) = Emoji::parse(&text) {
            prop_assert_eq!(Emoji::parse(emoji.as_str()), Some(emoji));
        }
    }
}

/// A group of two users with two messages.
struct ReactionFixture {
    app: TestApp,
    group: chat_groups::Model,
    ann: users::Model,
    bob: users::Model,
}

impl ReactionFixture {
    async fn create() -> Self {
        let app = TestApp::start().await;
        app.user("ann").await;
        app.user("bob").await;
        let db = &app.ctx.db;
        let mut users = users::Entity::find().all(db).await.unwrap();
        users.sort_by_key(|user| user.id);
        let (bob, ann) = (users.pop().unwrap(), users.pop().unwrap());
        let group = chat_groups::Model::create(db, &ann, None).await.unwrap();
        memberships::Model::create(db, &group, bob.id, Role::Member)
            .await
            .unwrap();
        let messages = vec![
            message_without_actor(group.id, "one"),
            message_without_actor(group.id, "two"),
        ];
        GroupCommand::apply_all(db, messages).await.unwrap();
        Self {
            app,
            group,
            ann,
            bob,
        }
    }

    fn command(&self, user: &users::Model, what: CommandKind) -> GroupCommand {
        GroupCommand {
            group_id: self.group.id,
            actor: Some(Actor::from_user(user)),
            cid: None,
            kind: what,
        }
    }

    fn react_command(&self, user: &users::Model, seq: i64, emoji: &str, on: bool) -> GroupCommand {
        let emoji = Emoji::parse(emoji).unwrap();
        self.command(user, CommandKind::React { seq, emoji, on })
    }

    async fn apply(&self, changes: Vec<GroupCommand>) -> Vec<CommandOutcome> {
        GroupCommand::apply_all(&self.app.ctx.db, changes)
            .await
            .unwrap()
    }

    /// Returns the reactions of each message for ann, newest message first.
    async fn visible_reactions(&self) -> Vec<String> {
        let db = &self.app.ctx.db;
        let (window, content) = (HistoryWindow::Newest, HistoryContent::Messages);
        let page =
            StoredMessage::find_page(db, self.group.id, self.ann.id, window, &content, 10).await;
        let messages = page.unwrap().unwrap().messages;
        let line = |message: &StoredMessage| -> String {
            let reactions = message.reactions.iter();
            reactions
                .map(|reaction| {
                    let own = if reaction.mine { "!" } else { "" };
                    format!("{}{}{own} ", reaction.emoji, reaction.count)
                })
                .collect()
        };
        messages.iter().map(line).collect()
    }
}

/// Returns the seq and whether it is a duplicate, or the rejection.
fn results_of(outcomes: Vec<CommandOutcome>) -> Vec<Result<(i64, bool), Rejection>> {
    let result = |outcome: CommandOutcome| outcome.map(|stored| (stored.seq, stored.dup));
    outcomes.into_iter().map(result).collect()
}

#[tokio::test]
async fn reactions_of_one_batch_are_applied_in_order() {
    let fixture = ReactionFixture::create().await;
    let (ann, bob) = (&fixture.ann, &fixture.bob);
    let outcomes = fixture
        .apply(vec![
            fixture.react_command(ann, 1, "👍", true),
            fixture.react_command(ann, 1, "👍", true),
            fixture.react_command(bob, 1, "🔥", true),
            fixture.react_command(bob, 1, "👍", true),
            fixture.react_command(bob, 2, "❤", true),
            fixture.react_command(bob, 2, "❤️", false),
            fixture.react_command(bob, 2, "❤", false),
            fixture.react_command(ann, 2, "🔥", true),
            fixture.react_command(ann, 2, "🔥", false),
            fixture.react_command(ann, 2, "🔥", true),
        ])
        .await;
    let expected = [
        (3, false),
        (3, true),
        (4, false),
        (5, false),
        (6, false),
        (7, false),
        (7, true),
        (8, false),
        (9, false),
        (10, false),
    ];
    assert_eq!(results_of(outcomes), expected.map(Ok));
    assert_eq!(fixture.visible_reactions().await, ["🔥1! ", "👍2! 🔥1 "]);
    // A reaction that is removed and added again is the last one.
    let outcomes = fixture
        .apply(vec![
            fixture.react_command(bob, 1, "👍", false),
            fixture.react_command(ann, 1, "👍", false),
            fixture.react_command(ann, 1, "👍", true),
        ])
        .await;
    assert_eq!(
        results_of(outcomes),
        [(11, false), (12, false), (13, false)].map(Ok)
    );
    assert_eq!(fixture.visible_reactions().await, ["🔥1! ", "🔥1 👍1! "]);
}

#[tokio::test]
async fn deleting_a_message_removes_reactions_of_its_batch_and_earlier_ones() {
    let fixture = ReactionFixture::create().await;
    let (ann, bob) = (&fixture.ann, &fixture.bob);
    fixture
        .apply(vec![fixture.react_command(bob, 1, "👍", true)])
        .await;
    let outcomes = fixture
        .apply(vec![
            fixture.react_command(bob, 1, "🔥", true),
            fixture.react_command(bob, 2, "🔥", true),
            fixture.command(ann, CommandKind::Delete { seq: 1 }),
            fixture.react_command(bob, 1, "❤", true),
            fixture.react_command(bob, 1, "👍", false),
            fixture.react_command(bob, 1, "👍", true),
        ])
        .await;
    let deleted = || Err(Rejection::MessageDeleted);
    let expected = [
        Ok((4, false)),
        Ok((5, false)),
        Ok((6, false)),
        deleted(),
        deleted(),
        deleted(),
    ];
    assert_eq!(results_of(outcomes), expected);
    assert_eq!(fixture.visible_reactions().await, ["🔥1 ", ""]);
    let stored = reactions::Entity::find().count(&fixture.app.ctx.db).await;
    assert_eq!(stored.unwrap(), 1);
}

#[tokio::test]
async fn emojis_per_user_and_message_are_limited() {
    let fixture = ReactionFixture::create().await;
    let (ann, bob) = (&fixture.ann, &fixture.bob);
    let all: Vec<_> = emojis::iter().take(21).map(emojis::Emoji::as_str).collect();
    let mut changes: Vec<_> = all
        .iter()
        .map(|emoji| fixture.react_command(ann, 1, emoji, true))
        .collect();
    changes.push(fixture.react_command(ann, 1, all[0], true));
    changes.push(fixture.react_command(ann, 2, all[20], true));
    changes.push(fixture.react_command(bob, 1, all[20], true));
    let mut outcomes = fixture.apply(changes).await;
    let rest = outcomes.split_off(20);
    assert!(outcomes.iter().all(Result::is_ok));
    let codes = rest.iter().map(|outcome| match outcome {
        Ok(stored) => stored.dup.to_string(),
        Err(refusal) => refusal.code().to_owned(),
    });
    let codes: Vec<_> = codes.collect();
    assert_eq!(codes, ["limit_exceeded", "true", "false", "false"]);
    // The stored reaction counts in any form, and a removed reaction makes room for another.
    let outcomes = fixture
        .apply(vec![
            fixture.react_command(ann, 1, all[20], true),
            fixture.react_command(ann, 1, all[3], false),
            fixture.react_command(ann, 1, all[20], true),
            fixture.react_command(ann, 1, all[3], true),
        ])
        .await;
    let done: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(done, [false, true, true, false]);
}

#[tokio::test]
async fn reactions_leave_the_message_unchanged_and_need_an_author() {
    let fixture = ReactionFixture::create().await;
    let db = &fixture.app.ctx.db;
    let before = events::Entity::find().all(db).await.unwrap();
    let mut by_nobody = fixture.react_command(&fixture.ann, 1, "👍", true);
    by_nobody.actor = None;
    let outcomes = fixture
        .apply(vec![
            fixture.react_command(&fixture.bob, 1, "👍", true),
            by_nobody,
        ])
        .await;
    assert_eq!(
        results_of(outcomes),
        [Ok((3, false)), Err(Rejection::Forbidden)]
    );
    let after = events::Entity::find().all(db).await.unwrap();
    assert_eq!(after[..2], before);
    let group = chat_groups::Entity::find_by_id(fixture.group.id)
        .one(db)
        .await;
    let group = group.unwrap().unwrap();
    assert_eq!((group.head, group.messages, group.last_message), (3, 2, 2));
}

#[tokio::test]
async fn deleting_a_group_deletes_its_reactions() {
    let fixture = ReactionFixture::create().await;
    let (db, group) = (&fixture.app.ctx.db, fixture.group.id);
    let second_message = chat_groups::Model::create(db, &fixture.ann, None)
        .await
        .unwrap();
    let add = async |group_id: i64, seq: i64, users: std::ops::Range<i64>| {
        let rows = users.map(|user_id| reactions::ActiveModel {
            group_id: Set(group_id),
            seq: Set(seq),
            user_id: Set(user_id),
            emoji: Set("👍".to_owned()),
            added: Set(1),
        });
        reactions::Entity::insert_many(rows).exec(db).await.unwrap();
    };
    // More reactions to one message than one deletion batch, more in all, and some for the last batch.
    add(group, 1, 0..1500).await;
    for seq in 2..20 {
        add(group, seq, 0..100).await;
    }
    add(second_message.id, 1, 0..5).await;
    let mut closed = fixture.group.clone().into_active_model();
    closed.closed_at = Set(Some(chrono::Utc::now().into()));
    closed.update(db).await.unwrap();
    chat_groups::Model::purge_deleted(db).await.unwrap();
    assert_eq!(reactions::Entity::find().count(db).await.unwrap(), 5);
}
