//! `cargo loco start` in a process of its own, as its user runs it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use tempfile::TempDir;

use super::{TestDatabase, soon};

pub struct Server {
    process: Child,
    /// Away from a developer's own .env, which tests must not see.
    _folder: TempDir,
}

impl Server {
    pub fn start(database: &TestDatabase) -> Self {
        Self::with(database, "", &[])
    }

    /// With a Redis, and some lines of its configuration changed.
    pub fn with(database: &TestDatabase, redis: &str, changes: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configured = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/development.yaml");
        let mut config = fs::read_to_string(configured).unwrap();
        for (line, changed) in changes {
            assert!(config.contains(line), "{line}");
            config = config.replace(line, changed);
        }
        fs::write(folder.path().join("development.yaml"), config).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_salam-cli"))
            .args(["start", "-e", "development"])
            .current_dir(folder.path())
            .env("LOCO_CONFIG_FOLDER", folder.path())
            .env("DATABASE_URL", &database.uri)
            .env("JWT_SECRET", "development-only-secret-of-the-tests")
            .env("REDIS_URL", redis)
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .spawn();
        Self {
            process: process.unwrap(),
            _folder: folder,
        }
    }

    /// What it says of where it is; nothing if it ends first.
    pub async fn addresses(&mut self) -> Vec<String> {
        let output = self.process.stdout.take().unwrap();
        let told = tokio::task::spawn_blocking(move || {
            let lines = BufReader::new(output).lines().map(Result::unwrap);
            lines
                .skip_while(|line| line != "Salam is ready")
                .skip(1)
                .take(3)
                .filter_map(|line| Some(line.split_whitespace().last()?.to_owned()))
                .collect()
        });
        soon("the addresses", told).await.unwrap()
    }

    /// The first line that it says of something.
    pub async fn line_with(&mut self, what: &'static str) -> String {
        let output = self.process.stdout.take().unwrap();
        let told = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(output).lines().map(Result::unwrap);
            lines.find(|line| line.contains(what)).unwrap()
        });
        soon(what, told).await.unwrap()
    }

    /// Has it stop as an operator does, and gives what it ends with.
    pub async fn stop(mut self) -> ExitStatus {
        let pid = self.process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.unwrap().success());
        let ended = tokio::task::spawn_blocking(move || self.process.wait().unwrap());
        soon("the server to stop", ended).await.unwrap()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        // In vain where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
