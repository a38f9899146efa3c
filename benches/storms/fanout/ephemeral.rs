//! What goes beside the messages of a large group: who types, who has read, who is here.
//!
//! These are sums, not simulations.

use std::io::{Result, Write};

use super::ONLINE;
use crate::{
    parameters::Parameters,
    table::{Table, format_number},
};

const MIB: f64 = 1024.0 * 1024.0;

/// A place of a name in the table of who is here, with what points to it (guess).
const NAME_ENTRY_BYTES: f64 = 100.0;

pub fn print(out: &mut impl Write, figures: &Parameters) -> Result<()> {
    let mut table = Table::new([
        "online",
        "who types: ms of a node's CPU",
        "read receipts of one message",
        "the same: s of all that PostgreSQL appends",
        "the same: s of one server of Redis",
        "how many are here, each second: cores of a node",
        "who is here, each minute: MiB from a node",
        "the same: MiB that wait for a node, if all say it at once",
        "names that a node holds, MiB",
    ]);
    for online in ONLINE {
        table.add_row(ephemeral_row(figures, online));
    }
    let about = format!(
        "On {} nodes. A whisper takes a turn of each socket's task; a reading is a change under the \
         lock of the group's row.",
        figures.nodes
    );
    table.print(out, "Beside the messages of a large group", &about)
}

fn ephemeral_row(figures: &Parameters, online: u32) -> [String; 9] {
    let (nodes, people) = (f64::from(figures.nodes), f64::from(online));
    let here = people / nodes;
    let told_us = here * figures.turn_us;
    let readings = people * figures.readers;
    let names = here * figures.name_bytes / MIB;
    [
        format_number(people),
        // That somebody does, and does not any more.
        format_number(2.0 * told_us / 1000.0),
        format_number(readings),
        format_number(readings / figures.appends_per_s),
        format_number(readings * figures.published_us(nodes - 1.0) / 1e6),
        format_number(told_us / 1e6),
        format_number(names),
        format_number(names * (nodes - 1.0)),
        format_number(people * NAME_ENTRY_BYTES / MIB),
    ]
}
