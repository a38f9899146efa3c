//! The start of a chat, and the cookie of the login: whether the server knows its own public address.

use axum_extra::extract::cookie::{Cookie, SameSite};
use serde_json::json;
use url::Url;

use super::{
    super::report::Finding,
    Target,
    account::Account,
    http::{Http, Reply},
    text::foreign,
};

/// The title of the group, which a user sees if the group remains.
const TITLE: &str = "Salam doctor";

/// The result of the comparison of the server's public address with the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnAddress {
    Right,
    /// The server takes `https` for `http`, or the other way round.
    WrongScheme,
    WrongHost,
}

/// The group of the checks.
pub struct Chat {
    pub group: String,
    pub own_address: OwnAddress,
}

/// Starts a chat, and compares its `websocket_url` with the target.
pub async fn start(http: &Http, target: &Target, account: &Account<'_>) -> (Finding, Option<Chat>) {
    let request = http.post("/api/start-chat/", &json!({"title": TITLE}));
    let reply = match http.fetch(request.bearer_auth(&account.access)).await {
        Ok(reply) => reply,
        Err(error) => {
            return (
                Finding::failed(error, "look at the log of the server"),
                None,
            );
        }
    };
    let started = reply.field("group_name").zip(reply.field("websocket_url"));
    let started = started.filter(|(group, _)| reply.status == 200 && is_group_name(group));
    let Some((group, url)) = started else {
        return (explain_refusal(&reply), None);
    };
    let (finding, own_address) = judge_url(&url, &group, target);
    (finding, Some(Chat { group, own_address }))
}

/// Returns whether a text is safe in a path.
fn is_group_name(text: &str) -> bool {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    !text.is_empty() && text.len() <= 64 && text.chars().all(is_safe)
}

fn explain_refusal(reply: &Reply) -> Finding {
    let remedy = match reply.status {
        401 => "let the proxy pass the header Authorization to Salam",
        429 => "wait, or pass another account by --username and --password-file",
        _ => "look at the log of the server",
    };
    Finding::failed(format!("the chat is refused: {}", reply.summary()), remedy)
}

fn judge_url(url: &str, group: &str, target: &Target) -> (Finding, OwnAddress) {
    let expected = target.socket_url_of(&format!("/ws/chat/{group}/"));
    if url == expected {
        let finding = Finding::passed(format!("websocket_url is {url}"));
        return (finding, OwnAddress::Right);
    }
    let parsed = Url::parse(url).ok();
    let scheme = parsed.as_ref().map(Url::scheme);
    let message = format!("websocket_url is {}, not {expected}", foreign(url));
    let public_url = format!("set PUBLIC_URL to {}", target.origin());
    match (scheme, target.is_https()) {
        (Some("ws"), true) => (
            Finding::failed(
                message,
                format!(
                    "{public_url}, or let the proxy send X-Forwarded-Proto, and list the proxy in \
                     settings.door.trusted_proxies"
                ),
            ),
            OwnAddress::WrongScheme,
        ),
        (Some("wss"), false) => (
            Finding::failed(
                message,
                "run the command with the address of https://, or correct PUBLIC_URL",
            ),
            OwnAddress::WrongScheme,
        ),
        _ => (
            Finding::failed(
                message,
                format!(
                    "{public_url}, or let the proxy pass the header Host of the client (nginx: \
                     proxy_set_header Host $http_host)"
                ),
            ),
            OwnAddress::WrongHost,
        ),
    }
}

/// Checks the cookie of the login.
pub fn check_cookie(login: &Reply, target: &Target, own_address: OwnAddress) -> Finding {
    let access = login.field("access").unwrap_or_default();
    let lines = login.headers.get_all("set-cookie").iter();
    let mut cookies = lines.filter_map(|line| Cookie::parse(line.to_str().ok()?).ok());
    let Some(cookie) = cookies.find(|cookie| cookie.name() == "access") else {
        return Finding::failed(
            "the login sets no cookie `access`",
            "let the proxy pass the header Set-Cookie",
        );
    };
    let mut faults = Vec::new();
    if cookie.value() != access {
        faults.push("its value is not the access token");
    }
    if cookie.http_only() != Some(true) {
        faults.push("HttpOnly is missing");
    }
    if cookie.same_site() != Some(SameSite::Lax) {
        faults.push("SameSite is not Lax");
    }
    if cookie.path() != Some("/") {
        faults.push("Path is not /");
    }
    if !faults.is_empty() {
        return Finding::failed(
            format!("the cookie `access` is wrong: {}", faults.join(", ")),
            "let the proxy pass the header Set-Cookie unchanged",
        );
    }
    judge_secure(cookie.secure() == Some(true), target, own_address)
}

fn judge_secure(is_secure: bool, target: &Target, own_address: OwnAddress) -> Finding {
    match (is_secure, target.is_https()) {
        (true, true) => Finding::passed("HttpOnly, SameSite=Lax, Path=/, Secure"),
        (false, false) => Finding::passed("HttpOnly, SameSite=Lax, Path=/"),
        // Both have the same cause.
        _ if own_address == OwnAddress::WrongScheme => {
            Finding::skipped("Secure was not checked: see start-chat")
        }
        (false, true) => Finding::failed(
            "the cookie `access` is not Secure",
            format!(
                "set PUBLIC_URL to {}, or let the proxy send X-Forwarded-Proto on each path",
                target.origin()
            ),
        ),
        (true, false) => Finding::failed(
            "the cookie `access` is Secure, so browsers do not keep it at http://",
            "run the command with the address of https://, or correct PUBLIC_URL",
        ),
    }
}
