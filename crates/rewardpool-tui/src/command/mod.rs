//! What can be typed, and what it means.
pub mod complete;
mod words;

pub use self::words::{Word, quoted, split};

/// Draws of one command at most.
pub const DRAWS_MAX: u64 = 1_000_000_000;
/// The largest weight and quantity, 2^63 - 1.
const NUMBER_MAX: u64 = u64::MAX >> 1;

/// A command as the help shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The word that is typed.
    pub name: &'static str,
    /// A shorter one; empty when there is none.
    pub short: &'static str,
    /// What follows it.
    pub arguments: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// Something to try.
    pub example: &'static str,
}

/// All commands, in the order of the help.
pub const COMMANDS: [Entry; 10] = [
    entry("help", "h", "", "show this help", "help"),
    entry("draw", "d", "[n]", "draw once, or n times", "d 1000"),
    entry("update", "u", "<item> <quantity|+n|-n> [weight]", "change an item", "u gold +50"),
    entry("status", "s", "", "what was done so far", "s"),
    entry("reload", "r", "", "compare with the file, ask", "r"),
    entry("pause", "p", "", "refuse draws from this pool", "p"),
    entry("resume", "", "", "serve draws again", "resume"),
    entry("snapshot", "", "", "write a snapshot now", "snapshot"),
    entry("pool", "", "<name>", "show another pool", "pool summer"),
    entry("quit", "q", "", "leave", "q"),
];

const fn entry(
    name: &'static str,
    short: &'static str,
    arguments: &'static str,
    summary: &'static str,
    example: &'static str,
) -> Entry {
    Entry { name, short, arguments, summary, example }
}

/// A command that was understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Shows the help.
    Help,
    /// Draws from the pool.
    Draw {
        /// How often: 1 to [`DRAWS_MAX`].
        count: u64,
    },
    /// Changes an item.
    Update {
        /// Its name.
        item: String,
        /// What becomes of its units.
        change: Change,
        /// Its new weight.
        weight: Option<u64>,
    },
    /// Says what happened so far.
    Status,
    /// Compares with the configuration.
    Reload,
    /// Stops the draws of the pool.
    Pause,
    /// Lets it draw again.
    Resume,
    /// Writes a snapshot.
    Snapshot,
    /// Shows another pool.
    Pool {
        /// Its name.
        name: String,
    },
    /// Leaves.
    Quit,
}

/// What becomes of the units of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// So many more, or less.
    Add(i64),
    /// So many from now on.
    Set(u64),
    /// As many as are drawn.
    Unlimited,
    /// `-1`, which is how the catalogue writes unlimited, and looks like one less.
    MinusOne,
}

/// Why a line is no command. The text names the cause and the next step.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}; {next}")]
pub struct Misunderstood {
    what: String,
    next: String,
}

impl Misunderstood {
    fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }
}

/// Reads a line. `None` for an empty one.
pub fn parse(line: &str) -> Option<Result<Command, Misunderstood>> {
    let words: Vec<String> = split(line).into_iter().map(|word| word.text).collect();
    let (name, arguments) = words.split_first()?;
    Some(parse_words(name, arguments))
}

fn parse_words(name: &str, arguments: &[String]) -> Result<Command, Misunderstood> {
    let Some(entry) = find(name) else {
        return Err(Misunderstood::new(format!("there is no command `{name}`"), suggestion(name)));
    };
    let nothing = |command| {
        let Some(first) = arguments.first() else { return Ok(command) };
        let what = format!("`{}` takes nothing behind it, and `{first}` stands there", entry.name);
        Err(Misunderstood::new(what, format!("write `{}`", entry.example)))
    };
    match entry.name {
        "help" => nothing(Command::Help),
        "draw" => parse_draw(arguments),
        "update" => parse_update(arguments),
        "status" => nothing(Command::Status),
        "reload" => nothing(Command::Reload),
        "pause" => nothing(Command::Pause),
        "resume" => nothing(Command::Resume),
        "snapshot" => nothing(Command::Snapshot),
        "pool" => match arguments {
            [name] => Ok(Command::Pool { name: name.clone() }),
            _ => Err(Misunderstood::new(
                "`pool` takes the name of a pool",
                "write `pool <name>`; Tab completes it, and the tab Pools lists them",
            )),
        },
        "quit" => nothing(Command::Quit),
        other => unreachable!("{other} stands in the table and is not read"),
    }
}

/// The command that is meant by a word; its case does not matter.
pub fn find(name: &str) -> Option<&'static Entry> {
    let name = name.to_lowercase();
    COMMANDS.iter().find(|entry| entry.name == name || (!name.is_empty() && entry.short == name))
}

fn suggestion(name: &str) -> String {
    let distance = |entry: &&Entry| edits(&name.to_lowercase(), entry.name);
    let begun = COMMANDS.iter().find(|entry| entry.name.starts_with(&name.to_lowercase()));
    let nearest = || COMMANDS.iter().min_by_key(distance).filter(|entry| distance(entry) <= 2);
    match begun.or_else(nearest) {
        Some(entry) => format!("did you mean `{}`?", entry.name),
        None => "`help` lists what there is".to_owned(),
    }
}

/// How many characters have to be typed anew to make one word of the other.
pub fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, character) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(*other != character);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

fn parse_draw(arguments: &[String]) -> Result<Command, Misunderstood> {
    let example = "write `d`, or `d 1000`";
    let count = match arguments {
        [] => 1,
        [count] => {
            let rule = "a number of draws is from 1 to 1 000 000 000";
            let number = number(count).filter(|number| (1..=DRAWS_MAX).contains(number));
            number.ok_or_else(|| Misunderstood::new(format!("`{count}`: {rule}"), example))?
        }
        _ => return Err(Misunderstood::new("`draw` takes one number at most", example)),
    };
    Ok(Command::Draw { count })
}

fn parse_update(arguments: &[String]) -> Result<Command, Misunderstood> {
    let example = "write `u gold +50` for 50 more, `u gold 200` for exactly 200, `u gold +0 30` \
                   for another weight";
    let (item, change, weight) = match arguments {
        [item, change] => (item, change, None),
        [item, change, weight] => (item, change, Some(weight)),
        _ => {
            let what = "`update` takes an item, its quantity, and a weight if that changes too";
            return Err(Misunderstood::new(what, example));
        }
    };
    let Some(change) = parse_change(change) else {
        let what = format!("`{change}` is no quantity: 200, +50, -20 or unlimited");
        return Err(Misunderstood::new(what, example));
    };
    let read_weight = |text: &String| {
        let what = format!("`{text}` is no weight: it is 0 (never drawn) to 2^63 - 1");
        number(text).ok_or_else(|| Misunderstood::new(what, example))
    };
    let weight = weight.map(read_weight).transpose()?;
    Ok(Command::Update { item: item.clone(), change, weight })
}

fn parse_change(text: &str) -> Option<Change> {
    match text {
        "unlimited" => return Some(Change::Unlimited),
        "-1" => return Some(Change::MinusOne),
        _ => {}
    }
    if let Some(more) = text.strip_prefix('+') {
        return Some(Change::Add(i64::try_from(number(more)?).ok()?));
    }
    if let Some(less) = text.strip_prefix('-') {
        return Some(Change::Add(-i64::try_from(number(less)?).ok()?));
    }
    number(text).map(Change::Set)
}

/// Digits only, and no more than a quantity may have.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_number { text.parse().ok()? } else { return None };
    (number <= NUMBER_MAX).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Command {
        parse(line).expect("the line is not empty").expect(line)
    }

    fn refused(line: &str) -> String {
        parse(line).expect("the line is not empty").expect_err(line).to_string()
    }

    #[test]
    fn every_command_is_understood_by_its_name_its_short_form_and_its_example() {
        for entry in COMMANDS {
            assert!(parse(entry.example).is_some_and(|parsed| parsed.is_ok()), "{entry:?}");
            assert_eq!(find(entry.name), find(&entry.name.to_uppercase()));
            if !entry.short.is_empty() {
                assert_eq!(find(entry.short).map(|found| found.name), Some(entry.name));
            }
        }
        assert_eq!(parse("   "), None);
        assert_eq!(parsed("d"), Command::Draw { count: 1 });
        assert_eq!(parsed("DRAW 100000"), Command::Draw { count: 100_000 });
        assert_eq!(parsed("pool summer"), Command::Pool { name: "summer".into() });
    }

    #[test]
    fn a_quantity_is_set_and_changed_by_a_sign() {
        let update = |line: &str| {
            let Command::Update { item, change, weight } = parsed(line) else { panic!("{line}") };
            (item, change, weight)
        };
        assert_eq!(update("u gold 200"), ("gold".into(), Change::Set(200), None));
        assert_eq!(update("u gold +50 7"), ("gold".into(), Change::Add(50), Some(7)));
        assert_eq!(update("u gold -20"), ("gold".into(), Change::Add(-20), None));
        assert_eq!(update("u gold -1").1, Change::MinusOne);
        assert_eq!(update("u gold unlimited").1, Change::Unlimited);
        assert_eq!(update("u \"big prize\" 0").0, "big prize");
        assert_eq!(update("u g 9223372036854775807").1, Change::Set(NUMBER_MAX));
    }

    #[test]
    fn a_wrong_line_is_told_what_is_wrong_and_what_to_write() {
        assert_eq!(refused("drwa 5"), "there is no command `drwa`; did you mean `draw`?");
        assert_eq!(refused("snap"), "there is no command `snap`; did you mean `snapshot`?");
        assert_eq!(refused("xyzzy"), "there is no command `xyzzy`; `help` lists what there is");
        for line in ["d 0", "d -5", "d many", "d 1000000001", "d 1 2"] {
            assert!(refused(line).contains("write `d`"), "{line}");
        }
        for line in [
            "u",
            "u gold",
            "u gold lots",
            "u gold +",
            "u gold --2",
            "u gold 5 x",
            "u gold 5 -3",
            "u gold 9223372036854775808",
            "u gold 1 2 3",
        ] {
            assert!(refused(line).contains("u gold +50"), "{line}");
        }
        assert!(refused("q now").contains("nothing behind it"));
        assert!(refused("pool").contains("pool <name>"));
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("draw", "draw"), 0);
        assert_eq!(edits("drwa", "draw"), 2);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("gäld", "gold"), 1);
    }
}
