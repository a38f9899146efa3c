//! A network that breaks when it is to carry a COMMIT, or the answer to it, or that has nobody at its other
//! end.

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

/// Where the next COMMIT finds the network broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It does not arrive.
    Request,
    /// It does, and its answer does not.
    Answer,
}

/// Stands between an app and PostgreSQL.
#[derive(Clone)]
pub struct Cutter {
    uri: Url,
    next: Arc<Mutex<Option<Cut>>>,
    is_away: Arc<AtomicBool>,
    /// How many have come while it was away.
    missed: Arc<AtomicUsize>,
}

impl Cutter {
    /// Before the server of this address.
    pub fn before(uri: &str) -> Self {
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
            next: Arc::default(),
            is_away: Arc::default(),
            missed: Arc::default(),
        };
        let cutting = cutter.clone();
        let listener = TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if cutting.is_away.load(Ordering::Relaxed) {
                    cutting.missed.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let server = TcpStream::connect(server.clone()).await.unwrap();
                let cutting = cutting.clone();
                // An end is an end, on whichever side it comes.
                tokio::spawn(async move { cutting.carry(client, server).await });
            }
        });
        cutter
    }

    /// The address for the app.
    pub fn uri(&self) -> String {
        self.uri.to_string()
    }

    pub fn cut(&self, cut: Cut) {
        *self.next.lock().unwrap() = Some(cut);
    }

    /// Whether a COMMIT has come since.
    pub fn has_cut(&self) -> bool {
        self.next.lock().unwrap().is_none()
    }

    /// Closes new connections at once, as a server does that is about to come back.
    pub fn go_away(&self) {
        self.is_away.store(true, Ordering::Relaxed);
    }

    pub fn come_back(&self) {
        self.is_away.store(false, Ordering::Relaxed);
    }

    /// How many connections were closed so.
    pub fn missed(&self) -> usize {
        self.missed.load(Ordering::Relaxed)
    }

    async fn carry(&self, mut client: TcpStream, mut server: TcpStream) -> io::Result<()> {
        let (mut asked, mut answered) = ([0; 16 * 1024], [0; 16 * 1024]);
        loop {
            select! {
                read = client.read(&mut asked) => {
                    let request = &asked[..read?];
                    let is_commit = request.windows(6).any(|word| word == b"COMMIT");
                    let cut = if is_commit { self.next.lock().unwrap().take() } else { None };
                    if request.is_empty() || cut == Some(Cut::Request) {
                        return Ok(());
                    }
                    server.write_all(request).await?;
                    if cut == Some(Cut::Answer) {
                        server.readable().await?;
                        return Ok(());
                    }
                }
                read = server.read(&mut answered) => {
                    let answer = &answered[..read?];
                    if answer.is_empty() {
                        return Ok(());
                    }
                    client.write_all(answer).await?;
                }
            }
        }
    }
}
