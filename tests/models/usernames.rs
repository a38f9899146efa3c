//! What may be a username, and when two are the same.

use proptest::prelude::*;
use salam::models::usernames::{Username, key, parse_display_name};

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
fn everything_else_is_not() {
    let too_long = "x".repeat(151);
    // One character that NFKC makes eighteen of.
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
fn letter_case_makes_no_other_name() {
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
    assert_ne!(key("ann"), key("anna"));
    assert_ne!(key("ı"), key("i"));
}

#[test]
fn display_names_are_free_but_for_control_characters() {
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
    fn a_stored_username_is_stored_as_it_is(text in "[\\p{L}\\p{N}@.+_-]{1,20}") {
        if let Ok(name) = Username::parse(&text) {
            prop_assert_eq!(Username::parse(name.as_str()), Ok(name.clone()));
            prop_assert_eq!(key(&name.key()), name.key());
        }
    }

    #[test]
    fn shouting_and_whispering_do_not_matter(text in "[\\p{Latin}\\p{Cyrillic}\\p{Greek}]{1,10}") {
        // Folding knows no locale; Rust's own mapping of İ and ς is told apart by it rightly.
        let shouted = text.to_uppercase();
        if let (Ok(_), Ok(_)) = (Username::parse(&text), Username::parse(&shouted)) {
            prop_assume!(shouted.to_lowercase().to_uppercase() == shouted);
            prop_assert_eq!(key(&shouted), key(&shouted.to_lowercase()));
        }
    }
}
