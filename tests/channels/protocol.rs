//! What counts as JSON and as a post.

use proptest::prelude::*;
use salam::channels::protocol::{BaseRequest, Post};
use serde_json::json;

proptest! {
    #[test]
    fn a_text_is_posted_as_it_was_sent(text in ".+", key in "[a-l]*") {
        let frame = json!({ key: [1, {"x": null}], "message": text }).to_string();
        prop_assert_eq!(BaseRequest::parse(&frame), Some(BaseRequest::Post(text)));
    }

    #[test]
    fn what_serde_takes_for_json_is_json_and_what_is_cut_is_not(
        text in ".*", number in any::<f64>(), list in proptest::collection::vec(".*", 0..4),
        cut in any::<proptest::sample::Index>(),
    ) {
        let frame = json!({"a": text, "b": [number, list, {"c": null}]}).to_string();
        prop_assert_eq!(BaseRequest::parse(&frame), Some(BaseRequest::Other));
        let begin: String = frame.chars().take(cut.index(frame.chars().count())).collect();
        prop_assert_eq!(BaseRequest::parse(&begin), None);
    }

    #[test]
    fn a_post_travels_unchanged(seq in any::<i64>(), by in proptest::option::of(".*")) {
        let post = Post::message(seq, by);
        prop_assert_eq!(Post::decode(&post.encode()), Some(post));
    }

    #[test]
    fn foreign_payloads_are_no_posts(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assume!(serde_json::from_slice::<serde_json::Value>(&payload).is_err());
        prop_assert_eq!(Post::decode(&payload), None);
    }
}
