//! `cargo loco db seed`, and the demo data that a user finds.

use std::sync::Arc;

use insta::assert_snapshot;
use salam::models::{chat_groups, users};
use serde_json::{Value, json};

use super::command::CommandRun;
use crate::support::{GroupPath, TestApp, TestDatabase, TestResponse, User};

const SEED_PASSWORD: &str = "a staple of batteries";
const LUNCH_GROUP: &str = "chat_5eed0001";
const PERSIAN_GROUP: &str = "chat_5eed0002";

async fn run_seed(database: &TestDatabase, flags: &[&str]) -> CommandRun {
    let args: Vec<&str> = ["db", "seed"].iter().chain(flags).copied().collect();
    let variables = [
        ("DATABASE_URL", database.uri.as_str()),
        ("LOG_LEVEL", "error"),
    ];
    CommandRun::run(&args, &variables).await
}

/// Runs a seed that must succeed. Returns the output and the invite's code.
async fn run_seed_successfully(database: &TestDatabase, flags: &[&str]) -> (String, String) {
    let run = run_seed(database, flags).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    let invite = run.output.lines().find(|line| line.contains("invite"));
    let code = invite.unwrap().split_whitespace().nth(1).unwrap();
    assert_eq!(code.len(), 32, "{}", run.output);
    (run.output.replace(code, "[code]"), code.to_owned())
}

async fn try_to_log_in(app: &TestApp, username: &str) -> TestResponse {
    let login = json!({"username": username, "password": SEED_PASSWORD});
    app.post("/api/token/", login).await
}

async fn log_in<'a>(app: &'a TestApp, username: &str) -> User<'a> {
    let response = try_to_log_in(app, username).await;
    assert_eq!(response.status, 200, "{response}");
    let tokens = response.json();
    User {
        app,
        username: username.to_owned(),
        access: json_text(&tokens["access"]).to_owned(),
        refresh: json_text(&tokens["refresh"]).to_owned(),
    }
}

fn json_text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Returns a user's groups, one in each line.
async fn group_lines(user: &User<'_>) -> String {
    let page = user.get("/api/groups/").await.json();
    let groups = page["results"].as_array().unwrap().iter().map(|group| {
        let (role, read, head) = (json_text(&group["role"]), &group["read"], &group["head"]);
        let (title, unread) = (json_text(&group["title"]), &group["unread"]);
        let user = &user.username;
        format!("{user}, {role}, has read {read} of {head}, unread {unread}: {title}\n")
    });
    groups.collect()
}

/// Returns the messages of a group, one in each line, oldest first.
async fn history_lines(user: &User<'_>, group: &str) -> String {
    let path = group.path("messages/?limit=100");
    let page = user.get(&path).await.json();
    let messages = page["results"].as_array().unwrap().iter().rev();
    messages.map(message_line).collect()
}

fn message_line(message: &Value) -> String {
    let mut line = format!("{} {}", message["seq"], json_text(&message["by"]));
    if let Some(response) = message["reply_to"].as_i64() {
        line += &format!(" to {response}");
    }
    if !message["edited_at"].is_null() {
        line += " (edited)";
    }
    assert_eq!(message["deleted"], message["text"].is_null());
    let text = message["text"].as_str().unwrap_or("(deleted)");
    line += &format!(": {text}");
    for reaction in message["reactions"].as_array().unwrap() {
        line += &format!(" {}×{}", reaction["count"], json_text(&reaction["emoji"]));
    }
    line + "\n"
}

#[tokio::test]
async fn a_running_server_shows_the_seed_data() {
    let app = TestApp::start().await;
    let (output, _) = run_seed_successfully(&app.database, &[]).await;
    assert_snapshot!(output, @"
    The example data is complete.
      users     ann (Ann Lee), bob (Bob Ray), leyla (لیلا)
      password  a staple of batteries
      groups    chat_5eed0001 (Lunch), chat_5eed0002 (سلام)
      invite    [code] (to chat_5eed0002, valid for 7 days)
    To see the data, log in as one of these users on a server that uses this database.
    ");
    let mut output = String::new();
    for username in ["ann", "bob", "leyla"] {
        let user = log_in(&app, username).await;
        output += &group_lines(&user).await;
    }
    assert_snapshot!(output, @"
    ann, member, has read 6 of 7, unread 1: سلام
    ann, owner, has read 30 of 30, unread 0: Lunch
    bob, admin, has read 27 of 30, unread 3: Lunch
    leyla, owner, has read 7 of 7, unread 0: سلام
    leyla, member, has read 29 of 30, unread 1: Lunch
    ");
    let leyla = log_in(&app, "leyla").await;
    let me = leyla.get("/api/me/").await;
    assert_snapshot!(me.body, @r#"{"id":3,"username":"leyla","name":"لیلا"}"#);
    assert_snapshot!(history_lines(&leyla, LUNCH_GROUP).await, @"
    4 ann: Lunch on Friday, anybody?
    5 bob: Yes please. Where?
    6 ann: The Persian place on Mill Street? They have ghormeh sabzi again.
    7 leyla: عالیه! من هستم. 1×👍
    9 bob: Does that mean yes?
    10 leyla to 9: It does 😄
    11 ann: Half past twelve?
    12 bob: I have a call until one.
    13 ann to 12: Quarter past one, then. I'll book for three.
    14 leyla: لطفاً برای چهار نفر، برادرم هم می‌آید.
    15 leyla: For four, please: my brother comes too.
    16 ann (edited): Booked: four of us, 13:15, by the window.
    17 bob: 13:51? I admire the precision. 2×😂
    21 bob: (deleted)
    22 bob: Sorry, wrong chat.
    24 leyla: Who pays this time?
    25 ann: Bob lost the bet, so Bob.
    26 bob: I hoped that nobody remembered.
    27 leyla: ما یادمان هست.
    28 ann: See you on Friday!
    29 leyla: می‌بینمتان 👋
    30 ann: Bring an appetite.
    ");
    assert_snapshot!(history_lines(&leyla, PERSIAN_GROUP).await, @"
    2 leyla: سلام! اینجا فقط فارسی.
    3 ann: سلام لیلا! دارم یاد می‌گیرم، لطفاً آهسته. 1×👏
    5 leyla: چشم. امروز چطوری؟
    6 ann: خوبم، مرسی. جمعه هم می‌آیی؟
    7 leyla: بله! باب را هم دعوت کن.
    ");
}

#[tokio::test]
async fn a_second_seed_changes_nothing() {
    let app = TestApp::start().await;
    let (_, code) = run_seed_successfully(&app.database, &[]).await;
    let (ann, bob) = (log_in(&app, "ann").await, log_in(&app, "bob").await);
    let accept = format!("/api/invites/{code}/accept/");
    assert_eq!(bob.post(&accept, json!({})).await.status, 200);
    let leave = format!("/api/groups/{LUNCH_GROUP}/members/bob/");
    assert_eq!(bob.delete(&leave).await.status, 204);
    assert_eq!(
        ann.send_message(LUNCH_GROUP, "Two, then.", "c")
            .await
            .status,
        201
    );
    let all = async || {
        let mut all = String::new();
        for path in [
            "/api/groups/",
            &format!("/api/groups/{LUNCH_GROUP}/events/"),
            &format!("/api/groups/{LUNCH_GROUP}/members/"),
            &format!("/api/groups/{PERSIAN_GROUP}/events/"),
            &format!("/api/groups/{PERSIAN_GROUP}/members/"),
        ] {
            let response = ann.get(path).await;
            assert_eq!(response.status, 200, "{response}");
            all += &response.body;
        }
        all + &group_lines(&bob).await
    };
    let before = all().await;
    let run = run_seed(&app.database, &[]).await;
    assert_eq!(run.code, Some(0));
    assert_snapshot!(run.output, @"
    The example data already exists: nothing was changed.
      users     ann (Ann Lee), bob (Bob Ray), leyla (لیلا)
      password  a staple of batteries
      groups    chat_5eed0001 (Lunch), chat_5eed0002 (سلام)
      invite    its code was shown when it was created; leyla can create another invite
    To see the data, log in as one of these users on a server that uses this database.
    ");
    assert_eq!(all().await, before);
}

/// The seed reuses an account that has its name and its password.
#[tokio::test]
async fn a_partial_seed_is_completed_without_duplicates() {
    let app = TestApp::start().await;
    let account = json!({"name": "Ann Lee", "username": "ann", "password": SEED_PASSWORD});
    assert_eq!(app.post("/api/register/", account).await.status, 201);
    let ann = log_in(&app, "ann").await;
    let db = &app.ctx.db;
    let owner = users::Model::find_by_username(db, "ann").await.unwrap();
    let title = Some("Lunch".to_owned());
    let name = || LUNCH_GROUP.to_owned();
    chat_groups::Model::create_named(db, &owner.unwrap(), title, name)
        .await
        .unwrap();
    let first = "Lunch on Friday, anybody?";
    assert_eq!(
        ann.send_message(LUNCH_GROUP, first, "seed-0").await.status,
        201
    );
    run_seed_successfully(&app.database, &[]).await;
    let history = history_lines(&ann, LUNCH_GROUP).await;
    assert!(history.starts_with("1 ann: Lunch on Friday"), "{history}");
    assert_eq!(history.matches(first).count(), 1, "{history}");
    assert_eq!(history.lines().count(), 22, "{history}");
    let run = run_seed(&app.database, &[]).await;
    assert!(run.output.contains("nothing was changed"), "{}", run.output);
}

#[tokio::test]
async fn seed_is_rejected_when_a_username_is_taken() {
    // The last name is partly Cyrillic.
    for (taken, of) in [("ann", "ann"), ("leyla", "leyla"), ("\u{430}nn", "ann")] {
        let app = TestApp::start().await;
        app.user(taken).await;
        let run = run_seed(&app.database, &[]).await;
        assert_eq!(run.code, Some(1), "{taken}: {}", run.output);
        if taken == "ann" {
            assert_snapshot!(run.output, @"error: db seed: the username `ann` belongs to another account (with another password, deactivated, or with a username that looks the same); nothing was changed. Set DATABASE_URL to another database, or empty this database with `cargo loco db reset`");
        }
        assert!(
            run.output
                .contains(&format!("`{of}` belongs to another account"))
        );
        for username in ["ann", "bob", "leyla"] {
            let response = try_to_log_in(&app, username).await;
            assert_eq!(response.status, 401, "{taken}: {username}: {response}");
        }
    }
}

#[tokio::test]
async fn seed_is_rejected_in_production() {
    let app = TestApp::start().await;
    let run = CommandRun::run(
        &["db", "seed", "-e", "production"],
        &[
            ("JWT_SECRET", "q3vT7Qm3yq1yQm0bq3H1nJ5y0aWvFqk0n8ZrUc4Lx2E="),
            ("DATABASE_URL", app.database.uri.as_str()),
            ("LOG_LEVEL", "error"),
        ],
    )
    .await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.output, @"error: db seed: the password of the example users is public, so the command runs only in development and test; this environment is production");
    for username in ["ann", "bob", "leyla"] {
        assert_eq!(try_to_log_in(&app, username).await.status, 401);
    }
}

#[tokio::test]
async fn seed_migrates_and_resets_on_request() {
    let database = TestDatabase::create().await;
    let (_, first) = run_seed_successfully(&database, &[]).await;
    let (_, second) = run_seed_successfully(&database, &["--reset"]).await;
    assert_ne!(first, second);
    let app = TestApp::start_node(Arc::new(database), json!({})).await;
    let leyla = log_in(&app, "leyla").await;
    let offer = async |code: &str| leyla.get(&format!("/api/invites/{code}/")).await.status;
    assert_eq!(offer(&first).await, 404);
    assert_eq!(offer(&second).await, 200);
}
