//! The command `health`: whether the node on this machine serves. It is for images without curl, and for people.

use std::{io::Write, net::IpAddr, process::ExitCode, time::Duration};

use clap::Parser;
use loco_rs::{
    Error, Result,
    environment::{Environment, resolve_from_env},
};
use reqwest::{Client, Url};

use crate::{
    errors::root_cause,
    settings::{Settings, load_config},
};

/// The time within which the node must answer. The node answers within a second.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The bytes of the answer that are read. The answer of a node is much shorter.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Ask the node on this machine whether it serves, and print its answer
///
/// The command asks `/health` of the metrics listener. Without this listener, the command asks `/_readiness`. The exit
/// code is 0 if the node serves, also with restrictions, and 1 if it does not serve or does not answer.
#[derive(Parser)]
#[command(name = "health", bin_name = "cargo loco health")]
pub struct HealthCommand {
    /// The URL to ask, instead of the one that the configuration names
    #[arg(long)]
    url: Option<Url>,
    /// Specify the environment [default: development]
    #[arg(short, long)]
    environment: Option<String>,
    /// Print nothing; the exit code is the answer
    #[arg(short, long)]
    quiet: bool,
}

impl HealthCommand {
    /// Asks the node. The exit code is 0 if it serves.
    ///
    /// # Errors
    /// When the configuration cannot be read, or the node does not answer.
    pub async fn run(self, out: &mut impl Write) -> Result<ExitCode> {
        let url = match self.url {
            Some(url) => url,
            None => configured_url(&match self.environment {
                Some(name) => name.into(),
                None => resolve_from_env().into(),
            })?,
        };
        let no_answer = |error: reqwest::Error| {
            Error::Message(format!(
                "no answer from {url}: {}; check that the server runs, and its METRICS_BINDING and PORT",
                root_cause(&error)
            ))
        };
        // A proxy of this machine is not on the way to the node.
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build();
        let client = client.map_err(no_answer)?;
        let mut response = client.get(url.clone()).send().await.map_err(no_answer)?;
        let is_ready = response.status().is_success();
        let mut body = Vec::new();
        while body.len() < MAX_BODY_BYTES
            && let Some(chunk) = response.chunk().await.map_err(no_answer)?
        {
            body.extend_from_slice(&chunk);
        }
        if !self.quiet {
            writeln!(out, "{}", String::from_utf8_lossy(&body))?;
        }
        Ok(if is_ready {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Returns the URL of the metrics listener; without a listener, the URL of the readiness probe.
fn configured_url(environment: &Environment) -> Result<Url> {
    let config = load_config(environment)?;
    // A person may run the command without the secrets of the node. So the command ignores faults of other settings.
    let (settings, _) = Settings::load_with_checks(&config, environment);
    let settings = match settings {
        Some(settings) => settings,
        None => Settings::load(&config, environment)?,
    };
    let url = match settings.metrics.binding {
        Some(address) => {
            let host = reachable_host(&address.ip().to_string());
            format!("http://{host}:{}/health", address.port())
        }
        None => {
            let host = reachable_host(&config.server.binding);
            format!("http://{host}:{}/_readiness", config.server.port)
        }
    };
    url.parse()
        .map_err(|error| Error::Message(format!("{url} is not a URL: {error}")))
}

/// Returns the host by which this machine reaches a listener. An address such as `0.0.0.0` means all addresses.
fn reachable_host(binding: &str) -> String {
    match binding.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => "[::1]".to_owned(),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => binding.to_owned(),
    }
}
