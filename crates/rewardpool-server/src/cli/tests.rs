//! Goal: `--help` is complete and its examples work. Method: the definition of the command line is
//! walked as a whole, so that a new command cannot be forgotten, and each example is parsed by it.
use clap::Command as Definition;

use super::*;

/// So much of a line has room beside the name of a command.
const SUMMARY_MAX: usize = 80;
/// Lines of examples are not wrapped.
const LINE_MAX: usize = 100;

/// Every command with its words, groups included.
fn every_command() -> Vec<(Vec<String>, Definition)> {
    fn walk(words: &[String], command: &Definition, all: &mut Vec<(Vec<String>, Definition)>) {
        all.push((words.to_vec(), command.clone()));
        for below in command.get_subcommands() {
            if below.get_name() != "help" {
                walk(&[words, &[below.get_name().to_owned()]].concat(), below, all);
            }
        }
    }
    let mut all = Vec::new();
    let mut program = Cli::command();
    program.build();
    walk(&["rewardpool".to_owned()], &program, &mut all);
    assert!(all.len() > 30, "the walk is broken");
    all
}

fn behind_options(command: &Definition) -> String {
    let text = command.get_after_long_help().or_else(|| command.get_after_help());
    text.map(ToString::to_string).unwrap_or_default()
}

/// The lines of a text that are examples, without what stands beside them.
fn examples(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim_start).filter(|line| {
        let first = line.split_whitespace().next();
        first == Some("rewardpool") && !line.contains(": ")
    });
    lines.map(|line| line.split("  ").next().unwrap_or(line)).collect()
}

/// The commands of a line of a shell, each as its words.
fn shell_words(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words) = (Vec::new(), Vec::new());
    let (mut word, mut quote) = (None::<String>, None);
    for letter in line.chars().chain([' ']) {
        match (quote, letter) {
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            // What another command prints is one word, too.
            (None, '(') => quote = Some(')'),
            (None, ' ') => words.extend(word.take()),
            (_, other) => word.get_or_insert_default().push(other),
        }
    }
    assert_eq!(quote, None, "{line}");
    let mut words = words.into_iter();
    let mut command = Vec::new();
    while let Some(word) = words.next() {
        match &*word {
            "|" | "||" | "&&" => commands.push(std::mem::take(&mut command)),
            ">" => drop(words.next()),
            _ => command.push(word),
        }
    }
    commands.push(command);
    commands
}

#[test]
fn the_definition_of_the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_a_summary_of_one_line() {
    for (words, command) in every_command() {
        let name = words.join(" ");
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.contains('\n'), "{name}: {about:?}");
        assert!(about.chars().count() <= SUMMARY_MAX, "{name}: {about:?} is long");
        let is_title = about.starts_with(char::is_uppercase) && !about.ends_with('.');
        assert!(is_title || words.len() == 1, "{name}: {about:?}");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty(), "{name}: {} has no help", argument.get_id());
        }
    }
}

#[test]
fn every_command_has_examples_and_they_parse() {
    for (words, command) in every_command() {
        let (name, text) = (words.join(" "), behind_options(&command));
        assert!(text.starts_with("Example"), "{name} has no examples: {text:?}");
        let examples = examples(&text);
        let last = words.last().expect("at least the program");
        let is_of_it = |example: &&str| example.split_whitespace().any(|word| word == last);
        assert!(examples.iter().any(is_of_it), "{name}: no example is of it: {examples:?}");
        for line in text.lines() {
            assert!(line.chars().count() <= LINE_MAX, "{name}: {line:?} is long");
        }
        for command in examples.iter().flat_map(|example| shell_words(example)) {
            if command.first().is_some_and(|program| program == "rewardpool") {
                let parsed = Cli::command().try_get_matches_from(&command);
                assert!(parsed.is_ok(), "{name}: {command:?}: {}", parsed.unwrap_err());
            }
        }
    }
}

#[test]
fn lines_of_a_shell_are_read_as_by_one() {
    let line = "a -o json | jq '.b c' && rewardpool x --y=\"1 2\" $(d e) > file || c";
    let words: Vec<String> = shell_words(line).iter().map(|words| words.join("_")).collect();
    assert_eq!(words, ["a_-o_json", "jq_.b c", "rewardpool_x_--y=1 2_$d e", "c"]);
    let text =
        "Examples:\n  rewardpool a       Tells b\n    rewardpool c | head\nrewardpool is: no";
    assert_eq!(examples(text), ["rewardpool a", "rewardpool c | head"]);
}
