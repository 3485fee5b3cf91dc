//! Goal: keys, the mouse and answers do what the screen says that they do. Method: events go into an
//! application; what it asks for and what it shows is looked at.
use ratatui::layout::Position;
use rewardpool_tui::app::{Phase, Seat, Tab};
use rewardpool_tui::catalogue::{CatalogueChange, Difference, DifferenceLine};
use rewardpool_tui::command::Change;
use rewardpool_tui::effect::{Call, Effect, Page};
use rewardpool_tui::event::{DrawEnd, DrawReport, Event, Key, Link, Mouse, Problem, Reply, Stop};
use rewardpool_tui::model::{Level, LogLine, PoolStatus};

use crate::scene::{Scene, item, pool, pools};

fn scene() -> Scene {
    Scene::new(80, 24)
}

/// The calls that were made since they were looked at last.
fn calls(scene: &mut Scene) -> Vec<Call> {
    let effects = std::mem::take(&mut scene.effects);
    let call = |effect| if let Effect::Call(_, call) = effect { Some(call) } else { None };
    effects.into_iter().filter_map(call).collect()
}

#[track_caller]
fn shows(scene: &Scene, text: &str) {
    assert!(scene.text().contains(text), "{text:?} is not on\n{}", scene.text());
}

#[track_caller]
fn hides(scene: &Scene, text: &str) {
    assert!(!scene.text().contains(text), "{text:?} is on\n{}", scene.text());
}

#[test]
fn every_command_becomes_its_call() {
    let pool = || "default".to_owned();
    let update = |change, weight| Call::Update {
        pool: pool(),
        item: "gold".into(),
        change,
        weight,
        seen_version: 1,
    };
    let cases = [
        ("d", Call::Draw { pool: pool(), count: 1 }),
        ("draw 500", Call::Draw { pool: pool(), count: 500 }),
        ("u gold +50", update(Change::Add(50), None)),
        ("update gold 200 7", update(Change::Set(200), Some(7))),
        ("u gold unlimited", update(Change::Unlimited, None)),
        ("s", Call::Status(pool())),
        ("reload", Call::Compare(pool())),
        ("p", Call::Pause(pool())),
        ("resume", Call::Resume(pool())),
        ("snapshot", Call::Snapshot),
        ("pool vip", Call::FindPool("vip".into())),
    ];
    for (line, call) in cases {
        let mut scene = scene();
        scene.effects.clear();
        scene.enter(line);
        assert_eq!(calls(&mut scene), [call], "{line}");
        shows(&scene, &format!("> {line}"));
    }
}

#[test]
fn nothing_is_sent_while_the_service_is_gone() {
    let mut scene = scene();
    scene.event(Event::Link(Link::Down { problem: Problem::new("refused", "wait"), tries: 1 }));
    scene.effects.clear();
    for line in ["d 5", "u gold +5", "p", "s"] {
        scene.enter(line);
    }
    assert_eq!(calls(&mut scene), []);
    shows(&scene, "nothing was sent");
    scene.event(Event::Link(Link::Up));
    shows(&scene, "the service is back");
    hides(&scene, "reconnecting");
    scene.enter("d 5");
    assert_eq!(calls(&mut scene).len(), 1);
}

/// Lines that take several rows must not push the oldest ones out of reach, nor be passed over.
#[test]
fn every_line_can_be_scrolled_to_whatever_its_length() {
    let mut scene = scene();
    for number in 0..40 {
        let rest = "and more ".repeat(number * 7 % 31);
        scene.event(Event::Note(format!("note {number}: {rest}")));
    }
    scene.keys([Key::Tab, Key::Tab, Key::Home]);
    shows(&scene, "note 0:");
    let note = |number: usize| format!("note {number}:");
    for (key, turns) in [(Key::PageDown, 40), (Key::PageUp, 40), (Key::Down, 60), (Key::Up, 60)] {
        let mut seen: Vec<usize> = Vec::new();
        for _ in 0..turns {
            let screen = scene.screen();
            seen.extend((0..40).filter(|number| screen.contains(&note(*number))));
            scene.keys([key]);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 40, "{key:?} shows only {seen:?}");
    }
}

/// A message that is longer than its part begins with its time and what it says.
#[test]
fn the_log_has_room_while_it_is_read_and_shows_the_beginning_of_a_long_message() {
    let mut scene = scene();
    let text = format!("audit {} and so on, to the end", "field=value ".repeat(30));
    let line = LogLine::new(9_000, 1_795_528_803_000, Level::Info, &text);
    scene.event(Event::Log(vec![line]));
    shows(&scene, "14:00:03 INFO  audit field=value");
    hides(&scene, "to the end");
    scene.keys([Key::Tab, Key::Tab, Key::Tab]);
    shows(&scene, "14:00:03 INFO  audit field=value");
    shows(&scene, "to the end");
}

#[test]
fn draws_that_were_all_refused_are_no_summary() {
    let mut scene = scene();
    let id = scene.send("d 5");
    let end = DrawEnd::Refused(Problem::new("the pool is paused", "`resume` lets it draw again"));
    scene.reply(id, Reply::Drawn(Box::new(DrawReport { end, ..DrawReport::default() })));
    shows(&scene, "the pool is paused; `resume` lets it draw again");
    hides(&scene, "draws in");
}

/// The share of what sold out is below its odds, and that has to look right.
#[test]
fn what_sold_out_in_a_draw_is_marked_in_its_summary() {
    let mut scene = scene();
    scene.state = pool(vec![item("gold", 10, 7, 0), item("mud", 90, -1, 0)]);
    scene.show();
    let id = scene.send("d 1000");
    let counts = vec![("mud".to_owned(), 993), ("gold".to_owned(), 7)];
    let report = DrawReport { drawn: 1000, counts, ..DrawReport::default() };
    scene.reply(id, Reply::Drawn(Box::new(report)));
    shows(&scene, "gold            7   0.70 %  odds  10.0 %  sold out");
    assert_eq!(scene.screen().matches("sold out").count(), 1, "{}", scene.screen());
}

#[test]
fn only_one_draw_runs_at_a_time_and_it_can_be_cancelled() {
    let mut scene = scene();
    let id = scene.send("d 100000");
    scene.enter("d");
    shows(&scene, "another draw is under way");
    scene.effects.clear();
    scene.keys([Key::Esc, Key::Esc, Key::Ctrl('c')]);
    let cancels = scene.effects.iter().filter(|effect| **effect == Effect::CancelDraw).count();
    assert_eq!(cancels, 1, "one word is enough");
    shows(&scene, "cancelling");
    scene.reply(id, Reply::Drawn(Box::default()));
    hides(&scene, "cancelling");
}

#[test]
fn an_ambiguous_minus_one_is_asked_for() {
    for (answer, change) in [
        (Key::Char('y'), Some(Change::Unlimited)),
        (Key::Char('M'), Some(Change::Add(-1))),
        (Key::Char('n'), None),
        (Key::Esc, None),
    ] {
        let mut scene = scene();
        scene.effects.clear();
        scene.enter("u gold -1");
        assert_eq!(calls(&mut scene), [], "nothing is done before the answer");
        scene.keys([Key::Char('x'), answer]);
        let found: Vec<Change> = calls(&mut scene)
            .into_iter()
            .filter_map(
                |call| if let Call::Update { change, .. } = call { Some(change) } else { None },
            )
            .collect();
        assert_eq!(found, change.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_reload_changes_nothing_without_a_yes() {
    let change = CatalogueChange::Update { item: "gold".into(), units: None, weight: Some(25) };
    let line =
        DifferenceLine { item: "gold".into(), text: "weight 20 → 25".into(), is_changed: true };
    let found = || Difference {
        file: "a.yaml".into(),
        lines: vec![line.clone()],
        changes: vec![change.clone()],
        seen_version: 4,
    };
    for (key, is_made) in [(Key::Char('y'), true), (Key::Char('n'), false), (Key::Enter, false)] {
        let mut scene = scene();
        let id = scene.send("r");
        scene.reply(id, Reply::Compared(Box::new(found())));
        shows(&scene, "Make 1 change in the pool default?");
        scene.effects.clear();
        scene.keys([key]);
        let made =
            Call::Apply { pool: "default".into(), changes: vec![change.clone()], seen_version: 4 };
        let expected = if is_made { vec![made] } else { Vec::new() };
        assert_eq!(calls(&mut scene), expected, "{key:?}");
    }
    let mut scene = scene();
    let id = scene.send("r");
    let same = Difference { file: "a.yaml".into(), ..Difference::default() };
    scene.reply(id, Reply::Compared(Box::new(same)));
    shows(&scene, "a.yaml says what runs");
}

#[test]
fn another_pool_is_shown_from_its_first_page() {
    let mut scene = scene();
    let id = scene.send("pool vip");
    scene.effects.clear();
    scene.reply(id, Reply::PoolFound("vip".into()));
    let page = Page { pool: "vip".into(), token: String::new() };
    let wanted: Vec<&Page> = scene
        .effects
        .iter()
        .filter_map(
            |effect| if let Effect::Want(wants) = effect { Some(&wants.page) } else { None },
        )
        .collect();
    assert_eq!(wanted, [&page]);
    hides(&scene, "diamond");
    let mut vip = pool(vec![item("ticket", 1, 5, 0)]);
    vip.pool = "vip".into();
    scene.state = vip;
    scene.show();
    shows(&scene, "ticket");
    shows(&scene, "pool vip");

    let id = scene.send("pool sumer");
    let problem = Problem::new("there is no pool `sumer`", "look");
    scene.reply(id, Reply::NoPool { problem, pools: pools() });
    shows(&scene, "there is no pool `sumer`; there is summer");
    shows(&scene, "pool vip");
}

#[test]
fn tab_completes_commands_items_and_pools() {
    let mut scene = scene();
    scene.event(Event::Pools(pools()));
    scene.event(Event::Names { pool: "default".into(), items: vec!["golden rose".into()] });
    scene.write("pau");
    scene.keys([Key::Tab]);
    shows(&scene, " > pause");
    scene.keys([Key::Ctrl('u')]);
    scene.write("u g");
    scene.keys([Key::Tab]);
    shows(&scene, "gold  \"golden rose\"");
    scene.keys([Key::Tab, Key::Tab]);
    shows(&scene, " > u \"golden rose\"");
    scene.keys([Key::BackTab, Key::Char(' '), Key::Char('+')]);
    shows(&scene, " > u gold +");
    scene.keys([Key::Esc]);
    scene.write("pool s");
    scene.keys([Key::Tab]);
    shows(&scene, " > pool summer");
}

#[test]
fn earlier_commands_come_back() {
    let mut scene = scene();
    for line in ["help", "status", "pool a b"] {
        scene.enter(line);
        scene.keys([Key::Esc]);
    }
    scene.write("dra");
    scene.keys([Key::Up, Key::Up]);
    shows(&scene, " > status");
    scene.keys([Key::Down, Key::Down]);
    shows(&scene, " > dra");
    scene.keys([Key::Ctrl('u'), Key::Ctrl('r'), Key::Char('s')]);
    shows(&scene, "(earlier commands with `s`) status");
    scene.effects.clear();
    scene.keys([Key::Enter]);
    assert!(matches!(calls(&mut scene)[..], [Call::Status(_)]));
    scene.keys([Key::Ctrl('r'), Key::Char('p'), Key::Ctrl('r'), Key::Right, Key::Backspace]);
    shows(&scene, " > hel");
}

#[test]
fn ctrl_c_takes_back_the_nearest_thing_and_leaves_only_when_asked_twice() {
    let mut scene = scene();
    scene.write("half");
    scene.keys([Key::Ctrl('c')]);
    hides(&scene, "half");
    assert_eq!(scene.app.phase(), Phase::Running);
    scene.keys([Key::Ctrl('c')]);
    shows(&scene, "Ctrl-C once more leaves");
    scene.wait(5000);
    scene.event(Event::Tick);
    hides(&scene, "once more");
    scene.keys([Key::Ctrl('c'), Key::Ctrl('c')]);
    assert_eq!(scene.app.phase(), Phase::Ended);
}

#[test]
fn leaving_an_attached_service_leaves_it_alone_and_an_embedded_one_drains() {
    let mut scene = scene();
    scene.effects.clear();
    scene.enter("quit");
    assert_eq!(scene.app.phase(), Phase::Ended);
    assert_eq!(scene.effects, []);

    for leave in [Event::Key(Key::Ctrl('d')), Event::Stop(Stop::Signal), Event::Stop(Stop::Hangup)]
    {
        let access = "serving on 127.0.0.1:50051".to_owned();
        let mut scene = Scene::at(Seat::Embedded { access }, 80, 24);
        scene.event(Event::Link(Link::Up));
        scene.show();
        scene.effects.clear();
        scene.event(leave);
        assert_eq!(scene.effects, [Effect::Drain]);
        assert_eq!(scene.app.phase(), Phase::Draining);
        shows(&scene, "draining");
        // Nothing that is typed now reaches the service, and it is asked once.
        scene.keys([Key::Char('d'), Key::Enter, Key::Ctrl('c'), Key::Ctrl('c')]);
        scene.event(Event::Stop(Stop::Signal));
        assert_eq!(scene.effects, [Effect::Drain]);
        let gone = Link::Down { problem: Problem::new("it stops", "wait"), tries: 1 };
        scene.event(Event::Link(gone));
        hides(&scene, "reconnecting");
        scene.event(Event::ServiceEnded);
        assert_eq!(scene.app.phase(), Phase::Ended);
    }
}

#[test]
fn draws_under_way_are_not_given_up_unasked() {
    let mut scene = scene();
    let id = scene.send("d 100000");
    scene.reply(id, Reply::Progress { drawn: 12_000, note: None });
    scene.effects.clear();
    scene.enter("q");
    shows(&scene, "12 000 of 100 000 draws are made");
    scene.keys([Key::Char('n')]);
    assert_eq!((scene.app.phase(), scene.effects.as_slice()), (Phase::Running, [].as_slice()));
    scene.enter("q");
    scene.keys([Key::Char('y')]);
    assert_eq!(scene.effects, [Effect::CancelDraw]);
    assert_eq!(scene.app.phase(), Phase::Leaving);
    scene.reply(id, Reply::Drawn(Box::new(DrawReport { drawn: 14_000, ..DrawReport::default() })));
    assert_eq!(scene.app.phase(), Phase::Ended);
}

#[test]
fn long_catalogues_are_paged_in_both_directions() {
    let mut scene = scene();
    let page = |scene: &mut Scene, first: u64, token: &str, next: &str| {
        let items = (first..first + 500).map(|number| item(&format!("item {number:04}"), 1, 9, 0));
        scene.state = pool(items.collect());
        scene.state.item_count = 1500;
        scene.state.next_page = next.into();
        scene.show_page(Page { pool: String::new(), token: token.into() });
    };
    page(&mut scene, 1, "", "500");
    shows(&scene, "item 0001");
    scene.keys([Key::PageDown]);
    hides(&scene, "item 0001");
    scene.keys([Key::Tab, Key::End]);
    shows(&scene, "item 0500");
    shows(&scene, "of 1 500");
    scene.keys([Key::PageDown]);
    assert_eq!(scene.app.wants().page.token, "500");
    shows(&scene, "turning the page");
    // Nothing is skipped while the page is on its way.
    scene.keys([Key::PageDown, Key::PageUp, Key::Up]);
    assert_eq!(scene.app.wants().page.token, "500");
    page(&mut scene, 501, "500", "1000");
    shows(&scene, "item 0501");
    shows(&scene, "501 to ");
    scene.keys([Key::PageUp]);
    assert_eq!(scene.app.wants().page.token, "");
    page(&mut scene, 1, "", "500");
    shows(&scene, "item 0500");
}

#[test]
fn the_mouse_opens_tabs_scrolls_and_chooses() {
    let mut scene = scene();
    let row = |scene: &Scene, text: &str| {
        let row = scene.text().lines().position(|line| line.contains(text));
        row.and_then(|row| u16::try_from(row).ok()).expect("it is on the screen")
    };
    scene.click(14, 2);
    assert!(scene.app.wants().pools, "{}", scene.text());
    scene.event(Event::Pools(pools()));
    let at = row(&scene, "summer");
    scene.effects.clear();
    scene.click(6, at);
    assert_eq!(calls(&mut scene), [], "the first click marks");
    scene.click(6, at);
    assert_eq!(calls(&mut scene), [Call::FindPool("summer".into())]);
    scene.click(3, 2);
    let at = row(&scene, "gold");
    scene.click(6, at);
    scene.click(6, at);
    shows(&scene, " > update gold");
    scene.keys([Key::Ctrl('u')]);
    for number in 0..60 {
        scene.enter(&format!("nothing {number}"));
    }
    hides(&scene, "nothing 40");
    for _ in 0..20 {
        scene.event(Event::Mouse(Mouse::WheelUp, Position::new(10, 15)));
    }
    shows(&scene, "newer below");
    hides(&scene, "nothing 59");
    for _ in 0..40 {
        scene.event(Event::Mouse(Mouse::WheelDown, Position::new(10, 15)));
    }
    shows(&scene, "nothing 59");
}

#[test]
fn keys_that_switch_are_letters_of_a_line_that_is_begun() {
    let mut scene = scene();
    scene.keys([Key::Char('3')]);
    assert!(scene.app.wants().status);
    scene.keys([Key::Char('1')]);
    assert!(!scene.app.wants().status);
    scene.write("u gold 3?/");
    shows(&scene, " > u gold 3?/");
    assert!(!scene.app.wants().status);
    scene.keys([Key::Alt('3')]);
    assert!(scene.app.wants().status);
    assert_eq!(Tab::ALL[2].name(), "WAL");
}

#[test]
fn a_backlog_that_comes_again_is_shown_once() {
    let mut scene = scene();
    let lines = |range: std::ops::Range<u64>| -> Vec<LogLine> {
        range
            .map(|number| LogLine::new(number, number, Level::Info, &format!("line {number}")))
            .collect()
    };
    let mut scene_with = |lines| scene.event(Event::Log(lines));
    scene_with(lines(100..103));
    scene_with(lines(100..105));
    let text = scene.text();
    assert_eq!(text.matches("line 104").count(), 1, "{text}");
    assert_eq!(text.matches("line 103").count(), 1, "{text}");
    scene.keys([Key::Tab, Key::Tab, Key::Tab]);
    scene.write("/line");
    shows(&scene, "(5 lines)");
}

#[test]
fn a_paused_pool_says_so_and_shows_no_forecast() {
    let mut scene = scene();
    scene.draw_for(20, 30);
    shows(&scene, "min");
    scene.state.status = PoolStatus::Paused;
    scene.show();
    shows(&scene, "paused: draws are refused");
    assert_eq!(scene.text().matches("  paused").count(), 6, "{}", scene.text());
}

#[test]
fn silence_of_a_connected_service_is_told() {
    let mut scene = scene();
    scene.wait(1500);
    scene.event(Event::Tick);
    hides(&scene, "no word");
    scene.wait(3000);
    scene.event(Event::Tick);
    shows(&scene, "no word from the service for 4 s");
    scene.show();
    hides(&scene, "no word");
}

#[test]
fn nothing_is_drawn_when_nothing_changed() {
    let mut scene = scene();
    scene.app.take_changed();
    scene.show();
    scene.event(Event::Tick);
    let items = vec!["gold".to_owned()];
    scene.event(Event::Names { pool: "default".into(), items });
    assert!(!scene.app.take_changed());
    scene.state.awards += 1;
    scene.show();
    assert!(scene.app.take_changed());
}
