//! What the mouse does.
use ratatui::layout::Position;

use super::{App, Mode, Pane, Phase, Tab};
use crate::event::Mouse;

/// Rows that one notch of the wheel scrolls.
const NOTCH: isize = 3;

impl App {
    pub(super) fn on_mouse(&mut self, mouse: Mouse, at: Position) {
        if self.phase != Phase::Running {
            return;
        }
        match self.mode {
            Mode::Help { .. } if mouse == Mouse::Click => self.mode = Mode::Command,
            Mode::Help { top } => {
                let top =
                    top.saturating_add_signed(if mouse == Mouse::WheelUp { -NOTCH } else { NOTCH });
                self.mode = Mode::Help { top: top.min(crate::view::help_rows(self)) };
            }
            Mode::Ask(_) => {}
            Mode::Command | Mode::Find { .. } | Mode::Recall { .. } => match mouse {
                Mouse::Click => self.on_click(at),
                Mouse::WheelUp => self.on_wheel(at, -NOTCH),
                Mouse::WheelDown => self.on_wheel(at, NOTCH),
            },
        }
    }

    fn on_wheel(&mut self, at: Position, by: isize) {
        if let Some(pane) = self.pane_at(at) {
            self.scroll(pane, by);
        }
    }

    fn on_click(&mut self, at: Position) {
        let areas = self.areas();
        if let Some(tab) = areas.tab_at(at) {
            self.open_tab(tab);
            return;
        }
        let pane = self.pane_at(at);
        if !matches!(self.mode, Mode::Command) {
            return;
        }
        let had_focus = self.focus == pane;
        self.focus = pane;
        if pane == Some(Pane::Main) && areas.list.contains(at) {
            self.click_row(usize::from(at.y - areas.list.y), had_focus);
        }
    }

    /// Marks a row; a click on one that is seen to be marked chooses it.
    fn click_row(&mut self, row: usize, is_mark_seen: bool) {
        if !matches!(self.tab, Tab::Pool | Tab::Pools) {
            return;
        }
        let (rows, _) = self.main_extent();
        let list = self.main_list();
        let row = list.top + row;
        if row >= rows {
            return;
        }
        if list.marked == row && is_mark_seen {
            self.choose_marked();
        } else {
            list.marked = row;
        }
    }

    fn pane_at(&self, at: Position) -> Option<Pane> {
        let areas = self.areas();
        let panes =
            [(areas.main, Pane::Main), (areas.history, Pane::History), (areas.log, Pane::Log)];
        panes.into_iter().find(|(area, _)| area.contains(at)).map(|(_, pane)| pane)
    }
}
