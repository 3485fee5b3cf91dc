//! The state of the screen. It changes by events only, knows no clock, no socket and no terminal, and
//! asks for what is to be done outside by [`Effect`]s.
mod answers;
mod commands;
mod find;
mod history;
mod keys;
mod lists;
mod mouse;
mod reading;
mod scrolling;

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::time::Duration;

use ratatui::layout::Size;

use crate::catalogue::CatalogueChange;
use crate::command::complete;
use crate::editor::LineEditor;
use crate::effect::{Effect, Page, Wants};
use crate::event::{CommandId, Event, Link, Problem, Stop};
use crate::forecast::{Forecast, Pace, forecasts};
use crate::layout::Areas;
use crate::model::{Activity, Item, LogLine, PoolState, Pools, ServiceStatus, Units};
use crate::moment::Moment;
use crate::recall::Recall;

pub use self::history::{History, Line, Tone};
pub use self::lists::List;
pub use self::reading::{Find, FindKind, Reading};

/// So many messages of the service are kept; the oldest go first.
const LOG_LINES_MAX: usize = 2000;
/// A service that shows nothing for so long has something else to do.
const SILENCE: Duration = Duration::from_secs(3);
/// Ctrl-C leaves when it is pressed twice within this.
const LEAVE_PATIENCE: Duration = Duration::from_secs(3);

/// Which service this is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seat {
    /// One that runs by itself.
    Attached {
        /// Where it listens.
        url: String,
    },
    /// One that lives and ends with this program.
    Embedded {
        /// Where other clients reach it, or why they do not.
        access: String,
    },
}

/// What the middle of the screen shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tab {
    /// The items of one pool.
    Pool,
    /// All pools.
    Pools,
    /// The files of the log.
    Wal,
    /// Who applies the log elsewhere.
    Followers,
}

impl Tab {
    /// In the order of the screen.
    pub const ALL: [Self; 4] = [Self::Pool, Self::Pools, Self::Wal, Self::Followers];

    /// What stands on it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pool => "Pool",
            Self::Pools => "Pools",
            Self::Wal => "WAL",
            Self::Followers => "Followers",
        }
    }
}

/// A part of the screen that can be scrolled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pane {
    /// The middle, which shows the tab.
    Main,
    /// What was entered, and what came of it.
    History,
    /// The messages of the service.
    Log,
}

/// What keys mean at present.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mode {
    /// They write a command.
    Command,
    /// The help is shown, from this line on.
    Help {
        /// Lines above the view.
        top: usize,
    },
    /// They answer a question.
    Ask(Question),
    /// They write what is looked for in a pane.
    Find {
        /// Where.
        pane: Pane,
        /// What is written so far.
        editor: LineEditor,
    },
    /// They look for a command that was entered before.
    Recall {
        /// What it has in it.
        text: String,
        /// Newer commands that have it too and were passed over.
        skipped: usize,
    },
}

/// Something that the user has to decide.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// What is asked.
    pub text: String,
    /// The keys that answer it, with what they do.
    pub choices: &'static [(char, &'static str)],
    about: About,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum About {
    /// Whether these changes are made.
    Reload { id: CommandId, pool: String, changes: Vec<CatalogueChange>, seen_version: u64 },
    /// What is meant by -1.
    MinusOne { id: CommandId, item: String, weight: Option<u64> },
    /// Whether draws that are under way are given up.
    Leave,
}

/// How far the end is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Nobody wants to end.
    Running,
    /// It ends as soon as the answers of draws that are under way are there.
    Leaving,
    /// The service in this process answers what it has and stops.
    Draining,
    /// It is over.
    Ended,
}

/// Draws that are being made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunningDraw {
    /// The command.
    pub id: CommandId,
    /// How many were asked for.
    pub count: u64,
    /// How many were answered.
    pub drawn: u64,
    /// When it began.
    pub began: Moment,
    /// Whether the user does not want more.
    pub is_cancelled: bool,
    /// What is being waited for, when it is not draws.
    pub note: Option<String>,
    /// How it was when it began, to compare with, and the sum of the weights.
    chances: Vec<Chance>,
    total_weight: u64,
}

/// An item when draws began.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Chance {
    item: String,
    weight: u64,
    left: Units,
}

impl Chance {
    fn of(item: &Item) -> Self {
        Self { item: item.id.clone(), weight: item.weight, left: item.left }
    }
}

/// Words that fit where Tab was pressed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The words.
    pub candidates: Vec<String>,
    /// The one that is written at present.
    pub chosen: Option<usize>,
    start: usize,
}

/// Everything that the screen shows, and what is needed to change it.
#[derive(Clone, Debug)]
pub struct App {
    pub(crate) seat: Seat,
    pub(crate) size: Size,
    pub(crate) now: Moment,
    pub(crate) phase: Phase,
    pub(crate) link: Link,
    /// Since when the service is gone.
    pub(crate) down_since: Option<Moment>,
    pub(crate) tab: Tab,
    pub(crate) page: Page,
    pub(crate) state: Option<PoolState>,
    /// When the service showed it.
    seen: Option<Moment>,
    /// The newest version of the catalogue that the user knows.
    seen_version: u64,
    pub(crate) activity: Option<Activity>,
    /// One for each item of the state.
    pub(crate) forecasts: Vec<Forecast>,
    pace: Pace,
    pub(crate) status: Option<ServiceStatus>,
    pub(crate) pools: Option<Pools>,
    pub(crate) items: List,
    pub(crate) pool_list: List,
    pub(crate) segments: List,
    /// Names for completion: those of the pool that was named last.
    item_names: BTreeSet<String>,
    names_of: String,
    pub(crate) history: History,
    pub(crate) history_view: Reading,
    pub(crate) log: VecDeque<LogLine>,
    pub(crate) log_view: Reading,
    /// Why there is no log.
    pub(crate) no_log: Option<Problem>,
    /// Why there is no status.
    pub(crate) no_status: Option<Problem>,
    /// Why there are no pools.
    pub(crate) no_pools: Option<Problem>,
    /// Why the pool is not shown.
    pub(crate) unwatchable: Option<Problem>,
    pub(crate) mode: Mode,
    pub(crate) focus: Option<Pane>,
    pub(crate) editor: LineEditor,
    recall: Recall,
    pub(crate) offer: Option<Offer>,
    pub(crate) running: Option<RunningDraw>,
    /// When Ctrl-C was pressed with nothing to cancel; the next one leaves.
    pub(crate) leave_asked: Option<Moment>,
    /// Tokens of the pages before this one.
    previous_pages: Vec<String>,
    /// Items on the pages before this one.
    pub(crate) items_before: u64,
    wanted: Wants,
    effects: Vec<Effect>,
    changed: bool,
}

impl App {
    /// A screen of this size that knows nothing yet.
    pub fn new(seat: Seat, pool: &str, size: Size, now: Moment) -> Self {
        let page = Page { pool: pool.to_owned(), token: String::new() };
        Self {
            seat,
            size,
            now,
            phase: Phase::Running,
            link: Link::Connecting,
            down_since: None,
            tab: Tab::Pool,
            wanted: Wants { page: page.clone(), ..Wants::default() },
            page,
            state: None,
            seen: None,
            seen_version: 0,
            activity: None,
            forecasts: Vec::new(),
            pace: Pace::default(),
            status: None,
            pools: None,
            items: List::default(),
            pool_list: List::default(),
            segments: List::default(),
            item_names: BTreeSet::new(),
            names_of: String::new(),
            history: History::default(),
            history_view: Reading::default(),
            log: VecDeque::new(),
            log_view: Reading::default(),
            no_log: None,
            no_status: None,
            no_pools: None,
            unwatchable: None,
            mode: Mode::Command,
            focus: None,
            editor: LineEditor::default(),
            recall: Recall::default(),
            offer: None,
            running: None,
            leave_asked: None,
            previous_pages: Vec::new(),
            items_before: 0,
            effects: Vec::new(),
            changed: true,
        }
    }

    /// What is wanted of the service at the start.
    pub fn wants(&self) -> &Wants {
        &self.wanted
    }

    /// How far the end is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether there is something new to draw. Asking forgets it.
    pub fn take_changed(&mut self) -> bool {
        mem::take(&mut self.changed)
    }

    /// What is to be done outside since it was asked last.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        mem::take(&mut self.effects)
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Moment, event: Event) {
        self.now = now;
        match event {
            Event::Key(key) => self.on_key(key),
            Event::Paste(text) => self.on_paste(&text),
            Event::Mouse(mouse, at) => self.on_mouse(mouse, at),
            Event::Resize { columns, rows } => self.size = Size::new(columns, rows),
            Event::Tick => return self.on_tick(),
            Event::Stop(stop) => self.on_stop(stop),
            Event::ServiceEnded => self.phase = Phase::Ended,
            Event::Link(link) => self.on_link(link),
            Event::State { page, state, activity } => {
                return self.on_state(&page, *state, activity);
            }
            Event::Unwatchable(problem) => self.on_unwatchable(problem),
            Event::Status(status) => (self.status, self.no_status) = (Some(*status), None),
            Event::Pools(pools) => (self.pools, self.no_pools) = (Some(pools), None),
            Event::Names { pool, items } => {
                self.names_of = pool;
                self.item_names = items.into_iter().collect();
                return;
            }
            Event::Log(lines) => self.on_log(lines),
            Event::Note(text) => self.note(Tone::Warning, &text),
            Event::NoLog(problem) => self.no_log = Some(problem),
            // What was told before is not true for ever.
            Event::NoStatus(problem) => (self.status, self.no_status) = (None, Some(problem)),
            Event::NoPools(problem) => (self.pools, self.no_pools) = (None, Some(problem)),
            Event::Reply(id, reply) => self.on_reply(id, reply),
        }
        self.want();
        self.changed = true;
    }

    fn on_tick(&mut self) {
        if self.leave_asked.is_some_and(|asked| self.now.since(asked) >= LEAVE_PATIENCE) {
            self.leave_asked = None;
            self.changed = true;
        }
        // Only these show a time that passes without anything happening.
        self.changed |= self.down_since.is_some() || self.running.is_some();
        self.changed |= self.silence().is_some();
    }

    fn on_stop(&mut self, stop: Stop) {
        if stop == Stop::Signal && self.phase == Phase::Running {
            self.history.note(self.now, Tone::Warning, "asked to stop by a signal");
        }
        if self.running.is_some() {
            self.effects.push(Effect::CancelDraw);
        }
        self.end();
    }

    /// Ends now, whatever is under way.
    fn end(&mut self) {
        match (&self.seat, self.phase) {
            (_, Phase::Draining | Phase::Ended) => {}
            (Seat::Attached { .. }, _) => self.phase = Phase::Ended,
            (Seat::Embedded { .. }, _) => {
                self.phase = Phase::Draining;
                self.effects.push(Effect::Drain);
            }
        }
    }

    fn on_link(&mut self, link: Link) {
        match &link {
            Link::Down { problem: Problem { what, next }, .. } if self.down_since.is_none() => {
                self.down_since = Some(self.now);
                // While it drains, that is what is expected.
                if self.phase == Phase::Running {
                    let has_been = if self.was_up() { "is gone" } else { "does not answer" };
                    self.note(Tone::Bad, &format!("the service {has_been}: {what}; {next}"));
                }
            }
            Link::Up => {
                self.seen = Some(self.now);
                if let Some(since) = self.down_since.take() {
                    let gone = crate::numbers::span(self.now.since(since));
                    self.note(Tone::Good, &format!("the service is back after {gone}"));
                }
            }
            Link::Down { .. } | Link::Connecting => {}
        }
        self.link = link;
    }

    fn on_state(&mut self, page: &Page, state: PoolState, activity: Option<Activity>) {
        if *page != self.page {
            return;
        }
        self.changed |= self.silence().is_some();
        self.seen = Some(self.now);
        self.unwatchable = None;
        if self.state.as_ref().is_none_or(|old| old.pool != state.pool) {
            self.pace = Pace::default();
            self.seen_version = 0;
        }
        // A picture may be older than the answer to an update.
        self.seen_version = self.seen_version.max(state.catalog_version);
        self.pace.note(self.now, state.awards);
        let forecasts = forecasts(&state, self.pace.per_second());
        let texts = |forecasts: &[Forecast]| -> Vec<String> {
            forecasts.iter().map(|forecast| forecast.text()).collect()
        };
        if texts(&forecasts) != texts(&self.forecasts) {
            self.changed = true;
        }
        self.forecasts = forecasts;
        if self.state.as_ref() != Some(&state) {
            self.state = Some(state);
            self.changed = true;
        }
        if self.activity != activity {
            self.activity = activity;
            self.changed = true;
        }
        let rows = self.item_rows().len();
        self.items.fit(rows, self.main_rows());
    }

    /// The user's own change is known before the next picture shows it, unless others made one too.
    fn see_version(&mut self, version: u64) {
        if version == self.seen_version + 1 {
            self.seen_version = version;
        }
    }

    /// The next picture shows it; this one may be drawn before that comes.
    fn see_item(&mut self, item: Item) {
        let items = self.state.iter_mut().flat_map(|state| &mut state.items);
        if let Some(shown) = items.into_iter().find(|shown| shown.id == item.id) {
            *shown = item;
        }
    }

    fn on_unwatchable(&mut self, problem: Problem) {
        self.note(Tone::Bad, &format!("{}; {}", problem.what, problem.next));
        self.unwatchable = Some(problem);
    }

    fn on_log(&mut self, lines: Vec<LogLine>) {
        self.no_log = None;
        for line in lines {
            // After a reconnect the backlog comes again.
            let is_known = self
                .log
                .back()
                .is_some_and(|last| line.sequence <= last.sequence && line.unix_ms <= last.unix_ms);
            if is_known {
                continue;
            }
            if self.log.len() == LOG_LINES_MAX {
                self.log.pop_front();
            }
            self.log.push_back(line);
            self.log_view.added(1);
        }
    }

    /// Writes into the history what nobody asked for.
    fn note(&mut self, tone: Tone, text: &str) {
        let before = self.history.line_count();
        self.history.note(self.now, tone, text);
        self.history_view.added(self.history.line_count().saturating_sub(before));
    }

    /// Writes into the history what came of a command.
    fn answer(&mut self, id: CommandId, lines: Vec<Line>) {
        let before = self.history.line_count();
        self.history.add(id, lines);
        self.history_view.added(self.history.line_count().saturating_sub(before));
    }

    /// Tells the outside when something else is shown than before.
    fn want(&mut self) {
        let wants = Wants {
            page: self.page.clone(),
            status: self.tab == Tab::Wal,
            pools: self.tab == Tab::Pools,
        };
        if wants != self.wanted {
            self.wanted = wants.clone();
            self.effects.push(Effect::Want(wants));
        }
    }

    pub(crate) fn areas(&self) -> Areas {
        Areas::of(self)
    }

    /// The name of the pool that is shown, as far as it is known.
    pub(crate) fn pool_name(&self) -> &str {
        self.state.as_ref().map_or(&self.page.pool, |state| &state.pool)
    }

    /// How long a service that is connected has shown nothing, when that is too long.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let silence = self.now.since(self.seen?);
        (self.is_up() && silence >= SILENCE).then_some(silence)
    }

    /// Whether there ever was a connection.
    pub(crate) fn was_up(&self) -> bool {
        self.seen.is_some()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.link == Link::Up
    }
}

impl complete::Names for App {
    fn items(&self, prefix: &str, max: usize) -> Vec<String> {
        let state = self.state.iter();
        let on_page = state.clone().flat_map(|state| state.items.iter().map(|item| &item.id));
        let is_current = state.clone().any(|state| state.pool == self.names_of);
        let known = self.item_names.iter().filter(|_| is_current);
        let mut names: Vec<String> = Vec::new();
        let mut seen = BTreeSet::new();
        for name in on_page.chain(known).filter(|name| name.starts_with(prefix)) {
            if names.len() < max && seen.insert(name) {
                names.push(name.clone());
            }
        }
        names
    }

    fn pools(&self, prefix: &str, max: usize) -> Vec<String> {
        let pools = self.pools.iter().flat_map(|pools| &pools.pools);
        let names = pools.map(|pool| &pool.pool).filter(|name| name.starts_with(prefix));
        names.take(max).cloned().collect()
    }
}
