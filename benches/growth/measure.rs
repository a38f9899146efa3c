//! What is asked of a server whose database has a size, and how long each answer takes.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use loco_rs::{app::Hooks, environment::Environment};
use salam::{app::App, models::sessions::Live, settings::Settings, tokens::Tokens};
use salam_benches::{Result, cores::Core, http::Client, node::Node};
use serde_json::{Value, json};

use crate::{
    engine::{Database, Engine},
    fill::count,
    size::{LARGE_GROUP, Size},
    socket::Socket,
};

/// Requests of each kind.
const REQUESTS: i64 = 200;

/// Messages of a page, as the server has it.
const PAGE: usize = 50;

/// Events that are missed by who comes back.
const MISSED: i64 = 100;

/// Sockets that come back, each to another group: the first one of a group finds nothing in memory.
const COMEBACKS: i64 = 50;

const STARTS: usize = 3;

pub struct Figures {
    pub engine: Engine,
    pub groups: i64,
    pub events: i64,
    pub bytes: i64,
    pub start: Duration,
    /// MiB that the process has in the end.
    pub memory: u64,
    /// A page of history, the newest.
    pub newest: Duration,
    /// A page of history, somewhere in the middle.
    pub middle: Duration,
    pub groups_list: Duration,
    /// A page of members of the large group, the first.
    pub members: Duration,
    pub send: Duration,
    pub resume: Duration,
}

struct Visit<'a> {
    server: &'a Node,
    size: &'a Size,
    token: String,
}

pub async fn measure(
    database: &Database,
    size: &Size,
    binary: &Path,
    session: &Live,
) -> Result<Figures> {
    let bytes = count(&database.connect().await?, database.engine.bytes()).await?;
    let mut starts = Vec::new();
    let server = loop {
        let server = Node::start(binary, &database.place, Core::Measured)?;
        starts.push(server.started_in);
        if starts.len() == STARTS {
            break server;
        }
    };
    let visit = Visit {
        server: &server,
        size,
        token: token(session).await?,
    };
    let resume = visit.resume()?;
    Ok(Figures {
        engine: database.engine,
        groups: size.groups,
        events: size.events,
        bytes,
        start: median(starts)?,
        newest: visit.pages(|_| String::new())?,
        middle: visit.pages(|i| format!("?before={}", visit.somewhere(i)))?,
        groups_list: visit.groups_list()?,
        members: visit.members()?,
        send: visit.send()?,
        resume,
        memory: server.process.rss()? / 1024,
    })
}

async fn token(session: &Live) -> Result<String> {
    let environment = Environment::Development;
    let config = App::load_config(&environment).await?;
    let settings = Settings::load(&config, &environment)?;
    Ok(Tokens::new(&settings.tokens).access(session)?)
}

impl Visit<'_> {
    /// A place in the middle half of the large log, another one for each request.
    fn somewhere(&self, request: i64) -> i64 {
        let quarter = self.size.large() / 4;
        quarter + 2 * quarter * request / REQUESTS + 1
    }

    fn pages(&self, query: impl Fn(i64) -> String) -> Result<Duration> {
        let group = group_name(LARGE_GROUP);
        self.requests(PAGE, |i| {
            format!("/api/groups/{group}/messages/{}", query(i))
        })
    }

    fn groups_list(&self) -> Result<Duration> {
        let own = usize::try_from(self.size.own_groups())?;
        self.requests(own.min(PAGE), |_| "/api/groups/".to_owned())
    }

    fn members(&self) -> Result<Duration> {
        let path = format!(
            "/api/groups/{}/members/?limit={PAGE}",
            group_name(LARGE_GROUP)
        );
        self.requests(PAGE, |_| path.clone())
    }

    /// Of so many requests the one in the middle; each must give so many results.
    fn requests(&self, results: usize, path: impl Fn(i64) -> String) -> Result<Duration> {
        let mut client = Client::connect(self.server.port)?;
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
        let mut socket = Socket::open(self.server.port, &path, &self.token)?;
        socket.until("group")?;
        let mut times = Vec::new();
        for id in 0..REQUESTS {
            let cid = uuid::Uuid::new_v4().simple().to_string();
            let text =
                "It is the time of day at which somebody makes a new pot of tea, and says so.";
            let frame = json!({"type": "send", "id": id, "group": group, "cid": cid, "text": text});
            let begin = Instant::now();
            socket.send(&frame)?;
            socket.until("ok")?;
            times.push(begin.elapsed());
            // Its own event, which is no part of the answer.
            socket.until("event")?;
        }
        median(times)
    }

    /// From the first packet of a connection until all that was missed is told.
    fn resume(&self) -> Result<Duration> {
        let mut times = Vec::new();
        let last = self.size.own_groups().min(LARGE_GROUP + COMEBACKS);
        for group in LARGE_GROUP + 1..=last {
            let after = self.size.own_share() - MISSED;
            let path = format!("/ws/chat/{}/?after={after}", group_name(group));
            let begin = Instant::now();
            let mut socket = Socket::open(self.server.port, &path, &self.token)?;
            let events = socket.until("sync")?;
            times.push(begin.elapsed());
            if i64::try_from(events)? != MISSED {
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
