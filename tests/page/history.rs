//! A long conversation: the page loads its end first, and the rest on demand.

use serde_json::json;

use super::{PageUser, group_of_two, set_reaction, sign_in_at};
use crate::support::{Device, GroupPath, TestApp, User};

/// Returns the first visible line and its position. Both must stay when older lines load above it.
const FIRST_VISIBLE_LINE: &str = "
const { top } = document.querySelector('[data-part=scroll]').getBoundingClientRect();
const line = [...document.querySelectorAll('.line')].find((it) => it.getBoundingClientRect().bottom > top);
return [line.id, line.getBoundingClientRect().top, document.querySelectorAll('.line').length];";

async fn send_lines(user: &User<'_>, group: &str, count: usize) {
    for n in 1..=count {
        let response = user
            .send_message(group, &format!("line {n}"), &n.to_string())
            .await;
        assert_eq!(response.status, 201, "{response}");
    }
}

async fn first_visible_line(user: &PageUser) -> (String, f64, u64) {
    serde_json::from_value(user.run(FIRST_VISIBLE_LINE).await).unwrap()
}

#[tokio::test]
async fn older_messages_load_without_moving_the_view() {
    let app = TestApp::start().await;
    let (group, owner, bob) = group_of_two(&app).await;
    send_lines(&bob, &group, 400).await;
    owner.put(&group.path("read/"), json!({"seq": 401})).await;
    let ann = sign_in_at(&app.url(&format!("/#/chat/{group}")), "ann").await;
    ann.expect_message("line 400").await;
    assert!(ann.message_texts().await.len() < 250);

    let scroll = "document.querySelector('[data-part=scroll]').scrollTop = arguments[0]";
    for _ in 0..2 {
        let (_, _, count) = first_visible_line(&ann).await;
        // Near the top, but not at the top, so that one line must keep its position.
        ann.run_with(scroll, &[json!(300)]).await;
        let before = first_visible_line(&ann).await;
        ann.wait_until("older lines", async || {
            first_visible_line(&ann).await.2 > count
        })
        .await;
        let after = first_visible_line(&ann).await;
        assert_eq!(before.0, after.0);
        assert!((before.1 - after.1).abs() <= 2.0, "{before:?} {after:?}");
    }
    // A new message does not move the view either, and is announced.
    let before = first_visible_line(&ann).await;
    bob.send_message(&group, "now", "now").await;
    ann.expect_text("1 new message").await;
    let after = first_visible_line(&ann).await;
    assert!((before.1 - after.1).abs() <= 2.0, "{before:?} {after:?}");
    ann.click_selector("[data-part=newer]").await;
    ann.wait_until("the end", async || {
        !ann.has_control("body", "Jump to latest").await
    })
    .await;
    ann.wait_until("the beginning", async || {
        ann.run_with(scroll, &[json!(0)]).await;
        ann.visible_text()
            .await
            .contains("This is the start of the chat.")
    })
    .await;
    let texts = ann.message_texts().await;
    let expected: Vec<_> = (1..=400).map(|n| format!("line {n}")).collect();
    assert_eq!(texts[..400], expected);
    ann.close_without_errors().await;
}

/// 324 events of the log are not messages. They would fill a page of events.
#[tokio::test]
async fn many_reactions_cost_few_requests() {
    const EMOJIS: [&str; 12] = [
        "👍", "❤️", "😂", "🎉", "😮", "😢", "🙏", "👏", "🔥", "👀", "✅", "😀",
    ];
    let app = TestApp::start().await;
    let (group, _, bob) = group_of_two(&app).await;
    send_lines(&bob, &group, 3).await;
    // The first event is bob's `member.joined`.
    for seq in 2..=4 {
        for emoji in EMOJIS {
            // A user may change one reaction ten times in a burst.
            for turn in 0..9 {
                set_reaction(&bob, &group, seq, emoji, turn % 2 == 0).await;
            }
        }
    }
    let ann = sign_in_at(&app.url(&format!("/#/chat/{group}")), "ann").await;
    ann.expect_messages(&["line 1", "line 2", "line 3"]).await;
    ann.expect_text("This is the start of the chat.").await;
    let chips = EMOJIS.map(|emoji| format!("{emoji} 1"));
    for line in ["#m2", "#m3", "#m4"] {
        assert_eq!(ann.visible_texts(&format!("{line} .chip")).await, chips);
    }
    let pages = ann.requested_urls(&format!("{group}/messages/")).await;
    let events = ann.requested_urls(&format!("{group}/events/")).await;
    let all = [pages, events].concat();
    assert!((1..=3).contains(&all.len()), "{all:?}");
    ann.close_without_errors().await;
}

#[tokio::test]
async fn a_chat_opens_at_the_first_unread_message() {
    let app = TestApp::start().await;
    let (group, owner, bob) = group_of_two(&app).await;
    send_lines(&bob, &group, 250).await;
    // The first event is bob's `member.joined`.
    let read = json!({"seq": 21});
    owner.put(&group.path("read/"), read).await;
    let ann = sign_in_at(&app.url(&format!("/#/chat/{group}")), "ann").await;
    let is_seen = "const it = document.querySelector('.new'); return it?.nextElementSibling.id === 'm22' && it.getBoundingClientRect().top > 100 && it.getBoundingClientRect().bottom < innerHeight";
    ann.wait_until_true(is_seen).await;
    ann.expect_text("230 new messages").await;
    ann.click("230 new messages").await;
    ann.wait_until("all to be read", async || {
        let group = owner.get(&group.path("")).await.json();
        group["unread"] == 0
    })
    .await;
    ann.close_without_errors().await;
}

#[tokio::test]
async fn a_quote_links_to_its_message_and_drafts_are_kept() {
    let app = TestApp::start().await;
    let (group, owner, bob) = group_of_two(&app).await;
    send_lines(&bob, &group, 250).await;
    let response = json!({"text": "To the first", "reply_to": 2});
    owner.post(&group.path("messages/"), response).await;
    let ann = sign_in_at(&app.url(&format!("/#/chat/{group}")), "ann").await;
    ann.expect_message("To the first").await;
    assert!(!ann.message_texts().await.contains(&"line 1".to_owned()));
    ann.click("In reply to bob line 1").await;
    let is_seen = "const { top, bottom } = document.activeElement.getBoundingClientRect(); return document.activeElement.id === 'm2' && top > 0 && bottom < innerHeight";
    ann.wait_until_true(is_seen).await;

    ann.type_message("half a thought").await;
    ann.reload().await;
    let draft = "return document.querySelector('.composer textarea')?.value === 'half a thought'";
    ann.wait_until_true(draft).await;
    ann.close_without_errors().await;
}

#[tokio::test]
async fn a_client_beyond_the_replay_limit_reloads_the_history() {
    let app = TestApp::with_settings(json!({"channels": {"replay_limit": 5}})).await;
    let (group, _, bob) = group_of_two(&app).await;
    bob.send_message(&group, "before", "before").await;
    let proxy = crate::clients::Proxy::start(app.address).await;
    let url = format!("http://{}/#/chat/{group}", proxy.address);
    let ann = PageUser::visit(Device::desktop(), &url).await;
    ann.sign_in("ann").await;
    ann.expect_message("before").await;
    // Nothing reaches ann until she has a new connection.
    proxy.drop_next_chunks(usize::MAX);
    proxy.drop_connections();
    send_lines(&bob, &group, 20).await;
    proxy.drop_next_chunks(0);
    proxy.drop_connections();
    ann.expect_message("line 20").await;
    let expected = (1..=20).map(|n| format!("line {n}"));
    let expected: Vec<_> = std::iter::once("before".to_owned())
        .chain(expected)
        .collect();
    assert_eq!(ann.message_texts().await, expected);
    bob.send_message(&group, "after", "after").await;
    ann.expect_message("after").await;
    ann.close_without_errors().await;
}
