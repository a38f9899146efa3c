//! Pages of the history with notes, pages of the log with gaps, and texts.

use insta::assert_snapshot;
use reqwest::Method;
use salam::models::{
    chat_groups,
    events::{self, Actor},
    group_commands::{CommandKind, GroupCommand},
    users,
};
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::support::{GroupPath, TestApp, one_line};

/// Returns the seqs of a page, newest first. Notes are in brackets.
fn page_summary(page: &Value) -> String {
    let seqs = |list: &str| {
        let items = page[list].as_array().unwrap().clone();
        items
            .into_iter()
            .map(|item| item["seq"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    let mut all: Vec<_> = seqs("results")
        .into_iter()
        .map(|seq| (seq, seq.to_string()))
        .chain(
            seqs("notes")
                .into_iter()
                .map(|seq| (seq, format!("({seq})"))),
        )
        .collect();
    all.sort_by_key(|(seq, _)| -seq);
    let all: Vec<_> = all.into_iter().map(|(_, escaped)| escaped).collect();
    format!(
        "{} from {} more {}",
        all.join(" "),
        page["first"],
        page["has_more"]
    )
}

#[tokio::test]
async fn a_history_page_includes_its_notes() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let bob = app.user("bob").await;
    ann.send_message(&group, "one", "1").await;
    ann.add_member(&bob, &group).await;
    ann.send_message(&group, "two", "2").await;
    let messages = group.path("messages/");
    ann.patch(&format!("{messages}1/"), json!({"text": "first"}))
        .await;
    ann.request(Method::PUT, &format!("{messages}1/reactions/%F0%9F%91%8D/"))
        .await;
    ann.patch(&group.path(""), json!({"title": "Lunch"})).await;
    ann.send_message(&group, "three", "3").await;
    let page = async |query: &str| {
        let response = ann.get(&format!("{messages}?{query}")).await;
        assert_eq!(response.status, 200, "{response}");
        response.json()
    };
    assert_eq!(
        page_summary(&page("notes=true").await),
        "7 (6) 3 (2) 1 from 1 more false"
    );
    assert_eq!(
        page_summary(&page("notes=true&limit=2").await),
        "7 (6) from 6 more true"
    );
    assert_eq!(
        page_summary(&page("notes=true&limit=2&before=6").await),
        "3 (2) from 2 more true"
    );
    assert_eq!(
        page_summary(&page("notes=true&limit=2&before=2").await),
        "1 from 1 more false"
    );
    assert_eq!(
        page_summary(&page("notes=true&limit=2&after=1").await),
        "3 (2) from 2 more true"
    );
    assert_eq!(
        page_summary(&page("notes=true&before=1").await),
        " from 1 more false"
    );
    let without = page("").await;
    assert_eq!(
        (
            without.get("notes"),
            without.get("first"),
            &without["position"]
        ),
        (None, None, &json!(7))
    );
    assert_eq!(without["results"].as_array().unwrap().len(), 3);
    let one = page("notes=1&limit=1&before=7").await;
    assert_snapshot!(one["notes"][0]["data"], @r#"{"title":"Lunch"}"#);
    // Neither a stranger nor an ex-member reads a page.
    let eve = app.user("eve").await;
    bob.delete(&group.path("members/bob/")).await;
    for user in [&eve, &bob] {
        let response = user.get(&format!("{messages}?notes=true")).await;
        assert_eq!(response.status, 404, "{response}");
    }
}

#[tokio::test]
async fn a_log_page_reports_a_reset() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    ann.send_message(&group, "hi", "1").await;
    let path = group.path("events/");
    let page = async |query: &str| ann.get(&format!("{path}?{query}")).await.json();
    let first = page("").await;
    let epoch = first["epoch"].as_str().unwrap().to_owned();
    assert_eq!(first.get("reset"), None);
    let hello = ann.open_rich(&group, "").await.next_frame().await;
    assert_eq!(hello["epoch"], epoch);
    for query in ["after=1".to_owned(), format!("after=1&epoch={epoch}")] {
        let page = page(&query).await;
        assert_eq!(
            (page.get("reset"), &page["results"]),
            (None, &json!([])),
            "{query}"
        );
    }
    let ahead = json!({"reason": "ahead", "head": 1});
    assert_eq!(page("after=2").await["reset"], ahead);
    let other = page("after=0&epoch=another").await;
    assert_eq!(other["reset"], json!({"reason": "epoch", "head": 1}));
    assert_eq!(other["results"], json!([]), "they are of another epoch");
}

#[tokio::test]
async fn an_edit_to_the_same_text_changes_nothing() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    ann.send_message(&group, "hi", "1").await;
    let path = group.path("messages/1/");
    let count = async || events::Entity::find().count(&app.ctx.db).await.unwrap();
    let same = ann.patch(&path, json!({"text": "hi"})).await;
    assert_eq!(
        (same.status.as_u16(), &same.json()["edited_at"]),
        (200, &Value::Null)
    );
    assert_eq!(count().await, 1);
    assert_eq!(
        ann.patch(&path, json!({"text": "ho"})).await.json()["text"],
        "ho"
    );
    assert_eq!(ann.patch(&path, json!({"text": "ho"})).await.status, 200);
    assert_eq!(count().await, 2);
    assert_eq!(
        ann.patch(&path, json!({"text": "hi"})).await.json()["text"],
        "hi"
    );
    assert_eq!(count().await, 3, "back to the first text is a change");
}

#[tokio::test]
async fn a_message_needs_a_visible_character() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    for text in [
        "",
        " ",
        "\n\t",
        "\u{200b}",
        "\u{200d}\u{fe0f}",
        "\u{2800}",
        "\u{3164}",
        "\u{115f}\u{1160}",
        "\u{ad}",
        "\u{202e}",
        "\u{2060}\u{2065}",
        "\u{feff}",
        "\u{e0041}\u{e007f}",
        "\u{fff9}",
        "\u{0}",
        "\u{1d159}",
        "\u{3000}\u{a0}",
    ] {
        let sent = ann.send_message(&group, text, "x").await;
        let escaped = text.escape_unicode();
        assert_eq!(
            (sent.status.as_u16(), &sent.json()["field"]),
            (400, &json!("text")),
            "{escaped}"
        );
        let send = json!({"type": "send", "group": group, "text": text, "cid": "y"});
        let (reply, _) = socket.request_collecting(send).await;
        assert_eq!(
            (&reply["code"], &reply["field"]),
            (&json!("invalid"), &json!("text")),
            "{escaped}"
        );
    }
    for (number, text) in [
        ".",
        "ا",
        "\u{200c}ا",
        "👩\u{200d}🚒",
        "#\u{fe0f}\u{20e3}",
        "\u{301}",
        "\u{600}1",
        "\u{e000}",
        "\u{1faef}",
        "\u{202e}x",
        "🏴\u{e0067}\u{e007f}",
    ]
    .into_iter()
    .enumerate()
    {
        let sent = ann.send_message(&group, text, &number.to_string()).await;
        assert_eq!(sent.json()["text"], text, "{}", text.escape_unicode());
    }
    for name in ["\u{fffc}", "\u{1d159}", "\u{200b}", "\u{301}"] {
        let body = json!({"name": name, "username": "bob", "password": "a staple of batteries"});
        assert_eq!(
            app.post("/api/register/", body).await.status,
            400,
            "{}",
            name.escape_unicode()
        );
    }
}

/// A reaction that is added and removed all day makes an event each time.
#[tokio::test]
async fn reaction_toggles_are_rate_limited() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    ann.send_message(&group, "hi", "1").await;
    ann.send_message(&group, "ho", "2").await;
    let reaction =
        |seq: i64, emoji: &str| format!("/api/groups/{group}/messages/{seq}/reactions/{emoji}/");
    let (thumb, heart) = ("%F0%9F%91%8D", "%E2%9D%A4");
    for round in 0..5 {
        assert_eq!(
            ann.request(Method::PUT, &reaction(2, thumb)).await.status,
            200,
            "{round}"
        );
        assert_eq!(ann.delete(&reaction(2, thumb)).await.status, 204, "{round}");
    }
    assert_snapshot!(one_line(&ann.request(Method::PUT, &reaction(2, thumb)).await), @r#"429 Too Many Requests {"detail":"Too many requests; slow down.","code":"rate_limited"}"#);
    let mut socket = ann.open_live(&group).await;
    let react = json!({"type": "react", "group": group, "seq": 2, "emoji": "👍", "on": true});
    let (reply, _) = socket.request_collecting(react).await;
    assert_eq!(
        (&reply["code"], &reply["retry"]),
        (&json!("rate_limited"), &json!(true))
    );
    let wait = reply["retry_after_ms"].as_i64().unwrap();
    assert!((250_000..=300_000).contains(&wait), "{wait}");
    // A request without a change, and a retry of a stored request, still succeed.
    assert_eq!(ann.delete(&reaction(2, thumb)).await.status, 204);
    let retried = |cid: &str| json!({"type": "react", "group": group, "seq": 3, "emoji": "🎉", "on": true, "cid": cid});
    let (first, _) = socket.request_collecting(retried("c")).await;
    for _ in 0..12 {
        let (again, _) = socket.request_collecting(retried("c")).await;
        assert_eq!(
            (&again["seq"], &again["dup"]),
            (&first["seq"], &json!(true)),
            "{again}"
        );
        assert_eq!(
            ann.request(Method::PUT, &reaction(3, "%F0%9F%8E%89"))
                .await
                .status,
            200
        );
    }
    // Another emoji, another message and another member are not limited.
    assert_eq!(
        ann.request(Method::PUT, &reaction(2, heart)).await.status,
        200
    );
    assert_eq!(
        ann.request(Method::PUT, &reaction(3, thumb)).await.status,
        200
    );
    assert_eq!(
        bob.request(Method::PUT, &reaction(2, thumb)).await.status,
        200
    );
    assert_eq!(
        ann.send_message(&group, "and messages", "3").await.status,
        201
    );
}

/// Two commands of one batch: the read position reaches the message of the same transaction.
#[tokio::test]
async fn a_read_receipt_sees_the_messages_of_its_batch() {
    let app = TestApp::start().await;
    let db = &app.ctx.db;
    let (name, _) = app.group_of(["ann"]).await;
    let group = chat_groups::Model::find_by_name(db, &name)
        .await
        .unwrap()
        .unwrap();
    let user = users::Model::find_by_username(db, "ann")
        .await
        .unwrap()
        .unwrap();
    let change = |kind| GroupCommand {
        group_id: group.id,
        actor: Some(Actor::from_user(&user)),
        cid: None,
        kind,
    };
    let send = CommandKind::Send {
        text: "hi".to_owned(),
        reply_to: None,
    };
    let changes = vec![
        change(send.clone()),
        change(send),
        change(CommandKind::Read { seq: 1 }),
    ];
    let outcomes = GroupCommand::apply_all(db, changes).await.unwrap();
    assert_eq!(outcomes[2].as_ref().unwrap().seq, 1, "{outcomes:?}");
}
