//! The checks of sockets: rich, base, refused and idle ones.

use std::{io::IsTerminal, io::Write, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::report::Finding,
    account::Account,
    chat::{Chat, OwnAddress},
    connection::Connector,
    socket::{RICH_PROTOCOL, Refusal, SocketClient},
    text::{describe_millis, foreign, text_of},
};

/// The number of messages whose round trip is measured.
const ROUND_TRIPS: u64 = 3;

/// An origin that no server allows (RFC 6761, section 6.4).
const FOREIGN_ORIGIN: &str = "https://doctor.invalid";

/// The time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

const UPGRADE_REMEDY: &str = "let the proxy forward WebSockets: HTTP/1.1, and the headers Upgrade and Connection \
     (docs/deploying.md has the lines for nginx)";

/// Opens a rich socket, and measures the round trip of messages.
pub async fn check_rich(connector: &Connector, account: &Account<'_>, chat: &Chat) -> Finding {
    let path = format!("/ws/chat/{}/", chat.group);
    let mut socket = match open_rich(connector, &path, account).await {
        Ok(socket) => socket,
        Err(Refusal::Status(401)) => {
            return Finding::failed(
                "the handshake was answered with 401, as without a credential",
                "let the proxy pass the header Sec-WebSocket-Protocol unchanged",
            );
        }
        Err(refusal) => return Finding::failed(refusal.describe(), UPGRADE_REMEDY),
    };
    match exchange_rich(&mut socket, chat).await {
        Ok(median) => Finding::passed(format!(
            "hello, group and sync arrive; the round trip of a message takes {}",
            describe_millis(median)
        )),
        Err(error) => Finding::failed(
            error,
            "look at the log of the server, and check that the proxy passes frames unchanged",
        ),
    }
}

async fn open_rich(
    connector: &Connector,
    path: &str,
    account: &Account<'_>,
) -> Result<SocketClient, Refusal> {
    let offers = format!("{RICH_PROTOCOL}, bearer.{}", account.access);
    let origin = connector.target.origin();
    let headers = [
        ("sec-websocket-protocol", offers.as_str()),
        ("origin", origin.as_str()),
    ];
    SocketClient::open(connector, path, &headers).await
}

/// Sends messages one after the other. Returns the median of the times until both the reply and the event are there.
async fn exchange_rich(socket: &mut SocketClient, chat: &Chat) -> Result<Duration, String> {
    for kind in ["hello", "group", "sync"] {
        let of_kind = |frame: &Value| text_of(frame, "type") == kind;
        socket.wait_for(&format!("frame {kind}"), of_kind).await?;
    }
    let mut durations = Vec::new();
    for id in 1..=ROUND_TRIPS {
        let cid = format!("doctor-{id}");
        let begin = Instant::now();
        socket
            .say(&json!({
                "type": "send", "id": id, "group": chat.group, "cid": cid, "text": "Salam doctor",
            }))
            .await?;
        let mut has_reply = false;
        let mut has_event = false;
        while !(has_reply && has_event) {
            let is_wanted =
                |frame: &Value| text_of(frame, "cid") == cid || text_of(frame, "type") == "error";
            let frame = socket.wait_for("reply to a message", is_wanted).await?;
            match text_of(&frame, "type") {
                "ok" => has_reply = true,
                "event" => has_event = true,
                _ => return Err(describe_error_frame(&frame)),
            }
        }
        durations.push(begin.elapsed());
    }
    durations.sort_unstable();
    Ok(durations
        .get(durations.len() / 2)
        .copied()
        .unwrap_or_default())
}

fn describe_error_frame(frame: &Value) -> String {
    format!(
        "the message is refused: {} ({})",
        foreign(text_of(frame, "message")),
        foreign(text_of(frame, "code"))
    )
}

/// Opens two base sockets with the cookie, and sends a message from one to the other.
pub async fn check_base(connector: &Connector, account: &Account<'_>, chat: &Chat) -> Finding {
    if chat.own_address != OwnAddress::Right {
        // The server compares `Origin` with its own address.
        return Finding::skipped("was not checked: see start-chat");
    }
    let opened = async {
        Ok::<_, Refusal>((
            open_base(connector, account, chat).await?,
            open_base(connector, account, chat).await?,
        ))
    };
    let (mut receiver, mut sender) = match opened.await {
        Ok(sockets) => sockets,
        Err(Refusal::Status(403)) => {
            return Finding::failed(
                "the server refuses a page of its own origin (403)",
                format!(
                    "let the proxy pass the header Origin, and set PUBLIC_URL to {}",
                    connector.target.origin()
                ),
            );
        }
        Err(refusal) => return Finding::failed(refusal.describe(), UPGRADE_REMEDY),
    };
    match exchange_base(&mut receiver, &mut sender).await {
        Ok(()) => {
            Finding::passed("the greeting arrives, and the message of a second socket arrives")
        }
        Err(error) => Finding::failed(
            error,
            "look at the log of the server, and check that the proxy passes frames unchanged",
        ),
    }
}

async fn open_base(
    connector: &Connector,
    account: &Account<'_>,
    chat: &Chat,
) -> Result<SocketClient, Refusal> {
    let (cookie, origin) = (account.cookie(), connector.target.origin());
    let headers = [("cookie", cookie.as_str()), ("origin", origin.as_str())];
    SocketClient::open(connector, &format!("/ws/chat/{}/", chat.group), &headers).await
}

async fn exchange_base(
    receiver: &mut SocketClient,
    sender: &mut SocketClient,
) -> Result<(), String> {
    let is_message = |frame: &Value| text_of(frame, "type") == "chat_message";
    receiver.wait_for("greeting", is_message).await?;
    sender.wait_for("greeting", is_message).await?;
    sender.say(&json!({"message": "Salam doctor"})).await?;
    sender.wait_for("answer", is_message).await?;
    receiver
        .wait_for("message of the second socket", is_message)
        .await?;
    Ok(())
}

/// Opens a socket with the cookie as a page of a foreign origin, which the server has to refuse.
pub async fn check_foreign_origin(
    connector: &Connector,
    account: &Account<'_>,
    chat: &Chat,
) -> Finding {
    let cookie = account.cookie();
    let headers = [("cookie", cookie.as_str()), ("origin", FOREIGN_ORIGIN)];
    let path = format!("/ws/chat/{}/", chat.group);
    match SocketClient::open(connector, &path, &headers).await {
        Err(Refusal::Status(403)) => {
            Finding::passed("a foreign page with the cookie is refused with 403")
        }
        Err(refusal) => Finding::failed(
            format!("403 is expected, but {}", refusal.describe()),
            "let the proxy pass the headers Origin and Cookie unchanged",
        ),
        Ok(_) => Finding::failed(
            "a foreign page opens a socket with the cookie of its visitor",
            "let the proxy pass the header Origin of the client unchanged",
        ),
    }
}

/// Opens a socket without a credential, which the server has to refuse.
pub async fn check_no_credential(connector: &Connector, chat: &Chat) -> Finding {
    let path = format!("/ws/chat/{}/", chat.group);
    match SocketClient::open(connector, &path, &[]).await {
        Err(Refusal::Status(401)) => {
            Finding::passed("a socket without a credential is refused with 401")
        }
        Err(refusal) => Finding::failed(
            format!("401 is expected, but {}", refusal.describe()),
            "let the proxy pass the answers of the server to handshakes unchanged",
        ),
        Ok(_) => Finding::failed(
            "a socket opens without a credential",
            "check that the proxy adds no cookie and no header Authorization",
        ),
    }
}

/// Keeps a rich socket idle for a time, and then expects a reply.
///
/// The socket is subscribed to no group, so that only pings travel over it.
pub async fn check_idle(connector: &Connector, account: &Account<'_>, seconds: u64) -> Finding {
    let mut socket = match open_rich(connector, "/ws/", account).await {
        Ok(socket) => socket,
        Err(refusal) => return Finding::failed(refusal.describe(), UPGRADE_REMEDY),
    };
    let begin = Instant::now();
    match idle(&mut socket, begin, Duration::from_secs(seconds)).await {
        Ok(pings) => Finding::passed(format!(
            "a silent socket is open after {seconds} s; pings of the server: {pings}"
        )),
        Err(error) => Finding::failed(
            format!("{error}, after {} s", begin.elapsed().as_secs()),
            "set the timeouts of the proxy for silent connections above 35 s (nginx: \
             proxy_read_timeout and proxy_send_timeout)",
        ),
    }
}

async fn idle(
    socket: &mut SocketClient,
    begin: Instant,
    duration: Duration,
) -> Result<usize, String> {
    socket
        .wait_for("frame hello", |frame| text_of(frame, "type") == "hello")
        .await?;
    let end = begin + duration;
    let (mut now, mut pings) = (begin, 0);
    while now < end {
        now = end.min(now + PROGRESS_INTERVAL);
        pings += socket.idle_until(now).await?;
        show_progress(now - begin, duration);
    }
    socket.say(&json!({"type": "auth", "id": 1})).await?;
    socket
        .wait_for("reply to auth", |frame| text_of(frame, "type") == "ok")
        .await?;
    Ok(pings)
}

/// Shows on a terminal how long the idle socket has waited.
fn show_progress(passed: Duration, all: Duration) {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        // Without a terminal, nobody waits for the progress.
        let _ = writeln!(
            terminal,
            "  …       idle socket   {} of {} s",
            passed.as_secs(),
            all.as_secs()
        );
    }
}
