//! Goal: every screen looks as it should, small and large. Method: each scene is drawn on a screen
//! in memory and compared with the one that is kept in `snapshots/`. Look at a changed one as a user
//! would; `INSTA_UPDATE=always cargo test -p rewardpool-tui` writes them anew.
use std::time::Duration;

use rewardpool_tui::app::Seat;
use rewardpool_tui::catalogue::{CatalogueChange, Difference, DifferenceLine, UnitsChange};
use rewardpool_tui::effect::Page;
use rewardpool_tui::event::{DrawEnd, DrawReport, Event, Key, Link, Problem, Reply, Stop};
use rewardpool_tui::look::Look;
use rewardpool_tui::model::{PoolStatus, Units};

use crate::scene::{Scene, item, pool, pools, status};

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

/// Compares a scene with the one that is kept, in both sizes.
#[track_caller]
fn check(name: &str, act: impl Fn(&mut Scene)) {
    for (columns, rows) in SIZES {
        let mut scene = Scene::new(columns, rows);
        act(&mut scene);
        insta::assert_snapshot!(format!("{name}-{columns}x{rows}"), scene.screen());
    }
}

fn report() -> DrawReport {
    let counts = [("mud", 31_873), ("log", 22_690), ("rock", 18_204), ("silver", 310)];
    let counts: Vec<(String, u64)> =
        counts.into_iter().map(|(item, count)| (item.to_owned(), count)).collect();
    DrawReport {
        drawn: counts.iter().map(|(_, count)| count).sum(),
        counts,
        empties: 0,
        listed: Vec::new(),
        took: Duration::from_millis(640),
        end: DrawEnd::Complete,
    }
}

#[test]
fn a_pool_that_is_drawn_from() {
    check("pool", |scene| {
        scene.draw_for(30, 500);
        let id = scene.send("d 3");
        let listed = [("mud", 65_883), ("gold", 65_884), ("mud", 65_885)];
        let listed = listed.map(|(item, number)| (number, Some(item.to_owned())));
        let report = DrawReport { drawn: 3, listed: listed.into(), ..DrawReport::default() };
        scene.reply(id, Reply::Drawn(Box::new(report)));
        let id = scene.send("u gold +50 25");
        let (before, after) = (item("gold", 20, 240, 760), item("gold", 25, 290, 760));
        scene.reply(id, Reply::Updated { before, after, catalog_version: 2, lsn: 65_990 });
        scene.enter("drwa 5");
    });
}

#[test]
fn draws_that_go_on_and_their_summary() {
    check("progress", |scene| {
        let id = scene.send("d 100000");
        scene.wait(400);
        scene.reply(id, Reply::Progress { drawn: 45_300, note: None });
        scene.write("u go");
        scene.keys([Key::Tab]);
    });
    check("summary", |scene| {
        let id = scene.send("d 100000");
        scene.wait(640);
        let end = DrawEnd::Lost {
            reason: "connection reset by peer".into(),
            found: 1000,
            not_made: 2000,
            unknown: 500,
        };
        scene.reply(id, Reply::Drawn(Box::new(DrawReport { end, ..report() })));
        let id = scene.send("d 73077");
        scene.wait(640);
        scene.reply(id, Reply::Drawn(Box::new(report())));
    });
}

#[test]
fn pools_that_are_empty_sold_out_unlimited_paused_closed_and_huge() {
    check("empty", |scene| {
        scene.state = pool(Vec::new());
        scene.show();
    });
    check("sold-out", |scene| {
        scene.state = pool(vec![
            item("diamond", 10, 0, 100),
            item("gold", 20, 0, 1000),
            item("a prize with a name that is far too long for its column", 1, 0, 7),
        ]);
        scene.show();
    });
    check("mixed", |scene| {
        let mut items = vec![
            item("unlimited", 10, -1, 123_456),
            item("never drawn", 0, 50, 0),
            item("retired", 20, 400, 600),
            item("one left", 1, 1, 9_999_999),
            item("huge", (u64::MAX >> 1) / 2, i64::MAX - 10, 10),
            item("金の延べ棒", 5, 70, 30),
        ];
        items[2].is_retired = true;
        items[2].is_drawable = false;
        scene.state = pool(items);
        scene.show();
        scene.draw_for(20, 100);
    });
    check("unlimited", |scene| {
        scene.state = pool(vec![item("mud", 70, -1, 24_310), item("log", 50, -1, 17_211)]);
        scene.show();
    });
    for (name, status) in [("paused", PoolStatus::Paused), ("closed", PoolStatus::Closed)] {
        check(name, |scene| {
            scene.state.status = status;
            scene.show();
        });
    }
    check("many-items", |scene| {
        let items = (501..1001)
            .map(|number| item(&format!("item-{number:07}"), number, 1_000_000, number * 300));
        scene.state = pool(items.collect());
        scene.state.item_count = 1_000_000;
        scene.state.next_page = "1000".into();
        scene.show();
        scene.keys([Key::Tab, Key::PageDown, Key::Down, Key::Down]);
    });
}

#[test]
fn the_service_is_gone_full_or_wrong() {
    check("disconnected", |scene| {
        let problem = refused_connection();
        scene.event(Event::Link(Link::Down { problem: problem.clone(), tries: 1 }));
        scene.wait(75_000);
        scene.event(Event::Link(Link::Down { problem, tries: 18 }));
        scene.enter("d 5");
    });
    check("back", |scene| {
        let problem = refused_connection();
        scene.event(Event::Link(Link::Down { problem, tries: 1 }));
        scene.wait(4_000);
        scene.event(Event::Link(Link::Up));
        scene.show();
    });
    check("disk-full", |scene| {
        scene.activity.is_out_of_space = true;
        scene.show();
    });
    check("not-conserved", |scene| {
        scene.activity.is_conserved = false;
        scene.show();
    });
    check("no-log", |scene| {
        scene.event(Event::NoLog(Problem::new("this service is too old to show it", "update it")));
    });
    for (columns, rows) in SIZES {
        let mut scene = Scene::unconnected(columns, rows);
        insta::assert_snapshot!(format!("connecting-{columns}x{rows}"), scene.screen());
        scene.event(Event::Link(Link::Down { problem: refused_connection(), tries: 1 }));
        insta::assert_snapshot!(format!("unanswered-{columns}x{rows}"), scene.screen());
    }
}

fn refused_connection() -> Problem {
    Problem::new("connection refused (os error 111)", "`rewardpool serve` starts one")
}

/// Without the right to look, every part says why it is empty.
#[test]
fn the_service_refuses_to_be_looked_at() {
    let problem =
        || Problem::new("the service wants a valid token", "start again with --token-file FILE");
    for (columns, rows) in SIZES {
        let mut scene = Scene::unconnected(columns, rows);
        scene.event(Event::Link(Link::Up));
        scene.event(Event::Unwatchable(problem()));
        for event in [Event::NoLog, Event::NoPools, Event::NoStatus] {
            scene.event(event(problem()));
        }
        for (key, tab) in [('1', "pool"), ('2', "pools"), ('3', "wal")] {
            scene.keys([Key::Char(key)]);
            insta::assert_snapshot!(format!("refused-{tab}-{columns}x{rows}"), scene.screen());
        }
        // As soon as it is shown, there is nothing to complain about.
        scene.show();
        assert!(!scene.screen().contains("! the service wants"), "{}", scene.screen());
    }
}

#[test]
fn the_embedded_service_drains() {
    for (columns, rows) in SIZES {
        let access = "serving on 127.0.0.1:50051".to_owned();
        let mut scene = Scene::at(Seat::Embedded { access }, columns, rows);
        scene.event(Event::Link(Link::Up));
        scene.show();
        scene.event(Event::Stop(Stop::Signal));
        insta::assert_snapshot!(format!("draining-{columns}x{rows}"), scene.screen());
    }
}

#[test]
fn help_is_read_on_any_screen() {
    check("help", |scene| scene.keys([Key::Char('?')]));
    check("help-end", |scene| {
        scene.keys([Key::Char('?'), Key::PageDown, Key::PageDown, Key::PageDown]);
    });
}

#[test]
fn text_is_filtered_and_searched() {
    let lines = |scene: &mut Scene| {
        for number in 0..60 {
            let id = scene
                .send(&format!("u {} +{number}", if number % 7 == 0 { "gold" } else { "mud" }));
            let lost = Problem::new("UNKNOWN_ITEM: there is no item like this", "look");
            scene.reply(id, Reply::Failed(lost));
        }
    };
    check("filter", |scene| {
        lines(scene);
        scene.write("/GOLD");
    });
    check("search", |scene| {
        lines(scene);
        scene.write("/gold");
        scene.keys([Key::Tab, Key::Up, Key::Up, Key::Enter]);
    });
    check("filter-items", |scene| {
        scene.keys([Key::Tab]);
        scene.write("/o");
        scene.keys([Key::Enter]);
    });
    check("filter-log", |scene| {
        scene.keys([Key::Tab, Key::Tab, Key::Tab]);
        scene.write("/error");
        scene.keys([Key::Enter]);
    });
    check("recall", |scene| {
        for line in ["help", "d", "pause now"] {
            scene.enter(line);
            scene.keys([Key::Esc]);
        }
        scene.keys([Key::Ctrl('r'), Key::Char('a')]);
    });
    check("scrolled", |scene| {
        lines(scene);
        scene.keys([Key::PageUp]);
    });
}

#[test]
fn questions_are_asked_before_what_cannot_be_taken_back() {
    check("confirm-reload", |scene| {
        let id = scene.send("r");
        let update = |item: &str, units, weight| CatalogueChange::Update {
            item: item.into(),
            units,
            weight,
        };
        let line = |item: &str, text: &str, is_changed| DifferenceLine {
            item: item.into(),
            text: text.into(),
            is_changed,
        };
        let lines = vec![
            line("diamond", "weight 10 → 12", true),
            line("gold", "granted 1 000 → 1 500 (+500)", true),
            line("mud", "runs, and the file does not have it: retire it by hand", false),
            line("ruby", "new: weight 5, quantity 20", true),
        ];
        let ruby =
            CatalogueChange::Add { item: "ruby".into(), weight: 5, units: Units::Limited(20) };
        let changes = vec![
            update("diamond", None, Some(12)),
            update("gold", Some(UnitsChange::Add(500)), None),
            ruby,
        ];
        let file = "/etc/rewardpool.yaml".into();
        scene.reply(
            id,
            Reply::Compared(Box::new(Difference { file, lines, changes, seen_version: 1 })),
        );
    });
    check("confirm-minus-one", |scene| scene.enter("u gold -1"));
    check("confirm-leave", |scene| {
        scene.send("d 100000");
        scene.enter("q");
    });
}

#[test]
fn the_other_tabs() {
    check("pools", |scene| {
        scene.keys([Key::Char('2')]);
        scene.event(Event::Pools(pools()));
        scene.keys([Key::Tab, Key::Down]);
    });
    check("wal", |scene| {
        scene.keys([Key::Char('3')]);
        scene.event(Event::Status(Box::new(status())));
    });
    check("wal-unknown", |scene| scene.keys([Key::Char('3')]));
    check("followers", |scene| scene.keys([Key::Char('4')]));
    check("status", |scene| {
        let id = scene.send("s");
        let (pool, service) = (Box::new(scene.state.clone()), Box::new(status()));
        let activity = Some(scene.activity.clone());
        scene.reply(id, Reply::Status { pool, activity, service });
    });
}

#[test]
fn words_that_fit_are_offered() {
    check("offer", |scene| {
        scene.write("u ");
        scene.keys([Key::Tab, Key::Tab, Key::Tab]);
    });
}

#[test]
fn small_and_poor_terminals() {
    for (columns, rows) in [(40, 10), (1, 1), (56, 15), (55, 40), (300, 14)] {
        let mut scene = Scene::new(columns, rows);
        scene.draw_for(30, 500);
        insta::assert_snapshot!(format!("size-{columns}x{rows}"), scene.screen());
    }
    let look = Look { has_colours: false, has_unicode: false };
    let mut scene = Scene::new(80, 24).with_look(look);
    scene.draw_for(30, 500);
    let id = scene.send("u gold +50");
    let (before, after) = (item("gold", 20, 240, 760), item("gold", 20, 290, 760));
    scene.reply(id, Reply::Updated { before, after, catalog_version: 2, lsn: 65_990 });
    assert!(scene.screen().is_ascii(), "{}", scene.screen());
    insta::assert_snapshot!("ascii-80x24", scene.screen());
}

/// After a resize and before its event, the state has the old size; that must not be drawn.
#[test]
fn a_page_of_the_wrong_pool_is_not_shown() {
    let mut scene = Scene::new(80, 24);
    let before = scene.screen();
    scene.state.awards += 1000;
    scene.show_page(Page { pool: "other".into(), token: String::new() });
    scene.show_page(Page { pool: String::new(), token: "500".into() });
    assert_eq!(scene.screen(), before);
}
