//! Which passwords are good enough, and that hashes keep them.

use salam::models::passwords::Password;

#[test]
fn a_password_has_8_to_128_characters() {
    for (fine, text) in [
        (false, String::new()),
        (false, "x7!kQ2z".to_owned()),
        (true, "x7!kQ2zP".to_owned()),
        (true, "🙂".repeat(128)),
        (false, "🙂".repeat(129)),
        // Counted in NFC: an e with its accent is one.
        (true, "e\u{301}".repeat(128)),
    ] {
        assert_eq!(Password::parse(&text).is_ok(), fine, "{text}");
    }
}

#[tokio::test]
async fn the_most_common_passwords_are_known() {
    let is_common = async |text: &str, about: &str| {
        let password = Password::parse(text).unwrap();
        password.is_common(vec![about.to_owned()]).await.unwrap()
    };
    for text in [
        "your_password",
        "a staple of batteries",
        "گذرواژه‌ی خوب",
        &"xQ7".repeat(42),
    ] {
        assert!(!is_common(text, "ann").await, "{text}");
    }
    for text in [
        "password",
        "Password1",
        "12345678",
        "qwertyuiop",
        "aaaaaaaaaaaa",
        "iloveyou",
        "letmein1",
        "11111111",
        "abcdefgh",
    ] {
        assert!(is_common(text, "ann").await, "{text}");
    }
    assert!(
        is_common("marguerite-lee", "marguerite-lee").await,
        "the name itself"
    );
}

#[tokio::test]
async fn a_hash_knows_its_password_and_no_other() {
    let hash = Password::given("a staple of batteries")
        .hash()
        .await
        .unwrap();
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
    let matches = async |text: &str| {
        Password::given(text)
            .matches(Some(hash.clone()))
            .await
            .unwrap()
    };
    assert!(matches("a staple of batteries").await);
    assert!(!matches("a staple of Batteries").await);
    assert!(!matches("").await);
    assert!(!matches(&"x".repeat(60_000)).await);
}

#[tokio::test]
async fn keyboards_that_compose_differently_make_the_same_password() {
    let hash = Password::given("caf\u{e9} staples").hash().await.unwrap();
    assert!(
        Password::given("cafe\u{301} staples")
            .matches(Some(hash))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn without_a_hash_nothing_matches() {
    for text in ["", "nobody has this password"] {
        assert!(!Password::given(text).matches(None).await.unwrap());
    }
    let not_a_hash = Some("plain".to_owned());
    assert!(!Password::given("plain").matches(not_a_hash).await.unwrap());
}
