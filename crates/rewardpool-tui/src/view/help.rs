//! All commands and keys, over the screen.
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::paint::{Painter, left};
use crate::app::App;
use crate::command::COMMANDS;
use crate::look::{Look, STRONG};

/// Keys, with what they do.
const KEYS: [(&str, &str); 14] = [
    ("Tab", "complete a word; with nothing written: next part"),
    ("↑ ↓", "earlier commands; in a part: scroll, choose"),
    ("PgUp PgDn", "scroll, and from page to page in a long list"),
    ("1 2 3 4", "tabs: pool, pools, write-ahead log, followers"),
    ("/", "filter history, log or list; Tab there: search"),
    ("Ctrl-R", "search in the earlier commands"),
    ("Esc", "cancel a draw, leave a part, show all again"),
    ("Ctrl-C", "cancel a draw, clear the line; twice: leave"),
    ("Ctrl-A Ctrl-E", "start and end of the line, as Home and End"),
    ("Ctrl-W Ctrl-U Ctrl-K", "delete the word, to the start, to the end"),
    ("Ctrl-L", "draw the screen anew"),
    ("Ctrl-Z", "to the shell; fg returns"),
    ("mouse", "click tabs and rows, wheel; Shift marks text"),
    ("? F1", "this help"),
];

/// What the screen says without words.
const NOTES: [&str; 9] = [
    "A bar is what is left of what was granted. Odds are those of the next",
    "draw. \"runs out\" is when an item is gone if draws go on as lately.",
    "",
    "+50 and -20 change a quantity, 200 sets it; a set is refused when",
    "somebody else changed the catalogue since. What is answered is on disk.",
    "",
    "Up to 100 000 draws of a command are made with keys, so that after a",
    "broken connection it is known which were made. None is repeated by",
    "itself. Times are UTC.",
];

fn lines(look: Look) -> Vec<Line<'static>> {
    let heading = |text: &'static str| Line::styled(text, STRONG);
    let mut lines = vec![heading("Commands")];
    for entry in COMMANDS {
        let call = format!("{} {}", entry.name, entry.arguments);
        lines.push(Line::from(vec![
            Span::styled(format!("  {:<3}", entry.short), look.accent()),
            Span::styled(left(&call, 40, look), look.accent()),
            Span::raw(entry.summary),
        ]));
    }
    lines.push(Line::from(vec![
        Span::raw("  for example  "),
        Span::styled("d 1000", look.good()),
        Span::raw("   "),
        Span::styled("u gold +50", look.good()),
        Span::raw("   "),
        Span::styled("u gold 200 5", look.good()),
        Span::raw("   "),
        Span::styled("u gold unlimited", look.good()),
    ]));
    lines.extend([Line::default(), heading("Keys")]);
    for (key, what) in KEYS {
        let key = left(&look.text(key), 21, look);
        lines.push(Line::from(vec![
            Span::styled(format!("  {key}"), look.accent()),
            Span::raw(what),
        ]));
    }
    lines.extend([Line::default(), heading("What is seen")]);
    lines.extend(NOTES.iter().map(|note| Line::raw(format!("  {note}"))));
    lines
}

/// The most lines that can be above the view.
pub(crate) fn rows(app: &App) -> usize {
    let look = Look { has_colours: false, has_unicode: true };
    lines(look)
        .len()
        .saturating_sub(usize::from(area(app.areas().screen()).height.saturating_sub(2)))
}

fn area(screen: Rect) -> Rect {
    let wanted = u16::try_from(lines(Look { has_colours: false, has_unicode: true }).len() + 2);
    let width = screen.width.min(80);
    let height = screen.height.saturating_sub(2).min(wanted.unwrap_or(u16::MAX));
    Rect {
        x: screen.x + (screen.width - width) / 2,
        y: screen.y + (screen.height - height) / 2,
        width,
        height,
    }
}

pub(super) fn draw(painter: &mut Painter<'_, '_>, screen: Rect, app: &App, top: usize) {
    let area = area(screen);
    let look = painter.look;
    painter.clear(area);
    let lines = lines(look);
    let body = Rect {
        x: area.x + 2,
        y: area.y + 1,
        width: area.width.saturating_sub(4),
        height: area.height.saturating_sub(2),
    };
    let is_more = lines.len() > top + usize::from(body.height);
    frame(painter, area, if is_more { "↓ more" } else { "" });
    for (row, line) in lines.into_iter().skip(top.min(rows(app))).enumerate() {
        painter.line(body, row, line);
    }
}

/// A box around the help.
fn frame(painter: &mut Painter<'_, '_>, area: Rect, note: &str) {
    let look = painter.look;
    let corners = if look.has_unicode { ["╭", "╮", "╰", "╯"] } else { ["+"; 4] };
    let side = if look.has_unicode { "│" } else { "|" };
    let columns = usize::from(area.width).saturating_sub(2);
    let edge = |start: &str, text: &str, end: &str| {
        let text = if text.is_empty() { String::new() } else { format!(" {text} ") };
        let fill = look.rule().repeat(columns.saturating_sub(text.chars().count() + 2));
        format!("{start}{}{text}{fill}{end}", look.rule().repeat(2))
    };
    let last = usize::from(area.height).saturating_sub(1);
    painter.line(area, 0, Line::styled(edge(corners[0], "Help", corners[1]), look.accent()));
    painter.line(area, last, Line::styled(edge(corners[2], note, corners[3]), look.accent()));
    for row in 1..last {
        painter.line(area, row, Line::styled(side, look.accent()));
        let right = Rect { x: area.x + area.width.saturating_sub(1), width: 1, ..area };
        painter.line(right, row, Line::styled(side, look.accent()));
    }
}
