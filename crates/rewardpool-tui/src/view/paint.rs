//! Puts lines of text on the screen, cut to where they belong.
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::texts::broken;
use crate::app::{Find, Pane};
use crate::event::Problem;
use crate::look::{CHOSEN, Look, QUIET, STRONG};

/// The screen, with how it looks.
pub(super) struct Painter<'a, 'b> {
    frame: &'a mut Frame<'b>,
    pub(super) look: Look,
}

impl<'a, 'b> Painter<'a, 'b> {
    pub(super) fn new(frame: &'a mut Frame<'b>, look: Look) -> Self {
        Self { frame, look }
    }

    /// Writes a line into a row of an area. A row that is not there takes nothing.
    pub(super) fn line(&mut self, area: Rect, row: usize, mut line: Line<'_>) {
        let Some(row) = u16::try_from(row).ok().filter(|row| *row < area.height) else { return };
        if !self.look.has_unicode {
            for span in &mut line.spans {
                span.content = self.look.text(&span.content).into();
            }
        }
        self.frame.buffer_mut().set_line(area.x, area.y + row, &line, area.width);
    }

    /// Writes two lines into a row, one at each edge. The right one goes when there is no room.
    pub(super) fn edges(&mut self, area: Rect, row: usize, left: Line<'_>, right: Line<'_>) {
        let (before, after) = (left.width(), right.width());
        let columns = usize::from(area.width);
        self.line(area, row, left);
        if before + after < columns {
            let x = area.x + u16::try_from(columns - after).expect("within the area");
            let width = u16::try_from(after).expect("within the area");
            self.line(Rect { x, width, ..area }, row, right);
        }
    }

    /// The line above a part: its name, and what else there is to know, on a rule.
    pub(super) fn title(&mut self, area: Rect, name: &str, note: &str, has_focus: bool) {
        let look = self.look;
        let columns = usize::from(area.width);
        let name_style = if has_focus { look.accent().patch(STRONG) } else { STRONG };
        let rule = look.rule();
        let mark = if has_focus { look.mark() } else { rule };
        let mut spans = vec![
            Span::styled(format!("{rule}{mark} "), QUIET),
            Span::styled(name.to_owned(), name_style),
            Span::raw(" "),
        ];
        let used = 4 + name.width();
        let note = cut(note, columns.saturating_sub(used + 6), look);
        let note = if note.is_empty() { note } else { format!(" {note} ") };
        let fill = columns.saturating_sub(used + note.width() + 2);
        spans.push(Span::styled(rule.repeat(fill), QUIET));
        spans.push(Span::raw(note));
        spans.push(Span::styled(rule.repeat(2), QUIET));
        self.line(area, 0, Line::from(spans));
    }

    /// Says why there is nothing to show yet: it has not come, or the service refuses to tell it.
    pub(super) fn waiting(&mut self, area: Rect, refusal: Option<&Problem>) {
        let Some(Problem { what, next }) = refusal else {
            return self.line(area, 0, Line::styled("  waiting for the service", QUIET));
        };
        let style = self.look.warning();
        let text = format!("not shown: {what}; {next}");
        let columns = usize::from(area.width).saturating_sub(3);
        for (row, part) in broken(&text, columns, 0).into_iter().enumerate() {
            self.line(area, row, Line::styled(format!("  {part}"), style));
        }
    }

    /// Clears a part, to draw over it.
    pub(super) fn clear(&mut self, area: Rect) {
        let buffer = self.frame.buffer_mut();
        for position in area.intersection(buffer.area).positions() {
            buffer[position].reset();
        }
    }

    /// Shows the cursor, as long as it is within the area.
    pub(super) fn cursor(&mut self, area: Rect, column: usize) {
        let column = u16::try_from(column).unwrap_or(u16::MAX);
        if area.height > 0 && column < area.width {
            self.frame.set_cursor_position(Position::new(area.x + column, area.y));
        }
    }
}

/// The beginning of a text that fits into so many columns, with a sign where something is missing.
pub(super) fn cut(text: &str, columns: usize, look: Look) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let (mut kept, mut width) = (String::new(), 0);
    for character in text.chars() {
        width += character.width().unwrap_or(0);
        if width > room {
            break;
        }
        kept.push(character);
    }
    kept + look.ellipsis()
}

/// A text in so many columns, at their left edge.
pub(super) fn left(text: &str, columns: usize, look: Look) -> String {
    let text = cut(text, columns, look);
    let pad = columns.saturating_sub(text.width());
    text + &" ".repeat(pad)
}

/// A text in so many columns, at their right edge.
pub(super) fn right(text: &str, columns: usize, look: Look) -> String {
    let text = cut(text, columns, look);
    let pad = columns.saturating_sub(text.width());
    " ".repeat(pad) + &text
}

/// A text in the style given, with what is looked for made to stand out.
pub(super) fn marked<'t>(text: &'t str, style: Style, find: Option<&Find>) -> Vec<Span<'t>> {
    let Some(find) = find else { return vec![Span::styled(text, style)] };
    let (mut spans, mut from) = (Vec::new(), 0);
    while let Some((start, end)) = find.place(text, from) {
        spans.push(Span::styled(&text[from..start], style));
        spans.push(Span::styled(&text[start..end], style.patch(CHOSEN)));
        from = end;
    }
    spans.push(Span::styled(&text[from..], style));
    spans
}

/// What the title of a pane says of what is looked for in it.
pub(super) fn find_note(find: Option<&Find>, pane: Pane, found: usize) -> String {
    let Some(find) = find.filter(|find| !find.text.is_empty()) else { return String::new() };
    let text = &find.text;
    match find.kind {
        _ if pane == Pane::Main => format!("filter: {text} ({found})"),
        crate::app::FindKind::Filter => format!("filter: {text} ({found} lines)"),
        crate::app::FindKind::Search if found == 0 => format!("search: {text} (not there)"),
        crate::app::FindKind::Search => {
            format!("search: {text} ({} of {found})", find.at + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { has_colours: false, has_unicode: true };

    #[test]
    fn texts_fit_whatever_their_characters() {
        assert_eq!(cut("gold", 4, LOOK), "gold");
        assert_eq!(cut("golden", 4, LOOK), "gol…");
        assert_eq!(cut("金金金", 4, LOOK), "金…");
        assert_eq!(cut("gold", 0, LOOK), "");
        assert_eq!(left("金", 4, LOOK), "金  ");
        assert_eq!(right("gold", 6, LOOK), "  gold");
    }
}
