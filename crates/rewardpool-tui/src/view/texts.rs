//! The two panes of text: what was entered, and the service's log.
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line as TextLine, Span};
use unicode_width::UnicodeWidthChar as _;

use super::paint::{Painter, find_note, marked};
use crate::app::{App, Find, FindKind, Line, Pane, Reading, Seat, Tone};
use crate::look::{Look, QUIET, STRONG};
use crate::model::{Level, LogLine};

/// Columns before what came of a command.
const INDENT: usize = 2;
/// Columns before the rest of a line that was too long.
const HANGING: usize = 2;

pub(super) fn draw_history(painter: &mut Painter<'_, '_>, area: Rect, app: &App) {
    let texts = || app.history.lines().map(|line| line.text.as_str());
    let note = note(&app.history_view, Pane::History, texts);
    painter.title(area, "History", &note, app.focus == Some(Pane::History));
    let body = body(area);
    let rows = usize::from(body.height);
    let lines = app.history_view.shown(app.history.lines(), |line: &Line| &line.text, rows);
    if lines.is_empty() && app.history.line_count() == 0 {
        let text = "  nothing yet; d draws once, d 100 draws a hundred times";
        painter.line(body, 0, TextLine::styled(text, QUIET));
        let text = match app.seat {
            Seat::Attached { .. } => "  the service runs by itself: it goes on when you quit",
            Seat::Embedded { .. } => {
                "  the service runs within: it stops when you quit, and its data stays"
            }
        };
        painter.line(body, 1, TextLine::styled(text, QUIET));
        return;
    }
    let (look, find) = (painter.look, app.history_view.find.as_ref());
    fill(painter, body, &lines, |line, columns| history_line(line, columns, find, look));
}

pub(super) fn draw_log(painter: &mut Painter<'_, '_>, area: Rect, app: &App) {
    let texts = || app.log.iter().map(|line| line.text.as_str());
    let note = note(&app.log_view, Pane::Log, texts);
    painter.title(area, "Log of the service (UTC)", &note, app.focus == Some(Pane::Log));
    let body = body(area);
    let rows = usize::from(body.height);
    if let Some(problem) = &app.no_log {
        let text = format!("  no log: {}", problem.what);
        painter.line(body, 0, TextLine::styled(text, QUIET));
        return;
    }
    let lines = app.log_view.shown(app.log.iter(), |line: &LogLine| &line.text, rows);
    let (look, find) = (painter.look, app.log_view.find.as_ref());
    fill(painter, body, &lines, |line, columns| log_line(line, columns, find, look));
}

fn body(area: Rect) -> Rect {
    Rect { y: area.y + 1.min(area.height), height: area.height.saturating_sub(1), ..area }
}

/// What the title says: what is looked for, and whether newer lines are below.
fn note<'a, T: DoubleEndedIterator<Item = &'a str>>(
    reading: &Reading,
    pane: Pane,
    texts: impl Fn() -> T,
) -> String {
    let found =
        reading.find.as_ref().map_or(0, |find| texts().filter(|text| find.fits(text)).count());
    let mut note = find_note(reading.find.as_ref(), pane, found);
    let is_search = reading.find.as_ref().is_some_and(|find| find.kind == FindKind::Search);
    if reading.from_end > 0 && !is_search {
        if !note.is_empty() {
            note.push_str(", ");
        }
        note.extend([reading.from_end.to_string().as_str(), " newer below"]);
    }
    note
}

/// Shows as many of the last lines as fit, when long ones are broken.
fn fill<'a, T: ?Sized>(
    painter: &mut Painter<'_, '_>,
    area: Rect,
    lines: &[&'a T],
    shape: impl Fn(&'a T, usize) -> Vec<TextLine<'a>>,
) {
    let (columns, rows) = (usize::from(area.width), usize::from(area.height));
    let mut shown: Vec<TextLine<'_>> = Vec::new();
    for line in lines.iter().rev() {
        if shown.len() >= rows {
            break;
        }
        let mut parts = shape(line, columns);
        if shown.is_empty() {
            // The beginning of a line that is too long for all of it says more than its end.
            parts.truncate(rows);
        }
        shown.extend(parts.into_iter().rev());
    }
    // Few lines stand at the top; many end at the bottom.
    shown.truncate(rows);
    for (row, line) in shown.into_iter().rev().enumerate() {
        painter.line(area, row, line);
    }
}

fn history_line<'a>(
    line: &'a Line,
    columns: usize,
    find: Option<&Find>,
    look: Look,
) -> Vec<TextLine<'a>> {
    let style = match line.tone {
        Tone::Command => STRONG,
        Tone::Plain => Style::new(),
        Tone::Good => look.good(),
        Tone::Warning => look.warning(),
        Tone::Bad => look.bad(),
        Tone::Quiet => QUIET,
    };
    let indent = indent(line);
    let parts = broken(&line.text, history_columns(line, columns), HANGING);
    let shape = |(place, part): (usize, &'a str)| {
        let indent = 1 + indent + if place > 0 { HANGING } else { 0 };
        let mut spans = vec![Span::raw(" ".repeat(indent))];
        let (time, rest) = match line.tone {
            Tone::Command if place == 0 => part.split_at(part.find(" > ").map_or(0, |at| at + 3)),
            Tone::Command | Tone::Plain | Tone::Good | Tone::Warning | Tone::Bad | Tone::Quiet => {
                ("", part)
            }
        };
        spans.extend(marked(time, QUIET, find));
        spans.extend(marked(rest, style, find));
        TextLine::from(spans)
    };
    parts.into_iter().enumerate().map(shape).collect()
}

fn log_line<'a>(
    line: &'a LogLine,
    columns: usize,
    find: Option<&Find>,
    look: Look,
) -> Vec<TextLine<'a>> {
    let level = match line.level {
        Level::Error => look.bad(),
        Level::Warn => look.warning().patch(STRONG),
        Level::Info => look.good(),
        Level::Debug | Level::Trace => QUIET,
    };
    let parts = broken(&line.text, columns.saturating_sub(1), HANGING);
    let shape = |(place, part): (usize, &'a str)| {
        if place > 0 || part.len() < LogLine::MESSAGE_AT {
            let mut spans = vec![Span::raw(" ".repeat(1 + if place > 0 { HANGING } else { 0 }))];
            spans.extend(marked(part, Style::new(), find));
            return TextLine::from(spans);
        }
        let (time, rest) = part.split_at(LogLine::LEVEL_AT);
        let (name, message) = rest.split_at(LogLine::MESSAGE_AT - LogLine::LEVEL_AT);
        let mut spans = vec![Span::raw(" ")];
        spans.extend(marked(time, QUIET, find));
        spans.extend(marked(name, level, find));
        spans.extend(marked(message, Style::new(), find));
        TextLine::from(spans)
    };
    parts.into_iter().enumerate().map(shape).collect()
}

/// Columns of a line of the history, behind its indent.
fn history_columns(line: &Line, columns: usize) -> usize {
    columns.saturating_sub(1 + indent(line))
}

fn indent(line: &Line) -> usize {
    if line.tone == Tone::Command { 0 } else { INDENT }
}

/// The rows that a line of the history takes.
pub(crate) fn history_rows(line: &Line, area: Rect) -> usize {
    broken(&line.text, history_columns(line, usize::from(area.width)), HANGING).len()
}

/// The rows that a message of the service takes.
pub(crate) fn log_rows(line: &LogLine, area: Rect) -> usize {
    broken(&line.text, usize::from(area.width).saturating_sub(1), HANGING).len()
}

/// Breaks a text where it is too long, at a space when there is one. The rest has less room.
pub(super) fn broken(text: &str, columns: usize, hanging: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut rest, mut room) = (text, columns);
    while let Some(end) = overflow(rest, room.max(1)) {
        // A space near the end makes a nicer break than the last character that fits.
        let space = rest[..end].rfind(' ').filter(|space| *space > end / 2);
        let cut = space.unwrap_or(end).max(rest.chars().next().map_or(0, char::len_utf8));
        parts.push(rest[..cut].trim_end_matches(' '));
        rest = rest[cut..].trim_start_matches(' ');
        room = columns.saturating_sub(hanging);
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(rest);
    }
    parts
}

/// The first byte that does not fit into so many columns. `None` when all fits.
fn overflow(text: &str, columns: usize) -> Option<usize> {
    let mut width = 0;
    text.char_indices().find_map(|(at, character)| {
        width += character.width().unwrap_or(0);
        (width > columns).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    #[test]
    fn long_lines_break_at_spaces() {
        assert_eq!(broken("one two three four", 10, 2), ["one two", "three", "four"]);
        assert_eq!(broken("abcdefghij", 4, 1), ["abcd", "efg", "hij"]);
        assert_eq!(broken("", 4, 1), [""]);
        assert_eq!(broken("金金金", 3, 0), ["金", "金", "金"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_everything_fits(text in "[a-z 金ü]{0,60}", columns in 6_usize..30) {
            let parts = broken(&text, columns, 4);
            for (place, part) in parts.iter().enumerate() {
                let room = if place > 0 { columns - 4 } else { columns };
                prop_assert!(part.width() <= room, "{part:?}");
            }
            let letters = |text: &str| text.replace(' ', "");
            prop_assert_eq!(letters(&parts.concat()), letters(&text));
        }
    }
}
