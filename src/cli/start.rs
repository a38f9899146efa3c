//! The command `start`, with the options of Loco's `start`, which it replaces.
//!
//! Loco prints a banner. If the log is JSON, programs read standard output, and a banner would
//! break them.

use std::time::Duration;

use clap::{ArgGroup, Parser};
use loco_rs::{
    Error, Result,
    app::Hooks,
    boot::{BootResult, ServeParams, StartMode, create_app, create_context, start},
    environment::{Environment, resolve_from_env},
    logger::Format,
};
use migration::MigratorTrait;
use tokio::select;

use crate::{database, server::SharedStopSignals, settings::Settings};

/// Start the server
#[derive(Parser)]
#[command(name = "start", bin_name = "cargo loco start")]
#[command(group(ArgGroup::new("start_mode").args(&["worker", "server_and_worker", "all"])))]
pub struct StartCommand {
    /// Start a worker; with tags, only for jobs with these tags (--worker=tag1,tag2)
    #[arg(short, long, value_delimiter = ',', num_args = 0.., conflicts_with_all = ["server_and_worker", "all"])]
    worker: Option<Vec<String>>,
    /// Start the server and a worker in one process
    #[arg(short, long, conflicts_with_all = ["worker", "all"])]
    server_and_worker: bool,
    /// Start the server, a worker and the scheduler in one process
    #[arg(short, long, conflicts_with_all = ["worker", "server_and_worker"])]
    all: bool,
    /// Run the scheduler
    #[arg(long, conflicts_with = "all")]
    scheduler: bool,
    /// Specify the address to listen on [default: server.binding]
    #[arg(short, long)]
    binding: Option<String>,
    /// Specify the port to listen on; 0 selects a free port [default: server.port]
    #[arg(short, long)]
    port: Option<i32>,
    /// Print no banner; a log in JSON never has a banner
    #[arg(short, long)]
    no_banner: bool,
    /// Specify the environment [default: development]
    #[arg(short, long)]
    environment: Option<String>,
}

/// An app that is ready to run.
struct Prepared {
    boot: BootResult,
    serve: ServeParams,
    no_banner: bool,
}

impl StartCommand {
    /// Runs the server of an app until a signal or a failed task stops it.
    ///
    /// # Errors
    /// When the configuration is faulty, the database or the port is not available, or a task of
    /// the server fails.
    pub async fn run<A: Hooks, M: MigratorTrait>(self) -> Result<()> {
        let environment: Environment = match &self.environment {
            Some(name) => name.clone().into(),
            None => resolve_from_env().into(),
        };
        let signals = SharedStopSignals::listen();
        let preparing = self.prepare::<A, M>(&environment);
        let prepared = {
            let mut signals = signals.0.lock().await;
            select! {
                prepared = preparing => prepared?,
                _ = signals.wait_for_signal() => return Ok(()),
            }
        };
        let Prepared {
            boot,
            serve,
            no_banner,
        } = prepared;
        boot.app_context.shared_store.insert(signals.clone());
        let has_server = boot.router.is_some();
        let running = start::<A>(boot, serve, no_banner);
        if has_server {
            return running.await;
        }
        // Without a server, only this process listens for the signals.
        let mut signals = signals.0.lock().await;
        select! {
            ended = running => ended,
            _ = signals.wait_for_signal() => Ok(()),
        }
    }

    /// Loads the configuration, waits for the database and boots the app.
    async fn prepare<A: Hooks, M: MigratorTrait>(
        self,
        environment: &Environment,
    ) -> Result<Prepared> {
        let mut config = A::load_config(environment).await?;
        // The name of the node contains the port.
        config.server.port = self.port.unwrap_or(config.server.port);
        let ctx = create_context::<A>(environment, config).await?;
        if !A::init_logger(&ctx)? {
            loco_rs::logger::init::<A>(&ctx.config.logger)?;
        }
        let port = ctx.config.server.port;
        if u16::try_from(port).is_err() {
            // This check runs before the app creates anything.
            return Err(Error::Message(format!(
                "the port {port} is not a number from 0 to 65535; check --port, PORT and server.port"
            )));
        }
        let wait = Settings::from_context(&ctx)?.start_timeout;
        let wait = Duration::from_secs(wait.into());
        database::wait_until_reachable(&ctx.db, wait).await?;
        let no_banner = self.no_banner || matches!(ctx.config.logger.format, Format::Json);
        let binding = self.binding.clone();
        let boot = create_app::<A, M>(self.mode(), environment, ctx.config).await?;
        let server = &boot.app_context.config.server;
        let serve = ServeParams {
            port,
            binding: binding.unwrap_or_else(|| server.binding.clone()),
        };
        Ok(Prepared {
            boot,
            serve,
            no_banner,
        })
    }

    fn mode(&self) -> StartMode {
        match (self.worker.clone(), self.scheduler) {
            _ if self.all || (self.server_and_worker && self.scheduler) => StartMode::All,
            _ if self.server_and_worker => StartMode::ServerAndWorker,
            (Some(tags), true) => StartMode::WorkerAndScheduler { tags },
            (Some(tags), false) => StartMode::WorkerOnly { tags },
            (None, true) => StartMode::ServerAndScheduler,
            (None, false) => StartMode::ServerOnly,
        }
    }
}
