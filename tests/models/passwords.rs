//! The rules for passwords, and their hashes.

use salam::models::{hashing::Requester, passwords::Password};

#[test]
fn a_password_has_8_to_128_characters() {
    for (fine, text) in [
        (false, String::new()),
        (false, "x7!kQ2z".to_owned()),
        (true, "x7!kQ2zP".to_owned()),
        (true, "🙂".repeat(128)),
        (false, "🙂".repeat(129)),
        // Counted in NFC: an e with its accent is one character.
        (true, "e\u{301}".repeat(128)),
    ] {
        assert_eq!(Password::parse(&text).is_ok(), fine, "{text}");
    }
}

#[tokio::test]
async fn common_passwords_are_recognized() {
    let is_common = async |text: &str, about: &str| {
        let password = Password::parse(text).unwrap();
        password
            .is_common(Requester::OPERATOR, vec![about.to_owned()])
            .await
            .unwrap()
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
async fn a_hash_matches_only_its_password() {
    let hash = Password::from_input("a staple of batteries")
        .hash(Requester::OPERATOR)
        .await
        .unwrap();
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
    let matches = async |text: &str| {
        Password::from_input(text)
            .matches(Requester::OPERATOR, Some(hash.clone()))
            .await
            .unwrap()
    };
    assert!(matches("a staple of batteries").await);
    assert!(!matches("a staple of Batteries").await);
    assert!(!matches("").await);
    assert!(!matches(&"x".repeat(60_000)).await);
}

#[tokio::test]
async fn passwords_are_unicode_normalized() {
    let hash = Password::from_input("caf\u{e9} staples")
        .hash(Requester::OPERATOR)
        .await
        .unwrap();
    assert!(
        Password::from_input("cafe\u{301} staples")
            .matches(Requester::OPERATOR, Some(hash))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn without_a_hash_nothing_matches() {
    for text in ["", "nobody has this password"] {
        assert!(
            !Password::from_input(text)
                .matches(Requester::OPERATOR, None)
                .await
                .unwrap()
        );
    }
    let not_a_hash = Some("plain".to_owned());
    assert!(
        !Password::from_input("plain")
            .matches(Requester::OPERATOR, not_a_hash)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn long_passwords_are_checked_at_both_ends() {
    let is_common = async |text: &str| {
        let password = Password::parse(text).unwrap();
        let about = vec!["ann".to_owned()];
        password
            .is_common(Requester::OPERATOR, about)
            .await
            .unwrap()
    };
    for weak in [
        "a".repeat(128),
        "password".repeat(4),
        "qwerty".repeat(20),
        "abc".repeat(9),
    ] {
        assert!(is_common(&weak).await, "{weak}");
    }
    // A weak start does not spoil a strong end, nor the reverse.
    let strong = "tall giraffes rarely whistle";
    for fine in [
        format!("{}{strong}", "a".repeat(40)),
        format!("{strong}{}", "a".repeat(40)),
    ] {
        assert!(!is_common(&fine).await, "{fine}");
    }
    // The check of these passwords once took most of a second.
    let expensive = format!("4@8({{[<369!1|7$50+%2{}", "444555666777".repeat(9));
    assert!(!is_common(&expensive[..128]).await);
}
