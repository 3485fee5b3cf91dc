//! How data is printed: tables for people, JSON for programs.
use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::Value;

use super::Failure;

/// How data is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Table,
    /// One JSON value; its fields do not change
    Json,
}

/// Prints either the lines of the table or the JSON value; only the one that is asked for is made.
pub(crate) fn print(
    format: Format,
    table: impl FnOnce() -> String,
    json: impl FnOnce() -> Value,
) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        Format::Table => out.write_all(table().as_bytes())?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &json()).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Which edge the cells of a column share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Align {
    /// For text.
    Left,
    /// For numbers.
    Right,
}

/// Rows of text in aligned columns.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [(&'static str, Align); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [(&'static str, Align); N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    /// Writes the table, one line for each row. No line ends in white space.
    pub(crate) fn render(&self) -> String {
        let mut widths = self.columns.map(|(name, _)| name.len());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        self.render_row(&mut text, &widths, self.columns.map(|(name, _)| name));
        for row in &self.rows {
            self.render_row(&mut text, &widths, row.each_ref().map(String::as_str));
        }
        text
    }

    fn render_row(&self, text: &mut String, widths: &[usize; N], cells: [&str; N]) {
        let start = text.len();
        for (((_, align), &width), cell) in self.columns.iter().zip(widths).zip(cells) {
            if text.len() > start {
                text.push_str("  ");
            }
            let padding = " ".repeat(width - cell.chars().count());
            match align {
                Align::Left => text.extend([cell, &padding]),
                Align::Right => text.extend([&padding, cell]),
            }
        }
        let length = text[start..].trim_end().len();
        text.truncate(start + length);
        text.push('\n');
    }
}

/// Writes names and values below each other.
pub(crate) fn fields<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect();
    lines.concat()
}

/// A quantity as people write it.
pub(crate) fn quantity(number: i64) -> String {
    if number == -1 { "unlimited".to_owned() } else { number.to_string() }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// Share of a weight, in percent with four decimals. Never shows a chance as none.
pub(crate) fn percent(weight: u64, total: u64) -> String {
    if weight == 0 || total == 0 {
        return "-".to_owned();
    }
    let total = u128::from(total);
    let millionths = (u128::from(weight) * 1_000_000 + total / 2) / total;
    if millionths == 0 {
        return "<0.0001".to_owned();
    }
    format!("{}.{:04}", millionths / 10_000, millionths % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let mut table = Table::new([("ITEM", Align::Left), ("LEFT", Align::Right)]);
        table.push(["gold".into(), "1000".into()]);
        table.push(["übergröße".into(), "-1".into()]);
        assert_eq!(table.render(), "ITEM       LEFT\ngold       1000\nübergröße    -1\n");
        let mut table = Table::new([("A", Align::Left), ("B", Align::Left)]);
        table.push([String::new(), String::new()]);
        assert_eq!(table.render(), "A  B\n\n");
    }

    #[test]
    fn percents_are_exact_to_four_decimals() {
        assert_eq!(percent(1, 3), "33.3333");
        assert_eq!(percent(2, 3), "66.6667");
        assert_eq!(percent(7, 7), "100.0000");
        assert_eq!(percent(1, u64::MAX), "<0.0001");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0000");
        assert_eq!(percent(0, 5), "-");
    }
}
