//! The kinds of events, as they are stored and read.

use salam::models::{
    event_data::{
        EventBody, EventData, EventEffect, GroupUpdated, LeaveReason, MemberJoined, MemberLeft,
        MemberRole, MessageCreated, MessageDeleted, MessageEdited, ReactionData,
    },
    memberships::Role,
};

/// An event of each kind with its stored form. The compiler has no list of the variants, so a new kind is added
/// here by hand.
fn stored_events() -> Vec<(EventData, &'static str, &'static str)> {
    let reaction = || ReactionData {
        emoji: "👍".to_owned(),
        seq: 4,
    };
    vec![
        (
            EventData::MessageCreated(MessageCreated {
                text: Some("hi".to_owned()),
                ..MessageCreated::default()
            }),
            "message.created",
            r#"{"text":"hi"}"#,
        ),
        (
            EventData::MessageCreated(MessageCreated {
                text: Some("hi".to_owned()),
                reply_to: Some(3),
                ..MessageCreated::default()
            }),
            "message.created",
            r#"{"reply_to":3,"text":"hi"}"#,
        ),
        (
            EventData::MessageCreated(MessageCreated::deleted()),
            "message.created",
            r#"{"deleted":true,"text":null}"#,
        ),
        (
            EventData::MessageCreated(
                MessageCreated {
                    reply_to: Some(3),
                    ..MessageCreated::default()
                }
                .with_edit(Some("hi!".to_owned())),
            ),
            "message.created",
            r#"{"edited":true,"reply_to":3,"text":"hi!"}"#,
        ),
        (
            EventData::MessageEdited(MessageEdited::new(4, "hi!".to_owned())),
            "message.edited",
            r#"{"seq":4,"text":"hi!"}"#,
        ),
        (
            EventData::MessageEdited(MessageEdited::replaced(4)),
            "message.edited",
            r#"{"replaced":true,"seq":4,"text":""}"#,
        ),
        (
            EventData::MessageEdited(MessageEdited::deleted(4)),
            "message.edited",
            r#"{"deleted":true,"seq":4,"text":null}"#,
        ),
        (
            EventData::MessageDeleted(MessageDeleted { seq: 4 }),
            "message.deleted",
            r#"{"seq":4}"#,
        ),
        (
            EventData::ReactionAdded(reaction()),
            "reaction.added",
            r#"{"emoji":"👍","seq":4}"#,
        ),
        (
            EventData::ReactionRemoved(reaction()),
            "reaction.removed",
            r#"{"emoji":"👍","seq":4}"#,
        ),
        (
            EventData::MemberJoined(MemberJoined {
                user: "bob".to_owned(),
                name: "Bob Ray".to_owned(),
                role: Role::Member,
            }),
            "member.joined",
            r#"{"name":"Bob Ray","role":"member","user":"bob"}"#,
        ),
        (
            EventData::MemberLeft(MemberLeft {
                user: "bob".to_owned(),
                reason: LeaveReason::Kicked,
            }),
            "member.left",
            r#"{"reason":"kicked","user":"bob"}"#,
        ),
        (
            EventData::MemberRole(MemberRole {
                user: "bob".to_owned(),
                role: Role::Admin,
            }),
            "member.role",
            r#"{"role":"admin","user":"bob"}"#,
        ),
        (
            EventData::GroupUpdated(GroupUpdated { title: None }),
            "group.updated",
            r#"{"title":null}"#,
        ),
    ]
}

#[test]
fn each_kind_is_stored_and_read_unchanged() {
    for (data, kind, json) in stored_events() {
        let body = EventBody::new(data.clone());
        assert_eq!((body.kind(), body.json().get()), (kind, json));
        let read = EventBody::from_log(kind.to_owned(), json.to_owned());
        assert_eq!(read.data().as_deref(), Some(&data), "{kind} {json}");
        assert_eq!(read.effect(), data.effect(), "{kind} {json}");
        assert_eq!(read, body);
    }
}

#[test]
fn only_the_marks_of_the_log_say_that_a_text_is_gone() {
    for (data, _, json) in stored_events() {
        let is_marked = ["deleted", "edited", "replaced"]
            .iter()
            .any(|mark| json.contains(&format!("\"{mark}\":true")));
        assert_eq!(data.is_redacted(), is_marked, "{json}");
    }
}

#[test]
fn events_of_newer_nodes_pass_through() {
    let unknown = EventBody::from_log("poll.closed".to_owned(), r#"{"poll":7}"#.to_owned());
    assert_eq!(unknown.kind(), "poll.closed");
    assert_eq!(unknown.json().get(), r#"{"poll":7}"#);
    assert_eq!(unknown.data(), None);
    assert_eq!(unknown.effect(), EventEffect::Other);
    // A known kind with values and fields that only the newer node knows keeps its effect.
    for (kind, json, effect) in [
        (
            "member.left",
            r#"{"user":"bob","reason":"expired","until":5}"#,
            EventEffect::RemovesMember("bob".to_owned()),
        ),
        (
            "member.left",
            r#"{"user":"bob"}"#,
            EventEffect::RemovesMember("bob".to_owned()),
        ),
        (
            "member.joined",
            r#"{"user":"bob","role":"guest"}"#,
            EventEffect::AddsMember("bob".to_owned()),
        ),
        ("message.deleted", "{}", EventEffect::DeletesMessage(0)),
        ("message.created", "[]", EventEffect::CreatesMessage),
    ] {
        let read = EventBody::from_log(kind.to_owned(), json.to_owned());
        assert_eq!(read.effect(), effect, "{kind} {json}");
    }
}
