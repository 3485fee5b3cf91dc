//! Colours and characters. The 16 colours that every terminal has and its user chose, so that they
//! are read on light and on dark; nothing is told by a colour alone, and nothing has a background.
use ratatui::style::{Color, Modifier, Style};

/// What matters most.
pub const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
/// What is beside the point.
pub const QUIET: Style = Style::new().add_modifier(Modifier::DIM);
/// What is chosen.
pub const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

/// How the screen looks on this terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// Whether there are colours.
    pub has_colours: bool,
    /// Whether there is more than ASCII.
    pub has_unicode: bool,
}

impl Look {
    /// By the environment: `NO_COLOR` (when it is not empty) and the character set of the locale.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
        let locale = locale.to_lowercase();
        Self {
            has_colours: set("NO_COLOR").is_none(),
            has_unicode: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    fn colour(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// Names that can be typed, and what has the focus.
    pub fn accent(self) -> Style {
        self.colour(Color::Cyan)
    }

    /// It works.
    pub fn good(self) -> Style {
        self.colour(Color::Green)
    }

    /// Somebody should look at it.
    pub fn warning(self) -> Style {
        self.colour(Color::Yellow)
    }

    /// Somebody must look at it.
    pub fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Of the line between two parts.
    pub fn rule(self) -> &'static str {
        if self.has_unicode { "─" } else { "-" }
    }

    /// Between two facts.
    pub fn dot(self) -> &'static str {
        if self.has_unicode { " · " } else { " | " }
    }

    /// Before the marked row.
    pub fn mark(self) -> &'static str {
        if self.has_unicode { "▸" } else { ">" }
    }

    /// For what has no limit, in one column.
    pub fn endless(self) -> &'static str {
        if self.has_unicode { "∞" } else { "unlimited" }
    }

    /// For what was left out, in one column.
    pub fn ellipsis(self) -> &'static str {
        if self.has_unicode { "…" } else { "~" }
    }

    /// The text with what this terminal does not have written otherwise.
    pub fn text(self, text: &str) -> String {
        if self.has_unicode {
            return text.to_owned();
        }
        let replaced = text.replace('→', "->").replace('…', "...").replace(" · ", " | ");
        let replaced = replaced.replace('µ', "u").replace('↑', "Up").replace('↓', "Down");
        replaced.replace(|character: char| !character.is_ascii(), "?")
    }

    /// The filled part of a bar, of so many columns, for a part of a whole. What is there is never
    /// shown as nothing, and what is not whole never as whole.
    pub fn bar(self, part: u64, whole: u64, columns: usize) -> String {
        const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let steps = if self.has_unicode { 8 } else { 1 };
        let all = columns * steps;
        let (part, whole) = (u128::from(part.min(whole)), u128::from(whole.max(1)));
        let filled = part * u128::try_from(all).expect("a screen is small") / whole;
        let mut filled = usize::try_from(filled).expect("at most the whole");
        if part > 0 && filled == 0 && columns > 0 {
            filled = 1;
        }
        if self.has_unicode {
            "█".repeat(filled / 8) + EIGHTHS[filled % 8]
        } else {
            "#".repeat(filled)
        }
    }

    /// The empty part of a bar.
    pub fn track(self, columns: usize) -> String {
        if self.has_unicode { "·" } else { "." }.repeat(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Look = Look { has_colours: true, has_unicode: true };
    const PLAIN: Look = Look { has_colours: false, has_unicode: false };

    #[test]
    fn the_environment_decides() {
        let look = |variables: &[(&str, &str)]| {
            Look::of_environment(|name| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(look(&[("LANG", "de_CH.UTF-8")]), FULL);
        assert_eq!(look(&[("LANG", "C.utf8"), ("NO_COLOR", "")]), FULL);
        assert_eq!(look(&[("LANG", "C.UTF-8"), ("LC_ALL", "C"), ("NO_COLOR", "1")]), PLAIN);
        assert_eq!(look(&[("LC_ALL", ""), ("LC_CTYPE", "C"), ("NO_COLOR", "1")]), PLAIN);
    }

    #[test]
    fn a_bar_never_hides_a_rest() {
        assert_eq!(FULL.bar(0, 100, 4), "");
        assert_eq!(FULL.bar(1, 1000, 4), "▏");
        assert_eq!(FULL.bar(50, 100, 4), "██");
        assert_eq!(FULL.bar(999, 1000, 4), "███▉");
        assert_eq!(FULL.bar(1000, 1000, 4), "████");
        assert_eq!(FULL.bar(u64::MAX, u64::MAX, 2), "██");
        assert_eq!(FULL.bar(7, 5, 2), "██");
        assert_eq!(FULL.bar(5, 0, 2), "");
        assert_eq!(PLAIN.bar(99, 100, 4), "###");
        assert_eq!(PLAIN.bar(1, 100, 4), "#");
        assert_eq!(FULL.bar(1, 2, 0), "");
    }

    #[test]
    fn without_unicode_everything_is_ascii() {
        assert!(PLAIN.text("a → b … 5 µs · ü").is_ascii());
        let texts = [PLAIN.rule(), PLAIN.dot(), PLAIN.mark(), PLAIN.endless(), &PLAIN.track(3)];
        assert!(texts.iter().all(|text| text.is_ascii()));
    }

    #[test]
    fn without_colours_there_are_none() {
        let styles = [PLAIN.accent(), PLAIN.good(), PLAIN.warning(), PLAIN.bad(), STRONG];
        assert!(styles.iter().all(|style| style.fg.is_none() && style.bg.is_none()));
    }
}
