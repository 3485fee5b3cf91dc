//! Looking for text in a pane.
use super::{App, Find, FindKind, Mode, Pane};

impl App {
    /// What is looked for in a pane.
    pub(crate) fn find_of(&self, pane: Pane) -> Option<&Find> {
        let find = match pane {
            Pane::History => &self.history_view.find,
            Pane::Log => &self.log_view.find,
            Pane::Main => match self.tab {
                super::Tab::Pools => &self.pool_list.find,
                super::Tab::Pool | super::Tab::Wal | super::Tab::Followers => &self.items.find,
            },
        };
        find.as_ref()
    }

    pub(super) fn find_of_mut(&mut self, pane: Pane) -> &mut Option<Find> {
        match pane {
            Pane::History => &mut self.history_view.find,
            Pane::Log => &mut self.log_view.find,
            Pane::Main => match self.tab {
                super::Tab::Pools => &mut self.pool_list.find,
                super::Tab::Pool | super::Tab::Wal | super::Tab::Followers => &mut self.items.find,
            },
        }
    }

    pub(super) fn clear_find(&mut self, pane: Pane) {
        if self.find_of_mut(pane).take().is_some() {
            match pane {
                Pane::History => self.history_view.from_end = 0,
                Pane::Log => self.log_view.from_end = 0,
                Pane::Main => {}
            }
        }
    }

    /// Takes over what is written and looks for it.
    pub(super) fn refresh_find(&mut self) {
        let Mode::Find { pane, editor } = &self.mode else { return };
        let (pane, text) = (*pane, editor.text().to_owned());
        let Some(find) = self.find_of_mut(pane) else { return };
        if find.text != text {
            find.text = text;
            find.at = 0;
            match pane {
                Pane::History => self.history_view.from_end = 0,
                Pane::Log => self.log_view.from_end = 0,
                Pane::Main => self.main_list().top = 0,
            }
        }
        self.jump(pane);
    }

    /// How many matches there are in a pane of text.
    fn jump(&mut self, pane: Pane) -> usize {
        match pane {
            Pane::History => self.history_view.jump(self.history.lines().map(|line| &*line.text)),
            Pane::Log => self.log_view.jump(self.log.iter().map(|line| &*line.text)),
            Pane::Main => 0,
        }
    }

    /// From hiding the other lines to jumping between matches, and back.
    pub(super) fn switch_find(&mut self, pane: Pane) {
        if let Some(find) = self.find_of_mut(pane) {
            find.kind = match find.kind {
                FindKind::Filter => FindKind::Search,
                FindKind::Search => FindKind::Filter,
            };
            find.at = 0;
        }
        match pane {
            Pane::History => self.history_view.from_end = 0,
            Pane::Log => self.log_view.from_end = 0,
            Pane::Main => {}
        }
    }

    /// Goes to an older or a newer match; scrolls where the other lines are hidden.
    pub(super) fn move_find(&mut self, pane: Pane, to_older: bool) {
        let Some(find) = self.find_of_mut(pane) else { return };
        if pane == Pane::Main || find.kind == FindKind::Filter {
            self.scroll(pane, if to_older { -1 } else { 1 });
            return;
        }
        find.at = if to_older { find.at + 1 } else { find.at.saturating_sub(1) };
        self.jump(pane);
    }
}
