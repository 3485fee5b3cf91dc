//! What a person sees on a terminal, and what a file or a pipe gets instead.
use std::process::Command;
use std::time::Duration;

use insta::assert_snapshot;

use crate::program::{Run, command};
use crate::service::{CONFIG, Service};
use crate::terminal::Terminal;

const LONG: &str = "\
test_mode: true
pool:
  seed: \"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"
  catalog:
    - { item_id: a voucher for ten percent off of the next order, quantity: 12345, weight: 3 }
    - { item_id: 金の延べ棒, quantity: 7, weight: 1 }
    - { item_id: sticker, quantity: -1, weight: 96 }
log:
  format: json
";

fn client(service: &Service, words: &str) -> Command {
    let mut command = command(words.split_whitespace());
    command.env("REWARDPOOL_ADDR", &service.address).current_dir(service.home.path());
    command
}

/// On a terminal of this width; the styles are shown by their codes.
fn on_terminal(command: Command, columns: u16) -> (i32, String) {
    let (code, text) = Terminal::start(command, columns, 24).finish();
    (code, settled(&text.replace('\u{1b}', "␛")))
}

/// Without the LSN, which depends on how long the service was idle.
fn settled(text: &str) -> String {
    let (before, after) = text.split_once(", lsn ").unwrap_or((text, ""));
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    if after.is_empty() { before.to_owned() } else { format!("{before}, lsn N{after}") }
}

#[test]
fn a_table_fits_the_terminal() {
    let service = Service::start(LONG);
    service.run("draw -n 2000").good();
    let at = |columns| on_terminal(client(&service, "state"), columns).1;
    assert_snapshot!("state_on_a_wide_terminal", at(120));
    assert_snapshot!("state_on_a_narrow_terminal", at(76));
    assert_snapshot!("state_in_a_file", settled(&service.run("state").good().stdout));
    let words = "simulate --config rewardpool.yaml -n 100000 --seed 1 --runs 3";
    let simulated = on_terminal(client(&service, words), 80).1;
    assert_snapshot!("simulate_on_a_terminal", simulated);
}

#[test]
fn colour_is_for_terminals_whose_owner_likes_it() {
    let service = Service::start(CONFIG);
    let looks = |variables: &[(&str, &str)]| {
        let mut good = client(&service, "state");
        let mut wrong = client(&service, "pool resume");
        let mut typo = client(&service, "stat");
        let texts = [&mut good, &mut wrong, &mut typo].map(|command| {
            command.envs(variables.iter().copied());
            on_terminal(std::mem::replace(command, Command::new("")), 80).1
        });
        texts.map(|text| text.contains('␛'))
    };
    service.run("pool pause").good();
    // `pool resume` is no error, and changes what follows; so a pool that is not there.
    assert_eq!(looks(&[("REWARDPOOL_POOL", "nothing")]), [true, true, true]);
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
        let pool = ("REWARDPOOL_POOL", "nothing");
        assert_eq!(looks(&[pool, variable]), [false, false, false], "{variable:?}");
    }
    for words in ["state", "state --pool nothing", "stat", "--help"] {
        let run = service.run(words);
        assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{run:?}");
    }
}

#[test]
fn counts_have_separators_only_for_people() {
    let service = Service::start(LONG);
    let (_, text) = on_terminal(client(&service, "draw -n 10000"), 80);
    assert!(text.ends_with("10,000 draws, numbered from 1\n"), "{text}");
    assert!(
        service.run("draw -n 10000").good().stdout.ends_with("10000 draws, numbered from 10001\n")
    );
    let (_, text) = on_terminal(client(&service, "state"), 80);
    assert!(text.contains("20,000 draws: 20,000 awards, 0 empty\n"), "{text}");
    let (_, json) = on_terminal(client(&service, "state -o json"), 80);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["draws"], 20_000);
}

#[test]
fn watching_shows_it_again_in_the_same_place() {
    let service = Service::start(CONFIG);
    let mut terminal = Terminal::start(client(&service, "state --watch 0.1"), 80, 6);
    let first = terminal.wait_for("\u{1b}[J");
    assert!(first.starts_with("\u{1b}[Hpool default (active)"), "{first:?}");
    assert!(first.contains("0 draws: 0 awards, 0 empty\u{1b}[K"), "{first:?}");
    // Six rows have room for five lines, the last of which is the first item.
    assert_eq!(first.matches("\u{1b}[K").count(), 5, "{first:?}");
    assert!(!first.contains("gold"), "{first:?}");
    service.run("draw -n 50").good();
    terminal.wait_for("50 draws: 50 awards, 0 empty; ");
    assert!(terminal.wait_for("draws/s\u{1b}[K").len() > 7);

    // In a pipe, one object a line.
    let mut words = client(&service, "state --watch 0.1 -o json");
    let mut child = words.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    for _ in 0..3 {
        let value: serde_json::Value =
            serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(value["draws"], 50);
    }
    // Nobody reads any more, which the next line finds out.
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

#[test]
fn a_long_simulation_shows_how_far_it_is() {
    let mut terminal =
        Terminal::start(command(["simulate", "-n", "1000000000000", "--seed", "1"]), 80, 24);
    terminal.wait_for("simulating [");
    let kill = Command::new("kill").args(["-INT", &terminal.child_id().to_string()]).status();
    assert!(kill.unwrap().success());
    let (code, text) = terminal.finish();
    assert_eq!(code, 130);
    assert!(text.contains("ITEM") && text.contains("the simulation was ended early"), "{text}");
    // A short one has no bar.
    let short = command(["simulate", "-n", "10", "--seed", "1"]);
    let (code, text) = Terminal::start(short, 80, 24).finish();
    assert!(code == 0 && !text.contains("simulating ["), "{text}");
}

/// A service that accepts and never answers, within the time that is given.
#[test]
fn a_timeout_ends_the_wait() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let begun = std::time::Instant::now();
    for words in ["state --timeout 200ms", "status"] {
        let mut command = command(words.split_whitespace());
        command.env("REWARDPOOL_ADDR", &address).env("REWARDPOOL_TIMEOUT", "300ms");
        let run = Run::new(command.output().unwrap()).expect(69);
        assert!(run.stderr.contains("hint: "), "{run:?}");
    }
    assert!(begun.elapsed() >= Duration::from_millis(500));
    assert!(begun.elapsed() < Duration::from_secs(20), "not the default of a minute");
}
