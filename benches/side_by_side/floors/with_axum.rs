//! The axum baseline: axum's WebSocket, a task for each socket, and tokio's broadcast channel.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{
        RawQuery, State,
        ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    response::Response,
    routing::get,
    serve::ListenerExt,
};
use futures_util::SinkExt;
use salam_benches::Result;
use tokio::{
    net::TcpListener,
    sync::broadcast::{self, Receiver, Sender, error::RecvError},
};

/// The size of the read buffer. axum's larger default is zeroed at each read.
const READ_BUFFER_BYTES: usize = 4096;

/// The number of texts that may wait for the slowest socket of a group.
const BROADCAST_CAPACITY: usize = 128;

type Groups = Arc<Mutex<HashMap<String, Sender<Utf8Bytes>>>>;

/// Serves until the process is killed.
pub fn serve(port: u16) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let routes = Router::new()
            .route("/fan", get(broadcast_endpoint))
            .route("/answer", get(reply_endpoint))
            .with_state(Groups::default());
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let listener = listener.tap_io(|stream| {
            // Without TCP_NODELAY, small frames wait for acknowledgements. The server is then
            // slower, but still correct.
            let _ = stream.set_nodelay(true);
        });
        Ok(axum::serve(listener, routes).await?)
    })
}

async fn broadcast_endpoint(
    State(groups): State<Groups>,
    RawQuery(group): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let group = {
        let mut groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
        let new_channel = || broadcast::channel(BROADCAST_CAPACITY).0;
        groups
            .entry(group.unwrap_or_default())
            .or_insert_with(new_channel)
            .clone()
    };
    let texts = group.subscribe();
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .on_upgrade(move |socket| relay(socket, group, texts))
}

/// Relays texts in both directions until the socket closes.
async fn relay(mut socket: WebSocket, group: Sender<Utf8Bytes>, mut texts: Receiver<Utf8Bytes>) {
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                // The sender is subscribed too, so the channel has a receiver.
                Some(Ok(Message::Text(text))) => drop(group.send(text)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            text = texts.recv() => {
                let mut text = match text {
                    Ok(text) => Some(text),
                    // The load detects the missing texts.
                    Err(RecvError::Lagged(_)) => None,
                    Err(RecvError::Closed) => return,
                };
                while let Some(next) = text {
                    if socket.feed(Message::Text(next)).await.is_err() {
                        return;
                    }
                    text = texts.try_recv().ok();
                }
                if socket.flush().await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn reply_endpoint(upgrade: WebSocketUpgrade) -> Response {
    let reply_loop = async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            let reply = Message::Text(Utf8Bytes::from_static(super::REPLY_TEXT));
            if matches!(message, Message::Text(_)) && socket.send(reply).await.is_err() {
                return;
            }
        }
    };
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .on_upgrade(reply_loop)
}
