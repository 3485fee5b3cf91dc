//! What keys do.
use super::{About, App, FindKind, Mode, Offer, Pane, Tab};
use crate::command::complete::complete;
use crate::editor::LineEditor;
use crate::effect::Effect;
use crate::event::Key;

impl App {
    pub(super) fn on_paste(&mut self, text: &str) {
        match &mut self.mode {
            Mode::Command => {
                self.focus = None;
                self.offer = None;
                self.editor.insert(text.trim_end_matches(['\n', '\r']));
            }
            Mode::Find { editor, .. } => editor.insert(text.trim_end_matches(['\n', '\r'])),
            Mode::Help { .. } | Mode::Ask(_) | Mode::Recall { .. } => {}
        }
        self.refresh_find();
    }

    pub(super) fn on_key(&mut self, key: Key) {
        if self.phase != super::Phase::Running {
            return;
        }
        if key != Key::Ctrl('c') {
            self.leave_asked = None;
        }
        if key == Key::Ctrl('l') {
            return self.effects.push(Effect::Repaint);
        }
        if key == Key::Ctrl('z') {
            return self.effects.push(Effect::Suspend);
        }
        match self.mode.clone() {
            Mode::Help { top } => self.on_help_key(key, top),
            Mode::Ask(question) => self.on_answer_key(key, question.about),
            Mode::Find { pane, editor } => self.on_find_key(key, pane, editor),
            Mode::Recall { text, skipped } => self.on_recall_key(key, text, skipped),
            Mode::Command => self.on_command_key(key),
        }
    }

    fn on_help_key(&mut self, key: Key, top: usize) {
        let page = usize::from(self.size.height / 2);
        let top = match (key, ()) {
            (Key::Up, ()) => top.saturating_sub(1),
            (Key::Down, ()) => top + 1,
            (Key::PageUp, ()) => top.saturating_sub(page),
            (Key::PageDown, ()) => top + page,
            (Key::Home, ()) => 0,
            _ => {
                self.mode = Mode::Command;
                return;
            }
        };
        self.mode = Mode::Help { top: top.min(crate::view::help_rows(self)) };
    }

    fn on_answer_key(&mut self, key: Key, about: About) {
        let letter = match (key, ()) {
            (Key::Char(letter), ()) => letter.to_ascii_lowercase(),
            (Key::Esc | Key::Ctrl('c'), ()) => 'n',
            _ => return,
        };
        let Mode::Ask(question) = &self.mode else { return };
        if question.choices.iter().any(|(choice, _)| *choice == letter) {
            self.mode = Mode::Command;
            self.on_answer(letter, about);
        }
    }

    fn on_recall_key(&mut self, key: Key, mut text: String, mut skipped: usize) {
        let found =
            |app: &Self, text: &str, skipped| app.recall.find(text, skipped).map(str::to_owned);
        match (key, ()) {
            (Key::Char(character), ()) => {
                text.push(character);
                skipped = 0;
            }
            (Key::Backspace, ()) => {
                text.pop();
                skipped = 0;
            }
            (Key::Ctrl('r') | Key::Up, ()) => {
                if found(self, &text, skipped + 1).is_some() {
                    skipped += 1;
                }
            }
            (Key::Ctrl('s') | Key::Down, ()) => skipped = skipped.saturating_sub(1),
            (Key::Esc | Key::Ctrl('c' | 'g'), ()) => {
                self.mode = Mode::Command;
                return;
            }
            _ => {
                self.mode = Mode::Command;
                if let Some(line) = found(self, &text, skipped) {
                    self.editor.set(&line);
                    if key == Key::Enter {
                        self.enter();
                    }
                }
                return;
            }
        }
        self.mode = Mode::Recall { text, skipped };
    }

    /// The command that a search in what was entered has found.
    pub(crate) fn recalled(&self, text: &str, skipped: usize) -> &str {
        self.recall.find(text, skipped).unwrap_or("")
    }

    fn on_command_key(&mut self, key: Key) {
        if self.offer.is_some() && !matches!(key, Key::Tab | Key::BackTab) {
            self.offer = None;
            if key == Key::Esc {
                return;
            }
        }
        if self.editor.is_empty() && self.on_shortcut(key) {
            return;
        }
        let is_done = self.focus.is_some_and(|pane| self.on_pane_key(key, pane));
        if !is_done {
            self.on_line_key(key);
        }
    }

    /// Keys that have a meaning of their own while nothing is written.
    fn on_shortcut(&mut self, key: Key) -> bool {
        match (key, ()) {
            (Key::Char('?'), ()) => self.mode = Mode::Help { top: 0 },
            (Key::Char('/'), ()) => self.start_find(),
            (Key::Char(digit @ '1'..='4'), ()) => self.open_tab_number(digit),
            (Key::Tab, ()) => self.move_focus(true),
            (Key::BackTab, ()) => self.move_focus(false),
            (Key::Esc, ()) => self.on_escape(),
            (Key::Ctrl('d'), ()) => self.leave(),
            _ => return false,
        }
        true
    }

    fn open_tab_number(&mut self, digit: char) {
        let number = digit.to_digit(10).and_then(|number| usize::try_from(number).ok());
        let tab = number.and_then(|number| Tab::ALL.get(number.checked_sub(1)?));
        if let Some(tab) = tab {
            self.open_tab(*tab);
        }
    }

    pub(super) fn open_tab(&mut self, tab: Tab) {
        self.tab = tab;
    }

    /// Takes back the last thing that was switched on.
    fn on_escape(&mut self) {
        if self.running.is_some() {
            self.cancel_draw();
        } else if self.focus.is_some() {
            let pane = self.focus.take();
            if let Some(pane) = pane {
                self.clear_find(pane);
            }
        } else {
            for pane in [Pane::History, Pane::Log, Pane::Main] {
                self.clear_find(pane);
            }
            self.history_view.from_end = 0;
            self.log_view.from_end = 0;
        }
    }

    fn move_focus(&mut self, forth: bool) {
        let order = [None, Some(Pane::Main), Some(Pane::History), Some(Pane::Log)];
        let at = order.iter().position(|pane| *pane == self.focus).unwrap_or(0);
        let step = if forth { 1 } else { order.len() - 1 };
        self.focus = order[(at + step) % order.len()];
    }

    /// Keys that scroll the pane that has the focus.
    fn on_pane_key(&mut self, key: Key, pane: Pane) -> bool {
        match (key, ()) {
            (Key::Up, ()) => self.move_in(pane, -1),
            (Key::Down, ()) => self.move_in(pane, 1),
            (Key::PageUp, ()) => self.page(pane, -1),
            (Key::PageDown, ()) => self.page(pane, 1),
            (Key::Home, ()) => self.scroll(pane, isize::MIN / 2),
            (Key::End, ()) => self.scroll(pane, isize::MAX / 2),
            (Key::Enter, ()) if pane == Pane::Main => self.choose_marked(),
            _ => return false,
        }
        true
    }

    /// Enter in a list: opens a pool, or begins to change an item.
    pub(super) fn choose_marked(&mut self) {
        match self.tab {
            Tab::Pools => {
                let marked =
                    self.pool_rows().get(self.pool_list.marked).map(|pool| pool.pool.clone());
                if let Some(name) = marked {
                    self.run(&format!("pool {name}"));
                }
            }
            Tab::Pool => {
                let marked =
                    self.item_rows().get(self.items.marked).map(|(_, item)| item.id.clone());
                if let Some(name) = marked {
                    self.editor.set(&format!("update {} ", crate::command::quoted(&name)));
                    self.focus = None;
                }
            }
            Tab::Wal | Tab::Followers => {}
        }
    }

    fn move_in(&mut self, pane: Pane, by: isize) {
        if pane == Pane::Main { self.move_main(by) } else { self.scroll(pane, by) }
    }

    fn on_line_key(&mut self, key: Key) {
        let editor = &mut self.editor;
        match (key, ()) {
            (Key::Char(character), ()) => {
                editor.insert(character.encode_utf8(&mut [0; 4]));
                self.focus = None;
                self.recall.leave();
            }
            (Key::Enter, ()) => self.enter(),
            (Key::Tab, ()) => self.complete(1),
            (Key::BackTab, ()) => self.complete(-1),
            (Key::Up | Key::Ctrl('p'), ()) => {
                let present = self.editor.text().to_owned();
                if let Some(line) = self.recall.back(&present) {
                    self.editor.set(line);
                }
            }
            (Key::Down | Key::Ctrl('n'), ()) => {
                if let Some(line) = self.recall.forth() {
                    self.editor.set(line);
                }
            }
            (Key::Ctrl('r'), ()) => {
                self.mode = Mode::Recall { text: self.editor.take(), skipped: 0 };
            }
            (Key::Ctrl('c'), ()) => self.on_interrupt(),
            (Key::Esc, ()) => self.editor.clear(),
            (Key::PageUp, ()) => self.page(self.paged_pane(), -1),
            (Key::PageDown, ()) => self.page(self.paged_pane(), 1),
            (Key::Function(1), ()) => self.mode = Mode::Help { top: 0 },
            (Key::Alt(digit @ '1'..='4'), ()) => self.open_tab_number(digit),
            _ => {
                edit(editor, key);
            }
        }
    }

    /// What page keys scroll while the command line has the focus: what does not fit.
    fn paged_pane(&self) -> Pane {
        let (rows, height) = self.main_extent();
        let has_pages = self.tab == Tab::Pool
            && (!self.page.token.is_empty()
                || self.state.as_ref().is_some_and(|state| !state.next_page.is_empty()));
        if rows > height || has_pages { Pane::Main } else { Pane::History }
    }

    /// Ctrl-C takes back what is nearest: the draws, the line, and at last, asked twice, the program.
    fn on_interrupt(&mut self) {
        if self.running.as_ref().is_some_and(|running| !running.is_cancelled) {
            self.cancel_draw();
        } else if !self.editor.is_empty() {
            self.editor.clear();
            self.recall.leave();
        } else if self.leave_asked.take().is_some() {
            self.leave();
        } else {
            self.leave_asked = Some(self.now);
        }
    }

    fn enter(&mut self) {
        let line = self.editor.take();
        let line = line.trim();
        self.recall.push(line);
        if !line.is_empty() {
            self.run(line);
        }
    }

    fn complete(&mut self, step: isize) {
        if let Some(mut offer) = self.offer.take() {
            let count = offer.candidates.len();
            let at = match offer.chosen {
                None if step > 0 => 0,
                None => count - 1,
                Some(at) if step > 0 => (at + 1) % count,
                Some(at) => (at + count - 1) % count,
            };
            self.editor.replace_before_cursor(offer.start, &offer.candidates[at]);
            offer.chosen = Some(at);
            self.offer = Some(offer);
            return;
        }
        let cursor = self.editor.cursor();
        let Some(found) = complete(self.editor.text(), cursor, self) else { return };
        let written = cursor - found.start;
        if found.common.len() > written || found.candidates.len() == 1 {
            self.editor.replace_before_cursor(found.start, &found.common);
        }
        if found.candidates.len() > 1 {
            let (candidates, start) = (found.candidates, found.start);
            self.offer = Some(Offer { candidates, chosen: None, start });
        }
    }

    fn on_find_key(&mut self, key: Key, pane: Pane, mut editor: LineEditor) {
        match (key, ()) {
            (Key::Enter, ()) => {
                self.mode = Mode::Command;
                if editor.is_empty() {
                    self.clear_find(pane);
                }
                return;
            }
            (Key::Esc | Key::Ctrl('c'), ()) => {
                self.mode = Mode::Command;
                self.clear_find(pane);
                return;
            }
            (Key::Tab | Key::BackTab, ()) if pane != Pane::Main => self.switch_find(pane),
            (Key::Up, ()) => self.move_find(pane, true),
            (Key::Down, ()) => self.move_find(pane, false),
            (Key::PageUp, ()) => self.page(pane, -1),
            (Key::PageDown, ()) => self.page(pane, 1),
            (Key::Backspace, ()) if editor.is_empty() => {
                self.mode = Mode::Command;
                self.clear_find(pane);
                return;
            }
            (Key::Char(character), ()) => editor.insert(character.encode_utf8(&mut [0; 4])),
            _ => edit(&mut editor, key),
        }
        self.mode = Mode::Find { pane, editor };
        self.refresh_find();
    }

    /// Looks in the pane that has the focus, else in the history.
    fn start_find(&mut self) {
        let pane = self.focus.unwrap_or(Pane::History);
        let has_list = matches!(self.tab, Tab::Pool | Tab::Pools);
        let pane = if pane == Pane::Main && !has_list { Pane::History } else { pane };
        let kind = self.find_of(pane).map_or(FindKind::Filter, |find| find.kind);
        let mut editor = LineEditor::default();
        editor.set(self.find_of(pane).map_or("", |find| &find.text));
        *self.find_of_mut(pane) = Some(super::Find { text: editor.text().to_owned(), kind, at: 0 });
        self.focus = Some(pane);
        self.mode = Mode::Find { pane, editor };
    }
}

/// Keys that every line understands.
fn edit(editor: &mut LineEditor, key: Key) {
    match (key, ()) {
        (Key::Backspace | Key::Ctrl('h'), ()) => editor.backspace(),
        (Key::Delete | Key::Ctrl('d'), ()) => editor.delete(),
        (Key::Ctrl('w'), ()) => editor.delete_word(),
        (Key::Ctrl('u'), ()) => editor.delete_to_start(),
        (Key::Ctrl('k'), ()) => editor.delete_to_end(),
        (Key::Left | Key::Ctrl('b'), ()) => editor.left(),
        (Key::Right | Key::Ctrl('f'), ()) => editor.right(),
        (Key::WordLeft | Key::Alt('b'), ()) => editor.word_left(),
        (Key::WordRight | Key::Alt('f'), ()) => editor.word_right(),
        (Key::Home | Key::Ctrl('a'), ()) => editor.home(),
        (Key::End | Key::Ctrl('e'), ()) => editor.end(),
        _ => {}
    }
}
