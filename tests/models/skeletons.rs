//! Usernames that can be confused with each other.

use migration::{Migrator, MigratorTrait};
use proptest::prelude::*;
use salam::models::{
    hashing::Requester,
    passwords::Password,
    skeletons::ConfusableKey,
    usernames::Username,
    users::{self, NewUser, UserError},
};
use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait, PaginatorTrait, Statement};
use serde_json::json;

use crate::support::{TestApp, with_timeout};

/// Returns the status of the registration of a second name after the first.
async fn register_second(app: &TestApp, first: &str, second: &str) -> u16 {
    for table in ["users", "skeletons"] {
        let statement = format!("DELETE FROM {table}");
        sea_orm::ConnectionTrait::execute_unprepared(&app.ctx.db, &statement)
            .await
            .unwrap();
    }
    assert_eq!(register(app, first).await, 201, "{first}");
    register(app, second).await
}

/// Registers a user without hashing a password, which takes most of the time.
async fn register(app: &TestApp, name: &str) -> u16 {
    let user = NewUser {
        name: "x".to_owned(),
        username: Username::parse(name).unwrap(),
        password: Password::from_input("a staple of it"),
    };
    match users::Model::register(&app.ctx.db, user, Requester::OPERATOR).await {
        Ok(_) => 201,
        Err(UserError::UsernameTaken) => 400,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_confusable_username_is_rejected_at_registration() {
    let app = TestApp::start().await;
    let account = |name: &str| json!({"name": "x", "username": name, "password": "a staple of it"});
    assert_eq!(
        app.post("/api/register/", account("admin")).await.status,
        201
    );
    let response = app.post("/api/register/", account("аdmin")).await;
    assert_eq!(response.status, 400);
    assert_eq!(response.body, r#"{"error":"Username already used"}"#);
    assert_eq!(
        app.post("/api/register/", account("admin2")).await.status,
        201
    );
}

#[tokio::test]
async fn confusable_usernames_cannot_both_register() {
    let app = TestApp::start().await;
    for (first, looks_alike) in [
        // Cyrillic.
        ("admin", "аdmin"),
        ("admin", "Аdmin"),
        ("admin", "АDMIN"),
        ("аdmin", "admin"),
        ("paypal", "раураl"),
        ("paypal", "раypaI"),
        ("bob", "ВОВ"),
        ("Bob", "Вob"),
        ("sax", "ѕах"),
        ("сору", "copy"),
        // Greek.
        ("admin", "ΑDΜΙΝ"),
        ("nikh", "ΝΙΚΗ"),
        ("oo", "οο"),
        ("volvo", "νοlνο"),
        // Armenian, Cherokee, Lisu, mathematical and full-width letters. NFKC turns them into ASCII.
        ("hou", "հօս"),
        ("so", "ѕօ"),
        ("DEAR", "ꓓꓰꓮꓣ"),
        ("bob", "𝐛𝐨𝐛"),
        ("bob", "ｂｏｂ"),
        // Neither name is ASCII.
        ("аnn", "аnո"),
        ("علی", "على"),
        ("рома", "pома"),
        // Digits of other scripts.
        ("room1", "room١"),
        ("l1", "lו"),
        ("o0", "o٥"),
        ("agent007", "agentοο7"),
        // Letters with another composition.
        ("zürich", "zu\u{308}rich"),
        ("ı", "i"),
        ("łódź", "l\u{337}o\u{301}dz\u{301}"),
    ] {
        assert_eq!(
            register_second(&app, first, looks_alike).await,
            400,
            "{first} {looks_alike}"
        );
    }
}

#[tokio::test]
async fn distinguishable_usernames_can_both_register() {
    let app = TestApp::start().await;
    for (first, other) in [
        // By UTS 39, each pair is confusable.
        ("modern", "modem"),
        ("user1", "userl"),
        ("user1", "userI"),
        ("alice10", "alice1O"),
        ("b0b", "bob"),
        ("vvest", "west"),
        // Names that are entirely in other scripts.
        ("anna", "анна"),
        ("boris", "борис"),
        ("roma", "рома"),
        ("poma", "рома"),
        ("boba", "вова"),
        ("nikos", "νίκος"),
        ("anna", "άννα"),
        ("zoe", "zoë"),
        ("jose", "josé"),
        ("ali", "علی"),
        ("david", "דוד"),
        ("рома1", "рома2"),
        ("علی", "ولی"),
        ("李明", "李朋"),
        ("ひろ", "ヒロ"),
        // Names of users that come from Django.
        ("ann@chat.example", "ann@chat.exampel"),
        ("ann.lee+chat", "ann_lee-chat"),
        ("a.b", "a-b"),
        ("a_b", "a-b"),
    ] {
        assert_eq!(
            register_second(&app, first, other).await,
            201,
            "{first} {other}"
        );
    }
}

#[tokio::test]
async fn concurrent_registrations_of_confusable_usernames_admit_one() {
    for names in [
        ["admin", "аdmin", "аdmіn", "аԁmin", "aԁmіn", "admіn"],
        ["сору", "сoру", "соpу", "copу", "cору", "соpy"],
    ] {
        let app = TestApp::start().await;
        let asking = names.iter().map(|name| register(&app, name));
        let statuses = with_timeout("the responses", futures_util::future::join_all(asking)).await;
        let given = statuses.iter().filter(|status| **status == 201).count();
        assert_eq!(given, 1, "{names:?}: {statuses:?}");
        assert_eq!(users::Entity::find().count(&app.ctx.db).await.unwrap(), 1);
    }
    // All ASCII names can be registered.
    let app = TestApp::start().await;
    let names = [
        "user1", "userl", "useri", "modern", "modem", "rnodern", "b0b", "bob",
    ];
    let asking = names.iter().map(|name| register(&app, name));
    let statuses = with_timeout("the responses", futures_util::future::join_all(asking)).await;
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
}

#[tokio::test]
async fn a_rejected_username_reserves_nothing() {
    let app = TestApp::start().await;
    assert_eq!(register(&app, "сору").await, 201);
    // The whole name is taken, although a part of it was free.
    assert_eq!(register(&app, "Copy").await, 400);
    assert_eq!(register(&app, "сору").await, 400);
    assert_eq!(register(&app, "COPYcat").await, 201);
}

#[tokio::test]
async fn confusable_usernames_of_maximum_length_are_rejected() {
    let app = TestApp::start().await;
    let syllables = |count| "쮔".repeat(count);
    assert_eq!(register(&app, &(syllables(149) + "a")).await, 201);
    assert_eq!(register(&app, &(syllables(149) + "а")).await, 400);
    assert_eq!(register(&app, &(syllables(149) + "b")).await, 201);
    assert_eq!(register(&app, &syllables(150)).await, 201);
}

/// Inserts an account into the first version of the schema.
pub async fn insert_before_migrations(db: &DatabaseConnection, name: &str, hash: &str) {
    let key = salam::models::usernames::username_key(name);
    let values = [name, &key, hash].map(sea_orm::Value::from);
    let insert = "INSERT INTO users (username, username_key, name, password_hash, is_active, \
                  created_at, updated_at) \
                  VALUES ($1, $2, 'x', $3, TRUE, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)";
    let insert = Statement::from_sql_and_values(db.get_database_backend(), insert, values);
    db.execute_raw(insert).await.unwrap();
}

/// Reverts the migration whose name ends with this text, and all later migrations.
pub async fn migrate_down_before(db: &DatabaseConnection, name: &str) {
    let migrations = Migrator::migrations();
    let mut names = migrations.iter().map(|migration| migration.name()).rev();
    let after = names.position(|known| known.ends_with(name)).unwrap();
    let back = u32::try_from(after + 1).unwrap();
    Migrator::down(db, Some(back)).await.unwrap();
}

#[tokio::test]
async fn the_migration_reserves_existing_usernames() {
    let app = TestApp::start().await;
    let db = &app.ctx.db;
    // Before this migration, all these names were possible.
    migrate_down_before(db, "_skeletons").await;
    for name in ["admin", "аdmin", "modern", "modem", "сору", "copy", "علی"] {
        insert_before_migrations(db, name, "x").await;
    }
    Migrator::up(db, None).await.unwrap();
    assert_eq!(users::Entity::find().count(db).await.unwrap(), 7);
    for (name, expected) in [
        ("аdmіn", 400),
        ("соpу", 400),
        ("copy", 400),
        ("على", 400),
        ("modem2", 201),
        ("соpу2", 201),
    ] {
        assert_eq!(register(&app, name).await, expected, "{name}");
    }
}

/// ASCII letters, each with a confusable letter.
const CONFUSABLE_LETTERS: [(char, char); 12] = [
    ('a', 'а'),
    ('c', 'с'),
    ('e', 'е'),
    ('i', 'і'),
    ('j', 'ј'),
    ('o', 'о'),
    ('p', 'р'),
    ('s', 'ѕ'),
    ('x', 'х'),
    ('y', 'у'),
    ('d', 'ԁ'),
    ('v', 'ν'),
];

fn confusable_key(name: &str) -> ConfusableKey {
    ConfusableKey::from_username(&Username::parse(name).unwrap())
}

proptest! {
    #[test]
    fn replacing_any_letter_with_a_confusable_is_detected(name in "[a-zA-Z0-9._-]{1,20}", at in any::<prop::sample::Index>()) {
        let twin = |c: char| CONFUSABLE_LETTERS.iter().find(|(ascii, _)| *ascii == c).map(|(_, twin)| *twin);
        let positions: Vec<usize> = name.char_indices().filter(|(_, c)| twin(*c).is_some()).map(|(at, _)| at).collect();
        prop_assume!(!positions.is_empty());
        let at = positions[at.index(positions.len())];
        let other: String = name
            .char_indices()
            .map(|(here, c)| if here == at { twin(c).unwrap() } else { c })
            .collect();
        prop_assert!(confusable_key(&name).conflicts_with(&confusable_key(&other)), "{} {}", name, other);
        prop_assert!(confusable_key(&other).conflicts_with(&confusable_key(&name)), "{} {}", other, name);
    }

    #[test]
    fn ascii_usernames_are_never_confusable(
        one in "[a-zA-Z0-9@.+_-]{0,10}[a-z0-9][A-Z0-9@.+_-]{0,9}",
        other in "[a-zA-Z0-9@.+_-]{0,10}[a-z0-9][A-Z0-9@.+_-]{0,9}",
    ) {
        prop_assert!(!confusable_key(&one).conflicts_with(&confusable_key(&other)));
    }

    #[test]
    fn confusable_keys_fit_in_an_index(name in "[\\p{L}\\p{Nd}\\p{Mn}]{1,150}") {
        if let Ok(name) = Username::parse(&name) {
            for skeleton in migration::skeletons::compute(name.as_str(), &name.key()) {
                // An index of PostgreSQL holds at most 2704 bytes of a row.
                prop_assert!((1..2000).contains(&skeleton.len()), "{}", skeleton);
            }
        }
    }
}
