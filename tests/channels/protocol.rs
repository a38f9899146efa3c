//! What counts as JSON and as a post.

use proptest::{prelude::*, test_runner::TestRunner};
use salam::{
    channels::protocol::{
        base::BaseRequest,
        event::{Meaning, Told},
        request::Request,
    },
    models::{events::Event, usernames::is_visible},
};
use serde_json::{Value, json};

use super::any_frames::{any_of, requests};
use crate::support::schemas::is_message;

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
    fn an_event_travels_unchanged(
        seq in any::<i64>(),
        by in proptest::option::of(".*"),
        cid in proptest::option::of("[!-~]{1,128}"),
        kind in "message.created|message.edited|message.deleted|member.left|something.new",
        text in ".*",
    ) {
        let data = json!({"text": text, "user": text}).to_string();
        let event = Event {
            seq,
            at: chrono::DateTime::UNIX_EPOCH.into(),
            by: by.map(Into::into),
            kind: kind.into(),
            cid,
            data: data.clone(),
        };
        let told = Told::new("chat_00000000", &event);
        let heard = Told::decode(&told.frame().into()).unwrap();
        let [heard] = heard.try_into().unwrap();
        prop_assert_eq!((heard.seq, &heard.by), (event.seq, &event.by));
        prop_assert_eq!(&heard.meaning, &told.meaning);
        prop_assert_eq!(heard.frame(), told.frame());
        prop_assert_eq!(heard.puts_out(&text), event.kind == "member.left");
        prop_assert_eq!(heard.meaning == Meaning::Message, event.kind == "message.created");
        let frame: Value = serde_json::from_str(&told.frame()).unwrap();
        prop_assert_eq!(&frame["data"], &serde_json::from_str::<Value>(&data).unwrap());
        prop_assert_eq!(&frame["type"], "event");
    }

    #[test]
    fn events_that_follow_one_another_travel_together(
        lengths in proptest::collection::vec(prop_oneof![0..200_usize, 30_000..70_000_usize], 0..40),
    ) {
        let told: Vec<_> = (1..).zip(&lengths).map(|(seq, length)| message(seq, *length)).collect();
        let payloads = Told::payloads(&told);
        let small = payloads.iter().filter(|payload| payload.len() < 32 * 1024).count();
        prop_assert!(small <= payloads.len() / 2 + 1, "{small} of {}", payloads.len());
        let heard = payloads.iter().map(|payload| Told::decode(payload).unwrap());
        for (payload, events) in payloads.iter().zip(heard.clone()) {
            prop_assert!(payload.len() <= 64 * 1024 || events.len() == 1, "{}", payload.len());
        }
        let heard: Vec<_> = heard.flatten().map(|told| (told.seq, told.frame())).collect();
        let told: Vec<_> = told.iter().map(|told| (told.seq, told.frame())).collect();
        prop_assert_eq!(heard, told);
    }

    #[test]
    fn foreign_payloads_are_no_events(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(Told::decode(&payload.into()).is_none());
    }

    #[test]
    fn cut_events_are_no_events(cut in any::<proptest::sample::Index>()) {
        let frame = message(1, 2).frame();
        let cut = frame.get(..cut.index(frame.len())).unwrap().to_owned();
        let followed = [frame.as_str(), &cut].concat();
        prop_assert_eq!(Told::decode(&followed.into()).is_none(), !cut.is_empty());
        prop_assert!(Told::decode(&cut.into()).is_none());
    }
}

/// A message of so many letters.
fn message(seq: i64, letters: usize) -> Told {
    let event = Event {
        seq,
        at: chrono::DateTime::UNIX_EPOCH.into(),
        by: None,
        kind: "message.created".into(),
        cid: None,
        data: json!({"text": "x".repeat(letters)}).to_string(),
    };
    Told::new("chat_00000000", &event)
}

/// What the document takes, the parser takes.
#[test]
fn a_request_as_documented_is_read() {
    for (kind, message) in requests() {
        let mut runner = TestRunner::default();
        let payload = &message["payload"];
        let read = |request: Value| {
            prop_assert!(is_message(&format!("client.{kind}"), &request), "{request}");
            // A rule that no schema can say.
            let text = request["text"].as_str();
            prop_assume!(text.is_none_or(|text| text.chars().any(is_visible)));
            let read = Request::parse(&request.to_string()).unwrap();
            prop_assert!(!matches!(read, Request::Faulty(_)), "{request}: {read:?}");
            Ok(())
        };
        read(message["examples"][0]["payload"].clone()).unwrap();
        runner.run(&any_of(payload), read).unwrap();
    }
}

#[test]
fn a_required_field_that_is_left_out_is_named() {
    for (kind, message) in requests() {
        for field in message["payload"]["required"].as_array().unwrap() {
            let field = field.as_str().unwrap();
            let mut request = message["examples"][0]["payload"].clone();
            request.as_object_mut().unwrap().remove(field);
            match Request::parse(&request.to_string()).unwrap() {
                Request::Faulty(fault) => assert_eq!(fault.field, Some(field), "{kind}"),
                read => panic!("{kind} without {field}: {read:?}"),
            }
        }
    }
}
