//! Where each part of the screen is: a function of its size and of what there is to show.
use ratatui::layout::{Position, Rect};

use crate::app::{App, Mode, Pane, Tab};

/// Below this the screen shows nothing but a word.
pub const COLUMNS_MIN: u16 = 56;
/// Below this the screen shows nothing but a word.
pub const ROWS_MIN: u16 = 15;
/// From this width on history and log stand side by side.
const WIDE: u16 = 120;

/// The parts of the screen. A part that is not shown has no height.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Areas {
    /// Which service, and how it is.
    pub header: Rect,
    /// What can be shown in the middle.
    pub tabs: Rect,
    /// What somebody must know.
    pub banner: Rect,
    /// The middle, with its title.
    pub main: Rect,
    /// The rows of the list in the middle.
    pub list: Rect,
    /// What was entered, with its title.
    pub history: Rect,
    /// Messages of the service, with their title.
    pub log: Rect,
    /// How far draws are.
    pub progress: Rect,
    /// Where commands are written.
    pub command: Rect,
    /// Which keys do what.
    pub footer: Rect,
}

/// Rows of the middle at least, so that it stays in its place from tab to tab.
const MAIN_MIN: u16 = 8;
/// Rows of the log at least, its title included.
const LOG_MIN: u16 = 3;
/// Columns between the names of tabs.
const TAB_GAP: u16 = 2;

impl Areas {
    /// The parts of the screen at present.
    pub fn of(app: &App) -> Self {
        let screen = Rect::new(0, 0, app.size.width, app.size.height);
        if is_too_small(screen) {
            return Self::default();
        }
        let mut top = screen;
        let mut take = |rows: u16| {
            let part = Rect { height: rows.min(top.height), ..top };
            top.y += part.height;
            top.height -= part.height;
            part
        };
        let header = take(2);
        let tabs = take(1);
        let banner = take(u16::from(crate::view::banner(app).is_some()));
        let mut bottom = top;
        let mut take_below = |rows: u16| {
            bottom.height -= rows.min(bottom.height);
            Rect { y: bottom.y + bottom.height, height: rows, ..bottom }
        };
        let footer = take_below(1);
        let command = take_below(command_rows(app));
        let progress = take_below(u16::from(app.running.is_some()));
        let (main, below) = divide(app, bottom);
        let (history, log) = divide_texts(below, app.focus == Some(Pane::Log));
        let head = main_head(app.tab);
        let list = Rect {
            y: main.y + head.min(main.height),
            height: main.height.saturating_sub(head),
            ..main
        };
        Self { header, tabs, banner, main, list, history, log, progress, command, footer }
    }

    /// All of it.
    pub fn screen(self) -> Rect {
        self.header.union(self.footer)
    }

    /// Where the name of each tab stands.
    pub fn tab_places(self) -> impl Iterator<Item = (Tab, Rect)> {
        let mut x = self.tabs.x + 1;
        Tab::ALL.into_iter().map(move |tab| {
            // A digit, a space, the name, and a space at either side.
            let width = u16::try_from(tab.name().len() + 4).expect("names are short");
            let place = Rect { x, width, ..self.tabs };
            x += width + TAB_GAP;
            (tab, place)
        })
    }

    /// The tab whose name stands there.
    pub fn tab_at(self, at: Position) -> Option<Tab> {
        self.tab_places().find(|(_, place)| place.contains(at)).map(|(tab, _)| tab)
    }
}

/// Whether there is no room for the parts.
pub fn is_too_small(screen: Rect) -> bool {
    screen.width < COLUMNS_MIN || screen.height < ROWS_MIN
}

/// The command line has a second row for words that fit and for questions.
fn command_rows(app: &App) -> u16 {
    match app.mode {
        Mode::Ask(_) => 2,
        Mode::Command | Mode::Help { .. } | Mode::Find { .. } | Mode::Recall { .. } => {
            1 + u16::from(app.offer.is_some())
        }
    }
}

/// Rows of the middle above its list: the title and the names of the columns, and what a tab says
/// besides.
const fn main_head(tab: Tab) -> u16 {
    match tab {
        Tab::Pool | Tab::Pools => 2,
        Tab::Wal => 6,
        Tab::Followers => 1,
    }
}

/// The middle gets what it needs, as long as enough is left for the texts below.
fn divide(app: &App, rest: Rect) -> (Rect, Rect) {
    let rows = match app.tab {
        Tab::Pool => app.state.as_ref().map_or(6, |state| {
            if app.is_turning() { usize::from(rest.height) } else { state.items.len().max(1) }
        }),
        Tab::Pools => app.pools.as_ref().map_or(1, |pools| pools.pools.len().max(1)),
        Tab::Wal => app.status.as_ref().map_or(2, |status| status.segments.len().max(2)),
        Tab::Followers => 4,
    };
    let wanted = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(main_head(app.tab));
    let texts = if rest.width >= WIDE { 8 } else { 11 };
    let texts_min = texts.min(rest.height / 2);
    let height = wanted.max(MAIN_MIN).min(rest.height - texts_min);
    let main = Rect { height, ..rest };
    (main, Rect { y: rest.y + height, height: rest.height - height, ..rest })
}

/// History and log stand side by side where there is room, else one above the other; then the log
/// has most of it only while somebody reads there.
fn divide_texts(below: Rect, is_log_read: bool) -> (Rect, Rect) {
    if below.width >= WIDE {
        let left = below.width / 2;
        let history = Rect { width: left - 1, ..below };
        return (history, Rect { x: below.x + left, width: below.width - left, ..below });
    }
    let small = (below.height * 3 / 10).max(LOG_MIN).min(below.height / 2);
    let height = if is_log_read { small } else { below.height - small };
    let history = Rect { height, ..below };
    (history, Rect { y: below.y + height, height: below.height - height, ..below })
}
