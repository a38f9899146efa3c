//! RFC 6455, by the cases of the Autobahn suite.
//!
//! The cases run against an echo server that is made of the parts of every socket: the accept loop, the
//! options of the upgrade, the writing of frames, protocol errors and close frames. Only the frame limit
//! differs, because some cases send 16 MiB in one message.

use std::{path::Path, process::Command};

use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    routing::get,
};
use salam::{
    channels::transport::{answer_close, close, close_reason_of_error, with_limits, write_batch},
    server,
    settings::Settings,
};
use tokio::{net::TcpListener, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::support::TestApp;

const FRAME_LIMIT: usize = 16 * 1024 * 1024;

/// Takes minutes and needs a Python with `kosoku`. `tests/slow/autobahn` provides it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by tests/slow/autobahn"]
async fn every_case_of_the_autobahn_suite_passes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let route = get(async |upgrade: WebSocketUpgrade| {
        with_limits(upgrade, FRAME_LIMIT).on_upgrade(|socket| echo(Box::new(socket)))
    });
    let router = Router::new().route("/", route);
    let stop = CancellationToken::new();
    let app = TestApp::start().await;
    let settings = Settings::from_context(&app.ctx).unwrap();
    let stopped = stop.clone();
    tokio::spawn(async move { server::serve(listener, router, &settings.door, stopped).await });

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Sections 12 and 13 test compression, which the server does not offer.
    let sections = [
        "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*",
    ];
    let mut cases = Command::new(root.join("target/python/bin/kosoku"));
    cases.arg("--outdir").arg(root.join("target/autobahn"));
    for section in sections {
        cases.args(["--include", section]);
    }
    cases.arg(address.to_string());
    let ran = spawn_blocking(move || cases.status().unwrap()).await;
    assert!(ran.unwrap().success());
    stop.cancel();
}

async fn echo(mut socket: Box<WebSocket>) {
    loop {
        match socket.recv().await {
            Some(Ok(frame @ (Message::Text(_) | Message::Binary(_)))) => {
                if write_batch(&mut socket, &mut [frame].into_iter())
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) => return answer_close(socket).await,
            Some(Err(error)) => match close_reason_of_error(error) {
                Some(reason) => return close(socket, None, reason).await,
                None => return,
            },
            None => return,
        }
    }
}
