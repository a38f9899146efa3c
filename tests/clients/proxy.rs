//! What may happen to bytes between a client and a server.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    select,
};
use tokio_util::sync::CancellationToken;

/// Passes connections on.
pub struct Proxy {
    pub address: SocketAddr,
    /// Cancelled to cut the connections that there are.
    wire: Arc<std::sync::Mutex<CancellationToken>>,
    /// How many pieces from the server are to be swallowed.
    left: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            wire: Arc::default(),
            left: Arc::default(),
        };
        let (wire, left) = (proxy.wire.clone(), proxy.left.clone());
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(server).await.unwrap();
                let wire = wire.lock().unwrap().clone();
                tokio::spawn(pass(client, server, wire, left.clone()));
            }
        });
        proxy
    }

    /// Cuts the connections that there are.
    pub fn cut(&self) {
        let old = std::mem::take(&mut *self.wire.lock().unwrap());
        old.cancel();
    }

    /// Keeps the next so many pieces from the server for itself: each is what the server has
    /// written at once.
    pub fn swallow(&self, pieces: usize) {
        self.left.store(pieces, Ordering::Relaxed);
    }

    /// How many pieces are still to be swallowed.
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    wire: CancellationToken,
    left: Arc<AtomicUsize>,
) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
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
        _ = copy(&mut from_client, &mut to_server) => {}
        () = back => {}
        () = wire.cancelled() => {}
    }
}
