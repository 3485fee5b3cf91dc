//! A screen to look at: an application with a service that says what the test wants.
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::{Position, Size};
use rewardpool_tui::app::{App, Seat};
use rewardpool_tui::effect::{Effect, Page};
use rewardpool_tui::event::{CommandId, Event, Key, Link, Mouse, Reply};
use rewardpool_tui::look::Look;
use rewardpool_tui::model::{
    Activity, Item, Level, LogLine, PoolState, PoolStatus, PoolSummary, Pools, Recovery, Segment,
    SegmentState, ServiceStatus, Snapshot, Units,
};
use rewardpool_tui::moment::Moment;
use rewardpool_tui::view;

/// 2026-11-24 14:00:00.
const START_MS: u64 = 1_795_528_800_000;

/// An application, its clock, and what it asked for.
pub(crate) struct Scene {
    pub(crate) app: App,
    pub(crate) state: PoolState,
    pub(crate) activity: Activity,
    pub(crate) effects: Vec<Effect>,
    elapsed: Duration,
    size: Size,
    look: Look,
}

impl Scene {
    /// Attached, connected, with the sample pool.
    pub(crate) fn new(columns: u16, rows: u16) -> Self {
        let mut scene = Self::unconnected(columns, rows);
        scene.event(Event::Link(Link::Up));
        scene.show();
        scene.event(Event::Log(log()));
        scene
    }

    /// Attached, and the service has not said anything yet.
    pub(crate) fn unconnected(columns: u16, rows: u16) -> Self {
        let seat = Seat::Attached { url: "http://127.0.0.1:50051".into() };
        Self::at(seat, columns, rows)
    }

    pub(crate) fn at(seat: Seat, columns: u16, rows: u16) -> Self {
        let size = Size::new(columns, rows);
        let mut scene = Self {
            app: App::new(seat, "", size, moment(Duration::ZERO)),
            state: sample(),
            activity: activity(),
            effects: Vec::new(),
            elapsed: Duration::ZERO,
            size,
            look: Look { has_colours: true, has_unicode: true },
        };
        scene.wait(1);
        scene
    }

    pub(crate) fn with_look(mut self, look: Look) -> Self {
        self.look = look;
        self
    }

    /// Lets so many milliseconds go by.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.elapsed += Duration::from_millis(ms);
    }

    pub(crate) fn event(&mut self, event: Event) {
        if let Event::Resize { columns, rows } = event {
            self.size = Size::new(columns, rows);
        }
        self.app.handle(moment(self.elapsed), event);
        self.effects.extend(self.app.take_effects());
    }

    /// The service shows its state.
    pub(crate) fn show(&mut self) {
        let page = Page { pool: self.app.wants().page.pool.clone(), ..Page::default() };
        self.show_page(page);
    }

    pub(crate) fn show_page(&mut self, page: Page) {
        let (state, activity) = (Box::new(self.state.clone()), Some(self.activity.clone()));
        self.event(Event::State { page, state, activity });
    }

    /// Draws go on: each of so many seconds some awards, by the odds.
    pub(crate) fn draw_for(&mut self, seconds: u64, per_second: u64) {
        for _ in 0..seconds {
            self.wait(1000);
            award(&mut self.state, per_second);
            self.activity.last_request_id = self.state.last_request_id;
            self.show();
        }
    }

    pub(crate) fn keys(&mut self, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            self.event(Event::Key(key));
        }
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.keys(text.chars().map(Key::Char));
    }

    /// Writes a line and enters it.
    pub(crate) fn enter(&mut self, line: &str) {
        self.write(line);
        self.keys([Key::Enter]);
    }

    /// Enters a line and gives the number of the command that was sent for it.
    pub(crate) fn send(&mut self, line: &str) -> CommandId {
        self.effects.clear();
        self.enter(line);
        self.sent()
    }

    /// The number of the command that was sent last.
    pub(crate) fn sent(&self) -> CommandId {
        let mut calls = self.effects.iter().filter_map(|effect| match effect {
            Effect::Call(id, _) => Some(*id),
            Effect::Want(_)
            | Effect::CancelDraw
            | Effect::Drain
            | Effect::Suspend
            | Effect::Repaint => None,
        });
        calls.next_back().expect("something was sent to the service")
    }

    pub(crate) fn reply(&mut self, id: CommandId, reply: Reply) {
        self.event(Event::Reply(id, reply));
    }

    pub(crate) fn click(&mut self, column: u16, row: u16) {
        self.event(Event::Mouse(Mouse::Click, Position::new(column, row)));
    }

    /// What the terminal shows.
    pub(crate) fn screen(&self) -> String {
        self.terminal().backend().to_string()
    }

    /// The same without the quotes around the lines, to look for words in.
    pub(crate) fn text(&self) -> String {
        let screen = self.screen();
        let lines: Vec<&str> = screen.lines().map(|line| line.trim_matches('"')).collect();
        lines.join("\n")
    }

    pub(crate) fn terminal(&self) -> Terminal<TestBackend> {
        let backend = TestBackend::new(self.size.width, self.size.height);
        let mut terminal = Terminal::new(backend).expect("a test has a screen");
        terminal
            .draw(|frame| view::draw(frame, &self.app, self.look))
            .expect("a test's screen takes everything");
        terminal
    }
}

fn moment(elapsed: Duration) -> Moment {
    let ms = u64::try_from(elapsed.as_millis()).expect("a test is short");
    Moment { elapsed, unix_ms: START_MS + ms }
}

pub(crate) fn item(id: &str, weight: u64, left: i64, awarded: u64) -> Item {
    let left = Units::from_number(left);
    let granted = match left {
        Units::Limited(left) => Units::Limited(left + awarded),
        Units::Unlimited => Units::Unlimited,
    };
    let is_drawable = weight > 0 && left != Units::Limited(0);
    Item { id: id.into(), weight, left, granted, awarded, is_retired: false, is_drawable }
}

/// A pool with these items.
pub(crate) fn pool(items: Vec<Item>) -> PoolState {
    let awards = items.iter().map(|item| item.awarded).sum();
    PoolState {
        pool: "default".into(),
        lsn: 1 + awards,
        catalog_version: 1,
        last_request_id: awards,
        draws: awards,
        awards,
        total_weight: items.iter().map(Item::effective_weight).sum(),
        item_count: u64::try_from(items.len()).expect("few"),
        items,
        ..PoolState::default()
    }
}

/// The sample catalogue, drawn from for a while.
pub(crate) fn sample() -> PoolState {
    pool(vec![
        item("diamond", 10, 87, 13),
        item("gold", 20, 240, 760),
        item("silver", 30, 310, 9_690),
        item("rock", 40, 86_102, 13_898),
        item("mud", 70, -1, 24_310),
        item("log", 50, -1, 17_211),
    ])
}

/// So many awards more, each item as its odds say.
fn award(state: &mut PoolState, draws: u64) {
    let total = state.total_weight.max(1);
    for item in state.items.iter_mut().filter(|item| item.is_drawable) {
        let share = u128::from(draws) * u128::from(item.weight) / u128::from(total);
        let mut units = u64::try_from(share).expect("at most the draws");
        if let Units::Limited(left) = &mut item.left {
            units = units.min(*left);
            *left -= units;
            item.is_drawable = *left > 0;
        }
        item.awarded += units;
        state.awards += units;
        state.draws += units;
        state.last_request_id += units;
    }
    state.total_weight = state.items.iter().map(Item::effective_weight).sum();
}

fn activity() -> Activity {
    Activity {
        uptime: Duration::from_mins(130),
        draws_per_second: 1234.5,
        commits: 45_211,
        commit_p50_us: 112,
        commit_p99_us: 1240,
        commit_max_us: 9400,
        batch_p50: 3,
        durable_lsn: 65_883,
        last_request_id: 65_882,
        mailbox_depth: 2,
        mailbox_capacity: 4096,
        is_out_of_space: false,
        is_conserved: true,
        version: "0.1.0".into(),
    }
}

pub(crate) fn log() -> Vec<LogLine> {
    [
        (Level::Info, "recovered lsn=65000 records=812 seconds=0.014"),
        (Level::Warn, "config differs from the log; the log wins pool=default"),
        (Level::Info, "listening address=127.0.0.1:50051"),
        (Level::Error, "the compactor failed: no space left on device (os error 28)"),
        (Level::Debug, "segment made ahead of need number=4"),
    ]
    .into_iter()
    .zip(1..)
    .map(|((level, message), sequence)| {
        LogLine::new(sequence, START_MS + sequence * 100, level, message)
    })
    .collect()
}

pub(crate) fn pools() -> Pools {
    let summary = |pool: &str, status, item_count, draws, empties, total_weight| PoolSummary {
        pool: pool.into(),
        status,
        item_count,
        draws,
        awards: draws - empties,
        empties,
        total_weight,
    };
    Pools {
        pools: vec![
            summary("default", PoolStatus::Active, 6, 65_882, 0, 220),
            summary("summer", PoolStatus::Paused, 1_000_000, 12_345_678_901, 12, 5_000_000),
            summary("winter-2025-of-the-northern-hemisphere", PoolStatus::Closed, 12, 900, 900, 0),
            summary("vip", PoolStatus::Active, 3, 150, 50, 0),
        ],
        count: 4,
    }
}

pub(crate) fn status() -> ServiceStatus {
    let segment = |number, first_lsn, used_bytes, state| Segment {
        number,
        first_lsn,
        bytes: 64 << 20,
        used_bytes,
        state,
    };
    ServiceStatus {
        working_dir: "/var/lib/rewardpool".into(),
        storage: "file".into(),
        format: "binary".into(),
        scheduling: "normal".into(),
        started_at_ms: START_MS - 7_800_000,
        segments: vec![
            segment(0, 1, (64 << 20) - 512, SegmentState::Closed),
            segment(1, 21_334, (64 << 20) - 1024, SegmentState::Closed),
            segment(2, 44_012, 27_812_352, SegmentState::Open),
        ],
        segment_count: 3,
        snapshots: vec![Snapshot {
            lsn: 44_011,
            file: "snapshot.44011".into(),
            bytes: 1_234_567,
            made_at_ms: START_MS - 245_000,
        }],
        durable_lsn: 65_883,
        pools: 4,
        recovery: Recovery {
            snapshot_lsn: 21_333,
            records: 812,
            torn_bytes: 96,
            duration: Duration::from_millis(14),
        },
    }
}
