//! Measures group commit: durable commands a second, and the wait of each command for its
//! acknowledgement.
//!
//! The benchmark compares the writer with one transaction for each command. `cargo bench -p
//! salam-benches --bench appends` measures SQLite as shipped. If `DATABASE_URL` names a PostgreSQL
//! server, the benchmark measures that server too, in a database of its own. Both modes take turns
//! within one run.

use std::{
    env::set_current_dir,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use loco_rs::{app::Hooks, environment::Environment};
use salam::{
    app::App,
    channels::Channels,
    models::{chat_groups, events::Actor},
    settings::{DatabaseSettings, Settings},
    supervisor::Supervisor,
};
use salam_benches::{event_log, node::project_root};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};

/// Runs of each mode and load. The median counts.
const ROUNDS: usize = 3;
/// The duration of one run.
const ROUND_TIME: Duration = Duration::from_secs(2);
/// The text of each message, of about 100 bytes.
const MESSAGE_TEXT: &str = "a text of about a hundred bytes, as people write them in a chat when they are not in a great hurry";

/// The loads: the number of concurrent senders, each of which waits for its acknowledgement, and
/// the number of groups.
const LOADS: [(usize, usize); 4] = [(1, 1), (16, 1), (256, 1), (256, 100)];

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The compared modes.
#[derive(Clone, Copy, PartialEq)]
enum CommitMode {
    /// The writer: many commands in one transaction.
    GroupCommit,
    /// One transaction for each command.
    OnePerTransaction,
}

/// A database with groups, and the channels that use it.
struct Bench {
    db: DatabaseConnection,
    channels: Channels,
    author: Actor,
    groups: Vec<chat_groups::Model>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // Cargo runs a benchmark in the folder of its package.
    set_current_dir(project_root())?;
    let config = App::load_config(&Environment::Test).await?;
    let settings = Arc::new(Settings::load(&config, &Environment::Test)?);
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("bench.sqlite");
    let sqlite = format!("sqlite://{}?mode=rwc", file.display());
    measure("SQLite (WAL, FULL)", &sqlite, settings.clone()).await?;
    let database_url = DatabaseSettings::from_config(&config).uri;
    if database_url.starts_with("postgres") {
        let admin = Database::connect(&database_url).await?;
        let name = format!("salam_bench_{}", std::process::id());
        admin
            .execute_unprepared(&format!("CREATE DATABASE {name}"))
            .await?;
        let mut url = url::Url::parse(&database_url)?;
        url.set_path(&name);
        let result = measure("PostgreSQL", url.as_str(), settings).await;
        admin
            .execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)"))
            .await?;
        result?;
    }
    Ok(())
}

async fn measure(title: &str, uri: &str, settings: Arc<Settings>) -> Result<(), Failure> {
    let bench = Bench::open(uri, settings).await?;
    print_line(&format!(
        "\n{title}\n{:>8} {:>7} | {:>10} {:>8} {:>8} | {:>10} {:>8} {:>8} | {:>6}",
        "senders",
        "groups",
        "group/s",
        "p50 ms",
        "p99 ms",
        "one each/s",
        "p50 ms",
        "p99 ms",
        "ratio"
    ))?;
    for (senders, groups) in LOADS {
        let mut runs = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (mode, runs) in [CommitMode::GroupCommit, CommitMode::OnePerTransaction]
                .into_iter()
                .zip(&mut runs)
            {
                runs.push(bench.run(mode, senders, groups).await?);
            }
        }
        let [grouped, single] = runs.map(median);
        print_line(&format!(
            "{senders:>8} {groups:>7} | {} | {} | {:>6.1}",
            grouped.format_columns(),
            single.format_columns(),
            grouped.per_second / single.per_second
        ))?;
    }
    Ok(())
}

/// The results of one run.
struct RunStats {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

impl RunStats {
    fn format_columns(&self) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        format!(
            "{:>10.0} {:>8.2} {:>8.2}",
            self.per_second,
            ms(self.p50),
            ms(self.p99)
        )
    }
}

impl Bench {
    async fn open(uri: &str, settings: Arc<Settings>) -> Result<Self, Failure> {
        let db = event_log::open_migrated(uri, 10).await?;
        let (author, groups) = event_log::create_user_and_groups(&db, 100).await?;
        Ok(Self {
            channels: Channels::start(settings, db.clone(), Supervisor::default()).await?,
            author,
            db,
            groups,
        })
    }

    async fn run(
        &self,
        mode: CommitMode,
        senders: usize,
        groups: usize,
    ) -> Result<RunStats, Failure> {
        let started_at = Instant::now();
        let sending =
            (0..senders).map(|sender| self.send(mode, sender, groups, started_at + ROUND_TIME));
        let waits = futures_util::future::join_all(sending).await;
        let mut waits: Vec<Duration> = waits
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect();
        let elapsed = started_at.elapsed().as_secs_f64();
        waits.sort();
        let percentile = |percent: usize| {
            waits
                .get(waits.len() * percent / 100)
                .copied()
                .unwrap_or_default()
        };
        Ok(RunStats {
            per_second: f64::from(u32::try_from(waits.len())?) / elapsed,
            p50: percentile(50),
            p99: percentile(99),
        })
    }

    async fn send(
        &self,
        mode: CommitMode,
        sender: usize,
        groups: usize,
        end: Instant,
    ) -> Result<Vec<Duration>, Failure> {
        let group = self.groups.get(sender % groups).ok_or("no such group")?;
        let mut waits = Vec::new();
        while Instant::now() < end {
            let command = event_log::message_command(group.id, &self.author, MESSAGE_TEXT);
            let started_at = Instant::now();
            match mode {
                CommitMode::GroupCommit => {
                    self.channels
                        .execute(group.name.as_str().into(), command)
                        .await?
                }
                CommitMode::OnePerTransaction => command.apply_single(&self.db).await?,
            };
            waits.push(started_at.elapsed());
        }
        Ok(waits)
    }
}

fn median(mut runs: Vec<RunStats>) -> RunStats {
    runs.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    runs.swap_remove(runs.len() / 2)
}

fn print_line(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
