//! What durable sends cost without group commit: a transaction for each, by Salam's own model, without
//! sockets, and as many senders as beside it.
//!
//! It is a process of its own, so that it gets the core that Salam gets.

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

/// As many as the configuration of development has.
const DATABASE_CONNECTIONS: u32 = 10;

#[derive(Args, Clone, Copy)]
pub struct SingleCommits {
    pub senders: usize,
    pub groups: usize,
    pub millis: u64,
}

impl SingleCommits {
    /// Sends a second, measured in a process on the core of what is measured.
    pub fn run_as_process(self, place: &Installation) -> Result<f64> {
        let mut command = cores::pinned_command(Core::Measured, env::current_exe()?);
        command.arg("alone").args([
            self.senders.to_string(),
            self.groups.to_string(),
            self.millis.to_string(),
        ]);
        // As an argument it would be seen by others of this machine.
        command.env("DATABASE_URL", &place.database_url);
        let done = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output()?;
        if !done.status.success() {
            return Err(format!(
                "what sends without group commit has failed: {}",
                done.status
            )
            .into());
        }
        Ok(String::from_utf8(done.stdout)?.trim().parse()?)
    }

    /// The process: says its figure and ends.
    #[allow(clippy::disallowed_methods)] // No config/*.yaml is read here.
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
        let begin = Instant::now();
        let end = begin + Duration::from_millis(self.millis);
        let senders = groups.iter().cycle().take(self.senders);
        let sending = senders.map(|group| send_until(&db, &author, group.id, end));
        let sent = futures_util::future::try_join_all(sending).await?;
        let sent: u32 = sent.into_iter().sum();
        Ok(f64::from(sent) / begin.elapsed().as_secs_f64())
    }
}

/// One after the other, until the end; how many.
async fn send_until(
    db: &DatabaseConnection,
    author: &Actor,
    group_id: i64,
    end: Instant,
) -> Result<u32> {
    let mut sent = 0;
    while Instant::now() < end {
        let change = event_log::message_command(group_id, author, MESSAGE_TEXT);
        change.apply_single(db).await??;
        sent += 1;
    }
    Ok(sent)
}
