//! Draws the state: a pure function from it to the screen. One file for each part of the screen.
mod banner;
mod command;
mod followers;
mod footer;
mod header;
mod help;
mod items;
mod paint;
mod pools;
mod progress;
mod tabs;
mod texts;
mod wal;

use ratatui::Frame;
use ratatui::text::Line;

use self::paint::Painter;
use crate::app::{App, Mode, Tab};
use crate::layout::{COLUMNS_MIN, ROWS_MIN, is_too_small};
use crate::look::Look;

pub(crate) use self::banner::banner;
pub(crate) use self::help::rows as help_rows;
pub(crate) use self::texts::{history_rows, log_rows};

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, app: &App, look: Look) {
    let screen = frame.area();
    // Between a resize and the event that tells of it, the state has the old size.
    let is_current = screen.width == app.size.width && screen.height == app.size.height;
    if !is_current || is_too_small(screen) {
        let words = format!("too small: {COLUMNS_MIN} x {ROWS_MIN} at least");
        Painter::new(frame, look).line(screen, 0, Line::from(words));
        return;
    }
    let areas = app.areas();
    let mut painter = Painter::new(frame, look);
    header::draw(&mut painter, areas.header, app);
    tabs::draw(&mut painter, areas, app);
    banner::draw(&mut painter, areas.banner, app);
    match app.tab {
        Tab::Pool => items::draw(&mut painter, areas, app),
        Tab::Pools => pools::draw(&mut painter, areas, app),
        Tab::Wal => wal::draw(&mut painter, areas, app),
        Tab::Followers => followers::draw(&mut painter, areas, app),
    }
    texts::draw_history(&mut painter, areas.history, app);
    texts::draw_log(&mut painter, areas.log, app);
    progress::draw(&mut painter, areas.progress, app);
    command::draw(&mut painter, areas.command, app);
    footer::draw(&mut painter, areas.footer, app);
    if let Mode::Help { top } = app.mode {
        help::draw(&mut painter, screen, app, top);
    }
}
