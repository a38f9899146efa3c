//! Who comes in, from where, and what everybody is told on the way out.

mod answers;
mod client_address;
mod connections;
mod headers;
mod hosts;
mod line_endings;
mod pages;
mod proxies;

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::soon;

/// Everything that comes back for what is sent, until the server closes.
async fn answer_to(address: SocketAddr, text: &str) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    finish(stream, text).await
}

async fn finish(mut stream: TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    soon("the end of an answer", reading).await.unwrap();
    answer
}

/// The status of the answer to a request with these lines after the first.
pub async fn status_of(address: SocketAddr, target: &str, lines: &str) -> u16 {
    let head = format!("GET {target} HTTP/1.1\r\n{lines}connection: close\r\n\r\n");
    let answer = answer_to(address, &head).await;
    let status = answer.split(' ').nth(1);
    status
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("{answer:?}"))
}
