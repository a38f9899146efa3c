//! Measures requests of the HTTP API, one after the other on one connection.

use std::time::Instant;

use salam_benches::{
    Result,
    cores::Core,
    http::HttpClient,
    node::{Installation, Node},
    statistics::{LatencyHistogram, micros_each, nanos},
    users::{self, UsersAndGroups},
};
use serde_json::json;

use super::{Measure, MeasureRow, Target};
use crate::{measure_results::MeasureResults, run_context::RunContext, testbed::SALAM};

pub const MEASURE: Measure = Measure {
    name: "rest",
    title: "HTTP",
    contenders: &[SALAM],
    rows: &[
        MeasureRow {
            label: "a page of 50 messages, p50 ms",
            target: Target::None,
        },
        MeasureRow {
            label: "a page of 50 messages, µs of CPU",
            target: Target::None,
        },
        MeasureRow {
            label: "start-chat, p50 ms",
            target: Target::None,
        },
        MeasureRow {
            label: "start-chat, µs of CPU",
            target: Target::None,
        },
        MeasureRow {
            label: "login, p50 ms",
            target: Target::None,
        },
        MeasureRow {
            label: "login, µs of CPU",
            target: Target::None,
        },
    ],
    description: "On SQLite. The group has 200 messages, and the page is the newest one. Starting a chat is a durable \
          transaction. A login hashes a password with Argon2id, which takes long by design.",
    round,
};

const MESSAGES: usize = 200;

fn round(context: &RunContext, results: &mut MeasureResults) -> Result<()> {
    let node = Node::start(&context.salam, &Installation::sqlite()?, Core::Measured)?;
    let users = UsersAndGroups::create(node.port, 2, 1)?;
    let mut client = HttpClient::connect(node.port)?;
    let token = Some(users.access(0));
    let path = format!("/api/groups/{}/messages/", users.group(0));
    let message = json!({"text": "as long as people write when they are not in a hurry"});
    for _ in 0..MESSAGES {
        client.post(&path, token, &message)?.expect(201)?;
    }
    measure(
        results,
        &node,
        "a page of 50 messages",
        context.scaled_count(1000),
        || {
            let page = client.get(&path, token)?.expect(200)?;
            let messages = page.get("results");
            match messages
                .and_then(|messages| messages.as_array())
                .map(Vec::len)
            {
                Some(50) => Ok(()),
                other => Err(format!("{other:?} messages instead of 50").into()),
            }
        },
    )?;
    measure(
        results,
        &node,
        "start-chat",
        context.scaled_count(500),
        || {
            let response = client.post("/api/start-chat/", token, &json!({}))?;
            response.expect(200).map(drop)
        },
    )?;
    let name = users.users.first().map_or("", |user| &user.username);
    measure(results, &node, "login", context.scaled_count(50), || {
        users::log_in(&mut client, name).map(drop)
    })
}

/// Sends a request `count` times, after a tenth as many uncounted requests.
fn measure(
    results: &mut MeasureResults,
    node: &Node,
    label: &str,
    count: usize,
    mut send_request: impl FnMut() -> Result<()>,
) -> Result<()> {
    for _ in 0..count / 10 {
        send_request()?;
    }
    let mut times = LatencyHistogram::new();
    let before = node.process.cpu_time()?;
    for _ in 0..count {
        let started_at = Instant::now();
        send_request()?;
        times.record(nanos(started_at.elapsed()));
    }
    let spent = node.process.cpu_time()?.saturating_sub(before);
    results.add(&format!("{label}, p50 ms"), SALAM, times.percentile(50.0));
    let each = micros_each(spent, times.count());
    results.add(&format!("{label}, µs of CPU"), SALAM, each);
    Ok(())
}
