//! Invalid requests of a rich client.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{GroupPath, TestApp};

#[tokio::test]
async fn invalid_requests_get_an_error_reply_that_names_the_fault() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    ann.send_message(&group, "ann's", "1").await;
    let mut socket = bob.open_live(&group).await;
    let g = json!(group);
    let long = "é".repeat(8001);
    let deep = format!(
        r#"{{"id": 1, "type": {}1{}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    let frames = [
        json!([]).to_string(),
        json!("send").to_string(),
        "7".to_owned(),
        "{}".to_owned(),
        deep,
        r#"{"type": "send", "id": 1, "group": "x", "text": "\ud800"}"#.to_owned(),
        json!({"id": 1, "type": 5}).to_string(),
        json!({"id": 1, "type": "dance"}).to_string(),
        json!({"type": "send", "group": g, "text": "hi"}).to_string(),
        json!({"id": "7", "type": "send", "group": g, "text": "hi"}).to_string(),
        json!({"id": 1.5, "type": "send", "group": g, "text": "hi"}).to_string(),
        json!({"id": 1, "type": "send", "text": "hi"}).to_string(),
        json!({"id": 1, "type": "send", "group": 5, "text": "hi"}).to_string(),
        json!({"id": 1, "type": "send", "group": "chat_00000000", "text": "hi"}).to_string(),
        json!({"id": 1, "type": "send", "group": g}).to_string(),
        json!({"id": 1, "type": "send", "group": g, "text": null}).to_string(),
        json!({"id": 1, "type": "send", "group": g, "text": ""}).to_string(),
        json!({"id": 1, "type": "send", "group": g, "text": long}).to_string(),
        json!({"id": 1, "type": "send", "group": g, "text": "hi", "cid": ""}).to_string(),
        json!({"id": 1, "type": "send", "group": g, "text": "hi", "cid": "a b"}).to_string(),
        json!({"id": 1, "type": "send", "group": g, "text": "hi", "cid": "x".repeat(129)})
            .to_string(),
        json!({"id": 1, "type": "send", "group": g, "text": "hi", "cid": 5}).to_string(),
        json!({"id": 1, "type": "send", "group": g, "text": "hi", "reply_to": 0}).to_string(),
        json!({"id": 1, "type": "send", "group": g, "text": "hi", "reply_to": 99}).to_string(),
        // An event that is not a message.
        json!({"id": 1, "type": "send", "group": g, "text": "hi", "reply_to": 1}).to_string(),
        json!({"id": 1, "type": "edit", "group": g, "text": "hi"}).to_string(),
        json!({"id": 1, "type": "edit", "group": g, "seq": "2", "text": "hi"}).to_string(),
        json!({"id": 1, "type": "edit", "group": g, "seq": 2}).to_string(),
        json!({"id": 1, "type": "edit", "group": g, "seq": 2, "text": "not mine"}).to_string(),
        json!({"id": 1, "type": "edit", "group": g, "seq": 1, "text": "no message"}).to_string(),
        json!({"id": 1, "type": "edit", "group": g, "seq": 99, "text": "none"}).to_string(),
        json!({"id": 1, "type": "delete", "group": g}).to_string(),
        json!({"id": 1, "type": "delete", "group": g, "seq": -1}).to_string(),
        json!({"id": 1, "type": "delete", "group": g, "seq": i64::MAX}).to_string(),
        json!({"id": 1, "type": "delete", "group": g, "seq": 2}).to_string(),
        json!({"id": 1, "type": "react", "group": g, "emoji": "👍", "on": true}).to_string(),
        json!({"id": 1, "type": "react", "group": g, "seq": 0, "emoji": "👍", "on": true})
            .to_string(),
        json!({"id": 1, "type": "react", "group": g, "seq": 2, "on": true}).to_string(),
        json!({"id": 1, "type": "react", "group": g, "seq": 2, "emoji": 5, "on": true}).to_string(),
        json!({"id": 1, "type": "react", "group": g, "seq": 2, "emoji": "", "on": true})
            .to_string(),
        json!({"id": 1, "type": "react", "group": g, "seq": 2, "emoji": "ok", "on": true})
            .to_string(),
        json!({"id": 1, "type": "react", "group": g, "seq": 2, "emoji": "👍👍", "on": true})
            .to_string(),
        json!({"id": 1, "type": "react", "group": g, "seq": 2, "emoji": "👍"}).to_string(),
        json!({"id": 1, "type": "react", "group": g, "seq": 2, "emoji": "👍", "on": 1}).to_string(),
        json!({"id": 1, "type": "react", "group": g, "seq": 1, "emoji": "👍", "on": true})
            .to_string(),
        json!({"id": 1, "type": "react", "group": g, "seq": 99, "emoji": "👍", "on": false})
            .to_string(),
        json!({"id": 1, "type": "react", "group": "chat_00000000", "seq": 1, "emoji": "👍", "on": true})
            .to_string(),
        json!({"id": 1, "type": "sub"}).to_string(),
        json!({"id": 1, "type": "sub", "groups": []}).to_string(),
        json!({"id": 1, "type": "sub", "groups": [{"group": g}, {"group": g}]}).to_string(),
        json!({"id": 1, "type": "sub", "groups": [{"group": g, "after": -1}]}).to_string(),
        json!({"id": 1, "type": "sub", "groups": [{"group": "chat_00000000"}]}).to_string(),
        json!({"id": 1, "type": "auth", "token": 5}).to_string(),
        json!({"id": 1, "type": "auth", "token": "x"}).to_string(),
        json!({"id": 1, "type": "auth", "token": ann.access}).to_string(),
        json!({"id": 1, "type": "auth", "token": bob.refresh}).to_string(),
    ];
    let mut replies = String::new();
    for frame in frames {
        socket.send_raw(&*frame).await;
        let error = socket.next_frame().await;
        assert_eq!(error["type"], "error", "{frame}: {error}");
        let mut keys: Vec<_> = error.as_object().unwrap().keys().collect();
        keys.sort();
        let expected = [
            "code",
            "field",
            "id",
            "message",
            "retry",
            "retry_after_ms",
            "type",
        ];
        assert_eq!(keys, expected);
        let frame: String = frame
            .replace(&group, "[group]")
            .replace(&ann.access, "[ann's]")
            .replace(&bob.refresh, "[refresh]")
            .chars()
            .take(90)
            .collect();
        replies += &format!(
            "{} {} {} {}: {frame}\n",
            error["id"], error["code"], error["field"], error["message"]
        );
    }
    assert_snapshot!(replies, @r#"
    null "invalid" null "A frame must be a JSON object of valid Unicode that is not nested too deeply.": []
    null "invalid" null "A frame must be a JSON object of valid Unicode that is not nested too deeply.": "send"
    null "invalid" null "A frame must be a JSON object of valid Unicode that is not nested too deeply.": 7
    null "invalid" "type" "This field is required.": {}
    null "invalid" null "A frame must be a JSON object of valid Unicode that is not nested too deeply.": {"id": 1, "type": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
    null "invalid" null "A frame must be a JSON object of valid Unicode that is not nested too deeply.": {"type": "send", "id": 1, "group": "x", "text": "\ud800"}
    1 "invalid" "type" "This must be a string.": {"id":1,"type":5}
    1 "invalid" "type" "Unknown type of request.": {"id":1,"type":"dance"}
    null "invalid" "id" "This must be a whole number.": {"group":"[group]","text":"hi","type":"send"}
    null "invalid" "id" "This must be a whole number.": {"group":"[group]","id":"7","text":"hi","type":"send"}
    null "invalid" "id" "This must be a whole number.": {"group":"[group]","id":1.5,"text":"hi","type":"send"}
    1 "invalid" "group" "This field is required.": {"id":1,"text":"hi","type":"send"}
    1 "invalid" "group" "This must be a string.": {"group":5,"id":1,"text":"hi","type":"send"}
    1 "not_member" "group" "This socket is not subscribed to this group.": {"group":"chat_00000000","id":1,"text":"hi","type":"send"}
    1 "invalid" "text" "This field is required.": {"group":"[group]","id":1,"type":"send"}
    1 "invalid" "text" "This must be a string.": {"group":"[group]","id":1,"text":null,"type":"send"}
    1 "invalid" "text" "This must have at least one visible character.": {"group":"[group]","id":1,"text":"","type":"send"}
    1 "too_large" "text" "This must have at most `limits.text` characters.": {"group":"[group]","id":1,"text":"éééééééééééééééééééééééééééééééééééééééééééééééééééééééé
    1 "invalid" "cid" "This must be 1 to 128 ASCII characters without spaces.": {"cid":"","group":"[group]","id":1,"text":"hi","type":"send"}
    1 "invalid" "cid" "This must be 1 to 128 ASCII characters without spaces.": {"cid":"a b","group":"[group]","id":1,"text":"hi","type":"send"}
    1 "invalid" "cid" "This must be 1 to 128 ASCII characters without spaces.": {"cid":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    1 "invalid" "cid" "This must be a string.": {"cid":5,"group":"[group]","id":1,"text":"hi","type":"send"}
    1 "invalid" "reply_to" "This must be a whole number, 1 or more.": {"group":"[group]","id":1,"reply_to":0,"text":"hi","type":"send"}
    1 "invalid" "reply_to" "This message does not exist.": {"group":"[group]","id":1,"reply_to":99,"text":"hi","type":"send"}
    1 "invalid" "reply_to" "This message does not exist.": {"group":"[group]","id":1,"reply_to":1,"text":"hi","type":"send"}
    1 "invalid" "seq" "This field is required.": {"group":"[group]","id":1,"text":"hi","type":"edit"}
    1 "invalid" "seq" "This must be a whole number, 1 or more.": {"group":"[group]","id":1,"seq":"2","text":"hi","type":"edit"}
    1 "invalid" "text" "This field is required.": {"group":"[group]","id":1,"seq":2,"type":"edit"}
    1 "forbidden" null "You may not do this.": {"group":"[group]","id":1,"seq":2,"text":"not mine","type":"edit"}
    1 "not_found" null "Not found.": {"group":"[group]","id":1,"seq":1,"text":"no message","type":"edit"}
    1 "not_found" null "Not found.": {"group":"[group]","id":1,"seq":99,"text":"none","type":"edit"}
    1 "invalid" "seq" "This field is required.": {"group":"[group]","id":1,"type":"delete"}
    1 "invalid" "seq" "This must be a whole number, 1 or more.": {"group":"[group]","id":1,"seq":-1,"type":"delete"}
    1 "invalid" "seq" "This must be a whole number, 1 or more.": {"group":"[group]","id":1,"seq":9223372036854775807,"type":"delete"}
    1 "forbidden" null "You may not do this.": {"group":"[group]","id":1,"seq":2,"type":"delete"}
    1 "invalid" "seq" "This field is required.": {"emoji":"👍","group":"[group]","id":1,"on":true,"type":"react"}
    1 "invalid" "seq" "This must be a whole number, 1 or more.": {"emoji":"👍","group":"[group]","id":1,"on":true,"seq":0,"type":"react"}
    1 "invalid" "emoji" "This field is required.": {"group":"[group]","id":1,"on":true,"seq":2,"type":"react"}
    1 "invalid" "emoji" "This must be a string.": {"emoji":5,"group":"[group]","id":1,"on":true,"seq":2,"type":"react"}
    1 "invalid" "emoji" "This must be exactly one emoji.": {"emoji":"","group":"[group]","id":1,"on":true,"seq":2,"type":"react"}
    1 "invalid" "emoji" "This must be exactly one emoji.": {"emoji":"ok","group":"[group]","id":1,"on":true,"seq":2,"type":"react"}
    1 "invalid" "emoji" "This must be exactly one emoji.": {"emoji":"👍👍","group":"[group]","id":1,"on":true,"seq":2,"type":"react"}
    1 "invalid" "on" "This field is required.": {"emoji":"👍","group":"[group]","id":1,"seq":2,"type":"react"}
    1 "invalid" "on" "This must be true or false.": {"emoji":"👍","group":"[group]","id":1,"on":1,"seq":2,"type":"react"}
    1 "not_found" null "Not found.": {"emoji":"👍","group":"[group]","id":1,"on":true,"seq":1,"type":"react"}
    1 "not_found" null "Not found.": {"emoji":"👍","group":"[group]","id":1,"on":false,"seq":99,"type":"react"}
    1 "not_member" "group" "This socket is not subscribed to this group.": {"emoji":"👍","group":"chat_00000000","id":1,"on":true,"seq":1,"type":"react"}
    1 "invalid" "groups" "This field is required.": {"id":1,"type":"sub"}
    1 "invalid" "groups" "This must have at least one group.": {"groups":[],"id":1,"type":"sub"}
    1 "invalid" "groups" "This must name each group once.": {"groups":[{"group":"[group]"},{"group":"[group]"}],"id":1,"type":"sub"}
    1 "invalid" "groups" "This must be a list of objects like {\"group\": \"…\", \"after\": 41}; `after` is optional.": {"groups":[{"after":-1,"group":"[group]"}],"id":1,"type":"sub"}
    1 "not_member" "groups" "This socket serves one group; connect to `/ws/` for several groups.": {"groups":[{"group":"chat_00000000"}],"id":1,"type":"sub"}
    1 "invalid" "token" "This must be a string.": {"id":1,"token":5,"type":"auth"}
    1 "unauthorized" "token" "This is not a valid access token.": {"id":1,"token":"x","type":"auth"}
    1 "unauthorized" "token" "This token belongs to another user.": {"id":1,"token":"[ann's]","type":"auth"}
    1 "unauthorized" "token" "This is not a valid access token.": {"id":1,"token":"[refresh]","type":"auth"}
    "#);
    // No request was applied, and requests without replies got none.
    socket
        .send_raw(json!({"type": "typing", "group": g, "on": true}).to_string())
        .await;
    socket.expect_no_frames().await;
    assert_eq!(ann.get(&group.path("")).await.json()["head"], 2);
}
