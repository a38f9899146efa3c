//! The parsing of frames: JSON and messages.

use proptest::{prelude::*, test_runner::TestRunner};
use salam::{
    channels::protocol::{
        base::BaseRequest,
        event::{EncodedEvent, EventEffect},
        request::Request,
    },
    models::{
        event_data::{EventBody, EventData, MessageCreated},
        events::Event,
        usernames::is_visible,
    },
};
use serde_json::{Value, json};

use super::generated_frames::{client_requests, schema_strategy};
use crate::support::asyncapi::matches_message;

proptest! {
    #[test]
    fn a_base_message_is_parsed_unchanged(text in ".+", key in "[a-l]*") {
        let frame = json!({ key: [1, {"x": null}], "message": text }).to_string();
        prop_assert_eq!(BaseRequest::parse(&frame), Some(BaseRequest::Post(text)));
    }

    #[test]
    fn truncated_json_is_rejected_by_the_base_parser(
        text in ".*", number in any::<f64>(), list in proptest::collection::vec(".*", 0..4),
        cut in any::<proptest::sample::Index>(),
    ) {
        let frame = json!({"a": text, "b": [number, list, {"c": null}]}).to_string();
        prop_assert_eq!(BaseRequest::parse(&frame), Some(BaseRequest::Other));
        let begin: String = frame.chars().take(cut.index(frame.chars().count())).collect();
        prop_assert_eq!(BaseRequest::parse(&begin), None);
    }

    #[test]
    fn an_event_round_trips_between_nodes(
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
            cid,
            body: EventBody::from_log(kind.clone(), data.clone()),
        };
        let encoded = EncodedEvent::encode("chat_00000000", &event);
        let decoded = EncodedEvent::decode_batch(&encoded.frame().into()).unwrap();
        let [decoded] = decoded.try_into().unwrap();
        prop_assert_eq!((decoded.seq, &decoded.actor), (event.seq, &event.by));
        prop_assert_eq!(&decoded.effect, &encoded.effect);
        prop_assert_eq!(decoded.frame(), encoded.frame());
        prop_assert_eq!(decoded.removes_member(&text), kind == "member.left");
        prop_assert_eq!(decoded.effect == EventEffect::CreatesMessage, kind == "message.created");
        let frame: Value = serde_json::from_str(&encoded.frame()).unwrap();
        prop_assert_eq!(&frame["data"], &serde_json::from_str::<Value>(&data).unwrap());
        prop_assert_eq!(&frame["type"], "event");
    }

    #[test]
    fn consecutive_events_are_batched_into_payloads(
        lengths in proptest::collection::vec(prop_oneof![0..200_usize, 30_000..70_000_usize], 0..40),
    ) {
        let encoded: Vec<_> = (1..).zip(&lengths).map(|(seq, length)| message_event(seq, *length)).collect();
        let payloads = EncodedEvent::batch_payloads(&encoded);
        let small = payloads.iter().filter(|payload| payload.len() < 32 * 1024).count();
        prop_assert!(small <= payloads.len() / 2 + 1, "{small} of {}", payloads.len());
        let decoded = payloads.iter().map(|payload| EncodedEvent::decode_batch(payload).unwrap());
        for (payload, events) in payloads.iter().zip(decoded.clone()) {
            prop_assert!(payload.len() <= 64 * 1024 || events.len() == 1, "{}", payload.len());
        }
        let decoded: Vec<_> = decoded.flatten().map(|encoded| (encoded.seq, encoded.frame())).collect();
        let encoded: Vec<_> = encoded.iter().map(|encoded| (encoded.seq, encoded.frame())).collect();
        prop_assert_eq!(decoded, encoded);
    }

    #[test]
    fn random_payloads_do_not_decode_as_events(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(EncodedEvent::decode_batch(&payload.into()).is_none());
    }

    #[test]
    fn truncated_events_do_not_decode(cut in any::<proptest::sample::Index>()) {
        let frame = message_event(1, 2).frame();
        let cut = frame.get(..cut.index(frame.len())).unwrap().to_owned();
        let followed = [frame.as_str(), &cut].concat();
        prop_assert_eq!(EncodedEvent::decode_batch(&followed.into()).is_none(), !cut.is_empty());
        prop_assert!(EncodedEvent::decode_batch(&cut.into()).is_none());
    }
}

/// Returns a message event with a text of this length.
fn message_event(seq: i64, letters: usize) -> EncodedEvent {
    let event = Event {
        seq,
        at: chrono::DateTime::UNIX_EPOCH.into(),
        by: None,
        cid: None,
        body: EventBody::new(EventData::MessageCreated(MessageCreated {
            text: Some("x".repeat(letters)),
            ..MessageCreated::default()
        })),
    };
    EncodedEvent::encode("chat_00000000", &event)
}

/// The parser accepts every request that the AsyncAPI document allows.
#[test]
fn documented_requests_are_parsed() {
    for (kind, message) in client_requests() {
        let mut runner = TestRunner::default();
        let payload = &message["payload"];
        let read = |request: Value| {
            prop_assert!(
                matches_message(&format!("client.{kind}"), &request),
                "{request}"
            );
            // A rule that a schema cannot express.
            let text = request["text"].as_str();
            prop_assume!(text.is_none_or(|text| text.chars().any(is_visible)));
            let read = Request::parse(&request.to_string()).unwrap();
            prop_assert!(read.is_ok(), "{request}: {read:?}");
            Ok(())
        };
        read(message["examples"][0]["payload"].clone()).unwrap();
        runner.run(&schema_strategy(payload), read).unwrap();
    }
}

#[test]
fn a_missing_required_field_is_named() {
    for (kind, message) in client_requests() {
        for field in message["payload"]["required"].as_array().unwrap() {
            let field = field.as_str().unwrap();
            let mut request = message["examples"][0]["payload"].clone();
            request.as_object_mut().unwrap().remove(field);
            match Request::parse(&request.to_string()).unwrap() {
                Err(error) => assert_eq!(error.field, Some(field), "{kind}"),
                read => panic!("{kind} without {field}: {read:?}"),
            }
        }
    }
}
