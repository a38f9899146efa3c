//! A proxy for PostgreSQL that loses a COMMIT or its response, or refuses connections.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    select,
};
use url::Url;

/// The fault of the next COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// The COMMIT does not arrive.
    LostRequest,
    /// The COMMIT arrives, and its response does not.
    LostResponse,
}

/// A proxy between an app and PostgreSQL.
#[derive(Clone)]
pub struct FaultyPostgresProxy {
    uri: Url,
    next_fault: Arc<Mutex<Option<CommitFault>>>,
    is_refusing: Arc<AtomicBool>,
    /// The number of refused connections.
    refused: Arc<AtomicUsize>,
}

impl FaultyPostgresProxy {
    /// Starts a proxy in front of the server of this URI.
    pub fn in_front_of(uri: &str) -> Self {
        let mut uri = Url::parse(uri).unwrap();
        let host = uri.host_str().unwrap().to_owned();
        let server = (host, uri.port().unwrap_or(5432));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        uri.set_host(Some("127.0.0.1")).unwrap();
        let port = listener.local_addr().unwrap().port();
        uri.set_port(Some(port)).unwrap();
        let cutter = Self {
            uri,
            next_fault: Arc::default(),
            is_refusing: Arc::default(),
            refused: Arc::default(),
        };
        let cutting = cutter.clone();
        let listener = TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if cutting.is_refusing.load(Ordering::Relaxed) {
                    cutting.refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let server = TcpStream::connect(server.clone()).await.unwrap();
                let cutting = cutting.clone();
                // The connection ends when either side closes.
                tokio::spawn(async move { cutting.forward(client, server).await });
            }
        });
        cutter
    }

    /// Returns the URI for the app.
    pub fn uri(&self) -> String {
        self.uri.to_string()
    }

    pub fn fail_next_commit(&self, cut: CommitFault) {
        *self.next_fault.lock().unwrap() = Some(cut);
    }

    /// `true` if a COMMIT has failed since the fault was set.
    pub fn has_failed_commit(&self) -> bool {
        self.next_fault.lock().unwrap().is_none()
    }

    /// Closes new connections at once, like a server that is restarting.
    pub fn refuse_connections(&self) {
        self.is_refusing.store(true, Ordering::Relaxed);
    }

    pub fn accept_connections(&self) {
        self.is_refusing.store(false, Ordering::Relaxed);
    }

    /// Returns the number of refused connections.
    pub fn refused_connections(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    async fn forward(&self, mut client: TcpStream, mut server: TcpStream) -> io::Result<()> {
        let (mut from_client, mut from_server) = ([0; 16 * 1024], [0; 16 * 1024]);
        loop {
            select! {
                read = client.read(&mut from_client) => {
                    let request = &from_client[..read?];
                    let is_commit = request.windows(6).any(|statement| statement == b"COMMIT");
                    let cut = if is_commit { self.next_fault.lock().unwrap().take() } else { None };
                    if request.is_empty() || cut == Some(CommitFault::LostRequest) {
                        return Ok(());
                    }
                    server.write_all(request).await?;
                    if cut == Some(CommitFault::LostResponse) {
                        server.readable().await?;
                        return Ok(());
                    }
                }
                read = server.read(&mut from_server) => {
                    let response = &from_server[..read?];
                    if response.is_empty() {
                        return Ok(());
                    }
                    client.write_all(response).await?;
                }
            }
        }
    }
}
