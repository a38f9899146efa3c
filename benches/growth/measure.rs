//! The requests to a server with a database of one size, and the time of each response.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use loco_rs::{app::Hooks, environment::Environment};
use salam::{app::App, models::sessions::ActiveSession, settings::Settings, tokens::Tokens};
use salam_benches::{Result, cores::Core, http::HttpClient, node::Node};
use serde_json::{Value, json};

use crate::{
    engine::{BenchDatabase, Engine},
    fill::query_count,
    size::{DatasetSize, LARGE_GROUP},
    socket::BlockingSocket,
};

/// The number of requests of each kind.
const REQUESTS: i64 = 200;

/// The number of messages in a page, as in the server.
const PAGE_SIZE: usize = 50;

/// The number of missed events of a reconnecting client.
const MISSED_EVENTS: i64 = 100;

/// The number of reconnecting sockets, each in another group. The first socket of a group finds an
/// empty event buffer.
const RESUMING_SOCKETS: i64 = 50;

/// The number of starts. The median counts.
const STARTS: usize = 3;

/// The results for one database and one size.
pub struct GrowthFigures {
    pub engine: Engine,
    pub groups: i64,
    pub events: i64,
    /// The size of the database.
    pub bytes: i64,
    /// The time from the start to the first response.
    pub start: Duration,
    /// The memory of the process at the end, in MiB.
    pub memory_mib: u64,
    /// The newest page of history.
    pub newest_page: Duration,
    /// A page from the middle of the history.
    pub middle_page: Duration,
    /// The first page of the list of groups.
    pub groups_list: Duration,
    /// The first page of members of the large group.
    pub members_page: Duration,
    /// A send until it is stored.
    pub send: Duration,
    /// A resume until `sync`.
    pub resume: Duration,
}

/// A server, and the visitor's access to it.
struct Measurement<'a> {
    server: &'a Node,
    size: &'a DatasetSize,
    token: String,
}

pub async fn measure(
    database: &BenchDatabase,
    size: &DatasetSize,
    binary: &Path,
    session: &ActiveSession,
) -> Result<GrowthFigures> {
    let bytes = query_count(&database.connect().await?, database.engine.database_size()).await?;
    let mut starts = Vec::new();
    let server = loop {
        let server = Node::start(binary, &database.installation, Core::Measured)?;
        starts.push(server.started_in);
        if starts.len() == STARTS {
            break server;
        }
    };
    let measurement = Measurement {
        server: &server,
        size,
        token: access_token(session).await?,
    };
    let resume = measurement.resume()?;
    Ok(GrowthFigures {
        engine: database.engine,
        groups: size.groups,
        events: size.events,
        bytes,
        start: median(starts)?,
        newest_page: measurement.history_pages(|_| String::new())?,
        middle_page: measurement
            .history_pages(|i| format!("?before={}", measurement.seq_in_middle(i)))?,
        groups_list: measurement.groups_list()?,
        members_page: measurement.members()?,
        send: measurement.send()?,
        resume,
        memory_mib: server.process.rss()? / 1024,
    })
}

async fn access_token(session: &ActiveSession) -> Result<String> {
    let environment = Environment::Development;
    let config = App::load_config(&environment).await?;
    let settings = Settings::load(&config, &environment)?;
    Ok(Tokens::new(&settings.tokens).issue_access(session)?)
}

impl Measurement<'_> {
    /// Returns a seq in the middle half of the large log, another one for each request.
    fn seq_in_middle(&self, request: i64) -> i64 {
        let quarter = self.size.large_group_events() / 4;
        quarter + 2 * quarter * request / REQUESTS + 1
    }

    fn history_pages(&self, query: impl Fn(i64) -> String) -> Result<Duration> {
        let group = group_name(LARGE_GROUP);
        self.median_request_time(PAGE_SIZE, |i| {
            format!("/api/groups/{group}/messages/{}", query(i))
        })
    }

    fn groups_list(&self) -> Result<Duration> {
        let groups = usize::try_from(self.size.visitor_groups())?;
        self.median_request_time(groups.min(PAGE_SIZE), |_| "/api/groups/".to_owned())
    }

    fn members(&self) -> Result<Duration> {
        let path = format!(
            "/api/groups/{}/members/?limit={PAGE_SIZE}",
            group_name(LARGE_GROUP)
        );
        self.median_request_time(PAGE_SIZE, |_| path.clone())
    }

    /// Returns the median time of requests, each of which must have a number of results.
    fn median_request_time(
        &self,
        results: usize,
        path: impl Fn(i64) -> String,
    ) -> Result<Duration> {
        let mut client = HttpClient::connect(self.server.port)?;
        let mut times = Vec::new();
        for i in 0..REQUESTS {
            let path = path(i);
            let started_at = Instant::now();
            let response = client.get(&path, Some(&self.token))?;
            times.push(started_at.elapsed());
            let page = response.expect(200)?;
            let count = page.get("results").and_then(Value::as_array).map(Vec::len);
            if count != Some(results) {
                return Err(format!("{path}: {count:?} results instead of {results}").into());
            }
        }
        median(times)
    }

    /// Returns the median time of a send until it is stored.
    fn send(&self) -> Result<Duration> {
        let group = group_name(LARGE_GROUP);
        let path = format!("/ws/chat/{group}/");
        let mut socket = BlockingSocket::open(self.server.port, &path, &self.token)?;
        socket.read_until("group")?;
        let mut times = Vec::new();
        for id in 0..REQUESTS {
            let cid = uuid::Uuid::new_v4().simple().to_string();
            let text =
                "It is the time of day at which somebody makes a new pot of tea, and says so.";
            let frame = json!({"type": "send", "id": id, "group": group, "cid": cid, "text": text});
            let started_at = Instant::now();
            socket.send(&frame)?;
            socket.read_until("ok")?;
            times.push(started_at.elapsed());
            // The event of the message is not part of the response.
            socket.read_until("event")?;
        }
        median(times)
    }

    /// Returns the median time from the first packet of a connection until all missed events
    /// arrived.
    fn resume(&self) -> Result<Duration> {
        let mut times = Vec::new();
        let last = self
            .size
            .visitor_groups()
            .min(LARGE_GROUP + RESUMING_SOCKETS);
        for group in LARGE_GROUP + 1..=last {
            let after = self.size.events_per_visitor_group() - MISSED_EVENTS;
            let path = format!("/ws/chat/{}/?after={after}", group_name(group));
            let started_at = Instant::now();
            let mut socket = BlockingSocket::open(self.server.port, &path, &self.token)?;
            let events = socket.read_until("sync")?;
            times.push(started_at.elapsed());
            if i64::try_from(events)? != MISSED_EVENTS {
                return Err(format!("{path}: {events} events instead of {MISSED_EVENTS}").into());
            }
        }
        median(times)
    }
}

fn group_name(number: i64) -> String {
    format!("chat_{number:08x}")
}

fn median(mut times: Vec<Duration>) -> Result<Duration> {
    times.sort();
    let middle = times.get(times.len() / 2).copied();
    middle.ok_or_else(|| "nothing was measured".into())
}
