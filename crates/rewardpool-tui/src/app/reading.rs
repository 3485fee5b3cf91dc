//! How far back the user reads in a pane of text, and what is looked for in it.

/// What is done with the lines that do not have the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FindKind {
    /// They are hidden.
    Filter,
    /// They stay; the view jumps from match to match.
    Search,
}

/// What is looked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Find {
    /// The text; its case does not matter.
    pub text: String,
    /// What is done with the other lines.
    pub kind: FindKind,
    /// Which match the view stands at, counted from the newest.
    pub at: usize,
}

impl Find {
    /// Whether a line has the text.
    pub fn fits(&self, line: &str) -> bool {
        self.place(line, 0).is_some()
    }

    /// Where the next match in a line is, from a byte on.
    pub fn place(&self, line: &str, from: usize) -> Option<(usize, usize)> {
        if self.text.is_empty() {
            return None;
        }
        let rest = &line[from..];
        rest.char_indices().find_map(|(at, _)| {
            let end = prefix_end(&rest[at..], &self.text)?;
            Some((from + at, from + at + end))
        })
    }
}

/// Where the text ends that a line begins with, when only the case may differ.
fn prefix_end(line: &str, text: &str) -> Option<usize> {
    let mut characters = line.char_indices();
    for wanted in text.chars() {
        let (_, found) = characters.next()?;
        if !found.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
    }
    Some(characters.next().map_or(line.len(), |(at, _)| at))
}

/// Where the user reads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Lines below the view; 0 follows what is new.
    pub from_end: usize,
    /// What is looked for.
    pub find: Option<Find>,
}

impl Reading {
    /// The lines to show, oldest first, from all that there are. The last one stands at the bottom.
    pub fn shown<'a, T: ?Sized>(
        &self,
        lines: impl DoubleEndedIterator<Item = &'a T>,
        text: impl Fn(&T) -> &str,
        rows: usize,
    ) -> Vec<&'a T> {
        let fits = |line: &&T| self.is_shown(text(line));
        let mut shown: Vec<&T> = lines.rev().filter(fits).skip(self.from_end).take(rows).collect();
        shown.reverse();
        shown
    }

    /// Whether a line is not hidden by a filter.
    pub fn is_shown(&self, line: &str) -> bool {
        let filter = self.find.as_ref().filter(|find| find.kind == FindKind::Filter);
        filter.is_none_or(|find| find.text.is_empty() || find.fits(line))
    }

    /// Moves towards older lines, until at most `highest` lines are below the view.
    pub fn up(&mut self, rows: usize, highest: usize) {
        self.from_end = (self.from_end + rows).min(highest);
    }

    /// Moves towards newer lines.
    pub fn down(&mut self, rows: usize) {
        self.from_end = self.from_end.saturating_sub(rows);
    }

    /// Keeps the view where it is while lines are added below it.
    pub fn added(&mut self, rows: usize) {
        if self.from_end > 0 {
            self.from_end += rows;
        }
    }

    /// Moves to the match with the number `at`, or to the oldest one. Returns how many there are.
    pub fn jump<'a>(&mut self, lines: impl DoubleEndedIterator<Item = &'a str>) -> usize {
        let Some(find) = &mut self.find else { return 0 };
        let below: Vec<usize> =
            lines.rev().enumerate().filter(|(_, line)| find.fits(line)).map(|(at, _)| at).collect();
        find.at = find.at.min(below.len().saturating_sub(1));
        if find.kind == FindKind::Search {
            self.from_end = below.get(find.at).copied().unwrap_or(0);
        }
        below.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 6] = ["one gold", "two", "Gold again", "three", "gOLD", "four"];

    fn reading(text: &str, kind: FindKind) -> Reading {
        Reading { from_end: 0, find: Some(Find { text: text.into(), kind, at: 0 }) }
    }

    fn shown(reading: &Reading, rows: usize) -> Vec<&'static str> {
        reading.shown(LINES.into_iter(), |line| line, rows)
    }

    #[test]
    fn a_filter_hides_the_other_lines() {
        let mut reading = reading("gold", FindKind::Filter);
        assert_eq!(shown(&reading, 2), ["Gold again", "gOLD"]);
        assert_eq!(LINES.into_iter().filter(|line| reading.is_shown(line)).count(), 3);
        reading.up(5, 1);
        assert_eq!(shown(&reading, 2), ["one gold", "Gold again"]);
        reading.down(9);
        assert_eq!(reading.from_end, 0);
    }

    #[test]
    fn a_search_jumps_from_match_to_match() {
        let mut reading = reading("gold", FindKind::Search);
        assert_eq!(reading.jump(LINES.into_iter()), 3);
        assert_eq!(shown(&reading, 1), ["gOLD"]);
        reading.find.as_mut().unwrap().at = 1;
        reading.jump(LINES.into_iter());
        assert_eq!(shown(&reading, 1), ["Gold again"]);
        reading.find.as_mut().unwrap().at = 99;
        reading.jump(LINES.into_iter());
        assert_eq!(shown(&reading, 1), ["one gold"]);
        assert_eq!(reading.find.unwrap().at, 2);
    }

    #[test]
    fn who_reads_what_is_old_is_not_moved_by_what_is_new() {
        let mut reading = Reading { from_end: 2, find: None };
        reading.added(3);
        assert_eq!(reading.from_end, 5);
        reading.down(5);
        reading.added(3);
        assert_eq!(reading.from_end, 0);
    }

    #[test]
    fn matches_are_found_whatever_their_case_and_length() {
        let find = Find { text: "äß".into(), kind: FindKind::Search, at: 0 };
        assert_eq!(find.place("xÄß äß", 0), Some((1, 5)));
        assert_eq!(find.place("xÄß äß", 5), Some((6, 10)));
        assert_eq!(find.place("äs", 0), None);
        assert!(!Find { text: String::new(), ..find }.fits("x"));
    }
}
