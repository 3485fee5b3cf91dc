//! What is wrong with a configuration file, and where.
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A place in a text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// Starts at 1.
    pub line: u64,
    /// In characters, starts at 1.
    pub column: u64,
}

impl Position {
    /// The start of the file, for what is wrong with the file as a whole.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One thing that is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where it stands.
    pub position: Position,
    /// The option, its value, the rule that it breaks, and a suggestion.
    pub message: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: the configuration cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file was read and is wrong.
    #[error("{}", Lines(path, faults))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong with it, in the order of the file; at least one.
        faults: Vec<Fault>,
    },
}

/// One line for each fault: `path:line:column: message`.
struct Lines<'a>(&'a Path, &'a [Fault]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.1.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", fault.to_line(self.0))?;
        }
        Ok(())
    }
}

impl Fault {
    /// One line of text: `path:line:column: message`. What it quotes of the file can neither break
    /// the line nor steer a terminal.
    pub fn to_line(&self, path: &Path) -> String {
        let Position { line, column } = self.position;
        let mut text = format!("{}:{line}:{column}: ", path.display());
        for letter in self.message.chars() {
            if letter.is_control() {
                text.extend(letter.escape_default());
            } else {
                text.push(letter);
            }
        }
        text
    }
}

/// The option that was probably meant: the nearest one, if it is near enough.
pub(super) fn nearest<'a>(word: &str, options: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distances = options.iter().map(|option| (distance(&word, option), *option));
    let (distance, option) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= option.len().div_ceil(3)).then_some(option)
}

/// How many letters must be changed, added, taken away or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut cost = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(rows[i - 2][j - 2] + 1);
            }
            row.push(cost);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_option_is_suggested_only_when_it_is_near() {
        let options = ["formatter", "storage", "max_file_size_kb"];
        for word in ["formater", "formattre", "Formatter", "format"] {
            assert_eq!(nearest(word, &options), Some("formatter"), "{word}");
        }
        assert_eq!(nearest("max_file_size", &options), Some("max_file_size_kb"));
        assert_eq!(nearest("colour", &options), None);
        assert_eq!(nearest("", &options), None);
    }
}
