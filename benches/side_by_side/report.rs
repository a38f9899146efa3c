//! docs/benchmarks.md, made of what was measured last.

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

What Salam costs, beside two floors that do as little as can be done. `bin/bench` measures it all in turns
and writes this page. Times of a machine mean little elsewhere; what they are in relation to each
other means more.
";

const PAGE_FOOT: &str = "\
## How to read it, and how to run it

    $ bin/bench                        # all, three rounds of each
    $ bin/bench --only fan-out,start   # these; the other tables stay as they are
    $ bin/bench --quick                # one short round: to see whether all works

A figure is the median of the rounds, with the smallest and the largest where there are several. In a
round the contenders take turns, each as a process that was just started, and the load is another one.
*Flaws* are events that were lost, doubled or reordered, over all sockets of all contenders of the row
and all rounds: each socket checks the number of everything that it is told.

- **Salam** is the released program with the configuration of development, whose limits nobody meets.
- **axum floor** is axum's WebSocket, a task for each socket and tokio's broadcast: Salam's ground
  without accounts, a log, or groups that somebody may not enter.
- **floor** is one thread between epoll and the frames, which writes once to a socket for all that a round
  has brought: about what the kernel costs.

CPU is the time that the server's threads were on a core, from `/proc/<pid>/task/*/schedstat`.

The targets were set before anything was measured, from what other servers need; where there is none,
the row is there to be seen. `1.6×` is 1.6 times the last column before *ratio*.
";

pub fn write(measures: &[Measure]) -> Result<()> {
    let mut text = format!("{PAGE_HEAD}\n{}", describe_machine());
    let mut quick = false;
    for measure in measures {
        if let Some(sheet) = MeasureResults::load(measure.name)? {
            quick |= sheet.quick;
            write_table(&mut text, measure, &sheet)?;
        }
    }
    if quick {
        text += "\n**Some of these are of one short round each (`--quick`): they only show that it works.**\n";
    }
    text.push('\n');
    let file = benchmarks_page::page_path();
    let page = BenchmarksPage::read(&file)?.with_rest(text, format!("\n{PAGE_FOOT}"));
    page.write(&file)?;
    log_progress("docs/benchmarks.md is written");
    Ok(())
}

fn write_table(text: &mut String, measure: &Measure, sheet: &MeasureResults) -> Result<()> {
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
        match sheet.rows.get(row.label) {
            Some(figures) => write_row(text, measure, row, figures)?,
            None => writeln!(
                text,
                "| {} | left out |{}",
                row.label,
                " |".repeat(columns - 1)
            )?,
        }
    }
    writeln!(text, "\n{} ({})", measure.description, sheet.date)?;
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

/// Of nothing at all there is none.
fn format_ratio(value: f64) -> String {
    if value.is_finite() {
        format_number(value)
    } else {
        "–".to_owned()
    }
}

/// Three digits that count.
fn format_number(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// What it was measured on.
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
        "on whichever core was free"
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

/// Of what it was built with and ran on, as far as that is installed.
fn tool_versions() -> Vec<String> {
    let postgres = salam_benches::stores::postgres_version();
    let told = ["rustc", "redis-server"].map(|program| {
        let asked = Command::new(program).arg("--version").output().ok()?;
        let text = String::from_utf8(asked.stdout).ok()?;
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
    told.into_iter().chain([postgres]).flatten().collect()
}
