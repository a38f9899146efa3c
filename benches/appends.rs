//! What group commit is worth: durable changes a second, and how long each waits for its
//! acknowledgement, with the writer and with a transaction for each.
//!
//! `cargo bench -p salam-benches --bench appends` measures SQLite as it is shipped; with `DATABASE_URL` set, that
//! PostgreSQL server too, in a database of its own. Both ways take turns within one run.

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

const ROUNDS: usize = 3;
const ROUND_TIME: Duration = Duration::from_secs(2);
const MESSAGE_TEXT: &str = "a text of about a hundred bytes, as people write them in a chat when they are not in a great hurry";

/// How many send at once, each waiting for its acknowledgement, into how many groups.
const LOADS: [(usize, usize); 4] = [(1, 1), (16, 1), (256, 1), (256, 100)];

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy, PartialEq)]
enum CommitMode {
    GroupCommit,
    OnePerTransaction,
}

struct Bench {
    db: DatabaseConnection,
    channels: Channels,
    author: Actor,
    groups: Vec<chat_groups::Model>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // Cargo runs it in the folder of its own package.
    set_current_dir(project_root())?;
    let config = App::load_config(&Environment::Test).await?;
    let settings = Arc::new(Settings::load(&config, &Environment::Test)?);
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("bench.sqlite");
    let sqlite = format!("sqlite://{}?mode=rwc", file.display());
    measure("SQLite (WAL, FULL)", &sqlite, settings.clone()).await?;
    let configured = DatabaseSettings::from_config(&config).uri;
    if configured.starts_with("postgres") {
        let admin = Database::connect(&configured).await?;
        let name = format!("salam_bench_{}", std::process::id());
        admin
            .execute_unprepared(&format!("CREATE DATABASE {name}"))
            .await?;
        let mut url = url::Url::parse(&configured)?;
        url.set_path(&name);
        let measured = measure("PostgreSQL", url.as_str(), settings).await;
        admin
            .execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)"))
            .await?;
        measured?;
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
            for (way, runs) in [CommitMode::GroupCommit, CommitMode::OnePerTransaction]
                .into_iter()
                .zip(&mut runs)
            {
                runs.push(bench.run(way, senders, groups).await?);
            }
        }
        let [group, each] = runs.map(median);
        print_line(&format!(
            "{senders:>8} {groups:>7} | {} | {} | {:>6.1}",
            group.format_columns(),
            each.format_columns(),
            group.per_second / each.per_second
        ))?;
    }
    Ok(())
}

/// What came out of a run.
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
        way: CommitMode,
        senders: usize,
        groups: usize,
    ) -> Result<RunStats, Failure> {
        let begin = Instant::now();
        let sending = (0..senders).map(|sender| self.send(way, sender, groups, begin + ROUND_TIME));
        let waits = futures_util::future::join_all(sending).await;
        let mut waits: Vec<Duration> = waits
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect();
        let elapsed = begin.elapsed().as_secs_f64();
        waits.sort();
        let at = |share: usize| {
            waits
                .get(waits.len() * share / 100)
                .copied()
                .unwrap_or_default()
        };
        Ok(RunStats {
            per_second: f64::from(u32::try_from(waits.len())?) / elapsed,
            p50: at(50),
            p99: at(99),
        })
    }

    async fn send(
        &self,
        way: CommitMode,
        sender: usize,
        groups: usize,
        end: Instant,
    ) -> Result<Vec<Duration>, Failure> {
        let group = self.groups.get(sender % groups).ok_or("no such group")?;
        let mut waits = Vec::new();
        while Instant::now() < end {
            let change = event_log::message_command(group.id, &self.author, MESSAGE_TEXT);
            let begin = Instant::now();
            match way {
                CommitMode::GroupCommit => {
                    self.channels
                        .execute(group.name.as_str().into(), change)
                        .await??
                }
                CommitMode::OnePerTransaction => change.apply_single(&self.db).await??,
            };
            waits.push(begin.elapsed());
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
