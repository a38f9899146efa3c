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
    models::{chat_groups, events::Author},
    settings::{DatabaseSettings, Settings},
    supervisor::Supervisor,
};
use salam_benches::{log, node::root};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(2);
const TEXT: &str = "a text of about a hundred bytes, as people write them in a chat when they are not in a great hurry";

/// How many send at once, each waiting for its acknowledgement, into how many groups.
const LOADS: [(usize, usize); 4] = [(1, 1), (16, 1), (256, 1), (256, 100)];

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    GroupCommit,
    OneEach,
}

struct Bench {
    db: DatabaseConnection,
    channels: Channels,
    author: Author,
    groups: Vec<chat_groups::Model>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // Cargo runs it in the folder of its own package.
    set_current_dir(root())?;
    let config = App::load_config(&Environment::Test).await?;
    let settings = Arc::new(Settings::load(&config, &Environment::Test)?);
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("bench.sqlite");
    let sqlite = format!("sqlite://{}?mode=rwc", file.display());
    measure("SQLite (WAL, FULL)", &sqlite, settings.clone()).await?;
    let configured = DatabaseSettings::of(&config).uri;
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
    say(&format!(
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
            for (way, runs) in [Way::GroupCommit, Way::OneEach].into_iter().zip(&mut runs) {
                runs.push(bench.run(way, senders, groups).await?);
            }
        }
        let [group, each] = runs.map(median);
        say(&format!(
            "{senders:>8} {groups:>7} | {} | {} | {:>6.1}",
            group.columns(),
            each.columns(),
            group.per_second / each.per_second
        ))?;
    }
    Ok(())
}

/// What came out of a run.
struct Figures {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

impl Figures {
    fn columns(&self) -> String {
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
        let db = log::migrated(uri, 10).await?;
        let (author, groups) = log::begin(&db, 100).await?;
        Ok(Self {
            channels: Channels::start(settings, db.clone(), Supervisor::default()).await?,
            author,
            db,
            groups,
        })
    }

    async fn run(&self, way: Way, senders: usize, groups: usize) -> Result<Figures, Failure> {
        let begin = Instant::now();
        let sending = (0..senders).map(|sender| self.send(way, sender, groups, begin + ROUND));
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
        Ok(Figures {
            per_second: f64::from(u32::try_from(waits.len())?) / elapsed,
            p50: at(50),
            p99: at(99),
        })
    }

    async fn send(
        &self,
        way: Way,
        sender: usize,
        groups: usize,
        end: Instant,
    ) -> Result<Vec<Duration>, Failure> {
        let group = self.groups.get(sender % groups).ok_or("no such group")?;
        let mut waits = Vec::new();
        while Instant::now() < end {
            let change = log::message(group.id, &self.author, TEXT);
            let begin = Instant::now();
            match way {
                Way::GroupCommit => {
                    self.channels
                        .make(group.name.as_str().into(), change)
                        .await??
                }
                Way::OneEach => change.make_alone(&self.db).await??,
            };
            waits.push(begin.elapsed());
        }
        Ok(waits)
    }
}

fn median(mut runs: Vec<Figures>) -> Figures {
    runs.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    runs.swap_remove(runs.len() / 2)
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
