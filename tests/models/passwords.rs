//! Which passwords are good enough, and that hashes keep them.

use salam::models::passwords::Password;

#[test]
fn a_password_has_8_to_128_characters_and_is_not_common() {
    for text in [
        "your_password",
        "a staple of batteries",
        "گذرواژه‌ی خوب",
        &"🙂4x".repeat(40),
    ] {
        assert!(Password::choose(text, &["ann"]).is_ok(), "{text}");
    }
    assert!(
        Password::choose(&"xQ7".repeat(42), &[]).is_ok(),
        "126 characters"
    );
    assert!(
        Password::choose(&"xQ7".repeat(43), &[]).is_err(),
        "129 characters"
    );
    for text in [
        "",
        "x7!kQ2",
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
        assert!(Password::choose(text, &[]).is_err(), "{text}");
    }
    assert!(
        Password::choose("marguerite-lee", &["marguerite-lee"]).is_err(),
        "the name itself"
    );
}

#[tokio::test]
async fn a_hash_knows_its_password_and_no_other() {
    let hash = Password::choose("a staple of batteries", &[])
        .unwrap()
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
    let hash = Password::choose("caf\u{e9} staples", &[])
        .unwrap()
        .hash()
        .await
        .unwrap();
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
