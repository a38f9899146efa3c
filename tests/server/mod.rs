//! The accept loop and the outer layers: connections, addresses, hosts, headers and proxies.

mod client_address;
mod connections;
mod csp;
mod headers;
mod hosts;
mod line_endings;
mod metrics;
mod proxies;
mod response_limiter;

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::with_timeout;

/// Sends a text. Returns all bytes that the server sends until it closes the connection.
async fn raw_response(address: SocketAddr, text: &str) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    send_and_read_all(stream, text).await
}

async fn send_and_read_all(mut stream: TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut response = String::new();
    let reading = stream.read_to_string(&mut response);
    with_timeout("the end of a response", reading)
        .await
        .unwrap();
    response
}

/// Returns the status of a request with these lines after the first.
pub async fn raw_status(address: SocketAddr, target: &str, lines: &str) -> u16 {
    let head = format!("GET {target} HTTP/1.1\r\n{lines}connection: close\r\n\r\n");
    let response = raw_response(address, &head).await;
    let status = response.split(' ').nth(1);
    status
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("{response:?}"))
}
