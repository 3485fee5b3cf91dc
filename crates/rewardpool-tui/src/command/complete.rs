//! What Tab makes of a word that is half written.
use super::{COMMANDS, find, quoted, split};

/// Names that are offered at once.
const OFFERED_MAX: usize = 50;

/// What could stand at the cursor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completion {
    /// The byte of the line where the word begins that is replaced, up to the cursor.
    pub start: usize,
    /// What fits, as it has to be written.
    pub candidates: Vec<String>,
    /// What all candidates begin with.
    pub common: String,
}

/// Names that arguments are completed with.
pub trait Names {
    /// Items of the pool that begin with the text.
    fn items(&self, prefix: &str, max: usize) -> Vec<String>;
    /// Pools that begin with the text.
    fn pools(&self, prefix: &str, max: usize) -> Vec<String>;
}

/// Completes the word before the cursor. `None` when nothing fits.
pub fn complete(line: &str, cursor: usize, names: &impl Names) -> Option<Completion> {
    let before = &line[..cursor];
    let mut words = split(before);
    // A word that ends before the cursor is complete; a new one begins.
    let is_new = words.last().is_none_or(|word| word.end < cursor);
    let (start, prefix) = match words.pop() {
        Some(word) if !is_new => (word.start, word.text),
        last => {
            words.extend(last);
            (cursor, String::new())
        }
    };
    let mut candidates = match words.as_slice() {
        [] => commands(&prefix),
        [command] => match find(&command.text).map(|entry| entry.name) {
            Some("update") => names.items(&prefix, OFFERED_MAX),
            Some("pool") => names.pools(&prefix, OFFERED_MAX),
            Some(_) | None => Vec::new(),
        },
        _ => Vec::new(),
    };
    for name in &mut candidates {
        *name = quoted(name);
    }
    let common = common_prefix(&candidates)?;
    Some(Completion { start, candidates, common })
}

fn commands(prefix: &str) -> Vec<String> {
    let prefix = prefix.to_lowercase();
    let fitting = COMMANDS.iter().filter(|entry| entry.name.starts_with(&prefix));
    fitting.map(|entry| entry.name.to_owned()).collect()
}

/// What all words begin with; a single one is followed by a space.
fn common_prefix(words: &[String]) -> Option<String> {
    let (first, rest) = words.split_first()?;
    if rest.is_empty() {
        return Some(format!("{first} "));
    }
    let is_shared = |end: usize| rest.iter().all(|word| word.starts_with(&first[..end]));
    let ends = first.char_indices().map(|(at, character)| at + character.len_utf8());
    let end = ends.take_while(|&end| is_shared(end)).last().unwrap_or(0);
    Some(first[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sample;

    impl Names for Sample {
        fn items(&self, prefix: &str, max: usize) -> Vec<String> {
            let names = ["gold", "golf ball", "golf club", "mud"].into_iter();
            names.filter(|name| name.starts_with(prefix)).take(max).map(str::to_owned).collect()
        }

        fn pools(&self, prefix: &str, _: usize) -> Vec<String> {
            if "summer".starts_with(prefix) { vec!["summer".to_owned()] } else { Vec::new() }
        }
    }

    fn completed(line: &str) -> Option<(usize, String, usize)> {
        let found = complete(line, line.len(), &Sample)?;
        Some((found.start, found.common, found.candidates.len()))
    }

    #[test]
    fn commands_items_and_pools_are_completed() {
        assert_eq!(completed("dr"), Some((0, "draw ".into(), 1)));
        assert_eq!(completed("r"), Some((0, "re".into(), 2)));
        assert_eq!(completed(""), Some((0, String::new(), COMMANDS.len())));
        assert_eq!(completed("u m"), Some((2, "mud ".into(), 1)));
        assert_eq!(completed("update gold"), Some((7, "gold ".into(), 1)));
        assert_eq!(completed("u "), Some((2, String::new(), 4)));
        assert_eq!(completed("pool su"), Some((5, "summer ".into(), 1)));
        for nothing in ["xyz", "d ", "u gold ", "u zinc", "quit n", "u gold +5 "] {
            assert_eq!(completed(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn names_with_spaces_are_quoted() {
        assert_eq!(completed("u golf"), Some((2, "\"golf ".into(), 2)));
        assert_eq!(completed("u \"golf b"), Some((2, "\"golf ball\" ".into(), 1)));
    }

    #[test]
    fn only_the_word_before_the_cursor_is_completed() {
        let found = complete("u go +5", 4, &Sample).unwrap();
        assert_eq!((found.start, found.candidates.len()), (2, 3));
    }
}
