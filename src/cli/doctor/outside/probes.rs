//! The checks without an account: the redirect, the clock, the health paths and the name of the host.

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::Value;

use super::{
    super::report::Finding,
    Target,
    http::{Http, Reply},
    text::foreign,
};

/// The difference of the clocks in seconds above which the check warns.
const MAX_CLOCK_DIFFERENCE: i64 = 30;

/// A name that is never the name of a server (RFC 6761, section 6.4).
pub const FOREIGN_HOST: &str = "doctor.invalid";

/// Requests a path that answers without the database. Returns the answer unless nothing behind the proxy answers.
pub async fn check_liveness(http: &Http, path: &str) -> (Finding, Option<Reply>) {
    let reply = match http.fetch(http.request(Method::GET, path)).await {
        Ok(reply) => reply,
        Err(error) => {
            let remedy = "check that the proxy and the server run, and that the port is the port \
                          of the proxy";
            return (Finding::failed(error, remedy), None);
        }
    };
    let finding = match reply.status {
        200 if is_ok(&reply.json()) == Some(true) => Finding::passed("answers 200"),
        500.. => {
            let finding = Finding::failed(
                format!("the answer is {}", reply.summary()),
                "check that the server runs, and that the proxy forwards to its address and port",
            );
            return (finding, None);
        }
        _ => not_forwarded(&reply),
    };
    (finding, Some(reply))
}

/// Returns `ok` of the body of a probe.
fn is_ok(body: &Value) -> Option<bool> {
    body.get("ok")?.as_bool()
}

/// Returns the finding for a health path that the proxy does not forward. Some proxies hide these paths on purpose.
fn not_forwarded(reply: &Reply) -> Finding {
    Finding::warning(
        format!("the answer is {}, which is not from Salam", reply.summary()),
        "let the proxy forward the path, if probes outside need it",
    )
}

/// Requests `/_readiness`, and reports the reasons of a node that is not ready.
pub async fn check_readiness(http: &Http, path: &str) -> Finding {
    let reply = match http.fetch(http.request(Method::GET, path)).await {
        Ok(reply) => reply,
        Err(error) => return Finding::failed(error, "look at the log of the server"),
    };
    let body = reply.json();
    match (reply.status, is_ok(&body)) {
        (200, Some(true)) => Finding::passed("the node is ready"),
        (503, Some(false)) => {
            let reasons = body.get("reasons").and_then(Value::as_array);
            let reasons = reasons.into_iter().flatten().filter_map(|one| one.as_str());
            let reasons: Vec<_> = reasons.take(20).collect();
            Finding::failed(
                format!("the node is not ready: {}", foreign(&reasons.join(", "))),
                "look up the reasons in docs/deploying.md, section Health",
            )
        }
        (500.., _) => Finding::failed(
            format!("the answer is {}", reply.summary()),
            "check that the server runs, and that the proxy forwards to its address and port",
        ),
        _ => not_forwarded(&reply),
    }
}

/// Compares the header `Date` of an answer with the clock of this machine.
pub fn check_clock(reply: &Reply, now: DateTime<Utc>) -> Finding {
    let date = reply.header("date");
    let date = date.and_then(|text| DateTime::parse_from_rfc2822(&text).ok());
    let Some(date) = date else {
        return Finding::skipped("the answer has no header Date");
    };
    let difference = (now - date.to_utc()).num_seconds();
    let message = format!(
        "the header Date differs from the clock of this machine by {} s",
        difference.unsigned_abs()
    );
    if difference.abs() > MAX_CLOCK_DIFFERENCE {
        return Finding::warning(
            message,
            "run a time service such as chrony on the server, on the proxy and on this machine",
        );
    }
    Finding::passed(message)
}

/// Checks whether `http://` redirects to `https://`.
pub async fn check_redirect(http: &Http, target: &Target) -> Finding {
    if target.is_https() {
        check_plain_port(http, target).await
    } else {
        check_own_redirect(http, target).await
    }
}

async fn check_plain_port(http: &Http, target: &Target) -> Finding {
    if !target.has_default_port() {
        return Finding::skipped("the port is not 443, so no port is known for http://");
    }
    let url = format!("http://{}/", target.authority());
    let reply = http.fetch(http.request_url(Method::GET, &url)).await;
    judge_plain_port(&url, reply.ok().as_ref())
}

/// Judges the answer of the port for `http://`. `None` is a port that nobody serves.
fn judge_plain_port(url: &str, reply: Option<&Reply>) -> Finding {
    let Some(reply) = reply else {
        return Finding::passed(format!("nothing answers at {url}"));
    };
    match https_location(reply) {
        Some(location) => Finding::passed(format!("{url} redirects to {location}")),
        None => Finding::warning(
            format!("{url} answers {} without encryption", reply.summary()),
            "let the proxy redirect http:// to https://",
        ),
    }
}

/// An address that only redirects serves nothing, so the other checks need the other address.
async fn check_own_redirect(http: &Http, target: &Target) -> Finding {
    let reply = http.fetch(http.request(Method::GET, "/_ping")).await;
    match reply.ok().as_ref().and_then(https_location) {
        Some(location) => Finding::failed(
            format!("{} redirects to {location}", target.origin()),
            "run the command with the address of https://",
        ),
        None => Finding::skipped("the URL is http://, and does not redirect"),
    }
}

/// Returns the `https` address to which an answer redirects.
fn https_location(reply: &Reply) -> Option<String> {
    let location = reply.header("location")?;
    let is_redirect = (300..400).contains(&reply.status) && location.starts_with("https://");
    is_redirect.then(|| foreign(&location))
}

/// Checks that the server accepts the name of the target, by a request that needs a login.
pub async fn check_host(http: &Http, target: &Target) -> Finding {
    let reply = match http.fetch(http.request(Method::GET, "/api/me/")).await {
        Ok(reply) => reply,
        Err(error) => return Finding::failed(error, "look at the log of the proxy"),
    };
    if is_answer_to_stranger(&reply) {
        return Finding::passed(format!("the server accepts the name {}", target.host()));
    }
    if reply.status == 421 {
        return Finding::failed(
            "the server refuses the name of the host that it received (421)",
            format!(
                "let the proxy pass the header Host of the client, and set PUBLIC_URL to {} or add \
                 {} to settings.door.allowed_hosts",
                target.origin(),
                target.host()
            ),
        );
    }
    let message = format!("/api/me/ answered {} instead of 401", reply.summary());
    Finding::failed(
        message,
        "check that the proxy forwards all paths to Salam, and that the URL is right",
    )
}

/// Sends a request for a foreign name, which the server has to refuse.
pub async fn check_foreign_host(http: &Http, target: &Target) -> Finding {
    let request = http
        .request(Method::GET, "/api/me/")
        .header("host", FOREIGN_HOST);
    match http.fetch(request).await {
        Ok(reply) if reply.status == 421 => {
            Finding::passed(format!("the name {FOREIGN_HOST} is refused with 421"))
        }
        Ok(reply) if !is_answer_to_stranger(&reply) => Finding::passed(format!(
            "the proxy does not forward the name {FOREIGN_HOST}; its answer is {}",
            reply.summary()
        )),
        Ok(_) if target.is_loopback() => Finding::warning(
            "the server accepts every name, as in development",
            "set PUBLIC_URL in production",
        ),
        Ok(_) => Finding::failed(
            format!("the server answered a request for the name {FOREIGN_HOST}"),
            "let the proxy pass the header Host of the client (nginx: proxy_set_header Host \
             $http_host), and run the server in production",
        ),
        Err(error) => Finding::passed(format!("the name {FOREIGN_HOST} gets no answer: {error}")),
    }
}

/// Returns whether Salam answered a request without a token.
fn is_answer_to_stranger(reply: &Reply) -> bool {
    reply.status == 401 && reply.is_api_error()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{super::super::report::Status, *};

    fn reply(status: u16, header: &'static str, value: &str) -> Reply {
        let value = HeaderValue::from_str(value).expect("a value");
        Reply {
            status,
            headers: HeaderMap::from_iter([(HeaderName::from_static(header), value)]),
            body: String::new(),
        }
    }

    #[test]
    fn a_port_without_encryption_has_to_redirect() {
        let status =
            |reply: Option<Reply>| judge_plain_port("http://chat.example/", reply.as_ref()).status;
        assert_eq!(status(None), Status::Passed);
        let secure = reply(308, "location", "https://chat.example/");
        assert_eq!(status(Some(secure)), Status::Passed);
        let plain = reply(302, "location", "http://chat.example/login");
        assert_eq!(status(Some(plain)), Status::Warning);
        assert_eq!(
            status(Some(reply(200, "content-type", "text/html"))),
            Status::Warning
        );
    }

    #[test]
    fn a_wrong_clock_is_a_warning() {
        let now = Utc::now();
        let status = |seconds| {
            let date = (now - chrono::TimeDelta::seconds(seconds)).to_rfc2822();
            check_clock(&reply(200, "date", &date.replace("+0000", "GMT")), now).status
        };
        assert_eq!(status(29), Status::Passed);
        assert_eq!(status(-29), Status::Passed);
        assert_eq!(status(32), Status::Warning);
        assert_eq!(status(-32), Status::Warning);
        let without = reply(200, "server", "nginx");
        assert_eq!(check_clock(&without, now).status, Status::Skipped);
    }
}
