//! Two servers that do as little as can be done, to be measured beside Salam.
//!
//! `/fan?<group>` hands each text on to all sockets of the group, its sender among them; `/answer`
//! answers each with a short one. Neither knows who asks, keeps anything or numbers anything. They are
//! this program again, started with a hidden command.

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

/// What a base socket of Salam would be answered.
const REPLY_TEXT: &str = r#"{"type":"chat_message","message":"now is 12:34:56"}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Baseline {
    /// What is left where nothing is between the kernel and the frames.
    Epoll,
    /// What is left of Salam's own ground, axum, without Salam.
    Axum,
}

impl Baseline {
    /// Serves for ever.
    pub fn serve(self, port: u16) -> Result<()> {
        match self {
            Self::Epoll => with_epoll::serve(port),
            Self::Axum => with_axum::serve(port),
        }
    }

    /// Starts it as a process of its own, on the core of what is measured.
    pub fn start(self) -> Result<(ChildProcess, u16)> {
        let port = free_port()?;
        let kind = match self {
            Self::Epoll => "epoll",
            Self::Axum => "axum",
        };
        let mut command = cores::pinned_command(Core::Measured, env::current_exe()?);
        command.args(["floor", kind, &port.to_string()]);
        let mut process = ChildProcess::start("a floor", &mut command)?;
        wait_until("a floor listens", || {
            process.check()?;
            Ok(TcpStream::connect(("127.0.0.1", port)).is_ok())
        })?;
        Ok((process, port))
    }
}
