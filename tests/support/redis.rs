//! A real `redis-server` on a free port.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use super::until;

pub struct RedisServer {
    port: u16,
    process: Option<Child>,
}

impl RedisServer {
    pub async fn start() -> Self {
        let mut server = Self::absent();
        server.run().await;
        server
    }

    /// A server that is not there yet.
    pub fn absent() -> Self {
        Self {
            port: free_port(),
            process: None,
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn run(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed (bin/test does it)");
        let process = self.process.insert(process);
        let port = self.port;
        until("redis-server", async || {
            let ended = process.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "redis-server ended: {ended:?}; is port {port} taken?"
            );
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
    }

    /// Has an operator's command done.
    pub fn command(&self, command: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).unwrap();
        assert!(
            length > 0 && answer[0] != b'-',
            "{command}: {}",
            String::from_utf8_lossy(&answer)
        );
    }

    /// Ends it at once, as a crash would.
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

/// A port below those that the kernel gives to connections, so that none of the many of a test run
/// takes it between now and the start of the server.
fn free_port() -> u16 {
    (0..1000)
        .map(|_| 10_000 + rand::random::<u16>() % 20_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
