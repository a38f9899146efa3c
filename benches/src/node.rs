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
    cores::{self, Core},
    http::Client,
    running::Running,
};

const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_TRIES: Duration = Duration::from_millis(1);

/// Where a node keeps its data. Nodes at the same place are one installation.
pub struct Place {
    pub database_url: String,
    pub redis_url: String,
    /// Goes with the place, and what is in it too.
    pub folder: Option<TempDir>,
}

impl Place {
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
    pub process: Running,
    /// From when it was started until it answered.
    pub started_in: Duration,
    pub place: Arc<Place>,
}

impl Node {
    /// Starts this program, and waits until it answers.
    ///
    /// # Errors
    /// It does not start, or not soon.
    pub fn start(program: &Path, place: &Arc<Place>, core: Core) -> Result<Self> {
        let port = free_port()?;
        let mut command = cores::command(core, program);
        command
            .args(["start", "-e", "development"])
            .current_dir(root())
            .env("DATABASE_URL", &place.database_url)
            .env("REDIS_URL", &place.redis_url)
            .env("PORT", port.to_string())
            .env("BINDING", "127.0.0.1")
            .env("PUBLIC_URL", "")
            .env("LOG_LEVEL", "error");
        let begin = Instant::now();
        let mut process = Running::start("Salam", &mut command)?;
        wait_until("Salam answers", || {
            process.check()?;
            Ok(answers(port))
        })?;
        Ok(Self {
            port,
            process,
            started_in: begin.elapsed(),
            place: place.clone(),
        })
    }
}

fn answers(port: u16) -> bool {
    let asked = Client::connect(port).and_then(|mut client| client.get("/_ping", None));
    asked.is_ok_and(|answer| answer.status == 200)
}

/// Tries until it is so.
///
/// # Errors
/// It fails, or is not so after half a minute.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !is_so()? {
        if begin.elapsed() > PATIENCE {
            return Err(format!("waited in vain until {what}").into());
        }
        sleep(BETWEEN_TRIES);
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
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
