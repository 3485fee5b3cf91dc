//! What the user entered, and what came of it.
use std::collections::VecDeque;

use crate::event::CommandId;
use crate::moment::Moment;
use crate::numbers;

/// So many commands are kept; the oldest go first.
const ENTRIES_MAX: usize = 500;
/// So many lines are kept over all commands.
const LINES_MAX: usize = 5000;

/// How a line is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// What was entered.
    Command,
    /// A fact.
    Plain,
    /// It worked.
    Good,
    /// Somebody should read it.
    Warning,
    /// It did not work.
    Bad,
    /// Beside the point.
    Quiet,
}

/// A line of the history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// How it is meant.
    pub tone: Tone,
    /// What it says.
    pub text: String,
}

impl Line {
    /// A line.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, text: text.into() }
    }
}

/// A command with what came of it.
#[derive(Clone, Debug)]
struct Entry {
    id: CommandId,
    /// The first line is the command, when there is one.
    lines: Vec<Line>,
    is_running: bool,
}

/// Commands and what came of them, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: VecDeque<Entry>,
    line_count: usize,
    last: u64,
}

impl History {
    /// Notes a command that was entered. What comes of it follows with [`History::add`].
    pub fn open(&mut self, now: Moment, command: &str) -> CommandId {
        let text = format!("{} > {command}", numbers::clock(now.unix_ms));
        let id = self.push(vec![Line::new(Tone::Command, text)]);
        if let Some(entry) = self.entries.back_mut() {
            entry.is_running = true;
        }
        id
    }

    /// Notes something that nobody asked for.
    pub fn note(&mut self, now: Moment, tone: Tone, text: &str) {
        let text = format!("{} {text}", numbers::clock(now.unix_ms));
        self.push(vec![Line::new(tone, text)]);
    }

    fn push(&mut self, lines: Vec<Line>) -> CommandId {
        self.last += 1;
        let id = CommandId(self.last);
        self.line_count += lines.len();
        self.entries.push_back(Entry { id, lines, is_running: false });
        self.forget();
        id
    }

    /// Adds what came of a command.
    pub fn add(&mut self, id: CommandId, lines: Vec<Line>) {
        let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.id == id) else {
            return;
        };
        self.line_count += lines.len();
        entry.lines.extend(lines);
        entry.is_running = false;
        self.forget();
    }

    /// Whether an answer of a command is still to come.
    pub fn is_running(&self, id: CommandId) -> bool {
        self.entries.iter().any(|entry| entry.id == id && entry.is_running)
    }

    /// What was entered.
    pub fn command(&self, id: CommandId) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.id == id)?;
        entry.lines.first()?.text.split_once("> ").map(|(_, command)| command)
    }

    /// Lines that there are.
    pub fn line_count(&self) -> usize {
        self.line_count
    }

    /// All lines, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> {
        self.entries.iter().flat_map(|entry| &entry.lines)
    }

    fn forget(&mut self) {
        while self.entries.len() > 1
            && (self.entries.len() > ENTRIES_MAX || self.line_count > LINES_MAX)
        {
            self.line_count -= self.entries.pop_front().map_or(0, |entry| entry.lines.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_a_command_stands_below_it() {
        let mut history = History::default();
        let now = Moment { unix_ms: 3_600_000, ..Moment::default() };
        let long = history.open(now, "d 1000");
        let short = history.open(now, "s");
        history.add(short, vec![Line::new(Tone::Plain, "fine")]);
        assert!(history.is_running(long) && !history.is_running(short));
        history.add(long, vec![Line::new(Tone::Good, "drawn")]);
        let texts: Vec<&str> = history.lines().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["01:00:00 > d 1000", "drawn", "01:00:00 > s", "fine"]);
        assert_eq!(history.line_count(), 4);
    }

    #[test]
    fn memory_is_bounded() {
        let mut history = History::default();
        for number in 0..2000 {
            let id = history.open(Moment::default(), &number.to_string());
            history.add(id, vec![Line::new(Tone::Plain, "x"); 40]);
            assert!(history.line_count() <= LINES_MAX);
            assert_eq!(history.line_count(), history.lines().count());
        }
        assert!(history.lines().any(|line| line.text.ends_with("> 1999")));
        history.add(CommandId(1), vec![Line::new(Tone::Plain, "too late")]);
    }
}
