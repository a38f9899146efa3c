//! `cargo loco start` in a process of its own, as its user runs it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
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
        let secret = "development-only-secret-of-the-tests";
        let variables = [("REDIS_URL", redis), ("JWT_SECRET", secret)];
        Self::run("development", database, &variables, changes)
    }

    /// As it is deployed, with some lines changed. An empty URL is none.
    pub fn in_production(
        database: &TestDatabase,
        public_url: &str,
        changes: &[(&str, &str)],
    ) -> Self {
        let secret = "vFqk0n3vT7Qm3yq1yQm0bq3H1nJ5y0aW";
        let variables = [("PUBLIC_URL", public_url), ("JWT_SECRET", secret)];
        Self::run("production", database, &variables, changes)
    }

    fn run(
        environment: &str,
        database: &TestDatabase,
        variables: &[(&str, &str)],
        changes: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("{environment}.yaml");
        let configured = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let mut config = fs::read_to_string(configured.join(&file)).unwrap();
        for (line, changed) in changes {
            assert!(config.contains(line), "{line}");
            config = config.replace(line, changed);
        }
        fs::write(folder.path().join(&file), config).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_salam-cli"))
            .args(["start", "-e", environment])
            .current_dir(folder.path())
            .env("LOCO_CONFIG_FOLDER", folder.path())
            .env("DATABASE_URL", &database.uri)
            .env("PORT", "0")
            .env("REDIS_URL", "")
            .envs(variables.iter().copied())
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

    /// Where it listens.
    pub async fn address(&mut self) -> SocketAddr {
        let told = self.addresses().await;
        let url = url::Url::parse(told.first().expect("it starts")).unwrap();
        url.socket_addrs(|| None).unwrap()[0]
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
