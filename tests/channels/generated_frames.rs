//! Frames that are generated from the AsyncAPI document. Each valid frame gets its documented reply, and
//! no other frame does harm.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Map, Value, json};

use crate::support::{
    RichSocket, TestApp,
    asyncapi::{ASYNCAPI, matches_message},
};

/// Returns the requests of a rich client, by type.
pub fn client_requests() -> Vec<(&'static str, &'static Value)> {
    let messages = ASYNCAPI["components"]["messages"].as_object().unwrap();
    let requests = messages
        .iter()
        .filter_map(|(name, message)| Some((name.strip_prefix("client.")?, message)));
    requests.collect()
}

#[tokio::test]
async fn error_replies_name_the_invalid_field() {
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let mut socket = ann.open_live(&group).await;
    let mut replies = String::new();
    for (kind, message) in client_requests() {
        let mut good = message["examples"][0]["payload"].clone();
        if good.get("group").is_some() {
            good["group"] = json!(group);
        }
        let properties = message["payload"]["properties"].as_object().unwrap();
        for (field, schema) in properties {
            let mut codes = BTreeMap::<String, String>::new();
            for (what, wrong) in invalid_values(schema) {
                let mut request = good.clone();
                match wrong {
                    Some(wrong) => request[field] = wrong,
                    None => drop(request.as_object_mut().unwrap().remove(field)),
                }
                if matches_message(&format!("client.{kind}"), &request) {
                    continue;
                }
                socket.send_raw(request.to_string()).await;
                let error = socket.next_frame().await;
                assert_eq!(error["type"], "error", "{request}: {error}");
                assert_eq!(error["field"], json!(field), "{request}: {error}");
                let id = request["id"].as_i64().filter(|_| field != "id");
                assert_eq!(error["id"], json!(id), "{request}: {error}");
                let code = error["code"].as_str().unwrap().to_owned();
                *codes.entry(code).or_default() += &format!(" | {what}");
            }
            for (code, wrong) in codes {
                replies += &format!("{kind}.{field} {code}{wrong}\n");
            }
        }
    }
    assert_snapshot!(replies, @r#"
    auth.id invalid | missing | null | true | 1.5 | "x" | {} | [] | [5] | [null] | [{}] | -9007199254740992 | 9007199254740992 | 2^64 - 1 | 1e300
    auth.token invalid | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}]
    auth.type invalid | missing | null | true | 5 | 1.5 | "x" | {} | [] | [5] | [null] | [{}]
    delete.cid invalid | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}] | "" | "a b" | "é" | "\u{7f}" | 129 characters
    delete.group invalid | missing | null | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}]
    delete.id invalid | missing | null | true | 1.5 | "x" | {} | [] | [5] | [null] | [{}] | -9007199254740992 | 9007199254740992 | 2^64 - 1 | 1e300
    delete.seq invalid | missing | null | true | 1.5 | "x" | {} | [] | [5] | [null] | [{}] | 0 | 9007199254740992 | 2^64 - 1 | 1e300
    delete.type invalid | missing | null | true | 5 | 1.5 | "x" | {} | [] | [5] | [null] | [{}]
    edit.cid invalid | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}] | "" | "a b" | "é" | "\u{7f}" | 129 characters
    edit.group invalid | missing | null | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}]
    edit.id invalid | missing | null | true | 1.5 | "x" | {} | [] | [5] | [null] | [{}] | -9007199254740992 | 9007199254740992 | 2^64 - 1 | 1e300
    edit.seq invalid | missing | null | true | 1.5 | "x" | {} | [] | [5] | [null] | [{}] | 0 | 9007199254740992 | 2^64 - 1 | 1e300
    edit.text invalid | missing | null | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}] | ""
    edit.text too_large | 8001 characters
    edit.type invalid | missing | null | true | 5 | 1.5 | "x" | {} | [] | [5] | [null] | [{}]
    react.cid invalid | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}] | "" | "a b" | "é" | "\u{7f}" | 129 characters
    react.emoji invalid | missing | null | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}]
    react.group invalid | missing | null | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}]
    react.id invalid | missing | null | true | 1.5 | "x" | {} | [] | [5] | [null] | [{}] | -9007199254740992 | 9007199254740992 | 2^64 - 1 | 1e300
    react.on invalid | missing | null | 5 | 1.5 | "x" | {} | [] | [5] | [null] | [{}]
    react.seq invalid | missing | null | true | 1.5 | "x" | {} | [] | [5] | [null] | [{}] | 0 | 9007199254740992 | 2^64 - 1 | 1e300
    react.type invalid | missing | null | true | 5 | 1.5 | "x" | {} | [] | [5] | [null] | [{}]
    read.group invalid | missing | null | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}]
    read.seq invalid | missing | null | true | 1.5 | "x" | {} | [] | [5] | [null] | [{}] | -1 | 9007199254740992 | 2^64 - 1 | 1e300
    read.type invalid | missing | null | true | 5 | 1.5 | "x" | {} | [] | [5] | [null] | [{}]
    send.cid invalid | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}] | "" | "a b" | "é" | "\u{7f}" | 129 characters
    send.group invalid | missing | null | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}]
    send.id invalid | missing | null | true | 1.5 | "x" | {} | [] | [5] | [null] | [{}] | -9007199254740992 | 9007199254740992 | 2^64 - 1 | 1e300
    send.reply_to invalid | true | 1.5 | "x" | {} | [] | [5] | [null] | [{}] | 0 | 9007199254740992 | 2^64 - 1 | 1e300
    send.text invalid | missing | null | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}] | ""
    send.text too_large | 8001 characters
    send.type invalid | missing | null | true | 5 | 1.5 | "x" | {} | [] | [5] | [null] | [{}]
    sub.epoch invalid | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}]
    sub.groups invalid | missing | null | true | 5 | 1.5 | "x" | {} | [5] | [null] | [{}] | [].after true | [].after 1.5 | [].after "x" | [].after {} | [].after [] | [].after [5] | [].after [null] | [].after [{}] | [].after -1 | [].after 9007199254740992 | [].after 2^64 - 1 | [].after 1e300 | [].group missing | [].group null | [].group true | [].group 5 | [].group 1.5 | [].group {} | [].group [] | [].group [5] | [].group [null] | [].group [{}]
    sub.id invalid | missing | null | true | 1.5 | "x" | {} | [] | [5] | [null] | [{}] | -9007199254740992 | 9007199254740992 | 2^64 - 1 | 1e300
    sub.type invalid | missing | null | true | 5 | 1.5 | "x" | {} | [] | [5] | [null] | [{}]
    typing.group invalid | missing | null | true | 5 | 1.5 | {} | [] | [5] | [null] | [{}]
    typing.on invalid | missing | null | 5 | 1.5 | "x" | {} | [] | [5] | [null] | [{}]
    typing.type invalid | missing | null | true | 5 | 1.5 | "x" | {} | [] | [5] | [null] | [{}]
    unsub.groups invalid | missing | null | true | 5 | 1.5 | "x" | {} | [5] | [null] | [{}]
    unsub.id invalid | missing | null | true | 1.5 | "x" | {} | [] | [5] | [null] | [{}] | -9007199254740992 | 9007199254740992 | 2^64 - 1 | 1e300
    unsub.type invalid | missing | null | true | 5 | 1.5 | "x" | {} | [] | [5] | [null] | [{}]
    "#);
    socket.expect_no_frames().await;
}

/// Returns invalid values of a field, each with its name in the snapshot. `None` leaves the field out.
fn invalid_values(schema: &Value) -> Vec<(String, Option<Value>)> {
    let mut wrong = vec![("missing".to_owned(), None)];
    let mut add = |what: String, value| wrong.push((what, Some(value)));
    for value in [json!(null), json!(true), json!(5), json!(1.5), json!("x")] {
        add(value.to_string(), value);
    }
    add("{}".to_owned(), json!({}));
    for value in [json!([]), json!([5]), json!([null]), json!([{}])] {
        add(value.to_string(), value);
    }
    if let Some(least) = schema["minimum"].as_i64() {
        add((least - 1).to_string(), json!(least - 1));
    }
    if let Some(most) = schema["maximum"].as_i64() {
        add((most + 1).to_string(), json!(most + 1));
        add("2^64 - 1".to_owned(), json!(u64::MAX));
        add("1e300".to_owned(), json!(1e300));
    }
    if schema.get("minLength").is_some() || schema.get("pattern").is_some() {
        add("\"\"".to_owned(), json!(""));
    }
    if let Some(most) = schema["maxLength"].as_u64() {
        let many = usize::try_from(most + 1).unwrap();
        add(format!("{many} characters"), json!("é".repeat(many)));
    }
    if schema.get("pattern").is_some() {
        for text in ["a b", "é", "\u{7f}"] {
            add(format!("{text:?}"), json!(text));
        }
        add("129 characters".to_owned(), json!("x".repeat(129)));
    }
    let inner = schema["items"]["properties"].as_object();
    for (field, schema) in inner.into_iter().flatten() {
        for (what, value) in invalid_values(schema) {
            let mut item = json!({"group": "chat_00000000"});
            match value {
                Some(value) => item[field] = value,
                None => drop(item.as_object_mut().unwrap().remove(field)),
            }
            add(format!("[].{field} {what}"), json!([item]));
        }
    }
    wrong
}

/// Every frame that expects a reply gets one reply, and the socket stays open.
#[tokio::test]
async fn every_generated_frame_gets_one_reply_and_keeps_the_socket_open() {
    const FRAME_COUNT: i64 = 400;
    let app = TestApp::with_settings(json!({"channels": {"sends_per_10s": 1_000_000}})).await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    ann.send_message(&group, "first", "first").await;
    let mut socket = ann.open_live(&group).await;
    let mut runner = TestRunner::default();
    for round in 0..FRAME_COUNT {
        let frame = frame_strategy(&group)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        socket.send_raw(frame.to_string()).await;
        let replies = replies_before(&mut socket, -1_000_000 - round).await;
        let id = frame["id"].as_i64();
        let id = id.filter(|id| id.unsigned_abs() < 1 << 53);
        match frame["type"].as_str() {
            Some(kind @ ("read" | "typing")) => {
                let is_good = matches_message(&format!("client.{kind}"), &frame);
                let is_here = frame["group"] == json!(group);
                assert_eq!(
                    replies.is_empty(),
                    is_good && is_here,
                    "{frame}: {replies:?}"
                );
                assert!(replies.len() <= 1, "{frame}: {replies:?}");
            }
            _ => {
                let [reply] = replies.as_slice() else {
                    panic!("one reply to {frame}, not {replies:?}");
                };
                assert_eq!(reply["id"], json!(id), "{frame}: {reply}");
                if frame["type"] == "unsub" {
                    let back = json!({"type": "sub", "groups": [{"group": group}]});
                    socket.request_collecting(back).await;
                }
            }
        }
    }
}

/// Returns the replies that come before the reply to a request of the test.
async fn replies_before(socket: &mut RichSocket, id: i64) -> Vec<Value> {
    let last = json!({"type": "auth", "id": id});
    socket.send_raw(last.to_string()).await;
    let mut replies = Vec::new();
    loop {
        let frame = socket.next_frame().await;
        match frame["type"].as_str() {
            Some("ok") if frame["id"] == json!(id) => return replies,
            Some("ok" | "error") => replies.push(frame),
            _ => {}
        }
    }
}

/// Generates any JSON. Most values are objects with the fields of requests and valid values.
fn frame_strategy(group: &str) -> impl Strategy<Value = Value> + use<> {
    let mut fields = Map::new();
    for (_, message) in client_requests() {
        let properties = message["payload"]["properties"].as_object().unwrap();
        fields.extend(properties.clone());
    }
    let kinds: Vec<_> = client_requests()
        .iter()
        .map(|(kind, _)| json!(kind))
        .collect();
    let group = json!(group);
    let fields: Vec<_> = fields.into_iter().collect();
    let fields = fields.into_iter().map(move |(name, schema)| {
        let right = match name.as_str() {
            "type" => proptest::sample::select(kinds.clone()).boxed(),
            "group" => Just(group.clone()).boxed(),
            "groups" => Just(json!([{"group": group, "after": 0}])).boxed(),
            "seq" | "reply_to" => (0..9i64).prop_map(|seq| json!(seq)).boxed(),
            _ => schema_strategy(&schema),
        };
        let value = prop_oneof![8 => right, 1 => json_strategy()];
        let there = proptest::option::weighted(0.8, value);
        there.prop_map(move |value| value.map(|value| (name.clone(), value)))
    });
    let object = fields.collect::<Vec<_>>().prop_map(|fields| {
        let fields = fields.into_iter().flatten();
        Value::Object(fields.collect())
    });
    prop_oneof![9 => object, 1 => json_strategy()]
}

fn json_strategy() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        ".{0,20}".prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        let key = prop_oneof![
            "[a-z]{0,6}",
            Just("group".to_owned()),
            Just("after".to_owned())
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|values| json!(values)),
            proptest::collection::btree_map(key, inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
}

/// Generates values that a schema accepts.
pub fn schema_strategy(schema: &Value) -> BoxedStrategy<Value> {
    if let Some(only) = schema.get("const") {
        return Just(only.clone()).boxed();
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    let types = types.iter().map(|name| match name.as_str().unwrap() {
        "null" => Just(Value::Null).boxed(),
        "boolean" => any::<bool>().prop_map(|flag| json!(flag)).boxed(),
        "integer" => integer_strategy(schema),
        "string" => string_strategy(schema),
        "array" => proptest::collection::vec(schema_strategy(&schema["items"]), 0..4)
            .prop_map(|items| json!(items))
            .boxed(),
        "object" => object_strategy(schema),
        other => panic!("{other}"),
    });
    proptest::strategy::Union::new(types).boxed()
}

fn integer_strategy(schema: &Value) -> BoxedStrategy<Value> {
    let bound = |key: &str| schema[key].as_i64().unwrap();
    let (least, most) = (bound("minimum"), bound("maximum"));
    prop_oneof![least..=most, least..=least + 99, Just(most)]
        .prop_map(|number| json!(number))
        .boxed()
}

fn string_strategy(schema: &Value) -> BoxedStrategy<Value> {
    if schema["format"] == "emoji" {
        return proptest::sample::select(vec![json!("👍"), json!("❤️")]).boxed();
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
        let texts = proptest::string::string_regex(pattern).unwrap();
        return texts.prop_map(|text| json!(text)).boxed();
    }
    let least = schema["minLength"].as_u64().unwrap_or(0);
    let short = proptest::string::string_regex(&format!("(?s).{{{least},40}}")).unwrap();
    let longest = schema["maxLength"].as_u64().unwrap_or(100);
    let longest = "é".repeat(usize::try_from(longest).unwrap());
    prop_oneof![9 => short, 1 => Just(longest)]
        .prop_map(|text| json!(text))
        .boxed()
}

fn object_strategy(schema: &Value) -> BoxedStrategy<Value> {
    let required: Vec<String> =
        serde_json::from_value(schema["required"].clone()).unwrap_or_default();
    let properties = schema["properties"].as_object().unwrap();
    let fields = properties.iter().map(|(name, schema)| {
        let name = name.clone();
        let is_required = required.contains(&name);
        (schema_strategy(schema), any::<bool>())
            .prop_map(move |(value, there)| (is_required || there).then(|| (name.clone(), value)))
    });
    let fields: Vec<_> = fields.collect();
    let object = fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect()));
    object.boxed()
}
