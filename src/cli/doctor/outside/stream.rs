//! The check of the event stream: its header, and whether a proxy holds events back.

use std::time::{Duration, Instant};

use rand::random;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::json;
use tokio::time::timeout;

use super::{
    super::report::Finding,
    account::Account,
    chat::Chat,
    http::Http,
    text::{describe_millis, foreign, root_cause},
};

/// The longest time between the send of a message and its event.
const EVENT_LIMIT: Duration = Duration::from_secs(2);

/// The longest time until the stream begins. The server sends the first events at once.
const BEGIN_LIMIT: Duration = Duration::from_secs(5);

/// The bytes of the stream that are read. A new group has a few events only.
const MAX_STREAM_BYTES: usize = 256 * 1024;

const BUFFERING_REMEDY: &str = "switch off buffering for /api/groups/<group>/events/ (nginx: proxy_buffering off, and no \
     proxy_ignore_headers X-Accel-Buffering)";

/// Opens the stream of the group, sends a message, and expects its event in time.
pub async fn check(http: &Http, limit: Duration, account: &Account<'_>, chat: &Chat) -> Finding {
    let mut stream = match EventStream::open(http, limit, account, chat).await {
        Ok(stream) => stream,
        Err(finding) => return *finding,
    };
    if let Err(error) = stream
        .read_until("event: sync", BEGIN_LIMIT.min(limit))
        .await
    {
        let message = format!("the stream does not begin: {error}");
        return Finding::failed(message, BUFFERING_REMEDY);
    }
    let text = format!("Salam doctor {:08x}", random::<u32>());
    let path = format!("/api/groups/{}/messages/", chat.group);
    let request = http.post(&path, &json!({"text": text}));
    match http.fetch(request.bearer_auth(&account.access)).await {
        Ok(reply) if reply.status == 201 => {}
        Ok(reply) => {
            let message = format!("the message is refused: {}", reply.summary());
            return Finding::failed(message, "look at the log of the server");
        }
        Err(error) => return Finding::failed(error, "look at the log of the server"),
    }
    let begin = Instant::now();
    if let Err(error) = stream.read_until(&text, EVENT_LIMIT).await {
        let message = format!("the event of a message is late: {error}");
        return Finding::failed(message, BUFFERING_REMEDY);
    }
    let delay = describe_millis(begin.elapsed());
    let message = format!(
        "the event arrives {delay} after the send; X-Accel-Buffering: {}",
        stream.buffering
    );
    match find_compression(http, limit, account, chat).await {
        Some(encoding) => Finding::warning(
            format!("{message}; the proxy compresses the stream ({encoding})"),
            "switch off compression for text/event-stream: it delays events and reveals texts",
        ),
        None => Finding::passed(message),
    }
}

/// An open stream of events.
struct EventStream {
    response: Response,
    /// The value of `X-Accel-Buffering`, which nginx removes.
    buffering: String,
    /// The part that has been read.
    text: String,
}

impl EventStream {
    async fn open(
        http: &Http,
        limit: Duration,
        account: &Account<'_>,
        chat: &Chat,
    ) -> Result<Self, Box<Finding>> {
        let limit = BEGIN_LIMIT.min(limit);
        let request = stream_request(http, account, chat);
        let response = match timeout(limit, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let message = format!("no answer: {}", root_cause(&error));
                return Err(Finding::failed(message, "look at the log of the proxy").into());
            }
            Err(_) => {
                let message = format!("the stream does not begin within {limit:?}");
                return Err(Finding::failed(message, BUFFERING_REMEDY).into());
            }
        };
        let text_of = |name: &str| {
            let value = response.headers().get(name)?;
            Some(foreign(&String::from_utf8_lossy(value.as_bytes())))
        };
        let kind = text_of("content-type").unwrap_or_default();
        if response.status() != 200 || !kind.starts_with("text/event-stream") {
            let message = format!("the answer is {} ({kind})", response.status().as_u16());
            let remedy = "let the proxy pass the headers Accept and Content-Type unchanged";
            return Err(Finding::failed(message, remedy).into());
        }
        let buffering = text_of("x-accel-buffering");
        Ok(Self {
            buffering: buffering.unwrap_or_else(|| "(removed by the proxy)".to_owned()),
            response,
            text: String::new(),
        })
    }

    /// Reads until the stream contains a text.
    async fn read_until(&mut self, wanted: &str, limit: Duration) -> Result<(), String> {
        let reading = async {
            while !self.text.contains(wanted) {
                if self.text.len() > MAX_STREAM_BYTES {
                    return Err("the stream has other contents".to_owned());
                }
                match self.response.chunk().await {
                    Ok(Some(chunk)) => self.text.push_str(&String::from_utf8_lossy(&chunk)),
                    Ok(None) => return Err("the stream ended".to_owned()),
                    Err(error) => return Err(format!("the stream broke: {}", root_cause(&error))),
                }
            }
            Ok(())
        };
        timeout(limit, reading)
            .await
            .unwrap_or_else(|_| Err(format!("nothing arrived within {limit:?}")))
    }
}

fn stream_request(http: &Http, account: &Account<'_>, chat: &Chat) -> RequestBuilder {
    let path = format!("/api/groups/{}/events/", chat.group);
    http.request(Method::GET, &path)
        .bearer_auth(&account.access)
        .header("accept", "text/event-stream")
}

/// Returns the content coding of the stream for a client that accepts compression, as browsers do.
async fn find_compression(
    http: &Http,
    limit: Duration,
    account: &Account<'_>,
    chat: &Chat,
) -> Option<String> {
    let request = stream_request(http, account, chat).header("accept-encoding", "gzip, br, zstd");
    let response = timeout(BEGIN_LIMIT.min(limit), request.send()).await.ok()?;
    let encoding = response.ok()?.headers().get("content-encoding").cloned()?;
    let encoding = foreign(&String::from_utf8_lossy(encoding.as_bytes()));
    (encoding != "identity").then_some(encoding)
}
