//! Requests of the HTTP API, one after the other on one connection.

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
    description: "On SQLite. The group has 200 messages; the page is its newest. Starting a chat is a durable \
          transaction. A login hashes a password with Argon2id, which is to take long.",
    round,
};

const MESSAGES: usize = 200;

fn round(setting: &RunContext, sheet: &mut MeasureResults) -> Result<()> {
    let node = Node::start(&setting.salam, &Installation::sqlite()?, Core::Measured)?;
    let town = UsersAndGroups::create(node.port, 2, 1)?;
    let mut client = HttpClient::connect(node.port)?;
    let token = Some(town.access(0));
    let path = format!("/api/groups/{}/messages/", town.group(0));
    let message = json!({"text": "as long as people write when they are not in a hurry"});
    for _ in 0..MESSAGES {
        client.post(&path, token, &message)?.expect(201)?;
    }
    measure(
        sheet,
        &node,
        "a page of 50 messages",
        setting.scaled_count(1000),
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
        sheet,
        &node,
        "start-chat",
        setting.scaled_count(500),
        || {
            let started = client.post("/api/start-chat/", token, &json!({}))?;
            started.expect(200).map(drop)
        },
    )?;
    let name = town.users.first().map_or("", |person| &person.username);
    measure(sheet, &node, "login", setting.scaled_count(50), || {
        users::log_in(&mut client, name).map(drop)
    })
}

/// So often, after some that are not counted.
fn measure(
    sheet: &mut MeasureResults,
    node: &Node,
    what: &str,
    count: usize,
    mut ask: impl FnMut() -> Result<()>,
) -> Result<()> {
    for _ in 0..count / 10 {
        ask()?;
    }
    let mut times = LatencyHistogram::new();
    let before = node.process.cpu()?;
    for _ in 0..count {
        let begin = Instant::now();
        ask()?;
        times.record(nanos(begin.elapsed()));
    }
    let spent = node.process.cpu()?.saturating_sub(before);
    sheet.add(&format!("{what}, p50 ms"), SALAM, times.percentile(50.0));
    let each = micros_each(spent, times.count());
    sheet.add(&format!("{what}, µs of CPU"), SALAM, each);
    Ok(())
}
