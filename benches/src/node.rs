//! One Salam, as it is released, with the settings of development: no limit there is met by accident.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    Result,
    child_process::ChildProcess,
    cores::{self, Core},
    http::HttpClient,
};

const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// Where a node keeps its data. Nodes at the same place are one installation.
pub struct Installation {
    pub database_url: String,
    pub redis_url: String,
    /// Goes with the place, and what is in it too.
    pub folder: Option<TempDir>,
}

impl Installation {
    /// A file of SQLite for one node.
    ///
    /// # Errors
    /// The system's.
    pub fn sqlite() -> Result<Arc<Self>> {
        let folder = TempDir::new()?;
        let file = folder.path().join("bench.sqlite");
        Ok(Arc::new(Self {
            database_url: format!("sqlite://{}?mode=rwc", file.display()),
            redis_url: String::new(),
            folder: Some(folder),
        }))
    }
}

pub struct Node {
    pub port: u16,
    /// Before the place: it is stopped before its files go.
    pub process: ChildProcess,
    /// From when it was started until it answered.
    pub started_in: Duration,
    pub installation: Arc<Installation>,
}

impl Node {
    /// Starts this program, and waits until it answers.
    ///
    /// # Errors
    /// It does not start, or not soon.
    pub fn start(program: &Path, place: &Arc<Installation>, core: Core) -> Result<Self> {
        let port = free_port()?;
        let mut command = cores::pinned_command(core, program);
        command
            .args(["start", "-e", "development"])
            .current_dir(project_root())
            .env("DATABASE_URL", &place.database_url)
            .env("REDIS_URL", &place.redis_url)
            .env("PORT", port.to_string())
            .env("BINDING", "127.0.0.1")
            .env("PUBLIC_URL", "")
            .env("LOG_LEVEL", "error");
        let begin = Instant::now();
        let mut process = ChildProcess::start("Salam", &mut command)?;
        wait_until("Salam answers", || {
            process.check()?;
            Ok(answers_ping(port))
        })?;
        Ok(Self {
            port,
            process,
            started_in: begin.elapsed(),
            installation: place.clone(),
        })
    }
}

fn answers_ping(port: u16) -> bool {
    let asked = HttpClient::connect(port).and_then(|mut client| client.get("/_ping", None));
    asked.is_ok_and(|answer| answer.status == 200)
}

/// Tries until it is so.
///
/// # Errors
/// It fails, or is not so after half a minute.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !is_so()? {
        if begin.elapsed() > WAIT_TIMEOUT {
            return Err(format!("waited in vain until {what}").into());
        }
        sleep(RETRY_INTERVAL);
    }
    Ok(())
}

/// A port that nobody listens on just now.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The project's root, where `config/` is: cargo builds this crate in it.
#[must_use]
pub fn project_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
