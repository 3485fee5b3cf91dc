//! Moves what a part of the screen shows.
use super::{App, Pane, Reading};
use crate::view;

impl App {
    /// Scrolls a pane, towards what is below when `by` is above 0.
    pub(super) fn scroll(&mut self, pane: Pane, by: isize) {
        let height = self.height_of(pane);
        let rows = by.unsigned_abs();
        let lines = self.line_heights(pane);
        // The oldest lines are as far up as it goes, and long ones of them take more than a row.
        let highest = lines.len().saturating_sub(fitting(lines.iter(), height));
        match pane {
            Pane::Main => self.scroll_main(by),
            Pane::History if by > 0 => self.history_view.down(rows),
            Pane::Log if by > 0 => self.log_view.down(rows),
            Pane::History => self.history_view.up(rows, highest),
            Pane::Log => self.log_view.up(rows, highest),
        }
    }

    /// Scrolls a pane by what it shows, up to a line, so that the eye finds its place again.
    pub(super) fn page(&mut self, pane: Pane, direction: isize) {
        let height = self.height_of(pane);
        let lines = self.line_heights(pane);
        let below = self.reading(pane).map_or(0, |reading| reading.from_end.min(lines.len()));
        let (above, below) = lines.split_at(lines.len() - below);
        let shown = match pane {
            Pane::Main => height,
            Pane::History | Pane::Log if direction < 0 => fitting(above.iter().rev(), height),
            Pane::History | Pane::Log => fitting(below.iter(), height),
        };
        let by = isize::try_from(shown.saturating_sub(1)).unwrap_or(1).max(1);
        self.scroll(pane, by * direction);
    }

    /// Rows of a pane, without what stands above them.
    fn height_of(&self, pane: Pane) -> usize {
        let areas = self.areas();
        usize::from(match pane {
            Pane::Main => areas.list.height,
            Pane::History => areas.history.height.saturating_sub(1),
            Pane::Log => areas.log.height.saturating_sub(1),
        })
    }

    fn reading(&self, pane: Pane) -> Option<&Reading> {
        match pane {
            Pane::Main => None,
            Pane::History => Some(&self.history_view),
            Pane::Log => Some(&self.log_view),
        }
    }

    /// The rows that each line of a text takes, oldest first, without those that are filtered out.
    fn line_heights(&self, pane: Pane) -> Vec<usize> {
        let areas = self.areas();
        let (history, log) = (&self.history_view, &self.log_view);
        match pane {
            Pane::Main => Vec::new(),
            Pane::History => (self.history.lines())
                .filter(|line| history.is_shown(&line.text))
                .map(|line| view::history_rows(line, areas.history))
                .collect(),
            Pane::Log => (self.log.iter())
                .filter(|line| log.is_shown(&line.text))
                .map(|line| view::log_rows(line, areas.log))
                .collect(),
        }
    }
}

/// How many lines of these heights fit into so many rows; at least one.
fn fitting<'a>(heights: impl Iterator<Item = &'a usize>, rows: usize) -> usize {
    let mut left = rows;
    let fits = |height: &&usize| {
        let fits = **height <= left;
        left = left.saturating_sub(**height);
        fits
    };
    heights.take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_as_long_as_there_is_room() {
        assert_eq!(fitting([1, 2, 3].iter(), 6), 3);
        assert_eq!(fitting([1, 2, 3, 1].iter(), 5), 2);
        assert_eq!(fitting([9, 1].iter(), 3), 1);
        assert_eq!(fitting([].iter(), 3), 1);
    }
}
