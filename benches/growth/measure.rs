//! What is asked of a server whose database has a size, and how long each answer takes.

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

/// Requests of each kind.
const REQUESTS: i64 = 200;

/// Messages of a page, as the server has it.
const PAGE_SIZE: usize = 50;

/// Events that are missed by who comes back.
const MISSED_EVENTS: i64 = 100;

/// Sockets that come back, each to another group: the first one of a group finds nothing in memory.
const RESUMING_SOCKETS: i64 = 50;

const STARTS: usize = 3;

pub struct GrowthFigures {
    pub engine: Engine,
    pub groups: i64,
    pub events: i64,
    pub bytes: i64,
    pub start: Duration,
    /// MiB that the process has in the end.
    pub memory_mib: u64,
    /// A page of history, the newest.
    pub newest_page: Duration,
    /// A page of history, somewhere in the middle.
    pub middle_page: Duration,
    pub groups_list: Duration,
    /// A page of members of the large group, the first.
    pub members_page: Duration,
    pub send: Duration,
    pub resume: Duration,
}

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
    let visit = Measurement {
        server: &server,
        size,
        token: access_token(session).await?,
    };
    let resume = visit.resume()?;
    Ok(GrowthFigures {
        engine: database.engine,
        groups: size.groups,
        events: size.events,
        bytes,
        start: median(starts)?,
        newest_page: visit.history_pages(|_| String::new())?,
        middle_page: visit.history_pages(|i| format!("?before={}", visit.seq_in_middle(i)))?,
        groups_list: visit.groups_list()?,
        members_page: visit.members()?,
        send: visit.send()?,
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
    /// A place in the middle half of the large log, another one for each request.
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
        let own = usize::try_from(self.size.visitor_groups())?;
        self.median_request_time(own.min(PAGE_SIZE), |_| "/api/groups/".to_owned())
    }

    fn members(&self) -> Result<Duration> {
        let path = format!(
            "/api/groups/{}/members/?limit={PAGE_SIZE}",
            group_name(LARGE_GROUP)
        );
        self.median_request_time(PAGE_SIZE, |_| path.clone())
    }

    /// Of so many requests the one in the middle; each must give so many results.
    fn median_request_time(
        &self,
        results: usize,
        path: impl Fn(i64) -> String,
    ) -> Result<Duration> {
        let mut client = HttpClient::connect(self.server.port)?;
        let mut times = Vec::new();
        for i in 0..REQUESTS {
            let path = path(i);
            let begin = Instant::now();
            let answer = client.get(&path, Some(&self.token))?;
            times.push(begin.elapsed());
            let page = answer.expect(200)?;
            let found = page.get("results").and_then(Value::as_array).map(Vec::len);
            if found != Some(results) {
                return Err(format!("{path}: {found:?} results, not {results}").into());
            }
        }
        median(times)
    }

    /// A send, until it is stored.
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
            let begin = Instant::now();
            socket.send(&frame)?;
            socket.read_until("ok")?;
            times.push(begin.elapsed());
            // Its own event, which is no part of the answer.
            socket.read_until("event")?;
        }
        median(times)
    }

    /// From the first packet of a connection until all that was missed is told.
    fn resume(&self) -> Result<Duration> {
        let mut times = Vec::new();
        let last = self
            .size
            .visitor_groups()
            .min(LARGE_GROUP + RESUMING_SOCKETS);
        for group in LARGE_GROUP + 1..=last {
            let after = self.size.events_per_visitor_group() - MISSED_EVENTS;
            let path = format!("/ws/chat/{}/?after={after}", group_name(group));
            let begin = Instant::now();
            let mut socket = BlockingSocket::open(self.server.port, &path, &self.token)?;
            let events = socket.read_until("sync")?;
            times.push(begin.elapsed());
            if i64::try_from(events)? != MISSED_EVENTS {
                return Err(format!("{path}: {events} events").into());
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
