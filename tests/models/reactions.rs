//! What is an emoji, and what becomes of reactions that are made at once.

use proptest::prelude::*;
use salam::models::{
    changes::{Change, Outcome, What},
    chat_groups,
    events::{self, Author},
    memberships::{self, Role},
    messages::{Content, Message, Window},
    reactions::{self, Emoji},
    refusals::Refusal,
    users,
};
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, PaginatorTrait, Set};

use crate::support::{TestApp, said};

#[test]
fn each_emoji_has_one_form() {
    for (written, kept) in [
        ("👍", "👍"),
        ("❤", "❤️"),
        ("❤️", "❤️"),
        // A selector that says what is so anyway.
        ("👍\u{fe0f}", "👍"),
        ("☝\u{fe0f}🏽", "☝🏽"),
        // Skin tones; two of them.
        ("👍🏿", "👍🏿"),
        ("🧑🏻‍🤝‍🧑🏿", "🧑🏻‍🤝‍🧑🏿"),
        // Joined by ZWJ, with all selectors, some, and none.
        ("👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦"),
        ("❤️‍🔥", "❤️‍🔥"),
        ("❤‍🔥", "❤️‍🔥"),
        ("👁️‍🗨️", "👁️‍🗨️"),
        ("👁️‍🗨", "👁️‍🗨️"),
        ("👁‍🗨", "👁️‍🗨️"),
        ("🏳‍🌈", "🏳️‍🌈"),
        // Flags: of two letters, and by tags.
        ("🇮🇷", "🇮🇷"),
        ("🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"),
        // Keycaps.
        ("1️⃣", "1️⃣"),
        ("1\u{20e3}", "1️⃣"),
        ("#️⃣", "#️⃣"),
        ("©", "©️"),
    ] {
        let emoji = Emoji::parse(written).map(Emoji::as_str);
        assert_eq!(emoji, Some(kept), "{written}");
    }
    for emoji in emojis::iter() {
        let kept = Emoji::parse(emoji.as_str()).unwrap().as_str();
        assert_eq!(kept, emoji.as_str());
        let bare = kept.replace('\u{fe0f}', "");
        assert_eq!(Emoji::parse(&bare).unwrap().as_str(), kept);
    }
}

#[test]
fn what_is_not_one_emoji_is_none() {
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
        // Text presentation is asked for: no emoji.
        "❤\u{fe0e}",
        // Nothing but a selector, a joiner, half of a flag, a keycap of nothing, a tag, an enclosing
        // circle.
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
        // A skin tone on what has no skin; three who are not in the list.
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
    fn any_text_is_an_emoji_or_none(text in any::<String>()) {
        let _ = Emoji::parse(&text);
    }

    /// Of the pieces that emojis are made of.
    #[test]
    fn what_is_kept_is_kept_as_it_is(text in "[👍👨❤🏽🇮🇷1#a\u{200d}\u{fe0f}\u{fe0e}\u{20e3}\u{e0067}\u{e007f}]{0,6}") {
        if let Some(emoji) = Emoji::parse(&text) {
            prop_assert_eq!(Emoji::parse(emoji.as_str()), Some(emoji));
        }
    }
}

/// A group of two, with two messages in it.
struct Scene {
    app: TestApp,
    group: chat_groups::Model,
    ann: users::Model,
    bob: users::Model,
}

impl Scene {
    async fn set() -> Self {
        let app = TestApp::start().await;
        app.user("ann").await;
        app.user("bob").await;
        let db = &app.ctx.db;
        let mut people = users::Entity::find().all(db).await.unwrap();
        people.sort_by_key(|user| user.id);
        let (bob, ann) = (people.pop().unwrap(), people.pop().unwrap());
        let group = chat_groups::Model::start(db, &ann, None).await.unwrap();
        memberships::Model::create(db, &group, bob.id, Role::Member)
            .await
            .unwrap();
        let messages = vec![said(group.id, "one"), said(group.id, "two")];
        Change::make(db, messages).await.unwrap();
        Self {
            app,
            group,
            ann,
            bob,
        }
    }

    fn change(&self, user: &users::Model, what: What) -> Change {
        Change {
            group_id: self.group.id,
            author: Some(Author::of(user)),
            cid: None,
            what,
        }
    }

    fn reacts(&self, user: &users::Model, seq: i64, emoji: &str, on: bool) -> Change {
        let emoji = Emoji::parse(emoji).unwrap();
        self.change(user, What::React { seq, emoji, on })
    }

    async fn make(&self, changes: Vec<Change>) -> Vec<Outcome> {
        Change::make(&self.app.ctx.db, changes).await.unwrap()
    }

    /// What ann sees of each message, the newest first.
    async fn seen(&self) -> Vec<String> {
        let db = &self.app.ctx.db;
        let (window, content) = (Window::Newest, Content::Messages);
        let page = Message::page(db, self.group.id, self.ann.id, window, content, 10).await;
        let messages = page.unwrap().unwrap().messages;
        let line = |message: &Message| -> String {
            let reactions = message.reactions.iter();
            reactions
                .map(|reaction| {
                    let mine = if reaction.mine { "!" } else { "" };
                    format!("{}{}{mine} ", reaction.emoji, reaction.count)
                })
                .collect()
        };
        messages.iter().map(line).collect()
    }
}

/// The number and whether it was so before, or why not.
fn told(outcomes: Vec<Outcome>) -> Vec<Result<(i64, bool), Refusal>> {
    let told = |outcome: Outcome| outcome.map(|stored| (stored.seq, stored.dup));
    outcomes.into_iter().map(told).collect()
}

#[tokio::test]
async fn reactions_of_one_batch_see_each_other() {
    let scene = Scene::set().await;
    let (ann, bob) = (&scene.ann, &scene.bob);
    let outcomes = scene
        .make(vec![
            scene.reacts(ann, 1, "👍", true),
            scene.reacts(ann, 1, "👍", true),
            scene.reacts(bob, 1, "🔥", true),
            scene.reacts(bob, 1, "👍", true),
            scene.reacts(bob, 2, "❤", true),
            scene.reacts(bob, 2, "❤️", false),
            scene.reacts(bob, 2, "❤", false),
            scene.reacts(ann, 2, "🔥", true),
            scene.reacts(ann, 2, "🔥", false),
            scene.reacts(ann, 2, "🔥", true),
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
    assert_eq!(told(outcomes), expected.map(Ok));
    assert_eq!(scene.seen().await, ["🔥1! ", "👍2! 🔥1 "]);
    // What is stored is taken back and added again: it comes last from now on.
    let outcomes = scene
        .make(vec![
            scene.reacts(bob, 1, "👍", false),
            scene.reacts(ann, 1, "👍", false),
            scene.reacts(ann, 1, "👍", true),
        ])
        .await;
    assert_eq!(
        told(outcomes),
        [(11, false), (12, false), (13, false)].map(Ok)
    );
    assert_eq!(scene.seen().await, ["🔥1! ", "🔥1 👍1! "]);
}

#[tokio::test]
async fn a_deletion_takes_reactions_of_its_own_batch_and_of_before() {
    let scene = Scene::set().await;
    let (ann, bob) = (&scene.ann, &scene.bob);
    scene.make(vec![scene.reacts(bob, 1, "👍", true)]).await;
    let outcomes = scene
        .make(vec![
            scene.reacts(bob, 1, "🔥", true),
            scene.reacts(bob, 2, "🔥", true),
            scene.change(ann, What::Delete { seq: 1 }),
            scene.reacts(bob, 1, "❤", true),
            scene.reacts(bob, 1, "👍", false),
            scene.reacts(bob, 1, "👍", true),
        ])
        .await;
    let gone = || Err(Refusal::Gone);
    let expected = [
        Ok((4, false)),
        Ok((5, false)),
        Ok((6, false)),
        gone(),
        gone(),
        gone(),
    ];
    assert_eq!(told(outcomes), expected);
    assert_eq!(scene.seen().await, ["🔥1 ", ""]);
    let stored = reactions::Entity::find().count(&scene.app.ctx.db).await;
    assert_eq!(stored.unwrap(), 1);
}

#[tokio::test]
async fn one_user_has_twenty_emojis_for_a_message() {
    let scene = Scene::set().await;
    let (ann, bob) = (&scene.ann, &scene.bob);
    let all: Vec<_> = emojis::iter().take(21).map(emojis::Emoji::as_str).collect();
    let mut changes: Vec<_> = all
        .iter()
        .map(|emoji| scene.reacts(ann, 1, emoji, true))
        .collect();
    changes.push(scene.reacts(ann, 1, all[0], true));
    changes.push(scene.reacts(ann, 2, all[20], true));
    changes.push(scene.reacts(bob, 1, all[20], true));
    let mut outcomes = scene.make(changes).await;
    let rest = outcomes.split_off(20);
    assert!(outcomes.iter().all(Result::is_ok));
    let codes = rest.iter().map(|outcome| match outcome {
        Ok(stored) => stored.dup.to_string(),
        Err(refusal) => refusal.code().to_owned(),
    });
    let codes: Vec<_> = codes.collect();
    assert_eq!(codes, ["limit_exceeded", "true", "false", "false"]);
    // By what is stored it is the same; and who takes one back has room for another.
    let outcomes = scene
        .make(vec![
            scene.reacts(ann, 1, all[20], true),
            scene.reacts(ann, 1, all[3], false),
            scene.reacts(ann, 1, all[20], true),
            scene.reacts(ann, 1, all[3], true),
        ])
        .await;
    let done: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(done, [false, true, true, false]);
}

#[tokio::test]
async fn reactions_change_nothing_of_the_message_and_nobody_reacts_for_nobody() {
    let scene = Scene::set().await;
    let db = &scene.app.ctx.db;
    let before = events::Entity::find().all(db).await.unwrap();
    let mut by_nobody = scene.reacts(&scene.ann, 1, "👍", true);
    by_nobody.author = None;
    let outcomes = scene
        .make(vec![scene.reacts(&scene.bob, 1, "👍", true), by_nobody])
        .await;
    assert_eq!(told(outcomes), [Ok((3, false)), Err(Refusal::Forbidden)]);
    let after = events::Entity::find().all(db).await.unwrap();
    assert_eq!(after[..2], before);
    let group = chat_groups::Entity::find_by_id(scene.group.id)
        .one(db)
        .await;
    let group = group.unwrap().unwrap();
    assert_eq!((group.head, group.messages, group.last_message), (3, 2, 2));
}

#[tokio::test]
async fn reactions_go_with_their_group() {
    let scene = Scene::set().await;
    let (db, group) = (&scene.app.ctx.db, scene.group.id);
    let another = chat_groups::Model::start(db, &scene.ann, None)
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
    // More to one message than go at once, more in all, and some that are left for the end.
    add(group, 1, 0..1500).await;
    for seq in 2..20 {
        add(group, seq, 0..100).await;
    }
    add(another.id, 1, 0..5).await;
    let mut closed = scene.group.clone().into_active_model();
    closed.closed_at = Set(Some(chrono::Utc::now().into()));
    closed.update(db).await.unwrap();
    chat_groups::Model::purge_closed(db).await.unwrap();
    assert_eq!(reactions::Entity::find().count(db).await.unwrap(), 5);
}
