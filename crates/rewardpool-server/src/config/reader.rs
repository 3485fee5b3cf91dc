//! Takes typed values out of the tree and collects everything that is wrong on the way.
//!
//! A value that is wrong is noted and replaced by its default, so that the rest is still checked;
//! the result counts only when nothing was noted.
use std::fmt;
use std::time::Duration;

use super::document::{Entry, Node, Value};
use super::fault::{Fault, Position, nearest};

/// The way from the top of the file to a value. Only written out when something is wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'a> {
    Top,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Top => f.write_str("the configuration"),
            Path::Key(Path::Top, key) => f.write_str(key),
            Path::Key(parent, key) => write!(f, "{parent}.{key}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A map whose keys have been checked.
#[derive(Clone, Copy)]
pub(super) struct Section<'p, 'a> {
    pub(super) path: &'p Path<'p>,
    pub(super) position: Position,
    /// `None` when something else than a section stands there, which has been noted.
    entries: Option<&'a [Entry]>,
}

impl<'a> Section<'_, 'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// Where a key stands.
    pub(super) fn key_position(&self, key: &str) -> Option<Position> {
        self.entry(key).map(|entry| entry.position)
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries?.iter().find(|entry| &*entry.key == key)
    }
}

/// Which whole numbers an option may have.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    /// How the message names it: `a weight`.
    pub(super) noun: &'static str,
    pub(super) min: i64,
    pub(super) max: i64,
    /// What the message adds to the bounds: ` (0 = never drawn)`.
    pub(super) note: &'static str,
}

/// Collects faults while a tree is read.
pub(super) struct Reader<'s> {
    source: &'s str,
    /// All keys of all sections with the section's name, to tell where a misplaced key belongs.
    sections: &'static [(&'static str, &'static [&'static str])],
    faults: Vec<Fault>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(
        source: &'s str,
        sections: &'static [(&'static str, &'static [&'static str])],
    ) -> Self {
        Self { source, sections, faults: Vec::new() }
    }

    /// Everything that was wrong, in the order of the file.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(|fault| fault.position);
        self.faults
    }

    /// Notes that something is wrong.
    pub(super) fn fault(&mut self, position: Position, message: String) {
        self.faults.push(Fault { position, message });
    }

    /// Notes that a section lacks something.
    pub(super) fn missing(&mut self, section: &Section<'_, '_>, message: String) {
        if section.entries.is_some() {
            self.fault(section.position, message);
        }
    }

    /// Notes that a value breaks a rule.
    pub(super) fn refuse(&mut self, path: &Path<'_>, node: &Node, rule: &str) {
        let message = match &node.value {
            Value::Null => format!("{path} has no value: {rule}"),
            Value::Bool(value) => format!("{path} is {value}: {rule}"),
            Value::Whole(_) | Value::OtherNumber => {
                format!("{path} is {}: {rule}", node.written(self.source).unwrap_or("a number"))
            }
            Value::Text(text) => format!("{path} is {text:?}: {rule}"),
            Value::List(_) => format!("{path} is a list: {rule}"),
            Value::Map(_) => format!("{path} is a section: {rule}"),
        };
        self.fault(node.position, message);
    }

    /// A map, with its keys checked. A section without anything in it is one without options.
    pub(super) fn section<'p, 'a>(
        &mut self,
        path: &'p Path<'p>,
        node: &'a Node,
        keys: &'static [&'static str],
    ) -> Section<'p, 'a> {
        let entries: Option<&[Entry]> = match &node.value {
            Value::Map(entries) => Some(entries),
            Value::Null => Some(&[]),
            Value::Bool(_)
            | Value::Whole(_)
            | Value::OtherNumber
            | Value::Text(_)
            | Value::List(_) => {
                let rule = format!("it is a section with the options {}", Names(keys));
                self.refuse(path, node, &rule);
                None
            }
        };
        for Entry { key, position, .. } in entries.unwrap_or_default() {
            if !keys.contains(&&**key) {
                let suggestion = self.suggest(key, keys);
                let message = format!("{} is unknown: {suggestion}", Path::Key(path, key));
                self.fault(*position, message);
            }
        }
        Section { path, position: node.position, entries }
    }

    /// The section under a key, empty when the key is not there.
    pub(super) fn section_of<'p, 'a>(
        &mut self,
        parent: &Section<'_, 'a>,
        path: &'p Path<'p>,
        key: &str,
        keys: &'static [&'static str],
    ) -> Section<'p, 'a> {
        match parent.get(key) {
            Some(node) => self.section(path, node, keys),
            None => Section { path, position: parent.position, entries: Some(&[]) },
        }
    }

    fn suggest(&self, key: &str, keys: &[&str]) -> String {
        if let Some(option) = nearest(key, keys) {
            return format!("did you mean `{option}`?");
        }
        match self.sections.iter().find(|(_, keys)| keys.contains(&key)) {
            Some(("", _)) => format!("`{key}` stands at the top level"),
            Some((section, _)) => format!("`{key}` stands under `{section}`"),
            None => format!("the options here are {}", Names(keys)),
        }
    }

    /// The items of a list.
    pub(super) fn list<'a>(&mut self, path: &Path<'_>, node: &'a Node, rule: &str) -> &'a [Node] {
        if let Value::List(nodes) = &node.value {
            return nodes;
        }
        self.refuse(path, node, rule);
        &[]
    }

    /// A whole number within bounds.
    pub(super) fn number(&mut self, path: &Path<'_>, node: &Node, rule: Numbers) -> Option<i64> {
        let Numbers { noun, min, max, note } = rule;
        let written = node.written(self.source).unwrap_or("");
        let rule = match &node.value {
            Value::Whole(number) if (min..=max).contains(number) => return Some(*number),
            Value::Whole(number) if *number < min && max == i64::MAX => {
                format!("{noun} is {min} or more{note}")
            }
            Value::OtherNumber if max == i64::MAX && is_digits(written) => {
                format!("{noun} is at most {max}")
            }
            Value::Whole(_) => format!("{noun} is {min} to {max}{note}"),
            Value::OtherNumber if is_digits(written.trim_start_matches('-')) => {
                format!("{noun} is {min} to {max}{note}")
            }
            Value::Text(text) if text.parse::<i64>().is_ok() => {
                format!("{noun} is a whole number, write it without quotes")
            }
            Value::Text(_)
            | Value::Null
            | Value::Bool(_)
            | Value::OtherNumber
            | Value::List(_)
            | Value::Map(_) => format!("{noun} is a whole number"),
        };
        self.refuse(path, node, &rule);
        None
    }

    /// A whole number that is not negative, or the default when the key is not there.
    pub(super) fn number_or(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        rule: Numbers,
        default: u64,
    ) -> u64 {
        assert!(rule.min >= 0, "an option with a default is not negative");
        let Some(node) = section.get(key) else { return default };
        let number = self.number(&Path::Key(section.path, key), node, rule);
        number.and_then(|number| u64::try_from(number).ok()).unwrap_or(default)
    }

    /// A switch, or the default when the key is not there.
    pub(super) fn switch_or(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        default: bool,
    ) -> bool {
        let Some(node) = section.get(key) else { return default };
        if let Value::Bool(value) = node.value {
            return value;
        }
        self.refuse(&Path::Key(section.path, key), node, "it is `true` or `false`");
        default
    }

    /// A text.
    pub(super) fn text<'a>(
        &mut self,
        path: &Path<'_>,
        node: &'a Node,
        rule: &str,
    ) -> Option<&'a str> {
        if let Value::Text(text) = &node.value {
            return Some(text);
        }
        let written = node.written(self.source).unwrap_or("");
        let rule = match &node.value {
            Value::Bool(_) | Value::Whole(_) | Value::OtherNumber => {
                format!("{rule}, write \"{written}\"")
            }
            Value::Null | Value::Text(_) | Value::List(_) | Value::Map(_) => rule.to_owned(),
        };
        self.refuse(path, node, &rule);
        None
    }

    /// One of several names, or the default when the key is not there.
    pub(super) fn choice_or<T: Copy>(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        choices: &[(&str, T)],
        default: T,
    ) -> T {
        let Some(node) = section.get(key) else { return default };
        let word = if let Value::Text(text) = &node.value { &**text } else { "" };
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == word) {
            return *choice;
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let rule = match nearest(word, &names) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("it is one of {}", Names(&names)),
        };
        self.refuse(&Path::Key(section.path, key), node, &rule);
        default
    }

    /// A duration within bounds, or the default when the key is not there.
    pub(super) fn duration_or(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        bounds: [(&str, Duration); 2],
        default: Duration,
    ) -> Duration {
        let Some(node) = section.get(key) else { return default };
        let duration =
            if let Value::Text(text) = &node.value { parse_duration(text) } else { None };
        let [(min_text, min), (max_text, max)] = bounds;
        match duration {
            Some(duration) if (min..=max).contains(&duration) => return duration,
            Some(_) => {
                let rule = format!("it is {min_text} to {max_text}");
                self.refuse(&Path::Key(section.path, key), node, &rule);
            }
            None => {
                let rule = "it is a whole number with a unit: `500ms`, `10s`, `5m`, `24h` or `7d`";
                self.refuse(&Path::Key(section.path, key), node, rule);
            }
        }
        default
    }
}

/// A list of names in backticks.
pub(super) struct Names<'a>(pub(super) &'a [&'a str]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}`{name}`")?;
        }
        Ok(())
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        let ms = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("500ms"), Some(500));
        assert_eq!(ms("10s"), Some(10_000));
        assert_eq!(ms("24h"), Some(86_400_000));
        assert_eq!(ms("7d"), Some(604_800_000));
        for bad in ["", "10", "s", "1.5s", "-1s", "1 s", "1h30m", "99999999999999999999s"] {
            assert_eq!(ms(bad), None, "{bad:?}");
        }
        assert_eq!(ms("18446744073709551615d"), None);
    }
}
