//! Writes the table into its part of docs/benchmarks.md. Rows that were not measured are kept.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use salam_benches::{
    Result,
    benchmarks_page::{self, BenchmarksPage},
};

use crate::measure::GrowthFigures;

const TABLE_HEAD: &str = "\
## How it grows

One node on a core of its own is started on a database of this size. The data is in the cache of the
system. Half of the events are in one group. The requests read its history and its members, and send to
it. The requesting user is a member of this group and of up to 199 others. A page has 50 messages or
members, or 50 groups with their unread counts and last messages. A send ends when the socket has its
`ok`. A resume of 100 events starts with the connection, in a group without other sockets, and ends with
`sync`. All figures are medians of 200 requests. Those of a resume are medians of up to 50 groups.

    $ cargo build --release
    $ cargo run --release -p salam-benches --bin growth   # --quick: without ten million

The command also prints the plan of each query, and marks the parts that read a whole table.

| database | events | groups | on disk | start | memory | newest page | page in the middle | list of groups | members | send | resume |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";

/// Returns a row of the table.
pub fn table_row(figures: &GrowthFigures) -> String {
    format!(
        "| {} | {} | {} | {} MiB | {:.0} ms | {} MiB | {} | {} | {} | {} | {} | {} |",
        figures.engine.title(),
        group_digits(figures.events),
        group_digits(figures.groups),
        group_digits(figures.bytes / (1024 * 1024)),
        to_ms(figures.start),
        figures.memory_mib,
        format_ms(figures.newest_page),
        format_ms(figures.middle_page),
        format_ms(figures.groups_list),
        format_ms(figures.members_page),
        format_ms(figures.send),
        format_ms(figures.resume),
    )
}

/// Replaces the rows of the same size in the page, and returns the table.
///
/// # Errors
/// When the page cannot be read or written.
pub fn update_page(rows: Vec<String>, is_dry: bool) -> Result<String> {
    let file = benchmarks_page::page_path();
    let mut page = BenchmarksPage::read(&file)?;
    let old = page.growth.take().unwrap_or_default();
    let mut all: BTreeMap<_, _> = old
        .lines()
        .filter(|line| line.ends_with("ms |"))
        .map(|line| (row_key(line), line.to_owned()))
        .collect();
    all.extend(rows.into_iter().map(|row| (row_key(&row), row)));
    // SQLite comes first, because it is the default database.
    let rows: Vec<_> = all.into_values().rev().collect();
    let table = format!("{TABLE_HEAD}{}\n", rows.join("\n"));
    if !is_dry {
        page.growth = Some(format!("\n{table}\n"));
        page.write(&file)?;
    }
    Ok(table)
}

/// Returns the key by which rows are sorted and replaced: the database and the number of events.
fn row_key(row: &str) -> (String, Reverse<u64>) {
    let mut cells = row.split('|').map(str::trim).skip(1);
    let database = cells.next().unwrap_or_default().to_owned();
    let digits: String = cells
        .next()
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    (database, Reverse(digits.parse().unwrap_or(0)))
}

/// Formats a number in groups of three digits, such as `10 000 000`.
fn group_digits(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn format_ms(time: Duration) -> String {
    format!("{:.2} ms", to_ms(time))
}

fn to_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
