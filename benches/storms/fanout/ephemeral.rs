//! The load of a large group in addition to its messages: typing, read receipts and presence.
//!
//! These figures are calculated, not simulated.

use std::io::{Result, Write};

use super::ONLINE;
use crate::{
    parameters::Parameters,
    table::{Table, format_number},
};

const MIB: f64 = 1024.0 * 1024.0;

/// Bytes of a username in the presence of a group, with the table entry (guess).
const NAME_ENTRY_BYTES: f64 = 100.0;

/// Prints the table.
pub fn print(out: &mut impl Write, parameters: &Parameters) -> Result<()> {
    let mut table = Table::new([
        "online",
        "typing: ms of a node's CPU",
        "read receipts of one message",
        "the same: s of PostgreSQL's append capacity",
        "the same: s of one Redis server",
        "online count, each second: cores of a node",
        "presence snapshot, each minute: MiB from a node",
        "the same: MiB that a node queues if all nodes send at once",
        "usernames in a node's memory, MiB",
    ]);
    for online in ONLINE {
        table.add_row(ephemeral_row(parameters, online));
    }
    let description = format!(
        "On {} nodes. An ephemeral event costs a turn of each socket's task. A read receipt is a command \
         under the lock of the group's row.",
        parameters.nodes
    );
    table.print(out, "Ephemeral events of a large group", &description)
}

fn ephemeral_row(parameters: &Parameters, online: u32) -> [String; 9] {
    let (nodes, users) = (f64::from(parameters.nodes), f64::from(online));
    let local_users = users / nodes;
    let delivery_us = local_users * parameters.turn_us;
    let receipts = users * parameters.readers;
    let snapshot_mib = local_users * parameters.name_bytes / MIB;
    [
        format_number(users),
        // Two events: the user starts and stops typing.
        format_number(2.0 * delivery_us / 1000.0),
        format_number(receipts),
        format_number(receipts / parameters.appends_per_s),
        format_number(receipts * parameters.published_us(nodes - 1.0) / 1e6),
        format_number(delivery_us / 1e6),
        format_number(snapshot_mib),
        format_number(snapshot_mib * (nodes - 1.0)),
        format_number(users * NAME_ENTRY_BYTES / MIB),
    ]
}
