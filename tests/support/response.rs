//! Responses as snapshots show them. Values that differ from run to run are checked, and then replaced.

use std::fmt;

use chrono::{NaiveTime, Utc};
use reqwest::{RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;

use super::{redact::redact_text, with_timeout};

/// The headers that belong to the API.
const SNAPSHOT_HEADERS: [&str; 5] = [
    "allow",
    "content-type",
    "retry-after",
    "set-cookie",
    "www-authenticate",
];

pub struct TestResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl TestResponse {
    pub async fn from_request(request: RequestBuilder) -> Self {
        let response = with_timeout("a response", request.send()).await.unwrap();
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn is_json(&self) -> bool {
        self.headers
            .get("content-type")
            .is_some_and(|value| value == "application/json")
    }

    /// Returns the access token, which must be the same in the body and in the cookie.
    pub fn access_token(&self) -> String {
        let access = self.json()["access"].as_str().unwrap().to_owned();
        let cookie = self.header("set-cookie");
        assert!(cookie.starts_with(&format!("access={access};")), "{cookie}");
        access
    }

    /// Asserts that the response is a client error in JSON.
    pub fn expect_client_error(&self) {
        assert!(self.status.is_client_error() && self.is_json(), "{self}");
        assert!(self.json().is_object(), "{self}");
    }
}

impl fmt::Display for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        let mut text = String::new();
        for name in SNAPSHOT_HEADERS {
            for value in self.headers.get_all(name) {
                text += &format!("{name}: {}\n", value.to_str().unwrap());
            }
        }
        text += "\n";
        text += &self.body;
        // `json` would print this response again.
        let body = match self.is_json() {
            true => serde_json::from_str(&self.body).unwrap_or_default(),
            false => Value::Null,
        };
        for key in ["access", "refresh"] {
            if let Some(token) = body[key].as_str() {
                assert_jwt(token);
                text = text.replace(token, &format!("[{key} jwt]"));
            }
        }
        text = redact_text(&text, &body);
        if let Some(url) = body["websocket_url"].as_str() {
            let port = url::Url::parse(url).unwrap().port();
            if let Some(port) = port {
                text = text.replace(&format!(":{port}/"), ":[port]/");
            }
        }
        f.write_str(&redact_clock(&text))
    }
}

/// Returns the status and the body of a response in one line.
pub fn one_line(response: &TestResponse) -> String {
    let text = response.to_string();
    let (status, rest) = text.split_once('\n').unwrap();
    let body = rest.split_once("\n\n").map_or("", |(_, body)| body);
    format!("{status} {}\n", body.trim())
}

/// Replaces each `HH:MM:SS` of the last minute by `[clock]`. Another time stays, and differs from the snapshot.
///
/// A failed assertion prints its response through this function, so this function never panics.
pub fn redact_clock(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match rest.get(..8).and_then(parse_clock) {
            Some(time) if is_of_last_minute(time) => {
                shown += "[clock]";
                rest = &rest[8..];
            }
            _ => {
                shown.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    shown
}

/// Returns whether a time of day in UTC is at most a minute ago.
fn is_of_last_minute(time: NaiveTime) -> bool {
    let age = Utc::now().time() - time;
    age.num_seconds().rem_euclid(24 * 60 * 60) < 60
}

/// Returns a time that has exactly the form `HH:MM:SS`.
fn parse_clock(text: &str) -> Option<NaiveTime> {
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S").ok()?;
    (time.format("%H:%M:%S").to_string() == text).then_some(time)
}

pub fn assert_group_name(name: &str) {
    let digits = name.strip_prefix("chat_").unwrap();
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    assert!(
        digits.len() == 8 && digits.chars().all(is_hex),
        "not a group's name: {name}"
    );
}

fn assert_jwt(token: &str) {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    assert!(
        token.split('.').count() == 3 && token.split('.').all(part),
        "not a JWT: {token}"
    );
}

#[test]
fn only_a_time_of_the_last_minute_is_redacted() {
    let now = Utc::now();
    let clock = now.format("%H:%M:%S");
    assert_eq!(redact_clock(&format!("at {clock}!")), "at [clock]!");
    let earlier = (now - chrono::TimeDelta::hours(1)).format("%H:%M:%S");
    let text = format!("at {earlier}!");
    assert_eq!(redact_clock(&text), text);
}

#[test]
fn a_response_with_an_invalid_json_body_is_printed() {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    let response = TestResponse {
        status: StatusCode::OK,
        headers,
        body: "{\"at\"".to_owned(),
    };
    assert_eq!(one_line(&response), "200 OK {\"at\"\n");
}
