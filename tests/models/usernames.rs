//! The rules for usernames, and the equality of usernames.

use migration::{Migrator, MigratorTrait};
use proptest::prelude::*;
use salam::models::{
    events,
    hashing::Requester,
    passwords::Password,
    usernames::{Username, parse_display_name, username_key},
    users,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};

use super::skeletons::{insert_before_migrations, migrate_down_before};
use crate::support::{GroupPath, TestApp};

#[test]
fn letters_and_digits_of_any_script_are_usernames() {
    for text in [
        "a",
        "ann",
        "Ann.Lee+chat@home_1-2",
        "مریم",
        "Ñandú",
        "李明",
        "हिन्दी",
        "עברית",
        "١٢٣",
    ] {
        assert_eq!(Username::parse(text).unwrap().as_str(), text);
    }
    assert_eq!(Username::parse("ａｎｎ").unwrap().as_str(), "ann");
    assert_eq!(
        Username::parse(&"ä".repeat(150)).unwrap().as_str(),
        "ä".repeat(150)
    );
    assert_eq!(
        Username::parse(&"a\u{308}".repeat(150)).unwrap().as_str(),
        "ä".repeat(150)
    );
}

#[test]
fn other_characters_are_rejected_in_usernames() {
    let too_long = "x".repeat(151);
    // NFKC turns this character into eighteen.
    let expands = "\u{fdfa}".repeat(10);
    for text in [
        "",
        " ",
        "ann lee",
        "ann\n",
        "\0",
        "a\0b",
        "ann/lee",
        "<ann>",
        "ann!",
        "🙂",
        "a\u{200d}b",
        "\u{202e}ann",
        "an\u{34f}n",
        "\u{3164}",
        "\u{301}ann",
        "a\u{fe0f}",
        "🅐",
        "❶",
        "𐆊",
        "a\u{20dd}",
        "½",
        &too_long,
        &expands,
    ] {
        assert!(Username::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn usernames_are_case_insensitive() {
    for (one, other) in [
        ("ann", "ANN"),
        ("straße", "STRASSE"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("ﬁne", "FINE"),
        ("ǆ", "Ǆ"),
        ("ά", "Ά"),
    ] {
        let keys = [one, other].map(|text| Username::parse(text).unwrap().key());
        assert_eq!(keys[0], keys[1], "{one} and {other}");
    }
    assert_ne!(username_key("ann"), username_key("anna"));
    assert_ne!(username_key("ı"), username_key("i"));
}

#[test]
fn display_names_reject_only_control_characters() {
    assert_eq!(
        parse_display_name("  Ann Lee 🙂 "),
        Ok("Ann Lee 🙂".to_owned())
    );
    assert_eq!(parse_display_name("e\u{301}"), Ok("é".to_owned()));
    assert!(parse_display_name(&"x".repeat(150)).is_ok());
    for text in ["", " \n ", "a\0b", "a\tb", &"x".repeat(151)] {
        assert!(parse_display_name(text).is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn username_normalization_is_idempotent(text in "[\\p{L}\\p{N}@.+_-]{1,20}") {
        if let Ok(name) = Username::parse(&text) {
            prop_assert_eq!(Username::parse(name.as_str()), Ok(name.clone()));
            prop_assert_eq!(username_key(&name.key()), name.key());
        }
    }

    #[test]
    fn username_keys_ignore_letter_case(text in "[\\p{Latin}\\p{Cyrillic}\\p{Greek}]{1,10}") {
        // Case folding ignores the locale. Texts such as İ and ς are left out, because Rust does not map
        // them back to the same text.
        let shouted = text.to_uppercase();
        if let (Ok(_), Ok(_)) = (Username::parse(&text), Username::parse(&shouted)) {
            prop_assume!(shouted.to_lowercase().to_uppercase() == shouted);
            prop_assert_eq!(username_key(&shouted), username_key(&shouted.to_lowercase()));
        }
    }
}

#[test]
fn a_username_needs_a_letter_or_a_digit() {
    for text in [
        ".",
        "..",
        "...",
        "\u{2025}",
        "\u{2024}",
        "\u{ff0e}\u{ff0e}",
        "\u{2026}",
        "-",
        "@",
        "_",
        "+",
        "@.+-_",
        "\u{ff20}",
        "._.",
        "-\u{301}",
        "_\u{5bf}",
    ] {
        assert!(Username::parse(text).is_err(), "{text:?}");
    }
    for text in ["..a", "a..", "-1-", ".é", "@ann", "١.", "..\u{627}"] {
        assert_eq!(Username::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn display_names_reject_bidi_controls_and_invisible_text() {
    for control in [
        "\u{61c}", "\u{200e}", "\u{200f}", "\u{202a}", "\u{202e}", "\u{2066}", "\u{2069}",
    ] {
        assert!(
            parse_display_name(&format!("a{control}b")).is_err(),
            "{control:?}"
        );
    }
    for unseen in [
        "\u{200c}",
        "\u{200d}\u{200c}",
        "\u{2800}",
        "\u{3164}",
        "\u{115f}",
        "\u{ad}",
        "\u{feff}",
        "\u{301}",
        "\u{2060}",
        "\u{e0041}",
        "\u{fe0f}",
    ] {
        assert!(parse_display_name(unseen).is_err(), "{unseen:?}");
        assert!(
            parse_display_name(&format!(" {unseen} ")).is_err(),
            "{unseen:?}"
        );
    }
    assert!(parse_display_name("a\u{2028}b").is_err());
    // Persian needs the zero-width non-joiner, and emoji need the joiner.
    for text in ["می\u{200c}خواهم", "👩\u{200d}💻", "...", "❤\u{fe0f}", "½"] {
        assert_eq!(parse_display_name(text), Ok(text.to_owned()));
    }
}

#[tokio::test]
async fn accounts_without_a_letter_are_renamed_and_can_still_log_in() {
    let app = TestApp::start().await;
    let db = &app.ctx.db;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let taken = app.user("user_3").await;
    migrate_down_before(db, "_usernames").await;
    let hash = Password::from_input("the staple of dots");
    let hash = hash.hash(Requester::OPERATOR).await.unwrap();
    for name in ["..", "@", "_\u{301}", "x."] {
        insert_before_migrations(db, name, &hash).await;
    }
    let events = sea_orm::Statement::from_string(
        sea_orm::ConnectionTrait::get_database_backend(db),
        "INSERT INTO events (group_id, seq, kind, user_id, data, created_at, messages) \
         VALUES (1, 2, 'member.joined', 3, '{\"name\":\"x\",\"role\":\"member\",\"user\":\"..\"}', \
         CURRENT_TIMESTAMP, 0), \
         (1, 3, 'message.created', 3, '{\"text\":\"..\"}', CURRENT_TIMESTAMP, 1)",
    );
    sea_orm::ConnectionTrait::execute_raw(db, events)
        .await
        .unwrap();
    Migrator::up(db, None).await.unwrap();
    Migrator::up(db, None).await.unwrap();

    let users = users::Entity::find()
        .order_by_asc(users::Column::Id)
        .all(db)
        .await
        .unwrap();
    let names: Vec<_> = users
        .iter()
        .map(|user| (user.username.as_str(), user.former_username.as_deref()))
        .collect();
    let expected = [
        ("ann", None),
        ("user_3", None),
        ("user_3_2", Some("..")),
        ("user_4", Some("@")),
        ("user_5", Some("_\u{301}")),
        ("x.", None),
    ];
    assert_eq!(names, expected);
    let data = events::Entity::find()
        .filter(events::Column::Kind.ne("group.updated"))
        .order_by_asc(events::Column::Seq)
        .all(db)
        .await
        .unwrap();
    let of: Vec<Value> = data
        .iter()
        .map(|event| serde_json::from_str(&event.data).unwrap())
        .collect();
    assert!(of.iter().any(|data| data["user"] == "user_3_2"), "{of:?}");
    assert!(
        of.iter().any(|data| data["text"] == ".."),
        "a text stays: {of:?}"
    );

    for (name, is_called) in [
        ("..", "user_3_2"),
        ("\u{2025}", "user_3_2"),
        ("user_3_2", "user_3_2"),
        ("@", "user_4"),
    ] {
        let login = json!({"username": name, "password": "the staple of dots"});
        let response = app.post("/api/token/", login).await;
        assert_eq!(response.status, 200, "{name}: {response}");
        let me = app
            .request(reqwest::Method::GET, "/api/me/")
            .bearer_auth(response.json()["access"].as_str().unwrap());
        let me = crate::support::TestResponse::from_request(me).await.json();
        assert_eq!(me["username"], is_called);
    }
    let login = json!({"username": "-", "password": "the staple of dots"});
    assert_eq!(app.post("/api/token/", login).await.status, 401);
    assert!(taken.is_logged_in().await);
    assert_eq!(users::Model::list_renamed(db).await.unwrap().len(), 3);
    assert_eq!(ann.get(&group.path("")).await.status, 200);
}
