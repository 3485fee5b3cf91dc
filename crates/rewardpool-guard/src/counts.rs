//! Counts of instructions, as they are recorded and compared.
use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context as _;

/// A function may take so many more instructions, in hundredths of what was recorded.
const MORE: u64 = 5;
/// One that takes so many fewer is recorded anew, or it could become slower again unseen.
const FEWER: u64 = 10;

/// Instructions by function and case, and the programs that they depend on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Counts {
    /// Compiler and counter.
    pub(crate) tools: String,
    /// Instructions of one run.
    pub(crate) counts: BTreeMap<String, u64>,
}

/// Recorded and present counts side by side.
#[derive(Debug)]
pub(crate) struct Comparison {
    lines: Vec<Line>,
    /// Those of the record and those of now, when they differ.
    tools: Option<(String, String)>,
}

#[derive(Debug)]
struct Line {
    name: String,
    recorded: Option<u64>,
    now: Option<u64>,
}

/// How a function does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Fine,
    Slower,
    Faster,
    New,
    Gone,
}

impl Counts {
    /// Reads what [`fmt::Display`] wrote.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut tools = String::new();
        let mut counts = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                if let Some(named) = comment.strip_prefix(" With ") {
                    named.clone_into(&mut tools);
                }
                continue;
            }
            let entry = line.split_once(' ').and_then(|(name, count)| {
                Some((name.to_owned(), count.trim().parse::<u64>().ok()?))
            });
            let (name, count) = entry.with_context(|| format!("not a name and a count: {line}"))?;
            anyhow::ensure!(counts.insert(name, count).is_none(), "it stands twice: {line}");
        }
        Ok(Self { tools, counts })
    }

    /// Compares these, which were recorded, with those of now.
    pub(crate) fn compare(&self, now: &Self) -> Comparison {
        let mut lines: Vec<Line> = self
            .counts
            .iter()
            .map(|(name, &count)| Line {
                name: name.clone(),
                recorded: Some(count),
                now: now.counts.get(name).copied(),
            })
            .collect();
        let new = now.counts.iter().filter(|(name, _)| !self.counts.contains_key(*name));
        lines.extend(new.map(|(name, &count)| Line {
            name: name.clone(),
            recorded: None,
            now: Some(count),
        }));
        let differ = self.tools != now.tools;
        Comparison { lines, tools: differ.then(|| (self.tools.clone(), now.tools.clone())) }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Instructions of the hot functions. `make bench-instructions` compares them,"
        )?;
        writeln!(f, "# `make bench-instructions UPDATE=1` writes this file.")?;
        writeln!(f, "# With {}", self.tools)?;
        self.counts.iter().try_for_each(|(name, count)| writeln!(f, "{name:<40} {count:>10}"))
    }
}

impl Line {
    fn verdict(&self) -> Verdict {
        match (self.recorded, self.now) {
            (None, _) => Verdict::New,
            (_, None) => Verdict::Gone,
            (Some(recorded), Some(now)) if now * 100 > recorded * (100 + MORE) => Verdict::Slower,
            (Some(recorded), Some(now)) if now * 100 < recorded * (100 - FEWER) => Verdict::Faster,
            (Some(_), Some(_)) => Verdict::Fine,
        }
    }
}

impl Comparison {
    /// Whether every function is as it was recorded, within the tolerance.
    pub(crate) fn is_fine(&self) -> bool {
        self.lines.iter().all(|line| line.verdict() == Verdict::Fine)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<40} {:>10} {:>10}", "instructions", "recorded", "now")?;
        for line in &self.lines {
            let cell = |count: Option<u64>| {
                count.map_or_else(|| "-".to_owned(), |count| count.to_string())
            };
            let word = match line.verdict() {
                Verdict::Fine => "",
                Verdict::Slower => "  TOO MANY",
                Verdict::Faster => "  fewer: record it",
                Verdict::New => "  new: record it",
                Verdict::Gone => "  gone: record it",
            };
            let (recorded, now) = (cell(line.recorded), cell(line.now));
            writeln!(f, "{:<40} {recorded:>10} {now:>10}{word}", line.name)?;
        }
        if self.is_fine() {
            return writeln!(f, "as recorded, at most {MORE} % more and {FEWER} % fewer");
        }
        if let Some((recorded, now)) = &self.tools {
            writeln!(f, "recorded with {recorded}; this is {now}, which may be the cause")?;
        }
        writeln!(f, "find the cause, or accept it with `make bench-instructions UPDATE=1`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(entries: &[(&str, u64)]) -> Counts {
        let counts = entries.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        Counts { tools: "a compiler".to_owned(), counts }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = counts(&[("a.x", 1), ("a_name_of_more_than_forty_characters.sum_tree_1", 2)]);
        assert_eq!(Counts::parse(&written.to_string()).unwrap(), written);
        assert!(Counts::parse("a.x one").is_err());
        assert!(Counts::parse("a.x 1\na.x 2").is_err());
    }

    #[test]
    fn the_tolerance_is_kept() {
        let recorded = counts(&[("a", 1000)]);
        for (now, fine) in [(1050, true), (1051, false), (900, true), (899, false)] {
            let comparison = recorded.compare(&counts(&[("a", now)]));
            assert_eq!(comparison.is_fine(), fine, "{now}: {comparison}");
        }
    }

    #[test]
    fn a_function_that_comes_or_goes_is_seen() {
        let (one, two) = (counts(&[("a", 1)]), counts(&[("a", 1), ("b", 1)]));
        assert!(!one.compare(&two).is_fine());
        assert!(!two.compare(&one).is_fine());
    }
}
