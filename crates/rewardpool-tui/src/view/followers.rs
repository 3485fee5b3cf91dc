//! Who applies the log elsewhere. Nobody can yet, and the screen says so.
use ratatui::text::Line;

use super::paint::Painter;
use crate::app::{App, Pane};
use crate::layout::Areas;
use crate::look::QUIET;

pub(super) fn draw(painter: &mut Painter<'_, '_>, areas: Areas, app: &App) {
    painter.title(areas.main, "Followers", "", app.focus == Some(Pane::Main));
    painter.line(areas.list, 0, Line::raw("  No followers: streaming is not configured."));
    let text = "  The log is kept on this machine only; `rewardpool backup` copies it.";
    painter.line(areas.list, 1, Line::styled(text, QUIET));
}
