//! Goal: each command does what the screen says, small and large, and the log keeps it. Method: a
//! person's keys in a real terminal over an embedded service, and the screen that comes; at the end
//! the directory is verified and the records are read.
use std::fs;
use std::process::Command;

use super::service::{CONFIG, config};
use super::terminal::{self, SIZES, Terminal, binary, verify};

fn embedded(size: (u16, u16)) -> Terminal {
    let mut terminal = Terminal::new(size);
    config(terminal.home());
    terminal.start("tui --config config.yaml");
    terminal
}

/// Leaves, and checks what was left behind. Gives the records of the log.
fn leave(terminal: &Terminal) -> String {
    terminal.enter("q");
    assert_eq!(terminal.wait_end(), 0, "{}", terminal.stderr());
    let data = terminal.home().join("data");
    verify(&data);
    let cat = Command::new(binary()).args(["wal", "cat", "--dir"]).arg(&data).output().unwrap();
    assert!(cat.status.success());
    String::from_utf8(cat.stdout).unwrap()
}

#[test]
fn draws_one_by_one_and_in_thousands() {
    if !terminal::is_here() {
        return;
    }
    for size in SIZES {
        let terminal = embedded(size);
        terminal.command("d", "(request 1)");
        terminal.command("draw 3", "(request 4)");
        // The screen goes on while they are drawn, and says how far it is.
        terminal.command("d 3000000", "drawing");
        terminal.wait_text(" / 3 000 000");
        terminal.command("s", "granted = left + awarded holds");
        terminal.wait_for("the end of it", |screen| !screen.contains("drawing"));
        terminal.command("s", "3 000 004 draws: 3 000 004 awards, 0 empty");
        terminal.write("/ odds ");
        let screen = terminal.wait_text("(6 lines)");
        assert!(screen.contains("odds  40.9 %"), "{screen}");
        terminal.keys(&["Escape"]);
        terminal.wait_text("3 000 004 draws");
        leave(&terminal);
    }
}

#[test]
fn updates_of_every_kind() {
    if !terminal::is_here() {
        return;
    }
    for size in SIZES {
        let terminal = embedded(size);
        terminal.command("u gold +50", "gold: quantity 1 000 → 1 050");
        terminal.command("u gold -20", "gold: quantity 1 050 → 1 030");
        terminal.command("update gold 200 7", "quantity 1 030 → 200, weight 20 → 7");
        terminal.command("u gold +0 9", "gold: weight 7 → 9");
        terminal.command("u gold unlimited", "gold: quantity 200 → unlimited");
        terminal.command("u gold 5", "gold: quantity unlimited → 5");
        terminal.command("u gold -1", "Make gold unlimited?");
        terminal.keys(&["m"]);
        terminal.wait_text("gold: quantity 5 → 4");
        terminal.command("u gold -1", "Make gold unlimited?");
        terminal.keys(&["Escape"]);
        terminal.wait_text("nothing was changed");
        terminal.command("u gold -1", "Make gold unlimited?");
        terminal.keys(&["y"]);
        terminal.wait_text("gold: quantity 4 → unlimited");
        terminal.command("u \"golden rose\" +1", "golden rose: quantity 5 → 6");
        // Refusals name the cause and the next step.
        terminal.command("u zinc +1", "there is no item `zinc`");
        terminal.command("u rock -999999", "the list shows how many units are left");
        terminal.command("u gold lots", "`lots` is no quantity");
        let records = leave(&terminal);
        assert!(records.contains("ann (tui)"), "who changed it is in the log: {records}");
    }
}

#[test]
fn pause_resume_snapshot_status_and_help() {
    if !terminal::is_here() {
        return;
    }
    for size in SIZES {
        let terminal = embedded(size);
        terminal.command("d 500", "500 awards");
        terminal.command("p", "the pool is paused");
        terminal.wait_text("default · paused");
        terminal.command("d", "`resume` lets the pool draw again");
        terminal.command("resume", "the pool draws again");
        terminal.wait_text("default · active");
        terminal.command("snapshot", "up to lsn");
        terminal.command("s", "500 draws: 500 awards, 0 empty");
        terminal.command("help", "Commands");
        terminal.keys(&["Escape"]);
        terminal.wait_text("Items");
        terminal.keys(&["?"]);
        terminal.wait_text("for example");
        terminal.keys(&["Escape"]);
        terminal.command("drwa 5", "did you mean `draw`?");
        leave(&terminal);
    }
}

#[test]
fn a_reload_shows_the_difference_and_asks() {
    if !terminal::is_here() {
        return;
    }
    for size in SIZES {
        let terminal = embedded(size);
        terminal.command("r", "says what runs: nothing to change");
        let changed = CONFIG
            .replace(
                "item_id: gold, quantity: 1000, weight: 20",
                "item_id: gold, quantity: 1500, weight: 25",
            )
            .replace("      - { item_id: mud, quantity: -1, weight: 70 }\n", "")
            .replace(
                "  - id: vip",
                "      - { item_id: ruby, quantity: 7, weight: 2 }\n  - id: vip",
            );
        fs::write(terminal.home().join("config.yaml"), changed).unwrap();
        terminal.command("reload", "Make 2 changes in the pool default?");
        terminal.wait_text("gold: weight 20 → 25, granted 1 000 → 1 500 (+500)");
        terminal.wait_text("mud: not in the file");
        terminal.keys(&["n"]);
        terminal.wait_text("nothing was changed");
        assert!(!terminal.screen().contains("7 / 7"));
        terminal.command("reload", "Make 2 changes in the pool default?");
        terminal.keys(&["y"]);
        terminal.wait_text("2 changes were made and logged");
        terminal.wait_text("1 500 / 1 500");
        terminal.wait_text("7 / 7");
        fs::write(terminal.home().join("config.yaml"), "pools: 3\n").unwrap();
        terminal.command("r", "the file has 1 fault");
        let records = leave(&terminal);
        assert!(records.contains("reload of the configuration"), "{records}");
    }
}

#[test]
fn pools_are_switched_and_sell_out() {
    if !terminal::is_here() {
        return;
    }
    for size in SIZES {
        let terminal = embedded(size);
        terminal.command("pool vp", "there is vip");
        terminal.write("pool v");
        terminal.keys(&["Tab", "Enter"]);
        terminal.wait_text("pool vip");
        terminal.wait_text("ticket");
        terminal.command("d 5", "empty: nothing is available");
        terminal.wait_text("sold out");
        terminal.wait_text("nothing is available: every draw is empty");
        // Requests of draws that nobody can win are not made for ever.
        terminal.command("d 100000", "were not made");
        terminal.command("u ticket +2", "ticket: quantity 0 → 2");
        terminal.wait_for("no banner", |screen| !screen.contains("every draw is empty"));
        terminal.command("pool default", "diamond");
        leave(&terminal);
    }
}
