//! A node of Salam: the release build with the settings of development, whose limits a measurement
//! does not reach.

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

/// The longest wait for a condition.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause between two checks of a condition.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// The stores of one or more nodes. Nodes with the same stores are one installation.
pub struct Installation {
    /// The value of `DATABASE_URL`.
    pub database_url: String,
    /// The value of `REDIS_URL`. Empty for a single node.
    pub redis_url: String,
    /// The folder of an SQLite file. It is deleted with the installation.
    pub folder: Option<TempDir>,
}

impl Installation {
    /// Creates an installation with an SQLite file, for one node.
    ///
    /// # Errors
    /// When the folder cannot be created.
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

/// A running node.
pub struct Node {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The process. It is dropped before the installation, so that it stops before its files are
    /// deleted.
    pub process: ChildProcess,
    /// The time from the start of the process to the first response.
    pub started_in: Duration,
    /// The stores of the node.
    pub installation: Arc<Installation>,
}

impl Node {
    /// Starts a node, and waits until it responds.
    ///
    /// # Errors
    /// When the node does not start in time.
    pub fn start(program: &Path, installation: &Arc<Installation>, core: Core) -> Result<Self> {
        let port = free_port()?;
        let mut command = cores::pinned_command(core, program);
        command
            .args(["start", "-e", "development"])
            .current_dir(project_root())
            .env("DATABASE_URL", &installation.database_url)
            .env("REDIS_URL", &installation.redis_url)
            .env("PORT", port.to_string())
            .env("BINDING", "127.0.0.1")
            .env("PUBLIC_URL", "")
            .env("LOG_LEVEL", "error");
        let started_at = Instant::now();
        let mut process = ChildProcess::start("Salam", &mut command)?;
        wait_until("Salam answers", || {
            process.check_running()?;
            Ok(answers_ping(port))
        })?;
        Ok(Self {
            port,
            process,
            started_in: started_at.elapsed(),
            installation: installation.clone(),
        })
    }
}

fn answers_ping(port: u16) -> bool {
    let response = HttpClient::connect(port).and_then(|mut client| client.get("/_ping", None));
    response.is_ok_and(|response| response.status == 200)
}

/// Waits until a condition is met.
///
/// # Errors
/// When the check fails, or when the condition is not met after 30 s.
pub fn wait_until(condition: &str, mut is_met: impl FnMut() -> Result<bool>) -> Result<()> {
    let started_at = Instant::now();
    while !is_met()? {
        if started_at.elapsed() > WAIT_TIMEOUT {
            return Err(format!("timed out while waiting until {condition}").into());
        }
        sleep(RETRY_INTERVAL);
    }
    Ok(())
}

/// Returns a port that no process listens on at the moment.
///
/// # Errors
/// When there is no free port.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Returns the project's root with the folder `config/`. Cargo builds this crate inside the root.
#[must_use]
pub fn project_root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().unwrap_or(crate_folder).to_owned()
}
