//! Markdown tables.

use std::io::{Result, Write};

/// A table with `N` columns.
pub struct Table<const N: usize> {
    head: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// Creates a table without rows.
    pub fn new(head: [&'static str; N]) -> Self {
        let rows = Vec::new();
        Self { head, rows }
    }

    /// Adds a row.
    pub fn add_row(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    /// Prints the table below a heading and a description.
    pub fn print(&self, out: &mut impl Write, heading: &str, description: &str) -> Result<()> {
        writeln!(out, "## {heading}\n\n{description}\n")?;
        writeln!(out, "| {} |", self.head.join(" | "))?;
        writeln!(out, "|---{}|", "|--:".repeat(N - 1))?;
        for row in &self.rows {
            writeln!(out, "| {} |", row.join(" | "))?;
        }
        writeln!(out)
    }
}

/// Formats a number with a sensible number of digits.
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

/// Formats a share as a percentage.
pub fn format_percent(share: f64) -> String {
    format!("{} %", format_number(100.0 * share))
}
