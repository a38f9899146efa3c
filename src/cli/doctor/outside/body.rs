//! The checks of large bodies: the proxy must not refuse what the server accepts.

use reqwest::Method;
use serde_json::json;

use super::{
    super::report::Finding,
    account::Account,
    chat::Chat,
    http::{Http, Reply, with_json},
};

/// The size of a body that the server accepts. Its limit is 64 KiB.
const ACCEPTED_KIB: usize = 60;

/// The size of a body that the server refuses.
const REFUSED_KIB: usize = 70;

const LIMIT_REMEDY: &str = "set the limit of the proxy for bodies above the 64 KiB of the server, such as 128 KiB (nginx: \
     client_max_body_size 128k)";

/// Sends a body below the limit of the server.
pub async fn check_accepted(http: &Http, account: &Account<'_>, chat: &Chat) -> Finding {
    match send(http, account, chat, ACCEPTED_KIB).await {
        Ok(reply) if reply.status == 200 => {
            Finding::passed(format!("a body of {ACCEPTED_KIB} KiB reaches the server"))
        }
        Ok(reply) => Finding::failed(
            format!(
                "a body of {ACCEPTED_KIB} KiB is refused: {}",
                reply.summary()
            ),
            LIMIT_REMEDY,
        ),
        Err(error) => Finding::failed(
            format!("a body of {ACCEPTED_KIB} KiB: {error}"),
            LIMIT_REMEDY,
        ),
    }
}

/// Sends a body above the limit of the server, which answers 413 in JSON.
pub async fn check_refused(http: &Http, account: &Account<'_>, chat: &Chat) -> Finding {
    match send(http, account, chat, REFUSED_KIB).await {
        Ok(reply) if reply.status == 413 && reply.is_api_error() => Finding::passed(format!(
            "a body of {REFUSED_KIB} KiB gets 413 in JSON from the server"
        )),
        Ok(reply) if reply.status == 413 => Finding::warning(
            format!("a body of {REFUSED_KIB} KiB gets 413 from the proxy, without JSON"),
            LIMIT_REMEDY,
        ),
        Ok(reply) => Finding::failed(
            format!(
                "a body of {REFUSED_KIB} KiB gets {} instead of 413",
                reply.summary()
            ),
            "set server.middlewares.limit_payload.body_limit to 65536b",
        ),
        Err(error) => Finding::warning(
            format!("a body of {REFUSED_KIB} KiB gets no answer: {error}"),
            LIMIT_REMEDY,
        ),
    }
}

/// Stores the read position, with a key that the server ignores.
async fn send(
    http: &Http,
    account: &Account<'_>,
    chat: &Chat,
    kib: usize,
) -> Result<Reply, String> {
    let path = format!("/api/groups/{}/read/", chat.group);
    let request = http
        .request(Method::PUT, &path)
        .bearer_auth(&account.access);
    let body = json!({"seq": 1, "padding": "x".repeat(kib * 1024)});
    http.fetch(with_json(request, &body)).await
}
