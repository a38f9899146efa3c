//! A proxy between a client and a server that can lose bytes and connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream, tcp::ReadHalf},
    select,
};
use tokio_util::sync::CancellationToken;

/// A proxy that forwards connections.
pub struct Proxy {
    pub address: SocketAddr,
    /// Cancelled to close the open connections.
    cancellation: Arc<std::sync::Mutex<CancellationToken>>,
    /// The number of chunks from the server that are still to be dropped.
    chunks_to_drop: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> Self {
        Self::start_with(server, false).await
    }

    /// Starts a proxy that removes the header `Upgrade` of requests, so that no WebSocket opens.
    pub async fn blocking_upgrades(server: SocketAddr) -> Self {
        Self::start_with(server, true).await
    }

    async fn start_with(server: SocketAddr, drops_upgrades: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            cancellation: Arc::default(),
            chunks_to_drop: Arc::default(),
        };
        let (wire, left) = (proxy.cancellation.clone(), proxy.chunks_to_drop.clone());
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(server).await.unwrap();
                let wire = wire.lock().unwrap().clone();
                tokio::spawn(forward(client, server, wire, left.clone(), drops_upgrades));
            }
        });
        proxy
    }

    /// Closes the open connections.
    pub fn drop_connections(&self) {
        let old = std::mem::take(&mut *self.cancellation.lock().unwrap());
        old.cancel();
    }

    /// Drops the next chunks from the server. A chunk has the bytes of one write of the server.
    pub fn drop_next_chunks(&self, pieces: usize) {
        self.chunks_to_drop.store(pieces, Ordering::Relaxed);
    }

    /// Returns the number of chunks that are still to be dropped.
    pub fn chunks_left_to_drop(&self) -> usize {
        self.chunks_to_drop.load(Ordering::Relaxed)
    }
}

async fn forward(
    mut client: TcpStream,
    mut server: TcpStream,
    wire: CancellationToken,
    left: Arc<AtomicUsize>,
    drops_upgrades: bool,
) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let forth = async {
        if drops_upgrades {
            let head = strip_upgrade_header(&read_head(&mut from_client).await);
            if to_server.write_all(&head).await.is_err() {
                return;
            }
        }
        // The connection ends when either direction ends.
        let _ = copy(&mut from_client, &mut to_server).await;
    };
    let back = async {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(size @ 1..) = from_server.read(&mut piece).await {
            let take = |left: usize| left.checked_sub(1);
            if left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_err()
                && to_client.write_all(&piece[..size]).await.is_err()
            {
                return;
            }
        }
    };
    select! {
        () = forth => {}
        () = back => {}
        () = wire.cancelled() => {}
    }
}

/// Reads the head of the first request of a connection, and the bytes that arrive with it.
async fn read_head(client: &mut ReadHalf<'_>) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let read = client.read_buf(&mut head).await;
        if !matches!(read, Ok(1..)) {
            break;
        }
    }
    head
}

/// Returns a request without its header `Upgrade`. A handshake is always the first request of its connection.
fn strip_upgrade_header(request: &[u8]) -> Vec<u8> {
    let lines = request.split_inclusive(|byte| *byte == b'\n');
    let is_kept = |line: &&[u8]| !line.to_ascii_lowercase().starts_with(b"upgrade:");
    lines.filter(is_kept).flatten().copied().collect()
}
