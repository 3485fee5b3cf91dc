//! Splits a line into words. Names of items may have spaces, so quotes keep a word together.

/// A word of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// Without its quotes.
    pub text: String,
    /// Where it begins in the line, with its quote.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// The words of a line. A quote that is not closed ends with the line.
pub fn split(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut characters = line.char_indices().peekable();
    while let Some(&(start, first)) = characters.peek() {
        if first.is_whitespace() {
            characters.next();
            continue;
        }
        let (mut text, mut is_quoted, mut end) = (String::new(), false, start);
        while let Some(&(at, character)) = characters.peek() {
            if character.is_whitespace() && !is_quoted {
                break;
            }
            characters.next();
            end = at + character.len_utf8();
            match character {
                '"' => is_quoted = !is_quoted,
                '\\' => match characters.next() {
                    Some((at, escaped)) => {
                        end = at + escaped.len_utf8();
                        text.push(escaped);
                    }
                    None => text.push('\\'),
                },
                _ => text.push(character),
            }
        }
        words.push(Word { text, start, end });
    }
    words
}

/// A word as it has to be written so that it is read as one.
pub fn quoted(word: &str) -> String {
    let is_plain = |character: char| !character.is_whitespace() && !matches!(character, '"' | '\\');
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(line).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn quotes_keep_a_name_together() {
        assert_eq!(texts(" u  \"big prize\" +5 "), ["u", "big prize", "+5"]);
        assert_eq!(texts(r#"u "a \"b\" \\" "#), ["u", r#"a "b" \"#]);
        assert_eq!(texts("u \"not closed"), ["u", "not closed"]);
        assert_eq!(texts("a\\"), ["a\\"]);
        assert_eq!(texts("\"\""), [""]);
        assert_eq!(texts(""), [""; 0]);
    }

    #[test]
    fn a_word_knows_where_it_stands() {
        let words = split("u \"ä b\" 5");
        assert_eq!((words[1].start, words[1].end), (2, 8));
        assert_eq!((words[2].start, words[2].end), (9, 10));
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_as_one_word(word in "\\PC{1,12}") {
            prop_assert_eq!(texts(&format!("u {} 5", quoted(&word))), ["u", &word, "5"]);
        }
    }
}
