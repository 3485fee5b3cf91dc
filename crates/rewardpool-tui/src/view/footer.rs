//! Which keys do what at present.
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::paint::Painter;
use crate::app::{App, Mode, Pane, Tab};
use crate::look::QUIET;

pub(super) fn draw(painter: &mut Painter<'_, '_>, area: Rect, app: &App) {
    let look = painter.look;
    let mut spans = vec![Span::raw(" ")];
    let mut used = 1;
    for (key, what) in hints(app) {
        let width = key.chars().count() + what.chars().count() + 3;
        if used + width > usize::from(area.width) {
            break;
        }
        used += width;
        spans.push(Span::styled(*key, look.accent()));
        spans.push(Span::styled(format!(" {what}  "), QUIET));
    }
    painter.line(area, 0, Line::from(spans));
}

fn hints(app: &App) -> &'static [(&'static str, &'static str)] {
    match (&app.mode, app.focus) {
        (Mode::Help { .. }, _) => &[("↑↓", "scroll"), ("Esc", "back")],
        (Mode::Ask(_), _) => &[("Esc", "no")],
        (Mode::Find { pane: Pane::Main, .. }, _) => {
            &[("Enter", "keep"), ("Esc", "show all again"), ("↑↓", "scroll")]
        }
        (Mode::Find { .. }, _) => &[
            ("Enter", "keep"),
            ("Esc", "show all again"),
            ("Tab", "filter or search"),
            ("↑↓", "older, newer"),
        ],
        (Mode::Recall { .. }, _) => {
            &[("Enter", "run it"), ("→", "edit it"), ("Ctrl-R", "an older one"), ("Esc", "give up")]
        }
        (Mode::Command, Some(pane)) if app.editor.is_empty() => in_pane(app.tab, pane),
        (Mode::Command, _) if !app.editor.is_empty() => {
            &[("Enter", "run"), ("Tab", "complete"), ("Ctrl-U", "clear"), ("Ctrl-R", "earlier")]
        }
        (Mode::Command, _) => &[
            ("?", "help"),
            ("1-4", "tabs"),
            ("Tab", "scroll a part"),
            ("/", "filter"),
            ("↑", "earlier commands"),
            ("q", "quit"),
        ],
    }
}

const fn in_pane(tab: Tab, pane: Pane) -> &'static [(&'static str, &'static str)] {
    match (pane, tab) {
        (Pane::Main, Tab::Pools) => &[
            ("↑↓", "choose"),
            ("Enter", "show the pool"),
            ("/", "filter"),
            ("Tab", "next part"),
            ("Esc", "back"),
        ],
        (Pane::Main, Tab::Pool) => &[
            ("↑↓", "choose"),
            ("Enter", "change it"),
            ("/", "filter"),
            ("Tab", "next part"),
            ("Esc", "back"),
        ],
        _ => &[
            ("↑↓ PgUp PgDn Home End", "scroll"),
            ("/", "filter"),
            ("Tab", "next part"),
            ("Esc", "back"),
        ],
    }
}
