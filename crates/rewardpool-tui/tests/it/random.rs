//! Goal: no order of keys and events breaks the screen. Method: random ones, with a drawing on a
//! screen in memory after each, which panics when something is drawn outside of it.
use proptest::prelude::*;
use ratatui::layout::Position;
use rewardpool_tui::effect::{Call, Effect, Page};
use rewardpool_tui::event::{DrawEnd, DrawReport, Event, Key, Link, Mouse, Problem, Reply, Stop};
use rewardpool_tui::look::Look;
use rewardpool_tui::model::PoolStatus;

use crate::scene::{Scene, item, pool, pools, sample, status};

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        20 => "[a-z0-9 /?+\"ä金-]".prop_map(|text| Key::Char(text.chars().next().unwrap_or('a'))),
        2 => "[a-z]".prop_map(|text| Key::Ctrl(text.chars().next().unwrap_or('a'))),
        1 => prop::sample::select(vec![Key::Alt('b'), Key::Alt('2'), Key::Function(1)]),
        20 => prop::sample::select(vec![
            Key::Enter, Key::Esc, Key::Tab, Key::BackTab, Key::Backspace, Key::Delete, Key::Left,
            Key::Right, Key::Up, Key::Down, Key::WordLeft, Key::WordRight, Key::Home, Key::End,
            Key::PageUp, Key::PageDown,
        ]),
    ]
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "d",
            "d 5",
            "d 100000",
            "u gold +5",
            "u gold -1",
            "u \"x y\" unlimited 4",
            "s",
            "r",
            "p",
            "resume",
            "snapshot",
            "pool vip",
            "help",
            "q",
            "pool nowhere",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,40}",
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Key(Key),
    Line(String),
    Paste(String),
    Mouse(Mouse, u16, u16),
    Resize(u16, u16),
    Tick(u64),
    Link(u8),
    State { items: usize, paused: bool, page: String },
    Facts(u8),
    Answer(u8),
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    let mouse = prop::sample::select(vec![Mouse::Click, Mouse::WheelUp, Mouse::WheelDown]);
    prop_oneof![
        40 => key().prop_map(Step::Key),
        10 => line().prop_map(Step::Line),
        2 => "\\PC{0,30}".prop_map(Step::Paste),
        8 => (mouse, 0_u16..200, 0_u16..60).prop_map(|(mouse, x, y)| Step::Mouse(mouse, x, y)),
        4 => (0_u16..160, 0_u16..60).prop_map(|(x, y)| Step::Resize(x, y)),
        3 => (0_u64..100_000).prop_map(Step::Tick),
        3 => (0_u8..3).prop_map(Step::Link),
        10 => (0_usize..80, any::<bool>(), prop::sample::select(vec!["", "500"]))
            .prop_map(|(items, paused, page)| Step::State { items, paused, page: page.into() }),
        4 => (0_u8..8).prop_map(Step::Facts),
        10 => (0_u8..7).prop_map(Step::Answer),
        1 => Just(Step::Stop),
    ]
}

fn apply(scene: &mut Scene, step: Step) {
    match step {
        Step::Key(key) => scene.keys([key]),
        Step::Line(line) => {
            scene.event(Event::Paste(line));
            scene.keys([Key::Enter]);
        }
        Step::Paste(text) => scene.event(Event::Paste(text)),
        Step::Mouse(mouse, x, y) => scene.event(Event::Mouse(mouse, Position::new(x, y))),
        Step::Resize(columns, rows) => scene.event(Event::Resize { columns, rows }),
        Step::Tick(ms) => {
            scene.wait(ms);
            scene.event(Event::Tick);
        }
        Step::Link(0) => scene.event(Event::Link(Link::Up)),
        Step::Link(1) => scene.event(Event::Link(Link::Connecting)),
        Step::Link(_) => {
            scene.event(Event::Link(Link::Down {
                problem: Problem::new("broken", "wait"),
                tries: 3,
            }));
        }
        Step::State { items, paused, page } => {
            let items = (0..items).map(|number| {
                item(&format!("item {number}"), 3, i64::try_from(number).expect("few") - 1, 5)
            });
            scene.state = pool(items.collect());
            scene.state.item_count += 1000;
            scene.state.next_page = "500".into();
            if paused {
                scene.state.status = PoolStatus::Paused;
            }
            let pool = scene.app.wants().page.pool.clone();
            scene.show_page(Page { pool, token: page });
        }
        Step::Facts(0) => scene.event(Event::Pools(pools())),
        Step::Facts(1) => scene.event(Event::Status(Box::new(status()))),
        Step::Facts(2) => scene.event(Event::Log(crate::scene::log())),
        Step::Facts(3) => {
            let items = vec!["gold".to_owned(), "a \"b".to_owned()];
            scene.event(Event::Names { pool: "default".into(), items });
        }
        Step::Facts(4) => scene.event(Event::NoLog(Problem::new("none", "none"))),
        Step::Facts(5) => scene.event(Event::NoStatus(Problem::new("none", "none"))),
        Step::Facts(6) => scene.event(Event::NoPools(Problem::new("none", "none"))),
        Step::Facts(_) => scene.event(Event::Unwatchable(Problem::new("none", "none"))),
        Step::Answer(kind) => answer(scene, kind),
        Step::Stop => scene.event(Event::Stop(Stop::Signal)),
    }
}

/// Answers one of the calls that were made, rightly or not.
fn answer(scene: &mut Scene, kind: u8) {
    let Some(at) = scene.effects.iter().position(|effect| matches!(effect, Effect::Call(..)))
    else {
        return;
    };
    let Effect::Call(id, call) = scene.effects.remove(at) else { return };
    let report = DrawReport {
        drawn: 900,
        counts: (0..40).map(|number| (format!("item {number}"), 10)).collect(),
        end: DrawEnd::Cancelled,
        ..DrawReport::default()
    };
    let reply = match (kind, call) {
        (0, _) => Reply::Failed(Problem::new("it failed", "again")),
        (1, Call::Draw { .. }) => Reply::Progress { drawn: 3, note: Some("waiting".into()) },
        (_, Call::Draw { .. }) => Reply::Drawn(Box::new(report)),
        (1, _) => Reply::PoolFound("vip".into()),
        (2, _) => Reply::NoPool { problem: Problem::new("none", "none"), pools: pools() },
        (3, _) => Reply::Applied { done: 3, problem: None },
        _ => {
            Reply::Status { pool: Box::new(sample()), activity: None, service: Box::new(status()) }
        }
    };
    scene.reply(id, reply);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]
    #[test]
    fn nothing_breaks_the_screen(
        (columns, rows) in (0_u16..160, 0_u16..60),
        has_unicode in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let look = Look { has_colours: true, has_unicode };
        let mut scene = Scene::new(columns, rows).with_look(look);
        for step in steps {
            apply(&mut scene, step);
            let _screen = scene.terminal();
        }
    }
}
