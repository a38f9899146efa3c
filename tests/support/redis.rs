//! A real `redis-server` on a free port.

use std::{
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
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self {
            port,
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
        self.process = Some(process);
        let port = self.port;
        until("redis-server", async || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
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
