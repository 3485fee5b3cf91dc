//! Goal: who cannot be shown a screen is told why and what to do instead. Method: the program without
//! a terminal, with a poor one, and with options that exclude each other.
use std::process::{Command, Stdio};

use super::terminal::{self, Terminal, binary};

fn run(words: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(binary())
        .args(words)
        .env_remove("REWARDPOOL_ADDR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(run.stdout.is_empty());
    (run.status.code(), String::from_utf8(run.stderr).unwrap())
}

#[test]
fn without_a_terminal_the_other_ways_are_named() {
    for words in [&["tui"][..], &["tui", "--attach"], &["tui", "--attach", "http://127.0.0.1:1"]] {
        let (code, said) = run(words);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains("is not a terminal"), "{said}");
        assert!(said.contains("rewardpool serve"), "{said}");
    }
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    for words in [
        &["tui", "--attach", "--working-dir", "x"][..],
        &["tui", "--attach", "--listen", ":0"],
        &["tui", "--attach", "ftp://x:1"],
        &["tui", "--attach", "x"],
    ] {
        let (code, said) = run(words);
        assert_eq!(code, Some(64), "{words:?}: {said}");
    }
}

#[test]
fn a_terminal_that_cannot_place_text_is_refused() {
    if !terminal::is_here() {
        return;
    }
    let terminal = Terminal::new((200, 60));
    for kind in ["dumb", ""] {
        terminal.shell(&format!("TERM={kind} {} tui; echo code=$?", binary().display()));
        terminal.wait_text("code=64");
        terminal.wait_text("set TERM to what the terminal is");
    }
    terminal.shell(&format!("{} tui --addr 127.0.0.1:5; echo code=$?", binary().display()));
    terminal.wait_text("write --attach");
}
