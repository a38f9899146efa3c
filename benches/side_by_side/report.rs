//! Writes docs/benchmarks.md from the last results of all measures.

use std::{fmt::Write, fs, process::Command};

use salam_benches::{
    Result,
    benchmarks_page::{self, BenchmarksPage},
    cores, log_progress,
    statistics::Spread,
};

use super::{
    measure_results::{MeasureResults, RowResults},
    measures::{Measure, MeasureRow},
};

const PAGE_HEAD: &str = "\
# Benchmarks

The cost of Salam, next to two baseline servers that do the least possible work. `bin/bench` measures
all of them in turns and writes this page. Absolute times mean little on another machine. The ratios
mean more.
";

const PAGE_FOOT: &str = "\
## How to read it, and how to run it

    $ bin/bench                        # all, three rounds of each
    $ bin/bench --only fan-out,start   # these; the other tables stay as they are
    $ bin/bench --quick                # one short round of each, as a test

A figure is the median of the rounds, with the smallest and the largest if there are several. In a
round the contenders take turns, each as a new process. The load is another process. *Flaws* are lost,
duplicated and reordered events, over all sockets of all contenders of the row and all rounds. Each
socket checks the seq of every event that it receives.

- **Salam** is the release build with the configuration of development, whose limits are not reached.
- **axum floor** is axum's WebSocket, a task for each socket and tokio's broadcast channel. It has no
  accounts, no log and no memberships.
- **floor** is one thread between epoll and the frames, which writes once to a socket for all texts of
  one poll. It costs about as much as the kernel.

CPU is the time that the server's threads were on a core, from `/proc/<pid>/task/*/schedstat`.

The targets were set before the first measurement, from the needs of other servers. A row without a
target is for information only. `1.6×` is 1.6 times the last column before *ratio*.
";

/// Writes the page.
pub fn write(measures: &[Measure]) -> Result<()> {
    let mut text = format!("{PAGE_HEAD}\n{}", describe_machine());
    let mut is_quick = false;
    for measure in measures {
        if let Some(results) = MeasureResults::load(measure.name)? {
            is_quick |= results.quick;
            write_table(&mut text, measure, &results)?;
        }
    }
    if is_quick {
        text += "\n**Some tables are of one short round (`--quick`): they only show that the measures run.**\n";
    }
    text.push('\n');
    let file = benchmarks_page::page_path();
    let page = BenchmarksPage::read(&file)?.with_rest(text, format!("\n{PAGE_FOOT}"));
    page.write(&file)?;
    log_progress("docs/benchmarks.md is written");
    Ok(())
}

fn write_table(text: &mut String, measure: &Measure, results: &MeasureResults) -> Result<()> {
    write!(text, "\n## {}\n\n| |", measure.title)?;
    for contender in measure.contenders {
        write!(text, " {contender} |")?;
    }
    if measure.contenders.len() > 1 {
        text.push_str(" ratio |");
    }
    text.push_str(" target | flaws |\n|---|");
    let columns = measure.contenders.len() + 2 + usize::from(measure.contenders.len() > 1);
    writeln!(text, "{}", "---|".repeat(columns))?;
    for row in measure.rows {
        match results.rows.get(row.label) {
            Some(figures) => write_row(text, measure, row, figures)?,
            None => writeln!(
                text,
                "| {} | left out |{}",
                row.label,
                " |".repeat(columns - 1)
            )?,
        }
    }
    writeln!(text, "\n{} ({})", measure.description, results.date)?;
    Ok(())
}

fn write_row(
    text: &mut String,
    measure: &Measure,
    row: &MeasureRow,
    figures: &RowResults,
) -> Result<()> {
    write!(text, "| {} |", row.label)?;
    let spreads = measure.contenders.iter().map(|&contender| {
        let figures = figures.of.get(contender);
        figures.and_then(|figures| Spread::of(figures))
    });
    let spreads: Vec<_> = spreads.collect();
    for spread in &spreads {
        write!(
            text,
            " {} |",
            spread.map_or_else(|| "–".to_owned(), format_spread)
        )?;
    }
    let first = spreads.first().copied().flatten();
    let last = spreads.last().copied().flatten();
    if measure.contenders.len() > 1 {
        let others = spreads.iter().skip(1).copied().flatten();
        let ratios = others.filter_map(|other| Some(format_ratio(first?.median / other.median)));
        write!(text, " {} |", ratios.collect::<Vec<_>>().join(" · "))?;
    }
    let is_met = first.is_some_and(|first| {
        let last = last.map_or(f64::NAN, |last| last.median);
        row.target.is_met(first.median, last)
    });
    write!(
        text,
        " {}{} |",
        row.target,
        if is_met { "" } else { ", **missed**" }
    )?;
    let flaws = figures
        .flaws
        .map(|flaws| flaws.map(|flaw| flaw.to_string()).join(" · "));
    writeln!(text, " {} |", flaws.unwrap_or_else(|| "–".to_owned()))?;
    Ok(())
}

fn format_spread(spread: Spread) -> String {
    let Spread { median, min, max } = spread;
    if format_number(min) == format_number(max) {
        format_number(median)
    } else {
        format!(
            "{} ({}–{})",
            format_number(median),
            format_number(min),
            format_number(max)
        )
    }
}

/// Formats a ratio, or a dash if there is none.
fn format_ratio(value: f64) -> String {
    if value.is_finite() {
        format_number(value)
    } else {
        "–".to_owned()
    }
}

/// Formats a number with three significant digits.
fn format_number(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Describes the machine and the versions of the programs.
fn describe_machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names = cpu
        .lines()
        .filter_map(|line| line.strip_prefix("model name"));
    let names: Vec<_> = names
        .map(|name| name.trim_start_matches([' ', '\t', ':']))
        .collect();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let pinned = if cores::are_pinned() {
        "the server on core 0, the load on core 1"
    } else {
        "on any free core"
    };
    format!(
        "Measured on {} × {}, Linux {}, {pinned}. {}; Salam {}.\n",
        names.len(),
        names.first().unwrap_or(&"an unknown processor"),
        kernel.trim(),
        tool_versions().join(", "),
        env!("CARGO_PKG_VERSION")
    )
}

/// Returns the versions of the installed tools.
fn tool_versions() -> Vec<String> {
    let postgres = salam_benches::stores::postgres_version();
    let versions = ["rustc", "redis-server"].map(|program| {
        let output = Command::new(program).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let number = text.split_whitespace().find_map(|word| {
            let word = word.trim_start_matches("v=");
            word.starts_with(|c: char| c.is_ascii_digit())
                .then_some(word.to_owned())
        });
        Some(format!(
            "{} {}",
            program.trim_end_matches("-server"),
            number?
        ))
    });
    versions.into_iter().chain([postgres]).flatten().collect()
}
