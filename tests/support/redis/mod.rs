//! A real `redis-server` on a free port, and groups of servers.

mod certificates;
mod cluster;
mod sentinel;

pub use certificates::Certificates;
pub use cluster::RedisCluster;
pub use sentinel::SentinelRedis;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use super::{TEST_TIMEOUT, wait_until};

pub struct RedisServer {
    pub port: u16,
    tls_port: Option<u16>,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl RedisServer {
    pub async fn start() -> Self {
        let mut server = Self::not_running();
        server.start_process().await;
        server
    }

    /// Returns a server that is not running.
    pub fn not_running() -> Self {
        Self::with_arguments("", None)
    }

    /// Starts a server with TLS.
    pub async fn start_tls(certificates: &Certificates) -> Self {
        let mut server = Self::with_arguments("", Some(certificates));
        server.start_process().await;
        server
    }

    /// Returns a server that is not running, with additional arguments.
    fn with_arguments(arguments: &str, certificates: Option<&Certificates>) -> Self {
        let mut server = Self {
            port: free_port(),
            tls_port: certificates.map(|_| free_port()),
            arguments: Vec::new(),
            process: None,
        };
        server.add_arguments(arguments);
        server.add_arguments(&format!("--port {}", server.port));
        // Nothing is stored.
        server.add_arguments("--appendonly no --save");
        server.arguments.push(String::new());
        if let (Some(port), Some(certificates)) = (server.tls_port, certificates) {
            server.add_arguments(&format!("--tls-port {port} --tls-auth-clients no"));
            server.add_arguments(&certificates.redis_arguments());
        }
        server
    }

    fn add_arguments(&mut self, arguments: &str) {
        let parts = arguments.split_whitespace().map(ToOwned::to_owned);
        self.arguments.extend(parts);
    }

    pub fn url(&self) -> String {
        match self.tls_port {
            Some(port) => format!("rediss://127.0.0.1:{port}"),
            None => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    pub async fn start_process(&mut self) {
        let process = Command::new("redis-server")
            .args(&self.arguments)
            .args(["--bind", "127.0.0.1", "--daemonize", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed (bin/test does it)");
        let process = self.process.insert(process);
        let port = self.port;
        wait_until("redis-server", async || {
            let ended = process.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "redis-server ended: {ended:?}; is port {port} taken?"
            );
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
    }

    /// Runs an operator's command, which must succeed.
    pub fn run_command(&self, command: &str) {
        let response = self.query(command);
        assert!(
            !response.is_empty() && !response.starts_with('-'),
            "{command}: {response}"
        );
    }

    /// Returns the raw reply to a command, or nothing if the command ends the connection.
    pub fn query(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        // The server replies and then closes too.
        stream.shutdown(Shutdown::Write).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    /// Kills the process, like a crash.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns a free port below the range of the kernel's ephemeral ports, so that no connection of a test
/// takes it before the server starts. The cluster bus of a node uses the port 10000 above.
fn free_port() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..1000)
        .map(|_| 10_000 + rand::random::<u16>() % 10_000)
        .find(|port| is_free(*port) && is_free(*port + 10_000))
        .expect("a free port")
}
