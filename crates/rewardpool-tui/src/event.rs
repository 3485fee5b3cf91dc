//! Everything that can happen, as one closed list. The state changes by these and by nothing else.
use std::time::Duration;

use ratatui::crossterm::event as terminal;
use ratatui::crossterm::event::{KeyCode, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind};
use ratatui::layout::Position;

use crate::catalogue::Difference;
use crate::effect::Page;
use crate::model::{Activity, Item, LogLine, PoolState, PoolStatus, Pools, ServiceStatus};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted.
    Paste(String),
    /// The mouse was used.
    Mouse(Mouse, Position),
    /// The terminal has another size.
    Resize {
        /// Its width.
        columns: u16,
        /// Its height.
        rows: u16,
    },
    /// A second went by.
    Tick,
    /// Somebody asks the program to end.
    Stop(Stop),
    /// The service in this process has ended.
    ServiceEnded,
    /// The connection changed.
    Link(Link),
    /// A page of the pool that is shown.
    State {
        /// The page that was asked for.
        page: Page,
        /// The pool.
        state: Box<PoolState>,
        /// How busy the service is, when it says so.
        activity: Option<Activity>,
    },
    /// The pool that is shown cannot be watched.
    Unwatchable(Problem),
    /// The condition of the service.
    Status(Box<ServiceStatus>),
    /// The pools of the service.
    Pools(Pools),
    /// Names of items of the pool, for completion.
    Names {
        /// The pool.
        pool: String,
        /// The names.
        items: Vec<String>,
    },
    /// Messages of the service.
    Log(Vec<LogLine>),
    /// The service does not give its messages.
    NoLog(Problem),
    /// The service does not tell its condition.
    NoStatus(Problem),
    /// The service does not tell which pools there are.
    NoPools(Problem),
    /// Something that the user should read.
    Note(String),
    /// A command of the user was answered.
    Reply(CommandId, Reply),
}

/// Number of a command that the user entered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CommandId(pub u64);

/// Who asks the program to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// A signal.
    Signal,
    /// The terminal is gone.
    Hangup,
}

/// What went wrong, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The cause.
    pub what: String,
    /// The next step.
    pub next: String,
}

impl Problem {
    /// A problem in words.
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }
}

/// How the connection to the service is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// It is made.
    Connecting,
    /// Calls are answered.
    Up,
    /// The service does not answer.
    Down {
        /// Why, and what may help.
        problem: Problem,
        /// How often it was tried to connect since.
        tries: u32,
    },
}

/// The answer to a command.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It could not be done, or was refused.
    Failed(Problem),
    /// So many draws of a running command were answered.
    Progress {
        /// Draws answered so far.
        drawn: u64,
        /// What is being waited for, when it is not draws.
        note: Option<String>,
    },
    /// A draw came to its end.
    Drawn(Box<DrawReport>),
    /// An item was changed.
    Updated {
        /// The item before.
        before: Item,
        /// The item after, as it was read after the change.
        after: Item,
        /// Version of the catalogue after the change.
        catalog_version: u64,
        /// Position of the change in the log.
        lsn: u64,
    },
    /// The pool is paused or draws again.
    Switched(PoolStatus),
    /// A snapshot was written.
    Snapshot {
        /// The last record that it includes.
        lsn: u64,
        /// Its file.
        file: String,
        /// Its size.
        bytes: u64,
    },
    /// The condition of everything.
    Status {
        /// The pool.
        pool: Box<PoolState>,
        /// How busy the service is, when it says so.
        activity: Option<Activity>,
        /// The service.
        service: Box<ServiceStatus>,
    },
    /// The pool is there.
    PoolFound(String),
    /// The pool is not there; these are.
    NoPool {
        /// What the service says.
        problem: Problem,
        /// The first pools of the service.
        pools: Pools,
    },
    /// How the running catalogue differs from the file.
    Compared(Box<Difference>),
    /// Changes of a reload were made.
    Applied {
        /// How many.
        done: usize,
        /// Why it stopped before the end.
        problem: Option<Problem>,
    },
}

/// What a command of draws gave.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct DrawReport {
    /// Draws that are known to have happened.
    pub drawn: u64,
    /// Awards of each item, most first.
    pub counts: Vec<(String, u64)>,
    /// Draws for which nothing was available.
    pub empties: u64,
    /// The first draws one by one: number, and item unless nothing was available.
    pub listed: Vec<(u64, Option<String>)>,
    /// From the first request to the last answer.
    pub took: Duration,
    /// How it ended.
    pub end: DrawEnd,
}

/// How a command of draws ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum DrawEnd {
    /// All were drawn.
    #[default]
    Complete,
    /// The user cancelled it.
    Cancelled,
    /// The service refused to go on.
    Refused(Problem),
    /// The connection broke.
    Lost {
        /// Why.
        reason: String,
        /// Draws that were under way and, as the service said later, had been made. They are counted.
        found: u64,
        /// Draws that were under way and had not been made.
        not_made: u64,
        /// Draws that were under way of which nobody knows.
        unknown: u64,
    },
}

/// A key, with what was held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// A character.
    Char(char),
    /// A letter with Ctrl.
    Ctrl(char),
    /// A letter with Alt.
    Alt(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Tab with Shift.
    BackTab,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// An arrow.
    Left,
    /// An arrow.
    Right,
    /// An arrow.
    Up,
    /// An arrow.
    Down,
    /// An arrow with Ctrl or Alt.
    WordLeft,
    /// An arrow with Ctrl or Alt.
    WordRight,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// A function key.
    Function(u8),
}

impl Key {
    /// Of what the terminal says. `None` for keys that mean nothing here, and for releases.
    pub fn from_terminal(event: terminal::KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let has = |modifier| event.modifiers.contains(modifier);
        let (control, alt) = (has(KeyModifiers::CONTROL), has(KeyModifiers::ALT));
        // A match on a pair, so that keys of other keyboards need no arm each.
        Some(match (event.code, control || alt) {
            (KeyCode::Left, true) => Self::WordLeft,
            (KeyCode::Right, true) => Self::WordRight,
            (KeyCode::Char(character), _) if control => Self::Ctrl(character.to_ascii_lowercase()),
            (KeyCode::Char(character), _) if alt => Self::Alt(character),
            (KeyCode::Char(character), _) => Self::Char(character),
            (KeyCode::Backspace, true) => Self::Ctrl('w'),
            (KeyCode::Backspace, false) => Self::Backspace,
            (KeyCode::Enter, _) => Self::Enter,
            (KeyCode::Esc, _) => Self::Esc,
            (KeyCode::Tab, _) => Self::Tab,
            (KeyCode::BackTab, _) => Self::BackTab,
            (KeyCode::Delete, _) => Self::Delete,
            (KeyCode::Left, false) => Self::Left,
            (KeyCode::Right, false) => Self::Right,
            (KeyCode::Up, _) => Self::Up,
            (KeyCode::Down, _) => Self::Down,
            (KeyCode::Home, _) => Self::Home,
            (KeyCode::End, _) => Self::End,
            (KeyCode::PageUp, _) => Self::PageUp,
            (KeyCode::PageDown, _) => Self::PageDown,
            (KeyCode::F(number), _) => Self::Function(number),
            _ => return None,
        })
    }
}

/// What the mouse did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mouse {
    /// The left button was pressed.
    Click,
    /// The wheel was turned away from the user.
    WheelUp,
    /// The wheel was turned towards the user.
    WheelDown,
}

impl Event {
    /// Of what the terminal says. `None` for what means nothing here.
    pub fn from_terminal(event: terminal::Event) -> Option<Self> {
        match event {
            terminal::Event::Key(key) => Key::from_terminal(key).map(Self::Key),
            terminal::Event::Paste(text) => Some(Self::Paste(text)),
            terminal::Event::Resize(columns, rows) => Some(Self::Resize { columns, rows }),
            terminal::Event::Mouse(mouse) => {
                let kind = match (mouse.kind, ()) {
                    (MouseEventKind::Down(MouseButton::Left), ()) => Mouse::Click,
                    (MouseEventKind::ScrollUp, ()) => Mouse::WheelUp,
                    (MouseEventKind::ScrollDown, ()) => Mouse::WheelDown,
                    _ => return None,
                };
                Some(Self::Mouse(kind, Position::new(mouse.column, mouse.row)))
            }
            terminal::Event::FocusGained | terminal::Event::FocusLost => None,
        }
    }
}
