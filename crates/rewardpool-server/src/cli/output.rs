//! How data is printed: tables for people, JSON for programs.
//!
//! On a terminal a table fits its width, headings stand out, and large counts have separators.
//! Elsewhere it is plain text without any of that, so that it can be cut and compared.
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde_json::Value;
use terminal_size::{Height, Width, terminal_size_of};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

use super::Failure;

/// How `error:` stands out.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// How `hint:` stands out.
pub(crate) const HINT: Style = AnsiColor::Green.on_default();
const HEADING: Style = Style::new().bold();

/// A column of text is never cut to less.
const TEXT_MIN: usize = 8;

/// How data is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Table,
    /// One JSON value; its fields do not change
    Json,
}

impl Format {
    /// What these arguments ask for, as far as that can be told of wrong ones. Errors of the parser
    /// are printed so.
    pub(crate) fn of_arguments<'a>(arguments: impl Iterator<Item = &'a OsStr>) -> Self {
        let mut arguments = arguments.map(OsStr::to_string_lossy).peekable();
        while let Some(argument) = arguments.next() {
            let value = match &*argument {
                "--" => break,
                "-o" | "--output" => arguments.peek().map(|value| &**value),
                other => other
                    .strip_prefix("--output=")
                    .or_else(|| other.strip_prefix("-o").filter(|_| !other.starts_with("--")))
                    .map(|value| value.trim_start_matches('=')),
            };
            if value == Some("json") {
                return Self::Json;
            }
        }
        Self::Table
    }
}

/// The terminal that stdout is.
#[derive(Clone, Copy, Default, Debug)]
struct Terminal {
    /// Whether it is one at all.
    is_there: bool,
    /// Whether headings stand out: never with `NO_COLOR`.
    has_styles: bool,
    /// How many letters fit beside each other.
    width: Option<usize>,
    /// How many lines fit below each other.
    height: Option<usize>,
}

static TERMINAL: OnceLock<Terminal> = OnceLock::new();

/// Looks at what stdout is. Until this was called, it is taken for a file.
pub(crate) fn look_at_terminal() {
    let stdout = io::stdout();
    let is_there = stdout.is_terminal();
    let has_styles = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
    let size = terminal_size_of(&stdout).filter(|_| is_there);
    let width = size.map(|(Width(width), _)| usize::from(width)).filter(|&width| width > 0);
    let height = size.map(|(_, Height(height))| usize::from(height)).filter(|&height| height > 0);
    TERMINAL.get_or_init(|| Terminal { is_there, has_styles, width, height });
}

fn terminal() -> Terminal {
    TERMINAL.get().copied().unwrap_or_default()
}

/// How many lines the terminal has, if stdout is one.
pub(crate) fn terminal_height() -> Option<usize> {
    terminal().height
}

/// A length as a count.
pub(crate) fn length(length: usize) -> u64 {
    u64::try_from(length).expect("a length has at most 64 bits")
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
        self.render_for(terminal())
    }

    fn render_for(&self, terminal: Terminal) -> String {
        let mut widths = self.columns.map(|(name, _)| name.len());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        if let Some(room) = terminal.width {
            self.narrow(&mut widths, room);
        }
        let mut text = String::new();
        let heading = self.render_row(&widths, self.columns.map(|(name, _)| name));
        let style = if terminal.has_styles { HEADING } else { Style::new() };
        writeln!(text, "{style}{heading}{style:#}").expect("a String takes all");
        for row in &self.rows {
            text.extend([&*self.render_row(&widths, row.each_ref().map(String::as_str)), "\n"]);
        }
        text
    }

    /// Takes room from the widest column of text until all fits, or no text can give any more.
    fn narrow(&self, widths: &mut [usize; N], room: usize) {
        let least = |column: usize| self.columns[column].0.len().max(TEXT_MIN);
        let mut all = widths.iter().sum::<usize>() + 2 * (N - 1);
        while all > room {
            let texts = (0..N).filter(|&column| self.columns[column].1 == Align::Left);
            let can_give = texts.filter(|&column| widths[column] > least(column));
            let Some(widest) = can_give.max_by_key(|&column| widths[column]) else { return };
            let given = (all - room).min(widths[widest] - least(widest));
            widths[widest] -= given;
            all -= given;
        }
    }

    fn render_row(&self, widths: &[usize; N], cells: [&str; N]) -> String {
        let mut text = String::new();
        for (place, (((_, align), &width), cell)) in
            self.columns.iter().zip(widths).zip(cells).enumerate()
        {
            if place > 0 {
                text.push_str("  ");
            }
            let cell = cut(cell, width);
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            match align {
                Align::Left => text.extend([&*cell, &padding]),
                Align::Right => text.extend([&*padding, &cell]),
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// A text that is at most so wide; where it is cut stands `…`.
fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return text.into();
    }
    let mut room = width.saturating_sub(1);
    let mut short = String::new();
    for letter in text.chars() {
        let Some(rest) = room.checked_sub(letter.width().unwrap_or(0)) else { break };
        room = rest;
        short.push(letter);
    }
    short.push('…');
    short.into()
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
    if number == -1 { "unlimited".to_owned() } else { count(number) }
}

/// A number of things, on a terminal with separators. Not for numbers that name something, such as
/// an LSN.
pub(crate) fn count(number: impl Display) -> String {
    let digits = number.to_string();
    if terminal().is_there { separated(&digits) } else { digits }
}

/// Whole digits with a separator before each group of three.
fn separated(number: &str) -> String {
    let (sign, digits) = number.split_at(number.len() - number.trim_start_matches('-').len());
    let mut text = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
    fn a_table_is_as_wide_as_the_terminal_by_cutting_text() {
        let mut table =
            Table::new([("ITEM", Align::Left), ("LEFT", Align::Right), ("NOTE", Align::Left)]);
        table.push(["a very long name of an item".into(), "10000".into(), "note".into()]);
        table.push(["金金金金金金金金".into(), "1".into(), String::new()]);
        let at = |width| table.render_for(Terminal { width: Some(width), ..Terminal::default() });
        assert_eq!(
            at(27),
            "ITEM             LEFT  NOTE\na very long n…  10000  note\n\
             金金金金金金…       1\n"
        );
        assert_eq!(at(80), table.render());
        // Numbers are never cut.
        let narrow = at(1);
        let widths: Vec<usize> = narrow.lines().map(UnicodeWidthStr::width).collect();
        assert_eq!(widths, [21, 21, 15], "{narrow}");
        assert!(narrow.contains("a very …  10000  note\n金金金…       1\n"), "{narrow}");
    }

    #[test]
    fn headings_stand_out_where_that_is_wanted() {
        let mut table = Table::new([("A", Align::Left)]);
        table.push(["a".into()]);
        let terminal = Terminal { has_styles: true, ..Terminal::default() };
        assert_eq!(table.render_for(terminal), "\u{1b}[1mA\u{1b}[0m\na\n");
    }

    #[test]
    fn large_numbers_are_separated() {
        let texts = ["0", "999", "1000", "-1000", "-100", "123456", "9223372036854775807"];
        assert_eq!(
            texts.map(separated),
            ["0", "999", "1,000", "-1,000", "-100", "123,456", "9,223,372,036,854,775,807"]
        );
        assert_eq!(count(1000), "1000", "not on a terminal");
    }

    #[test]
    fn the_format_is_known_even_if_the_rest_is_wrong() {
        let format = |text: &str| Format::of_arguments(text.split(' ').map(OsStr::new));
        for json in ["a -o json", "a --output json --wrong", "-ojson", "-o=json", "--output=json"] {
            assert_eq!(format(json), Format::Json, "{json}");
        }
        for table in ["a", "-o table", "-o", "a -- -o json", "json", "--ojson", "--out=json"] {
            assert_eq!(format(table), Format::Table, "{table}");
        }
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
