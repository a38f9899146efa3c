//! Usernames, and their keys for comparison.

use proptest::prelude::*;
use salam::models::usernames::{Username, parse_display_name, username_key};

use url::{Position, Url};

use super::proptest_cases;

/// Characters with a meaning in paths, queries and URLs, and some that NFKC turns into such characters.
const HOSTILE_PATTERN: &str = r"[.‥․．…/\\?#%@:;&=+\-_~ 2eE٠aä]{1,12}";

/// Returns a username percent-encoded for a path.
fn percent_encode(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(proptest_cases()))]

    #[test]
    fn username_parsing_of_any_text_is_idempotent(text in any::<String>()) {
        if let Ok(name) = Username::parse(&text) {
            prop_assert_eq!(Username::parse(name.as_str()), Ok(name.clone()), "{:?}", text);
            prop_assert_eq!(username_key(name.as_str()), name.key());
        }
    }

    #[test]
    fn username_keys_are_idempotent(text in any::<String>()) {
        let once = username_key(&text);
        prop_assert_eq!(username_key(&once), once, "{:?}", text);
    }

    #[test]
    fn display_name_parsing_of_any_text_is_idempotent(text in any::<String>()) {
        if let Ok(name) = parse_display_name(&text) {
            prop_assert_eq!(parse_display_name(&name), Ok(name.clone()), "{:?}", text);
        }
    }

    #[test]
    fn usernames_survive_url_parsing(text in prop_oneof![any::<String>(), HOSTILE_PATTERN]) {
        if let Ok(name) = Username::parse(&text) {
            let path = format!("/api/groups/chat_a1b2c3d4/members/{}/", percent_encode(name.as_str()));
            let url = Url::parse(&format!("http://h{path}")).unwrap();
            prop_assert_eq!(&url[Position::BeforePath..], path.as_str(), "{:?}", text);
        }
    }
}
