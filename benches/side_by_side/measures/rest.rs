//! Requests of the HTTP API, one after the other on one connection.

use std::time::Instant;

use salam_benches::{
    Result,
    cores::Core,
    figures::{Times, micros_each, nanos},
    http::Client,
    node::{Node, Place},
    people::{self, Town},
};
use serde_json::json;

use super::{Measure, Row, Target};
use crate::{setting::Setting, sheet::Sheet, stage::SALAM};

pub const MEASURE: Measure = Measure {
    name: "rest",
    title: "HTTP",
    contenders: &[SALAM],
    rows: &[
        Row {
            what: "a page of 50 messages, p50 ms",
            target: Target::None,
        },
        Row {
            what: "a page of 50 messages, µs of CPU",
            target: Target::None,
        },
        Row {
            what: "start-chat, p50 ms",
            target: Target::None,
        },
        Row {
            what: "start-chat, µs of CPU",
            target: Target::None,
        },
        Row {
            what: "login, p50 ms",
            target: Target::None,
        },
        Row {
            what: "login, µs of CPU",
            target: Target::None,
        },
    ],
    how: "On SQLite. The group has 200 messages; the page is its newest. Starting a chat is a durable \
          transaction. A login hashes a password with Argon2id, which is to take long.",
    round,
};

const MESSAGES: usize = 200;

fn round(setting: &Setting, sheet: &mut Sheet) -> Result<()> {
    let node = Node::start(&setting.salam, &Place::sqlite()?, Core::Measured)?;
    let town = Town::settle(node.port, 2, 1)?;
    let mut client = Client::connect(node.port)?;
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
        setting.many(1000),
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
    measure(sheet, &node, "start-chat", setting.many(500), || {
        let started = client.post("/api/start-chat/", token, &json!({}))?;
        started.expect(200).map(drop)
    })?;
    let name = town.people.first().map_or("", |person| &person.username);
    measure(sheet, &node, "login", setting.many(50), || {
        people::log_in(&mut client, name).map(drop)
    })
}

/// So often, after some that are not counted.
fn measure(
    sheet: &mut Sheet,
    node: &Node,
    what: &str,
    count: usize,
    mut ask: impl FnMut() -> Result<()>,
) -> Result<()> {
    for _ in 0..count / 10 {
        ask()?;
    }
    let mut times = Times::new();
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
