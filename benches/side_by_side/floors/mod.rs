//! Two baseline servers that do the least possible work, for a comparison with Salam.
//!
//! `/fan?<group>` relays each text to all sockets of the group, its sender included. `/answer`
//! replies to each text with a short text. The baseline servers authenticate no clients, store
//! nothing and number nothing. They are this program, started with a hidden command.

mod socket;
mod with_axum;
mod with_epoll;

use std::{env, net::TcpStream};

use clap::ValueEnum;
use salam_benches::{
    Result,
    child_process::ChildProcess,
    cores::{self, Core},
    node::{free_port, wait_until},
};

/// The reply of a base socket of Salam.
const REPLY_TEXT: &str = r#"{"type":"chat_message","message":"now is 12:34:56"}"#;

/// A baseline server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Baseline {
    /// The least possible cost: no layer between the kernel and the frames.
    Epoll,
    /// The cost of axum, on which Salam is built, without Salam.
    Axum,
}

impl Baseline {
    /// Serves until the process is killed.
    pub fn serve(self, port: u16) -> Result<()> {
        match self {
            Self::Epoll => with_epoll::serve(port),
            Self::Axum => with_axum::serve(port),
        }
    }

    /// Starts the server as a process on the measured core. Returns the process and its port.
    pub fn start(self) -> Result<(ChildProcess, u16)> {
        let port = free_port()?;
        let kind = match self {
            Self::Epoll => "epoll",
            Self::Axum => "axum",
        };
        let mut command = cores::pinned_command(Core::Measured, env::current_exe()?);
        command.args(["floor", kind, &port.to_string()]);
        let mut process = ChildProcess::start("a baseline server", &mut command)?;
        wait_until("a baseline server listens", || {
            process.check_running()?;
            Ok(TcpStream::connect(("127.0.0.1", port)).is_ok())
        })?;
        Ok((process, port))
    }
}
