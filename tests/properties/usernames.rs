//! Usernames, and the keys by which two are the same.

use proptest::prelude::*;
use salam::models::usernames::{Username, key, parse_display_name};

use super::cases;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn any_text_is_a_username_as_it_is_stored_or_none(text in any::<String>()) {
        if let Ok(name) = Username::parse(&text) {
            prop_assert_eq!(Username::parse(name.as_str()), Ok(name.clone()), "{:?}", text);
            prop_assert_eq!(key(name.as_str()), name.key());
        }
    }

    #[test]
    fn the_key_of_a_key_is_that_key(text in any::<String>()) {
        let once = key(&text);
        prop_assert_eq!(key(&once), once, "{:?}", text);
    }

    #[test]
    fn any_text_is_a_display_name_as_it_is_stored_or_none(text in any::<String>()) {
        if let Ok(name) = parse_display_name(&text) {
            prop_assert_eq!(parse_display_name(&name), Ok(name.clone()), "{:?}", text);
        }
    }
}
