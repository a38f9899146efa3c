//! Usernames, and the keys by which two are the same.

use proptest::prelude::*;
use salam::models::usernames::{Username, key, parse_display_name};

use url::{Position, Url};

use super::cases;

/// Characters that paths, queries and parsers of URLs give a meaning to, and some that NFKC makes of others.
const HOSTILE: &str = r"[.‥․．…/\\?#%@:;&=+\-_~ 2eE٠aä]{1,12}";

/// Returns a username as clients write it into a path: percent-encoded, but for unreserved characters.
fn encoded(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}

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

    #[test]
    fn a_username_survives_every_parser_of_urls(text in prop_oneof![any::<String>(), HOSTILE]) {
        if let Ok(name) = Username::parse(&text) {
            let path = format!("/api/groups/chat_a1b2c3d4/members/{}/", encoded(name.as_str()));
            let url = Url::parse(&format!("http://h{path}")).unwrap();
            prop_assert_eq!(&url[Position::BeforePath..], path.as_str(), "{:?}", text);
        }
    }
}
