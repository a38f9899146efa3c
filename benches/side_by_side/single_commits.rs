//! Measures durable sends without group commit: one transaction for each command, by Salam's model,
//! without sockets.
//!
//! The number of senders is the same as in the compared measure. The sends run in a process of
//! their own, on the core that Salam gets.

use std::{
    env,
    process::Stdio,
    time::{Duration, Instant},
};

use clap::Args;
use salam::models::events::Actor;
use salam_benches::{
    Result,
    cores::{self, Core},
    event_log,
    node::Installation,
};
use sea_orm::DatabaseConnection;

const MESSAGE_TEXT: &str =
    "as long as people write in a chat when they are not in a great hurry, and no longer";

/// The number of database connections, as in the configuration of development.
const DATABASE_CONNECTIONS: u32 = 10;

/// The arguments of the process.
#[derive(Args, Clone, Copy)]
pub struct SingleCommits {
    /// The number of concurrent senders.
    pub senders: usize,
    /// The number of groups.
    pub groups: usize,
    /// The duration in milliseconds.
    pub millis: u64,
}

impl SingleCommits {
    /// Runs the measurement in a process on the measured core. Returns the sends a second.
    pub fn run_as_process(self, installation: &Installation) -> Result<f64> {
        let mut command = cores::pinned_command(Core::Measured, env::current_exe()?);
        command.arg("alone").args([
            self.senders.to_string(),
            self.groups.to_string(),
            self.millis.to_string(),
        ]);
        // Other users of this machine could see an argument.
        command.env("DATABASE_URL", &installation.database_url);
        let output = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(
                format!("the process without group commit failed: {}", output.status).into(),
            );
        }
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    }

    /// Runs in the process: prints the figure.
    #[allow(clippy::disallowed_methods)] // This process reads no config/*.yaml.
    pub fn run(self) -> Result<()> {
        let uri = env::var("DATABASE_URL")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let figure = runtime.block_on(self.measure(&uri))?;
        let line = format!("{figure}\n");
        Ok(std::io::Write::write_all(
            &mut std::io::stdout(),
            line.as_bytes(),
        )?)
    }

    async fn measure(self, uri: &str) -> Result<f64> {
        let db = event_log::open_migrated(uri, DATABASE_CONNECTIONS).await?;
        let (author, groups) = event_log::create_user_and_groups(&db, self.groups).await?;
        let started_at = Instant::now();
        let end = started_at + Duration::from_millis(self.millis);
        let senders = groups.iter().cycle().take(self.senders);
        let sending = senders.map(|group| send_until(&db, &author, group.id, end));
        let sent = futures_util::future::try_join_all(sending).await?;
        let sent: u32 = sent.into_iter().sum();
        Ok(f64::from(sent) / started_at.elapsed().as_secs_f64())
    }
}

/// Sends one message after the other until the end. Returns the number of messages.
async fn send_until(
    db: &DatabaseConnection,
    author: &Actor,
    group_id: i64,
    end: Instant,
) -> Result<u32> {
    let mut sent = 0;
    while Instant::now() < end {
        let command = event_log::message_command(group_id, author, MESSAGE_TEXT);
        command.apply_single(db).await?;
        sent += 1;
    }
    Ok(sent)
}
