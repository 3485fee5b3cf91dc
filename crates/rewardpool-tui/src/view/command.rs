//! The line where commands are written, and what takes its place.
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::paint::{Painter, cut};
use crate::app::{App, FindKind, Mode, Offer, Pane, Question};
use crate::editor::LineEditor;
use crate::look::{CHOSEN, Look, QUIET, STRONG};

pub(super) fn draw(painter: &mut Painter<'_, '_>, area: Rect, app: &App) {
    match &app.mode {
        Mode::Ask(question) => draw_question(painter, area, question),
        Mode::Recall { text, skipped } => {
            let found = app.recalled(text, *skipped);
            let prompt = format!(" (earlier commands with `{text}`) ");
            let line = Line::from(vec![
                Span::styled(prompt.clone(), painter.look.accent()),
                Span::raw(found.to_owned()),
            ]);
            painter.line(area, 0, line);
            painter.cursor(area, prompt.width());
        }
        Mode::Find { pane, editor } => {
            let kind = app.find_of(*pane).map_or(FindKind::Filter, |find| find.kind);
            let kind = match kind {
                FindKind::Filter => "filter",
                FindKind::Search => "search",
            };
            let place = match pane {
                Pane::Main => "list",
                Pane::History => "history",
                Pane::Log => "log",
            };
            draw_editor(painter, area, &format!(" {kind} in the {place}: "), editor);
        }
        Mode::Command | Mode::Help { .. } => {
            let mut line = area;
            if let Some(offer) = &app.offer {
                let words = offered(offer, usize::from(area.width), painter.look);
                painter.line(area, 0, words);
                line = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
            }
            draw_editor(painter, line, " > ", &app.editor);
            if app.editor.is_empty() {
                let place = Rect { x: line.x + 4, width: line.width.saturating_sub(4), ..line };
                let text = placeholder(app);
                painter.line(place, 0, Line::styled(text, QUIET));
            }
        }
    }
}

const fn placeholder(app: &App) -> &'static str {
    if app.leave_asked.is_some() {
        "Ctrl-C once more leaves"
    } else {
        "type a command, for example d 10; ? shows all"
    }
}

fn draw_editor(painter: &mut Painter<'_, '_>, area: Rect, prompt: &str, editor: &LineEditor) {
    let look = painter.look;
    let room = usize::from(area.width).saturating_sub(prompt.width() + 1).max(1);
    let before = editor.columns_before_cursor();
    // A long line moves to the left, so that the cursor stays within.
    let hidden = before.saturating_sub(room);
    let text: String = skip_columns(editor.text(), hidden).to_owned();
    let prompt_style = look.accent().patch(STRONG);
    let line = Line::from(vec![Span::styled(prompt.to_owned(), prompt_style), Span::raw(text)]);
    painter.line(area, 0, line);
    painter.cursor(area, prompt.width() + before - hidden.min(before));
}

/// The text without so many columns at its beginning.
fn skip_columns(text: &str, columns: usize) -> &str {
    let mut rest = text;
    while text.width() - rest.width() < columns {
        let Some(first) = rest.chars().next() else { break };
        rest = &rest[first.len_utf8()..];
    }
    rest
}

/// The words that fit, the chosen one standing out and in view.
fn offered(offer: &Offer, columns: usize, look: Look) -> Line<'_> {
    let chosen = offer.chosen.unwrap_or(0);
    let mut first = 0;
    let width = |from: usize, to: usize| -> usize {
        offer.candidates[from..=to].iter().map(|word| word.width() + 2).sum()
    };
    while first < chosen && width(first, chosen) + 4 > columns {
        first += 1;
    }
    let mut spans = vec![Span::raw("   ")];
    for (place, word) in offer.candidates.iter().enumerate().skip(first) {
        let is_chosen = offer.chosen == Some(place);
        let style = if is_chosen { CHOSEN } else { look.accent() };
        spans.push(Span::styled(cut(word, columns.saturating_sub(4), look), style));
        spans.push(Span::raw("  "));
    }
    Line::from(spans)
}

fn draw_question(painter: &mut Painter<'_, '_>, area: Rect, question: &Question) {
    let look = painter.look;
    let style = look.warning().patch(STRONG);
    painter.line(area, 0, Line::from(vec![Span::styled(format!(" {}", question.text), style)]));
    let mut spans = vec![Span::raw(" ")];
    for (key, what) in question.choices {
        spans.push(Span::styled(key.to_string(), look.accent().patch(STRONG)));
        spans.push(Span::raw(format!(" {what}   ")));
    }
    painter.line(area, 1, Line::from(spans));
}
