//! Goal: who attaches never harms the service, and is told when it goes away. Method: a service of
//! its own, killed, stopped and started while a terminal shows it.
use std::process::Command;

use super::service::Service;
use super::terminal::{self, SIZES, Terminal, is_running, signal, verify};

fn attach(service: &Service, size: (u16, u16)) -> Terminal {
    let mut terminal = Terminal::new(size);
    terminal.start(&format!("tui --attach {}", service.address()));
    terminal.wait_text("diamond");
    terminal
}

#[test]
fn quitting_leaves_the_service_running() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path());
    for size in SIZES {
        let one = attach(&service, size);
        let other = attach(&service, size);
        one.command("d 7", "(request ");
        // What one does, the other sees.
        one.command("u diamond 55", "→ 55");
        other.wait_text("55 / ");
        other.enter("q");
        assert_eq!(other.wait_end(), 0);
        one.keys(&["C-d"]);
        assert_eq!(one.wait_end(), 0);
        assert!(is_running(service.process()));
        service.ask(&["update", "diamond", "--quantity", "100"]);
    }
    // A window that is closed is no reason to stop, either.
    let terminal = attach(&service, (80, 24));
    let process = terminal.child();
    terminal.close();
    terminal::wait_gone(process);
    service.ask(&["draw"]);
}

#[test]
fn a_service_that_goes_away_is_waited_for() {
    if !terminal::is_here() {
        return;
    }
    for size in SIZES {
        let home = tempfile::tempdir().unwrap();
        let mut service = Service::start(home.path());
        let terminal = attach(&service, size);
        terminal.command("d 5", "(request 5)");
        service.kill();
        terminal.wait_text("the service is gone since");
        terminal.wait_text("reconnecting (try ");
        terminal.command("d 5", "nothing was sent");
        service.restart();
        terminal.wait_text("the service is back");
        let screen = terminal.wait_for("no banner", |screen| !screen.contains("reconnecting"));
        assert!(screen.contains("connected"), "{screen}");
        terminal.command("s", "5 draws: 5 awards");
        // What was entered before is still there.
        terminal.keys(&["Tab", "Tab", "Home"]);
        terminal.wait_text("> d 5");
        terminal.wait_text("(request 5)");
    }
}

/// The service is stopped, so that draws are sent and not answered, and then killed: they were not
/// made, and the terminal finds that out by their keys and repeats nothing.
#[test]
fn draws_of_a_broken_connection_are_asked_for_and_not_repeated() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut service = Service::start(home.path());
    let terminal = attach(&service, (80, 24));
    terminal.command("d 3", "(request 3)");
    signal("STOP", service.process());
    terminal.command("d 50000", "drawing");
    terminal.wait_text("no word from the service");
    service.kill();
    terminal.wait_text("asking what became of 2 000 draws");
    service.restart();
    terminal.wait_text("2 000 draws were under way and had not been made");
    terminal.wait_text("nothing is repeated by itself");
    terminal.command("s", "3 draws: 3 awards");
    terminal.enter("q");
    assert_eq!(terminal.wait_end(), 0);
}

#[test]
fn a_service_that_stops_says_so() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path());
    let terminal = attach(&service, (80, 24));
    signal("TERM", service.process());
    terminal.wait_text("the service is gone since");
    terminal::wait_gone(service.process());
    verify(&home.path().join("data"));
    terminal.enter("q");
    assert_eq!(terminal.wait_end(), 0);
}

#[test]
fn a_service_that_is_not_there_yet_is_waited_for() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut service = Service::start(home.path());
    service.kill();
    let terminal = Terminal::new((80, 24));
    let binary = terminal::binary();
    terminal.shell(&format!(
        "{} tui --attach {}; echo code=$?",
        binary.display(),
        service.address()
    ));
    terminal.wait_text("no service answers");
    terminal.wait_text("trying again (try ");
    service.restart();
    terminal.wait_text("diamond");
    terminal.enter("pool nowhere");
    terminal.wait_text("there is ");
    terminal.enter("r");
    terminal.wait_text("start the terminal with --config FILE");
    terminal.enter("q");
    assert_eq!(terminal.wait_end(), 0);
}

/// A million draws in a second by somebody else: the screen follows.
#[test]
fn the_screen_answers_while_others_draw() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path());
    let terminal = attach(&service, (80, 24));
    let mut load = Command::new(terminal::binary())
        .args(["bench", "grpc", "--yes", "--seconds", "4", "--count", "100", "--pool", "default"])
        .args(["--addr", service.address()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    terminal.wait_for("draws", |screen| !screen.contains(" 0/s") && screen.contains("draws/s"));
    terminal.command("help", "Commands");
    terminal.keys(&["Escape"]);
    terminal.command("u diamond +1000", "diamond: quantity");
    assert!(load.wait().unwrap().success());
}
