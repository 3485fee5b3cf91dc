//! One line of text with a cursor.
use unicode_width::UnicodeWidthStr as _;

/// Bytes that a line may have. More is not taken.
const BYTES_MAX: usize = 1024;

/// A line that is being written. The cursor stands between two characters, always.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LineEditor {
    text: String,
    cursor: usize,
}

impl LineEditor {
    /// What is written so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The byte before which the cursor stands.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Columns of the screen that stand before the cursor.
    pub fn columns_before_cursor(&self) -> usize {
        self.text[..self.cursor].width()
    }

    /// Writes another text, with the cursor behind it.
    pub fn set(&mut self, text: &str) {
        self.clear();
        self.insert(text);
    }

    /// Takes the text out.
    pub fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Deletes everything.
    pub fn clear(&mut self) {
        self.take();
    }

    /// Writes at the cursor. Control characters become spaces: a pasted line end executes nothing.
    pub fn insert(&mut self, text: &str) {
        for character in text.chars() {
            let character = if character.is_control() { ' ' } else { character };
            if self.text.len() + character.len_utf8() > BYTES_MAX {
                return;
            }
            self.text.insert(self.cursor, character);
            self.cursor += character.len_utf8();
        }
    }

    /// Replaces the bytes from `start` to the cursor.
    pub fn replace_before_cursor(&mut self, start: usize, new: &str) {
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
        self.insert(new);
    }

    /// Deletes the character before the cursor.
    pub fn backspace(&mut self) {
        let end = self.cursor;
        self.left();
        self.text.replace_range(self.cursor..end, "");
    }

    /// Deletes the character behind the cursor.
    pub fn delete(&mut self) {
        let end = self.after_character();
        self.text.replace_range(self.cursor..end, "");
    }

    /// Deletes the word before the cursor.
    pub fn delete_word(&mut self) {
        let end = self.cursor;
        self.word_left();
        self.text.replace_range(self.cursor..end, "");
    }

    /// Deletes everything before the cursor.
    pub fn delete_to_start(&mut self) {
        self.text.replace_range(..self.cursor, "");
        self.cursor = 0;
    }

    /// Deletes everything behind the cursor.
    pub fn delete_to_end(&mut self) {
        self.text.truncate(self.cursor);
    }

    /// Moves by a character.
    pub fn left(&mut self) {
        self.cursor = self.text[..self.cursor].char_indices().next_back().map_or(0, |(at, _)| at);
    }

    /// Moves by a character.
    pub fn right(&mut self) {
        self.cursor = self.after_character();
    }

    /// Moves to the start of the word.
    pub fn word_left(&mut self) {
        let before = self.text[..self.cursor].trim_end_matches(' ');
        self.cursor = before.rfind(' ').map_or(0, |space| space + 1);
    }

    /// Moves behind the end of the word.
    pub fn word_right(&mut self) {
        let rest = &self.text[self.cursor..];
        let word = rest.len() - rest.trim_start_matches(' ').len();
        self.cursor += rest[word..].find(' ').map_or(rest.len(), |space| word + space);
    }

    /// Moves to the start.
    pub fn home(&mut self) {
        self.cursor = 0;
    }

    /// Moves to the end.
    pub fn end(&mut self) {
        self.cursor = self.text.len();
    }

    fn after_character(&self) -> usize {
        self.cursor + self.text[self.cursor..].chars().next().map_or(0, char::len_utf8)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The line with `|` at the cursor.
    fn shown(editor: &LineEditor) -> String {
        let (before, after) = editor.text.split_at(editor.cursor);
        format!("{before}|{after}")
    }

    #[test]
    fn words_are_jumped_over_and_deleted() {
        let mut editor = LineEditor::default();
        editor.set("update gold  +5");
        editor.word_left();
        assert_eq!(shown(&editor), "update gold  |+5");
        editor.delete_word();
        assert_eq!(shown(&editor), "update |+5");
        editor.home();
        editor.word_right();
        assert_eq!(shown(&editor), "update| +5");
        editor.word_right();
        assert_eq!(shown(&editor), "update +5|");
        editor.word_left();
        editor.delete_to_end();
        assert_eq!(shown(&editor), "update |");
        editor.delete_to_start();
        assert_eq!(shown(&editor), "|");
    }

    #[test]
    fn characters_of_several_bytes_stay_whole() {
        let mut editor = LineEditor::default();
        editor.insert("gäü金");
        assert_eq!(editor.columns_before_cursor(), 5);
        editor.left();
        editor.backspace();
        assert_eq!(shown(&editor), "gä|金");
        editor.left();
        editor.delete();
        assert_eq!(shown(&editor), "g|金");
    }

    #[test]
    fn a_pasted_line_end_executes_nothing() {
        let mut editor = LineEditor::default();
        editor.insert("d 1\nd 2\u{1b}[A");
        assert_eq!(editor.text(), "d 1 d 2 [A");
    }

    proptest! {
        /// Any order of operations leaves the cursor between two characters of a bounded line.
        #[test]
        fn the_cursor_is_always_between_characters(
            steps in prop::collection::vec((0_u8..12, "[a ä金]{0,4}"), 0..60),
        ) {
            let mut editor = LineEditor::default();
            for (step, text) in steps {
                match step {
                    0 => editor.backspace(),
                    1 => editor.delete(),
                    2 => editor.delete_word(),
                    3 => editor.left(),
                    4 => editor.right(),
                    5 => editor.word_left(),
                    6 => editor.word_right(),
                    7 => editor.home(),
                    8 => editor.end(),
                    9 => editor.insert(&text.repeat(200)),
                    _ => editor.insert(&text),
                }
                prop_assert!(editor.text.is_char_boundary(editor.cursor));
                prop_assert!(editor.text.len() <= BYTES_MAX);
            }
        }
    }
}
