//! `cargo loco start` in a process of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{TestDatabase, wait_until, with_timeout};

pub struct Server {
    process: Child,
    /// The working folder, where no `.env` of a developer is in effect.
    folder: TempDir,
}

/// The environment variables of a development server.
fn development_variables(redis: &str) -> [(&str, &str); 2] {
    let secret = "development-only-secret-of-the-tests";
    [("REDIS_URL", redis), ("JWT_SECRET", secret)]
}

/// The environment variables of a production server without Redis.
fn production_variables(public_url: &str) -> [(&str, &str); 3] {
    [
        ("PUBLIC_URL", public_url),
        ("JWT_SECRET", "vFqk0n3vT7Qm3yq1yQm0bq3H1nJ5y0aW"),
        ("REDIS_URL", ""),
    ]
}

impl Server {
    pub fn start(database: &TestDatabase) -> Self {
        Self::start_with_config(database, "", &[])
    }

    /// Starts a server on a given port, such as the port of an earlier server.
    pub fn start_on_port(database: &TestDatabase, port: u16) -> Self {
        Self::spawn(
            "development",
            database,
            &development_variables(""),
            &[],
            |command| {
                command.env("PORT", port.to_string());
            },
        )
    }

    /// Starts a server with a Redis, and with some lines of its configuration changed.
    pub fn start_with_config(
        database: &TestDatabase,
        redis: &str,
        changes: &[(&str, &str)],
    ) -> Self {
        Self::spawn(
            "development",
            database,
            &development_variables(redis),
            changes,
            |_| {},
        )
    }

    /// Starts a server like [`Server::start_with_config`], with a changed environment. Records its
    /// output.
    pub fn start_recorded(
        database: &TestDatabase,
        redis: &str,
        changes: &[(&str, &str)],
        environment: impl FnOnce(&mut Command),
    ) -> (Self, RecordedOutput) {
        let mut server = Self::spawn(
            "development",
            database,
            &development_variables(redis),
            changes,
            |command| {
                command.stderr(Stdio::piped());
                environment(command);
            },
        );
        let recording = RecordedOutput::default();
        recording.record(server.process.stdout.take().unwrap());
        recording.record(server.process.stderr.take().unwrap());
        (server, recording)
    }

    /// Records the standard output of a server that is not recorded yet.
    pub fn record_standard_output(&mut self) -> RecordedOutput {
        let recording = RecordedOutput::default();
        recording.record(self.process.stdout.take().unwrap());
        recording
    }

    /// Starts a server in the production environment, with some lines of its configuration changed. An
    /// empty URL means no URL.
    pub fn start_in_production(
        database: &TestDatabase,
        public_url: &str,
        changes: &[(&str, &str)],
    ) -> Self {
        let variables = production_variables(public_url);
        Self::spawn("production", database, &variables, changes, |_| {})
    }

    /// Starts a server in the production environment on a given port, such as the port of an earlier server.
    pub fn start_in_production_on_port(
        database: &TestDatabase,
        changes: &[(&str, &str)],
        port: u16,
    ) -> Self {
        let variables = production_variables("");
        Self::spawn("production", database, &variables, changes, |command| {
            command
                .env("PORT", port.to_string())
                .env("METRICS_BINDING", "");
        })
    }

    /// Starts a server with no file, and with no variable except for the port.
    pub fn start_in_an_empty_folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_salam-cli"));
        command
            .arg("start")
            .current_dir(folder.path())
            .env_clear()
            .env("PORT", "0")
            .stdout(Stdio::piped());
        Self {
            process: command.spawn().unwrap(),
            folder,
        }
    }

    /// The working folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn spawn(
        environment: &str,
        database: &TestDatabase,
        variables: &[(&str, &str)],
        changes: &[(&str, &str)],
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("{environment}.yaml");
        let configured = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("config")
            .join(&file);
        let mut config = fs::read_to_string(configured).unwrap();
        if changes
            .iter()
            .all(|(line, _)| !line.contains("drain_delay"))
        {
            config = config.replace("drain_delay: 5", "drain_delay: 0");
        }
        for (line, changed) in changes {
            assert!(config.contains(line), "{line}");
            config = config.replace(line, changed);
        }
        fs::write(folder.path().join(&file), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_salam-cli"));
        command
            .args(["start", "-e", environment])
            .current_dir(folder.path())
            .env("LOCO_CONFIG_FOLDER", folder.path())
            .env("DATABASE_URL", &database.uri)
            .env("PORT", "0")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped());
        prepare(&mut command);
        Self {
            process: command.spawn().unwrap(),
            folder,
        }
    }

    /// Returns the addresses that the server prints, or nothing if it exits before that.
    pub async fn read_addresses(&mut self) -> Vec<String> {
        self.read_addresses_and_output().await.0
    }

    /// Returns the addresses, and the rest of the output, which nobody has read.
    pub async fn read_addresses_and_output(&mut self) -> (Vec<String>, impl Read) {
        let mut output = BufReader::new(self.process.stdout.take().unwrap());
        let reading = tokio::task::spawn_blocking(move || {
            let mut lines = output.by_ref().lines().map(Result::unwrap);
            let ready = lines.find(|line| line.contains("Salam is ready"));
            // In production, the line is JSON.
            let event: Option<Value> = ready.and_then(|line| serde_json::from_str(&line).ok());
            let addresses = match event {
                Some(event) => ["page", "docs", "api"]
                    .iter()
                    .filter_map(|name| Some(event["fields"][name].as_str()?.to_owned()))
                    .collect(),
                None => lines
                    .take(3)
                    .filter_map(|line| Some(line.split_whitespace().last()?.to_owned()))
                    .collect(),
            };
            (addresses, output)
        });
        with_timeout("the addresses", reading).await.unwrap()
    }

    /// Returns the address of the listener.
    pub async fn listen_address(&mut self) -> SocketAddr {
        let addresses = self.read_addresses().await;
        let url = url::Url::parse(addresses.first().expect("it starts")).unwrap();
        url.socket_addrs(|| None).unwrap()[0]
    }

    /// Returns the first line that contains a text.
    pub async fn wait_for_line(&mut self, what: &'static str) -> String {
        let output = self.process.stdout.take().unwrap();
        let reading = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(output).lines().map(Result::unwrap);
            lines.find(|line| line.contains(what)).unwrap()
        });
        with_timeout(what, reading).await.unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.send_signal("TERM");
    }

    /// Sends a signal, such as `HUP`.
    pub fn send_signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// Stops the server by SIGTERM. Returns its exit status.
    pub async fn stop(self) -> ExitStatus {
        self.terminate();
        self.wait_for_exit().await
    }

    /// Waits until the process ends. Returns its exit status.
    pub async fn wait_for_exit(mut self) -> ExitStatus {
        let ended = tokio::task::spawn_blocking(move || self.process.wait().unwrap());
        with_timeout("the server to stop", ended).await.unwrap()
    }

    /// Kills the process, like a crash.
    pub fn kill(&mut self) {
        // Fails if the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The lines of both outputs of a server.
#[derive(Clone, Default)]
pub struct RecordedOutput(Arc<Mutex<Vec<String>>>);

impl RecordedOutput {
    fn record(&self, output: impl Read + Send + 'static) {
        let lines = self.0.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the lines of a log in JSON whose `message` is this phrase.
    pub fn lines_with_message(&self, phrase: &str) -> Vec<Value> {
        let lines = self.lines().into_iter();
        lines
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .filter(|line| line["fields"]["message"] == phrase)
            .collect()
    }

    /// Waits for a number of lines of a log in JSON whose `message` is this phrase, and returns them.
    pub async fn wait_for_messages(&self, phrase: &str, count: usize) -> Vec<Value> {
        wait_until(phrase, async || {
            self.lines_with_message(phrase).len() >= count
        })
        .await;
        self.lines_with_message(phrase)
    }

    /// Returns the address of the listener, from a log in JSON.
    pub async fn listen_address(&self) -> SocketAddr {
        let ready = self.wait_for_messages("Salam is ready", 1).await.remove(0);
        let page = url::Url::parse(ready["fields"]["page"].as_str().unwrap()).unwrap();
        page.socket_addrs(|| None).unwrap()[0]
    }

    /// Waits for the first line that contains a text, and returns it.
    pub async fn wait_for_line(&self, what: &str) -> String {
        let find = || self.lines().into_iter().find(|line| line.contains(what));
        wait_until(what, async || find().is_some()).await;
        find().unwrap()
    }
}
