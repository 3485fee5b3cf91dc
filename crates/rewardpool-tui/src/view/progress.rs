//! How far draws are.
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::paint::Painter;
use crate::app::App;
use crate::look::{QUIET, STRONG};
use crate::numbers::{float, grouped, rate};

const BAR_MAX: usize = 60;

pub(super) fn draw(painter: &mut Painter<'_, '_>, area: Rect, app: &App) {
    let Some(running) = &app.running else { return };
    let look = painter.look;
    let seconds = app.now.since(running.began).as_secs_f64();
    let pace = if seconds > 0.2 { float(running.drawn) / seconds } else { 0.0 };
    let mut after = format!(" {} / {}", grouped(running.drawn), grouped(running.count));
    match (&running.note, running.is_cancelled) {
        (Some(note), _) => after.extend([look.dot(), note.as_str()]),
        (None, true) => after.extend([look.dot(), "cancelling"]),
        (None, false) if pace > 0.0 => {
            after.extend([look.dot(), &rate(pace), look.dot(), "Esc cancels"]);
        }
        (None, false) => after.extend([look.dot(), "Esc cancels"]),
    }
    let before = " drawing ";
    let columns = usize::from(area.width).saturating_sub(before.width() + after.width() + 1);
    let columns = columns.min(BAR_MAX);
    let bar = look.bar(running.drawn, running.count, columns);
    let track = look.track(columns.saturating_sub(bar.width()));
    painter.line(
        area,
        0,
        Line::from(vec![
            Span::styled(before, STRONG),
            Span::styled(bar, look.accent()),
            Span::styled(track, QUIET),
            Span::raw(after),
        ]),
    );
}
