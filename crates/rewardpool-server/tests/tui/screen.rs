//! Goal: the screen can be used without a manual: tabs, completion, earlier commands, filters, the
//! mouse and a terminal that changes its size. Method: keys in a real terminal, and its screen.
use super::service::config;
use super::terminal::{self, SIZES, Terminal};

fn embedded(size: (u16, u16)) -> Terminal {
    let mut terminal = Terminal::new(size);
    config(terminal.home());
    terminal.start("tui --config config.yaml");
    terminal
}

/// The row of the screen with a text.
fn row(screen: &str, text: &str) -> usize {
    screen.lines().position(|line| line.contains(text)).expect(text)
}

#[test]
fn tabs_show_pools_segments_and_followers() {
    if !terminal::is_here() {
        return;
    }
    for size in SIZES {
        let terminal = embedded(size);
        terminal.command("snapshot", "up to lsn");
        terminal.keys(&["2"]);
        terminal.wait_for("both pools", |screen| {
            screen.contains("* default") && screen.contains("vip")
        });
        terminal.keys(&["3"]);
        terminal.wait_text("wal.000");
        terminal.wait_text("snapshot.");
        terminal.wait_text("ago)");
        let data = terminal.home().join("data");
        terminal.wait_text(&data.to_str().unwrap()[..20]);
        terminal.keys(&["4"]);
        terminal.wait_text("No followers: streaming is not configured");
        terminal.keys(&["1"]);
        terminal.wait_text("diamond");
        // In the list, arrows choose and Enter begins to change.
        terminal.keys(&["Tab", "Down", "Enter"]);
        terminal.wait_text(" > update gold");
        terminal.keys(&["C-u", "2", "Tab"]);
        terminal.wait_text("Enter show the pool");
        terminal.keys(&["Down", "Enter"]);
        terminal.wait_text("ticket");
    }
}

#[test]
fn the_line_is_completed_recalled_and_edited() {
    if !terminal::is_here() {
        return;
    }
    for size in SIZES {
        let terminal = embedded(size);
        terminal.write("up");
        terminal.keys(&["Tab"]);
        terminal.write("gol");
        terminal.keys(&["Tab"]);
        terminal.wait_text("gold  \"golden rose\"");
        terminal.keys(&["Tab"]);
        terminal.write(" +5");
        terminal.keys(&["Enter"]);
        terminal.wait_text("gold: quantity 1 000 → 1 005");
        terminal.command("resume", "resume");
        terminal.keys(&["Up", "Up"]);
        terminal.wait_text(" > update gold +5");
        terminal.keys(&["Home", "C-Right", "C-Right", "C-k", "C-w"]);
        terminal.wait_text(" > update ");
        terminal.keys(&["C-c"]);
        terminal.wait_text("type a command");
        terminal.keys(&["C-r", "g", "o"]);
        terminal.wait_text("(earlier commands with `go`) update gold +5");
        terminal.keys(&["Enter"]);
        terminal.wait_text("gold: quantity 1 005 → 1 010");
        // A pasted text executes nothing by its line ends.
        terminal.write("\u{1b}[200~d 1\nd 2\n\u{1b}[201~");
        terminal.wait_text(" > d 1 d 2");
        terminal.keys(&["C-u"]);
    }
}

#[test]
fn history_and_log_are_filtered_searched_and_scrolled() {
    if !terminal::is_here() {
        return;
    }
    for size in SIZES {
        let terminal = embedded(size);
        for number in 0..60 {
            terminal.enter(&format!("nothing{number}"));
        }
        terminal.wait_text("> nothing59");
        terminal.write("/nothing1");
        terminal.wait_for("the filter", |screen| {
            screen.contains("filter: nothing1") && !screen.contains("nothing59")
        });
        terminal.keys(&["Enter"]);
        terminal.keys(&["Escape"]);
        terminal.wait_text("> nothing59");
        terminal.write("/NOTHING7");
        terminal.keys(&["Tab"]);
        terminal.wait_text("search: NOTHING7 (1 of ");
        // Keys that come at once would be one key with Alt.
        terminal.keys(&["Escape"]);
        terminal.wait_for("no search", |screen| !screen.contains("search:"));
        terminal.keys(&["Home"]);
        terminal.wait_text("> nothing0");
        terminal.keys(&["End"]);
        terminal.wait_text("> nothing59");
        terminal.keys(&["Tab"]);
        terminal.write("/listening");
        terminal.wait_text("filter: listening (1 lines)");
    }
}

#[test]
fn the_mouse_clicks_and_scrolls() {
    if !terminal::is_here() {
        return;
    }
    for size in SIZES {
        let terminal = embedded(size);
        terminal.click(14, 2);
        let screen = terminal.wait_text("* default");
        let vip = row(&screen, "vip");
        terminal.click(6, vip);
        terminal.wait_text("▸   vip");
        terminal.click(6, vip);
        terminal.wait_text("ticket");
        terminal.click(23, 2);
        terminal.wait_text("wal.000");
        terminal.click(3, 2);
        terminal.keys(&["?"]);
        terminal.wait_text("Commands");
        if size.1 < 40 {
            for _ in 0..10 {
                terminal.wheel_down(20, 10);
            }
            terminal.wait_text("What is seen");
        }
    }
}

#[test]
fn another_size_is_another_picture() {
    if !terminal::is_here() {
        return;
    }
    let terminal = embedded((80, 24));
    terminal.resize((200, 60));
    let wide = terminal.wait_for("the large picture", |screen| {
        screen.lines().count() == 60 && screen.contains("awarded")
    });
    assert!(wide.lines().last().unwrap().contains("quit"), "{wide}");
    terminal.resize((40, 10));
    terminal.wait_text("too small: 56 x 15 at least");
    terminal.resize((56, 15));
    terminal.wait_for("the small picture", |screen| {
        screen.contains("diamond") && screen.contains(" > ")
    });
    terminal.resize((80, 24));
    terminal.wait_for("the first picture", |screen| {
        screen.lines().count() == 24 && screen.contains("left / granted")
    });
    // Nothing of the other pictures is left behind.
    terminal.keys(&["C-l"]);
    let once = terminal.wait_text("diamond");
    assert_eq!(once.matches("diamond").count(), 1, "{once}");
    assert_eq!(once.matches("History").count(), 1, "{once}");
}

#[test]
fn colours_are_those_of_the_terminal_and_none_when_not_wanted() {
    if !terminal::is_here() {
        return;
    }
    for (variables, has_colours) in [("", true), ("NO_COLOR=1", false)] {
        let mut terminal = Terminal::new((80, 24));
        config(terminal.home());
        terminal.start_with(variables, "tui --config config.yaml");
        terminal.wait_text("diamond");
        let raw = terminal.coloured();
        let codes: Vec<&str> = raw
            .split("\u{1b}[")
            .skip(1)
            .filter_map(|part| part.split_once('m').map(|(codes, _)| codes))
            .flat_map(|codes| codes.split(';'))
            .collect();
        // The 16 colours, by either way to ask for them, and no backgrounds.
        let mut has_any = false;
        for place in 0..codes.len() {
            has_any |= matches!(codes[place], "31" | "32" | "33" | "36" | "38");
            assert!(!matches!(codes[place], "40" | "41" | "42" | "43" | "44" | "47" | "48"));
            if codes[place] == "38" {
                assert_eq!(codes[place + 1], "5", "{codes:?}");
                assert!(codes[place + 2].parse::<u32>().unwrap() < 16, "{codes:?}");
            }
        }
        assert_eq!(has_any, has_colours, "{codes:?}");
    }
}
