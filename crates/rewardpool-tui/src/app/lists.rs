//! Lists in the middle of the screen: which rows are seen, and which one is marked.
use super::{App, Find, Tab};
use crate::model::Item;

/// Where the user is in a list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
    /// Rows above the view.
    pub top: usize,
    /// The marked row.
    pub marked: usize,
    /// What the rows must have in their names.
    pub find: Option<Find>,
}

impl List {
    /// Keeps the view within the rows, and the mark within the view.
    pub fn fit(&mut self, rows: usize, height: usize) {
        self.marked = self.marked.min(rows.saturating_sub(1));
        self.top = self.top.min(rows.saturating_sub(height));
        if self.marked < self.top {
            self.marked = self.top;
        } else if height > 0 && self.marked >= self.top + height {
            self.marked = self.top + height - 1;
        }
    }

    /// Moves the mark, and the view with it.
    pub fn move_mark(&mut self, by: isize, rows: usize, height: usize) {
        self.marked = self.marked.saturating_add_signed(by).min(rows.saturating_sub(1));
        if self.marked < self.top {
            self.top = self.marked;
        } else if height > 0 && self.marked >= self.top + height {
            self.top = self.marked + 1 - height;
        }
    }

    /// Moves the view, and the mark with it.
    pub fn scroll(&mut self, by: isize, rows: usize, height: usize) {
        self.top = self.top.saturating_add_signed(by).min(rows.saturating_sub(height));
        self.fit(rows, height);
    }
}

impl App {
    /// The items to show, with their places on the page.
    pub(crate) fn item_rows(&self) -> Vec<(usize, &Item)> {
        let items = self.state.iter().flat_map(|state| &state.items).enumerate();
        match self.items.find.as_ref().filter(|find| !find.text.is_empty()) {
            Some(find) => items.filter(|(_, item)| find.fits(&item.id)).collect(),
            None => items.collect(),
        }
    }

    /// Rows of the list of this tab, and rows that fit on the screen.
    pub(crate) fn main_extent(&self) -> (usize, usize) {
        let rows = match self.tab {
            Tab::Pool => self.item_rows().len(),
            Tab::Pools => self.pool_rows().len(),
            Tab::Wal => self.status.as_ref().map_or(0, |status| status.segments.len()),
            Tab::Followers => 0,
        };
        (rows, self.main_rows())
    }

    /// The pools to show.
    pub(crate) fn pool_rows(&self) -> Vec<&crate::model::PoolSummary> {
        let pools = self.pools.iter().flat_map(|pools| &pools.pools);
        match self.pool_list.find.as_ref().filter(|find| !find.text.is_empty()) {
            Some(find) => pools.filter(|pool| find.fits(&pool.pool)).collect(),
            None => pools.collect(),
        }
    }

    /// Rows of a list that fit into the middle of the screen.
    pub(crate) fn main_rows(&self) -> usize {
        usize::from(self.areas().list.height)
    }

    pub(super) fn main_list(&mut self) -> &mut List {
        match self.tab {
            Tab::Pool => &mut self.items,
            Tab::Pools => &mut self.pool_list,
            Tab::Wal | Tab::Followers => &mut self.segments,
        }
    }

    /// Moves the mark of the list in the middle, over to the next page when it ends.
    pub(super) fn move_main(&mut self, by: isize) {
        let (rows, height) = self.main_extent();
        if self.tab == Tab::Pool && self.items.find.is_none() {
            let marked = self.items.marked;
            if by > 0 && marked + 1 >= rows && self.next_page() {
                return;
            }
            if by < 0 && marked == 0 && self.previous_page() {
                return;
            }
        }
        self.main_list().move_mark(by, rows, height);
    }

    /// Scrolls the list in the middle.
    pub(super) fn scroll_main(&mut self, by: isize) {
        let (rows, height) = self.main_extent();
        if self.tab == Tab::Pool && self.items.find.is_none() {
            let top = self.items.top;
            if by > 0 && top + height >= rows && self.next_page() {
                return;
            }
            if by < 0 && top == 0 && self.previous_page() {
                return;
            }
        }
        self.main_list().scroll(by, rows, height);
    }

    fn next_page(&mut self) -> bool {
        let Some(state) = &self.state else { return false };
        if self.is_turning() {
            return true;
        }
        if state.next_page.is_empty() || state.next_page == self.page.token {
            return false;
        }
        let next = state.next_page.clone();
        self.items_before += u64::try_from(state.items.len()).expect("a page is bounded");
        self.previous_pages.push(std::mem::replace(&mut self.page.token, next));
        self.turn_page();
        self.items = List::default();
        true
    }

    fn previous_page(&mut self) -> bool {
        if self.is_turning() {
            return true;
        }
        let Some(token) = self.previous_pages.pop() else { return false };
        let page = crate::client::ITEMS_OF_PAGE;
        self.items_before = self.items_before.saturating_sub(page);
        self.page.token = token;
        self.turn_page();
        // Its end is what was just above.
        let end = usize::try_from(page).expect("a page is bounded");
        self.items = List { top: end, marked: end, find: None };
        true
    }

    /// Whether the items of a page are still to come.
    pub(crate) fn is_turning(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.items.is_empty() && state.item_count > 0)
    }

    /// The items of the page before must not be taken for those of this one.
    fn turn_page(&mut self) {
        if let Some(state) = &mut self.state {
            state.items.clear();
            state.next_page.clear();
        }
        self.forecasts.clear();
    }

    /// Shows the first page of a pool.
    pub(super) fn show_pool(&mut self, name: &str) {
        self.tab = Tab::Pool;
        if self.pool_name() == name && self.page.token.is_empty() {
            return;
        }
        self.page = crate::effect::Page { pool: name.to_owned(), token: String::new() };
        self.previous_pages.clear();
        self.items_before = 0;
        self.items = List::default();
        self.state = None;
        self.forecasts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stays_in_the_view_and_the_view_in_the_rows() {
        let mut list = List::default();
        list.move_mark(7, 10, 4);
        assert_eq!((list.top, list.marked), (4, 7));
        list.move_mark(99, 10, 4);
        assert_eq!((list.top, list.marked), (6, 9));
        list.scroll(-5, 10, 4);
        assert_eq!((list.top, list.marked), (1, 4));
        list.fit(2, 4);
        assert_eq!((list.top, list.marked), (0, 1));
        list.fit(0, 4);
        assert_eq!((list.top, list.marked), (0, 0));
        list.move_mark(-1, 0, 0);
        assert_eq!((list.top, list.marked), (0, 0));
    }
}
