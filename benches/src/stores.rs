//! A PostgreSQL and a Redis of our own, in a folder that goes with them.
//!
//! Both run as they are shipped, but that they listen on this machine alone: what is committed is on
//! the disk. Each place is a database of its own.

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

pub struct Stores {
    postgres: Postgres,
    _redis: ChildProcess,
    redis_port: u16,
    /// How many places there were.
    installation_count: AtomicU32,
    /// Last: what runs in it is stopped before it goes.
    _folder: TempDir,
}

impl Stores {
    /// `None` where PostgreSQL or Redis is not installed.
    ///
    /// # Errors
    /// One of them does not start.
    pub fn start() -> Result<Option<Self>> {
        let Some(programs) = postgres_bin_folder() else {
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
        let postgres = Postgres::start(programs, &folder.path().join("postgres"))?;
        let redis_port = free_port()?;
        let mut command = cores::pinned_command(Core::Stores, "redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command
            .args(["--port", &redis_port.to_string()])
            .current_dir(folder.path());
        let redis = ChildProcess::start("Redis", &mut command)?;
        wait_until("Redis listens", || Ok(is_listening(redis_port)))?;
        // PostgreSQL's user has to get through to its own folder.
        Ok(Some(Self {
            postgres,
            _redis: redis,
            redis_port,
            installation_count: AtomicU32::new(0),
            _folder: folder,
        }))
    }

    /// An empty database, and the Redis, which other places use as well: not at the same time.
    ///
    /// # Errors
    /// PostgreSQL refuses it.
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
    fn start(programs: PathBuf, place: &Path) -> Result<Self> {
        fs::create_dir(place)?;
        if is_root()? {
            // It refuses to run as root, and its user must get to its folder.
            let parent = place.parent().unwrap_or(place);
            run_command("chmod", Command::new("chmod").arg("711").arg(parent))?;
            run_command("chown", Command::new("chown").arg("postgres").arg(place))?;
        }
        let started = Self {
            bin_folder: programs,
            data: place.join("data"),
            port: free_port()?,
        };
        let mut initdb = started.command("initdb")?;
        run_command("initdb", initdb.args(["-A", "trust", "-U", "salam"]))?;
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1",
            started.port,
            place.display()
        );
        let mut start = started.command("pg_ctl")?;
        start.arg("-w").arg("-l").arg(place.join("log"));
        run_command("pg_ctl", start.args(["-o", &options, "start"]))?;
        Ok(started)
    }

    /// One of its programs, on its folder, as a user that it runs as.
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
            // Its folder goes anyway.
            let _ = stop.args(["-m", "immediate", "stop"]).status();
        }
    }
}

fn run_command(what: &str, command: &mut Command) -> Result<()> {
    let done = command.stdout(Stdio::null()).status();
    match done.map_err(|error| format!("{what}: {error}"))? {
        status if status.success() => Ok(()),
        status => Err(format!("{what} failed: {status}").into()),
    }
}

fn is_root() -> Result<bool> {
    let asked = Command::new("id").arg("-u").output()?;
    Ok(asked.stdout.trim_ascii() == b"0")
}

fn is_listening(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The folder of PostgreSQL's server programs, which Debian and Homebrew keep off the `START_CHAT_PATH`.
fn postgres_bin_folder() -> Option<PathBuf> {
    let mut found = Vec::new();
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let folders = fs::read_dir(parent).into_iter().flatten().flatten();
        found.extend(folders.map(|folder| folder.path().join("bin")));
    }
    found.sort();
    found
        .into_iter()
        .rev()
        .find(|folder| folder.join("initdb").is_file())
}

/// `PostgreSQL 15.4`, where it is installed.
#[must_use]
pub fn postgres_version() -> Option<String> {
    let asked = Command::new(postgres_bin_folder()?.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(asked.stdout).ok()?;
    let number = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(format!("PostgreSQL {number}"))
}
