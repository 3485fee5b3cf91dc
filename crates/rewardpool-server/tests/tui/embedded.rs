//! Goal: the service in the terminal's own process serves others as well, and whatever ends the
//! terminal drains it and gives the terminal back. Method: signals, the end of the window and the
//! keys of job control, and then a look at the shell, the exit code and the directory.
use std::fs;
use std::process::Command;

use super::service::{Service, config};
use super::terminal::{self, SIZES, Terminal, binary, signal, verify, wait_gone};

fn embedded(size: (u16, u16), arguments: &str) -> Terminal {
    let mut terminal = Terminal::new(size);
    config(terminal.home());
    terminal.start(&format!("tui --config config.yaml {arguments}"));
    terminal.wait_text("diamond");
    terminal
}

/// The draws that a directory remembers.
fn draws(terminal: &Terminal) -> String {
    let data = terminal.home().join("data");
    verify(&data);
    let state = Command::new(binary())
        .args(["state", "--pool", "default", "--dir"])
        .arg(&data)
        .output()
        .unwrap();
    let text = String::from_utf8(state.stdout).unwrap();
    text.lines().find(|line| line.contains("draws")).unwrap_or_default().to_owned()
}

#[test]
fn every_way_to_leave_drains_and_restores_the_terminal() {
    if !terminal::is_here() {
        return;
    }
    for size in SIZES {
        for way in ["q", "C-d", "C-c", "TERM", "INT", "HUP", "QUIT"] {
            let terminal = embedded(size, "");
            terminal.command("d 5000", "5 000 draws in");
            match way {
                "q" => terminal.enter("quit"),
                "C-d" => terminal.keys(&["C-d"]),
                "C-c" => {
                    terminal.keys(&["C-c"]);
                    terminal.wait_text("once more");
                    terminal.keys(&["C-c"]);
                }
                name => signal(name, terminal.child()),
            }
            assert_eq!(terminal.wait_end(), 0, "{way}: {}", terminal.stderr());
            assert!(draws(&terminal).starts_with("5000 draws"), "{way}: {}", draws(&terminal));
        }
    }
}

#[test]
fn a_window_that_is_closed_drains_the_service() {
    if !terminal::is_here() {
        return;
    }
    let terminal = embedded((80, 24), "");
    terminal.command("d 5000", "5 000 draws in");
    let process = terminal.child();
    terminal.close();
    wait_gone(process);
    assert!(draws(&terminal).starts_with("5000 draws"));
}

#[test]
fn draws_under_way_are_cancelled_and_counted_before_it_ends() {
    if !terminal::is_here() {
        return;
    }
    let terminal = embedded((200, 60), "");
    terminal.command("d 900000000", "Esc cancels");
    terminal.wait_for("draws", |screen| !screen.contains(" 0 / 900"));
    terminal.keys(&["Escape"]);
    terminal.wait_text("cancelled; what was answered is counted above");
    let screen = terminal.screen();
    let told = screen.lines().find(|line| line.contains(" draws in ")).expect("a summary");
    let told = told.split(" draws in").next().unwrap().replace(' ', "");
    terminal.command("d 900000000", "Esc cancels");
    terminal.command("q", "Cancel the rest and stop the service?");
    terminal.keys(&["n"]);
    terminal.wait_text("Esc cancels");
    terminal.keys(&["Escape"]);
    terminal.wait_for("the end of it", |screen| !screen.contains("drawing"));
    terminal.enter("q");
    assert_eq!(terminal.wait_end(), 0);
    let kept = draws(&terminal);
    let kept: u64 = kept.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kept > told.parse().unwrap(), "{kept} draws after {told}");
}

#[test]
fn the_shell_gets_the_terminal_for_a_while() {
    if !terminal::is_here() {
        return;
    }
    let terminal = embedded((80, 24), "");
    for way in ["C-z", "TSTP"] {
        if way == "C-z" {
            terminal.keys(&["C-z"]);
        } else {
            signal(way, terminal.child());
        }
        terminal.wait_text("Stopped");
        terminal.shell("echo back-$((40 + 2)); stty -a");
        terminal.wait_text("back-42");
        terminal.wait_text(" icanon ");
        assert!(terminal.stderr().contains("stands still until `fg`"), "{}", terminal.stderr());
        terminal.shell("fg");
        terminal.wait_text("1 Pool");
        terminal.command("d", "(request ");
    }
    terminal.enter("q");
    // After `fg` the shell continues with nothing, so the code is asked for.
    terminal.wait_for("the shell", |screen| screen.trim_end().ends_with("shell%"));
    verify(&terminal.home().join("data"));
}

#[test]
fn others_are_served_meanwhile() {
    if !terminal::is_here() {
        return;
    }
    let terminal = embedded((80, 24), "");
    let screen = terminal.wait_text("embedded, on 127.0.0.1:");
    let (_, rest) = screen.split_once("embedded, on ").unwrap();
    let address = rest.split_whitespace().next().unwrap();
    let drawn = Command::new(binary())
        .args(["draw", "-n", "10", "--pool", "default", "--addr", address])
        .output()
        .unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    terminal.wait_text("request 10 ");
    // A second one here is told what to do.
    let second = Terminal::new((80, 24));
    second.shell(&format!(
        "{} tui --working-dir {}; echo code=$?",
        binary().display(),
        terminal.home().join("data").display()
    ));
    second.wait_text("code=73");
    second.wait_text("tui --attach");
}

#[test]
fn an_address_that_is_taken_keeps_only_others_out() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path());
    let terminal = embedded((200, 60), &format!("--listen {}", service.address()));
    terminal.wait_text("embedded, serving nobody else: port");
    terminal.command("d 3", "(request 3)");
    terminal.enter("q");
    assert_eq!(terminal.wait_end(), 0);
}

#[test]
fn the_log_goes_to_the_screen_and_to_a_file_when_asked() {
    if !terminal::is_here() {
        return;
    }
    let terminal = embedded((80, 24), "--log-file service.log");
    terminal.wait_text("INFO  listening");
    terminal.command("snapshot", "up to lsn");
    terminal.enter("q");
    assert_eq!(terminal.wait_end(), 0);
    let log = fs::read_to_string(terminal.home().join("service.log")).unwrap();
    for message in ["recovered", "pool created", "listening", "stopping", "stopped"] {
        assert!(log.contains(&format!("\"message\":\"{message}\"")), "{message}: {log}");
    }
    // Only where the data is was said before the screen was taken.
    assert_eq!(terminal.stderr().lines().count(), 1, "{}", terminal.stderr());
}

#[test]
fn no_arguments_on_a_terminal_show_the_sample() {
    if !terminal::is_here() {
        return;
    }
    let mut terminal = Terminal::new((80, 24));
    // The port of the sample may be taken on this machine; then others are not served.
    terminal.start("");
    terminal.wait_text("silver");
    terminal.command("d 5", "(request 5)");
    terminal.enter("q");
    assert_eq!(terminal.wait_end(), 0);
    verify(&terminal.home().join("rewardpool-data"));
}
