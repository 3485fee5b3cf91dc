//! The lines that were entered before: back and forth, and searched.
use std::collections::VecDeque;

/// So many lines are remembered; the oldest go first.
const LINES_MAX: usize = 500;

/// Lines entered before, and where in them the user is at present.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recall {
    lines: VecDeque<String>,
    /// The line that is shown; `None` while a new one is written.
    at: Option<usize>,
    /// What was written before the user went back.
    draft: String,
}

impl Recall {
    /// Remembers a line, unless it is the last one again, and returns to a new one.
    pub fn push(&mut self, line: &str) {
        self.at = None;
        if line.trim().is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    /// Goes one line back. `present` is what is written now, to come back to.
    pub fn back(&mut self, present: &str) -> Option<&str> {
        let at = match self.at {
            None => {
                present.clone_into(&mut self.draft);
                self.lines.len().checked_sub(1)?
            }
            Some(at) => at.saturating_sub(1),
        };
        self.at = Some(at);
        Some(&self.lines[at])
    }

    /// Goes one line forth; behind the newest line is what was written before.
    pub fn forth(&mut self) -> Option<&str> {
        let next = self.at? + 1;
        self.at = (next < self.lines.len()).then_some(next);
        Some(self.at.map_or(&self.draft, |at| &self.lines[at]))
    }

    /// Starts with a new line again.
    pub fn leave(&mut self) {
        self.at = None;
    }

    /// The newest line that has the text, after so many newer ones that have it.
    pub fn find(&self, text: &str, skipped: usize) -> Option<&str> {
        let mut found = self.lines.iter().rev().filter(|line| line.contains(text));
        found.nth(skipped).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recall() -> Recall {
        let mut recall = Recall::default();
        for line in ["d 5", "status", "d 5", "d 5", " "] {
            recall.push(line);
        }
        recall
    }

    #[test]
    fn back_and_forth_end_at_what_was_written() {
        let mut recall = recall();
        assert_eq!(recall.forth(), None);
        assert_eq!(recall.back("half"), Some("d 5"));
        assert_eq!(recall.back("d 5"), Some("status"));
        assert_eq!(recall.back("status"), Some("d 5"));
        assert_eq!(recall.back("d 5"), Some("d 5"), "the oldest line stays");
        assert_eq!(recall.forth(), Some("status"));
        assert_eq!(recall.forth(), Some("d 5"));
        assert_eq!(recall.forth(), Some("half"));
        assert_eq!(recall.forth(), None);
        assert_eq!(Recall::default().back(""), None);
    }

    #[test]
    fn the_newest_match_is_found_first() {
        let recall = recall();
        assert_eq!(recall.find("s", 0), Some("status"));
        assert_eq!(recall.find("d", 1), Some("d 5"));
        assert_eq!(recall.find("d", 2), None);
        assert_eq!(recall.find("x", 0), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut recall = Recall::default();
        for number in 0..LINES_MAX + 10 {
            recall.push(&number.to_string());
        }
        assert_eq!(recall.lines.len(), LINES_MAX);
        assert_eq!(recall.find("", LINES_MAX - 1), Some("10"));
    }
}
