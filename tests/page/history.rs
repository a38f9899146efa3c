//! A long conversation: its end first, and the rest when somebody looks for it.

use serde_json::json;

use super::{Somebody, at, group_of_two, reacts};
use crate::support::{Look, TestApp, User};

/// The first line that is seen, and where; both stay when older lines come in above it.
const FIRST_SEEN: &str = "
const { top } = document.querySelector('[data-part=scroll]').getBoundingClientRect();
const line = [...document.querySelectorAll('.line')].find((it) => it.getBoundingClientRect().bottom > top);
return [line.id, line.getBoundingClientRect().top, document.querySelectorAll('.line').length];";

async fn say_many(user: &User<'_>, group: &str, count: usize) {
    for n in 1..=count {
        let answer = user.say(group, &format!("line {n}"), &n.to_string()).await;
        assert_eq!(answer.status, 201, "{answer}");
    }
}

async fn first_seen(somebody: &Somebody) -> (String, f64, u64) {
    serde_json::from_value(somebody.run(FIRST_SEEN).await).unwrap()
}

#[tokio::test]
async fn what_is_older_comes_in_above_what_is_read() {
    let app = TestApp::start().await;
    let (group, owner, bob) = group_of_two(&app).await;
    say_many(&bob, &group, 400).await;
    owner
        .put(&format!("/api/groups/{group}/read/"), json!({"seq": 401}))
        .await;
    let ann = at(&app.url(&format!("/#/chat/{group}")), "ann").await;
    ann.hears("line 400").await;
    assert!(ann.said().await.len() < 250);

    let scroll = "document.querySelector('[data-part=scroll]').scrollTop = arguments[0]";
    for _ in 0..2 {
        let (_, _, count) = first_seen(&ann).await;
        // Near to the top, but not there, so that there is a line to be kept where it is.
        ann.run_with(scroll, &[json!(300)]).await;
        let before = first_seen(&ann).await;
        ann.until("older lines", async || first_seen(&ann).await.2 > count)
            .await;
        let after = first_seen(&ann).await;
        assert_eq!(before.0, after.0);
        assert!((before.1 - after.1).abs() <= 2.0, "{before:?} {after:?}");
    }
    // What is told meanwhile does not move it either, and says that it is there.
    let before = first_seen(&ann).await;
    bob.say(&group, "now", "now").await;
    ann.sees("One new message").await;
    let after = first_seen(&ann).await;
    assert!((before.1 - after.1).abs() <= 2.0, "{before:?} {after:?}");
    ann.presses("[data-part=newer]").await;
    ann.until("the end", async || !ann.offers("body", "To the end").await)
        .await;
    ann.until("the beginning", async || {
        ann.run_with(scroll, &[json!(0)]).await;
        ann.seen().await.contains("This is where the chat begins.")
    })
    .await;
    let said = ann.said().await;
    let expected: Vec<_> = (1..=400).map(|n| format!("line {n}")).collect();
    assert_eq!(said[..400], expected);
    ann.goes().await;
}

/// 324 events of the log are no lines: a page of events would be spent on them.
#[tokio::test]
async fn many_reactions_cost_few_requests() {
    const EMOJI: [&str; 12] = [
        "👍", "❤️", "😂", "🎉", "😮", "😢", "🙏", "👏", "🔥", "👀", "✅", "😀",
    ];
    let app = TestApp::start().await;
    let (group, _, bob) = group_of_two(&app).await;
    say_many(&bob, &group, 3).await;
    // The first event is that of Bob, who joined.
    for seq in 2..=4 {
        for emoji in EMOJI {
            // A user may change one reaction ten times at once.
            for turn in 0..9 {
                reacts(&bob, &group, seq, emoji, turn % 2 == 0).await;
            }
        }
    }
    let ann = at(&app.url(&format!("/#/chat/{group}")), "ann").await;
    ann.until_said(&["line 1", "line 2", "line 3"]).await;
    ann.sees("This is where the chat begins.").await;
    let chips = EMOJI.map(|emoji| format!("{emoji} 1"));
    for line in ["#m2", "#m3", "#m4"] {
        assert_eq!(ann.texts(&format!("{line} .chip")).await, chips);
    }
    let pages = ann.requested(&format!("{group}/messages/")).await;
    let events = ann.requested(&format!("{group}/events/")).await;
    let all = [pages, events].concat();
    assert!((1..=3).contains(&all.len()), "{all:?}");
    ann.goes().await;
}

#[tokio::test]
async fn one_begins_at_what_is_new_however_much_it_is() {
    let app = TestApp::start().await;
    let (group, owner, bob) = group_of_two(&app).await;
    say_many(&bob, &group, 250).await;
    // The first event is that of Bob, who came.
    let read = json!({"seq": 21});
    owner.put(&format!("/api/groups/{group}/read/"), read).await;
    let ann = at(&app.url(&format!("/#/chat/{group}")), "ann").await;
    let is_seen = "const it = document.querySelector('.new'); return it?.nextElementSibling.id === 'm22' && it.getBoundingClientRect().top > 100 && it.getBoundingClientRect().bottom < innerHeight";
    ann.until_true(is_seen).await;
    ann.sees("230 new messages").await;
    ann.press("230 new messages").await;
    ann.until("all to be read", async || {
        let group = owner.get(&format!("/api/groups/{group}/")).await.json();
        group["unread"] == 0
    })
    .await;
    ann.goes().await;
}

#[tokio::test]
async fn one_goes_to_what_is_quoted_and_keeps_a_draft() {
    let app = TestApp::start().await;
    let (group, owner, bob) = group_of_two(&app).await;
    say_many(&bob, &group, 250).await;
    let answer = json!({"text": "To the first", "reply_to": 2});
    owner
        .post(&format!("/api/groups/{group}/messages/"), answer)
        .await;
    let ann = at(&app.url(&format!("/#/chat/{group}")), "ann").await;
    ann.hears("To the first").await;
    assert!(!ann.said().await.contains(&"line 1".to_owned()));
    ann.press("In reply to bob line 1").await;
    let is_seen = "const { top, bottom } = document.activeElement.getBoundingClientRect(); return document.activeElement.id === 'm2' && top > 0 && bottom < innerHeight";
    ann.until_true(is_seen).await;

    ann.writes("half a thought").await;
    ann.reload().await;
    let draft = "return document.querySelector('.composer textarea')?.value === 'half a thought'";
    ann.until_true(draft).await;
    ann.goes().await;
}

#[tokio::test]
async fn who_missed_too_much_reads_the_same_as_all() {
    let app = TestApp::with(json!({"channels": {"replay_limit": 5}})).await;
    let (group, _, bob) = group_of_two(&app).await;
    bob.say(&group, "before", "before").await;
    let proxy = crate::clients::Proxy::start(app.address).await;
    let url = format!("http://{}/#/chat/{group}", proxy.address);
    let ann = Somebody::arrives(Look::desktop(), &url).await;
    ann.signs_in("ann").await;
    ann.hears("before").await;
    // Nothing reaches her, until the line is another.
    proxy.swallow(usize::MAX);
    proxy.cut();
    say_many(&bob, &group, 20).await;
    proxy.swallow(0);
    proxy.cut();
    ann.hears("line 20").await;
    let expected = (1..=20).map(|n| format!("line {n}"));
    let expected: Vec<_> = std::iter::once("before".to_owned())
        .chain(expected)
        .collect();
    assert_eq!(ann.said().await, expected);
    bob.say(&group, "after", "after").await;
    ann.hears("after").await;
    ann.goes().await;
}
