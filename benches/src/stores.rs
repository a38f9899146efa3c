//! A PostgreSQL and a Redis of the benchmark's own, in a folder that is deleted afterwards.
//!
//! Both run with their default settings, but listen on this machine only. So a commit of PostgreSQL
//! is on disk. Each installation has a database of its own.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tempfile::TempDir;

use crate::{
    Result,
    child_process::ChildProcess,
    cores::{self, Core},
    node::{Installation, free_port, wait_until},
};

/// The running stores.
pub struct Stores {
    postgres: Postgres,
    _redis: ChildProcess,
    redis_port: u16,
    /// The number of created installations.
    installation_count: AtomicU32,
    /// The folder. It is the last field, so that its processes stop before it is deleted.
    _folder: TempDir,
}

impl Stores {
    /// Starts both stores. Returns `None` if PostgreSQL or Redis is not installed.
    ///
    /// # Errors
    /// When one of the stores does not start.
    pub fn start() -> Result<Option<Self>> {
        let Some(bin_folder) = postgres_bin_folder() else {
            return Ok(None);
        };
        if Command::new("redis-server")
            .arg("--version")
            .output()
            .is_err()
        {
            return Ok(None);
        }
        let folder = TempDir::new()?;
        let postgres = Postgres::start(bin_folder, &folder.path().join("postgres"))?;
        let redis_port = free_port()?;
        let mut command = cores::pinned_command(Core::Stores, "redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command
            .args(["--port", &redis_port.to_string()])
            .current_dir(folder.path());
        let redis = ChildProcess::start("Redis", &mut command)?;
        wait_until("Redis listens", || Ok(is_listening(redis_port)))?;
        // The user of PostgreSQL needs access to its folder inside this folder.
        Ok(Some(Self {
            postgres,
            _redis: redis,
            redis_port,
            installation_count: AtomicU32::new(0),
            _folder: folder,
        }))
    }

    /// Creates an empty database. All installations share the Redis server, but not at the same
    /// time.
    ///
    /// # Errors
    /// When PostgreSQL refuses the database.
    pub fn create_installation(&self) -> Result<Arc<Installation>> {
        let name = format!(
            "bench{}",
            self.installation_count.fetch_add(1, Ordering::Relaxed)
        );
        let port = self.postgres.port;
        let mut create = Command::new(self.postgres.bin_folder.join("createdb"));
        create.args([
            "-h",
            "127.0.0.1",
            "-U",
            "salam",
            "-p",
            &port.to_string(),
            &name,
        ]);
        run_command("createdb", &mut create)?;
        Ok(Arc::new(Installation {
            database_url: format!("postgres://salam@127.0.0.1:{port}/{name}"),
            redis_url: format!("redis://127.0.0.1:{}", self.redis_port),
            folder: None,
        }))
    }
}

struct Postgres {
    bin_folder: PathBuf,
    data: PathBuf,
    port: u16,
}

impl Postgres {
    fn start(bin_folder: PathBuf, folder: &Path) -> Result<Self> {
        fs::create_dir(folder)?;
        if is_root()? {
            // PostgreSQL refuses to run as root, and its user needs access to its folder.
            let parent = folder.parent().unwrap_or(folder);
            run_command("chmod", Command::new("chmod").arg("711").arg(parent))?;
            run_command("chown", Command::new("chown").arg("postgres").arg(folder))?;
        }
        let postgres = Self {
            bin_folder,
            data: folder.join("data"),
            port: free_port()?,
        };
        let mut initdb = postgres.command("initdb")?;
        run_command("initdb", initdb.args(["-A", "trust", "-U", "salam"]))?;
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1",
            postgres.port,
            folder.display()
        );
        let mut start = postgres.command("pg_ctl")?;
        start.arg("-w").arg("-l").arg(folder.join("log"));
        run_command("pg_ctl", start.args(["-o", &options, "start"]))?;
        Ok(postgres)
    }

    /// Returns a command that runs a program of PostgreSQL on the data folder, as a permitted user.
    fn command(&self, program: &str) -> Result<Command> {
        let program = self.bin_folder.join(program);
        let mut command = if is_root()? {
            let mut command = cores::pinned_command(Core::Stores, "runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            cores::pinned_command(Core::Stores, program)
        };
        command.arg("-D").arg(&self.data).current_dir("/");
        Ok(command)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(mut stop) = self.command("pg_ctl") {
            // The folder is deleted even if the stop fails.
            let _ = stop.args(["-m", "immediate", "stop"]).status();
        }
    }
}

fn run_command(name: &str, command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).status();
    match status.map_err(|error| format!("{name}: {error}"))? {
        status if status.success() => Ok(()),
        status => Err(format!("{name} failed: {status}").into()),
    }
}

fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output()?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn is_listening(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Returns the folder of PostgreSQL's server programs, which Debian and Homebrew do not add to
/// `PATH`.
fn postgres_bin_folder() -> Option<PathBuf> {
    let mut candidates = Vec::new();
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let folders = fs::read_dir(parent).into_iter().flatten().flatten();
        candidates.extend(folders.map(|folder| folder.path().join("bin")));
    }
    candidates.sort();
    candidates
        .into_iter()
        .rev()
        .find(|folder| folder.join("initdb").is_file())
}

/// Returns the installed version, such as `PostgreSQL 15.4`.
#[must_use]
pub fn postgres_version() -> Option<String> {
    let output = Command::new(postgres_bin_folder()?.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(format!("PostgreSQL {number}"))
}
