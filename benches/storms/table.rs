//! Tables as Markdown has them.

use std::io::{Result, Write};

pub struct Table<const N: usize> {
    head: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub fn new(head: [&'static str; N]) -> Self {
        let rows = Vec::new();
        Self { head, rows }
    }

    pub fn add_row(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    /// Writes it with a heading and what is to be known before it is read.
    pub fn print(&self, out: &mut impl Write, heading: &str, about: &str) -> Result<()> {
        writeln!(out, "## {heading}\n\n{about}\n")?;
        writeln!(out, "| {} |", self.head.join(" | "))?;
        writeln!(out, "|---{}|", "|--:".repeat(N - 1))?;
        for row in &self.rows {
            writeln!(out, "| {} |", row.join(" | "))?;
        }
        writeln!(out)
    }
}

/// A number with as many digits as it is worth.
pub fn format_number(number: f64) -> String {
    match number.abs() {
        size if size >= 1e9 => format!("{:.1} G", number / 1e9),
        size if size >= 1e6 => format!("{:.1} M", number / 1e6),
        size if size >= 1e4 => format!("{:.0} k", number / 1e3),
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 0.005 || size == 0.0 => format!("{number:.2}"),
        _ => "< 0.01".to_owned(),
    }
}

pub fn format_percent(share: f64) -> String {
    format!("{} %", format_number(100.0 * share))
}
