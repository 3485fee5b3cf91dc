//! The loop: what happens goes into the state, what the state asks for is done, and the screen is
//! drawn when something changed.
use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ratatui::crossterm::event as input;
use ratatui::crossterm::terminal::size;
use ratatui::layout::Size;
use rustix::process::{Signal, getpgid, getpgrp, getppid, getsid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time;

use crate::app::{App, Phase, Seat};
use crate::client::{Client, Desk, EVENTS_MAX, Target};
use crate::effect::Effect;
use crate::event::{Event, Stop};
use crate::look::Look;
use crate::moment::Moment;
use crate::terminal::{Screen, TerminalError, check, give_back};

/// The screen is not drawn more often, except to answer a key.
const FRAME_EVERY: Duration = Duration::from_millis(66);
/// Events that are taken in before the screen is drawn.
const EVENTS_AT_ONCE: usize = 64;
/// Keys that wait for the screen.
const KEYS_MAX: usize = 256;

/// What to show, and how.
pub struct Options {
    /// Which service it is, for people.
    pub seat: Seat,
    /// Where it is.
    pub target: Target,
    /// The pool to show first; empty for the default one.
    pub pool: String,
    /// What calls need.
    pub desk: Desk,
    /// How the screen looks.
    pub look: Look,
    /// The service in this process, when there is one.
    pub service: Option<LocalService>,
}

/// A service that runs in this process.
pub struct LocalService {
    /// Sent to ask it to stop.
    pub stop: oneshot::Sender<()>,
    /// Gone as soon as it has ended.
    pub ended: oneshot::Receiver<()>,
}

/// A number that makes the keys of this terminal's draws unlike those of any other.
///
/// # Errors
/// When the operating system has no randomness.
pub fn session() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Shows the service until the user leaves, a signal comes, or the service in this process has
/// ended. The terminal is as it was afterwards.
///
/// # Errors
/// When there is no terminal that can be used.
pub fn run(options: Options) -> Result<(), TerminalError> {
    check()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async { Box::pin(Loop::new(options)?.run()).await });
    // Calls that are under way are of no interest any more.
    runtime.shutdown_background();
    ended
}

/// What signals ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Heard {
    Stop(Stop),
    Suspend,
    Continue,
}

/// Listens to the signals that concern a program with a screen.
fn listen() -> io::Result<mpsc::Receiver<Heard>> {
    let (heard, hearing) = mpsc::channel(8);
    let kinds = [
        (SignalKind::terminate(), Heard::Stop(Stop::Signal)),
        (SignalKind::interrupt(), Heard::Stop(Stop::Signal)),
        (SignalKind::quit(), Heard::Stop(Stop::Signal)),
        (SignalKind::hangup(), Heard::Stop(Stop::Hangup)),
        (SignalKind::from_raw(Signal::TSTP.as_raw()), Heard::Suspend),
        (SignalKind::from_raw(Signal::CONT.as_raw()), Heard::Continue),
    ];
    for (kind, what) in kinds {
        let (mut signals, heard) = (signal(kind)?, heard.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() && heard.send(what).await.is_ok() {}
        });
    }
    Ok(hearing)
}

/// Reads the keyboard and the mouse, on a thread of its own because that waits. Nobody waits for the
/// thread: it ends with the process.
fn read_input() -> io::Result<mpsc::Receiver<Event>> {
    let (read, reading) = mpsc::channel(KEYS_MAX);
    let reader = move || {
        loop {
            let event = match input::read() {
                Ok(event) => Event::from_terminal(event),
                // The terminal is gone.
                Err(_) => Some(Event::Stop(Stop::Hangup)),
            };
            let is_last = matches!(event, Some(Event::Stop(_)));
            if event.is_some_and(|event| read.blocking_send(event).is_err()) || is_last {
                return;
            }
        }
    };
    drop(thread::Builder::new().name("terminal".to_owned()).spawn(reader)?);
    Ok(reading)
}

struct Loop {
    app: App,
    screen: Screen,
    look: Look,
    client: Client,
    keys: mpsc::Receiver<Event>,
    events: mpsc::Receiver<Event>,
    signals: mpsc::Receiver<Heard>,
    stop_service: Option<oneshot::Sender<()>>,
    service_ended: Option<oneshot::Receiver<()>>,
    began: Instant,
    drawn: Option<Instant>,
    /// Whether the shell has the terminal.
    is_suspended: bool,
    /// Whether there is no terminal any more.
    is_blind: bool,
    has_key: bool,
}

/// What woke the loop.
enum Woken {
    Event(Event),
    Signal(Heard),
    Frame,
}

impl Loop {
    fn new(options: Options) -> Result<Self, TerminalError> {
        let Options { seat, target, pool, desk, look, service } = options;
        let began = Instant::now();
        let signals = listen()?;
        let screen = Screen::take()?;
        let (columns, rows) = size()?;
        let app = App::new(seat, &pool, Size::new(columns, rows), moment(began));
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let client = Client::start(target, app.wants().clone(), sender, desk);
        let (stop, ended) =
            service.map_or((None, None), |service| (Some(service.stop), Some(service.ended)));
        Ok(Self {
            app,
            screen,
            look,
            client,
            keys: read_input()?,
            events,
            signals,
            stop_service: stop,
            service_ended: ended,
            began,
            drawn: None,
            is_suspended: false,
            is_blind: false,
            has_key: false,
        })
    }

    async fn run(mut self) -> Result<(), TerminalError> {
        let mut ticks = time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Skip);
        let mut is_changed = true;
        while self.app.phase() != Phase::Ended {
            is_changed |= self.app.take_changed();
            let due = self.drawn.map_or(self.began, |drawn| drawn + FRAME_EVERY);
            if is_changed && (self.has_key || Instant::now() >= due) {
                self.draw();
                is_changed = false;
            }
            let woken = self.wait(&mut ticks, is_changed.then_some(due)).await;
            self.take_in(woken)?;
            // What is there already needs no picture of its own.
            for _ in 0..EVENTS_AT_ONCE {
                let Ok(event) = self.keys.try_recv().or_else(|_| self.events.try_recv()) else {
                    break;
                };
                self.take_in(Woken::Event(event))?;
            }
        }
        Ok(())
    }

    /// Waits until something happens, or until the next picture may be drawn.
    async fn wait(&mut self, ticks: &mut time::Interval, due: Option<Instant>) -> Woken {
        let frame = async {
            match due {
                Some(due) => time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        let service_ended = async {
            match &mut self.service_ended {
                // A sender that is gone means that it has ended.
                Some(ended) => drop(ended.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(heard) = self.signals.recv() => Woken::Signal(heard),
            Some(key) = self.keys.recv() => Woken::Event(key),
            () = service_ended => {
                self.service_ended = None;
                Woken::Event(Event::ServiceEnded)
            }
            Some(event) = self.events.recv() => Woken::Event(event),
            () = frame => Woken::Frame,
            _ = ticks.tick() => Woken::Event(Event::Tick),
        }
    }

    fn take_in(&mut self, woken: Woken) -> Result<(), TerminalError> {
        let event = match woken {
            Woken::Frame => return Ok(()),
            Woken::Signal(Heard::Suspend) => return self.suspend(),
            Woken::Signal(Heard::Continue) => return self.go_on(),
            Woken::Signal(Heard::Stop(stop)) => Event::Stop(stop),
            Woken::Event(event) => event,
        };
        self.is_blind |= matches!(event, Event::Stop(Stop::Hangup));
        self.has_key |= matches!(
            event,
            Event::Key(_) | Event::Paste(_) | Event::Mouse(..) | Event::Resize { .. }
        );
        self.app.handle(moment(self.began), event);
        for effect in self.app.take_effects() {
            self.act(effect)?;
        }
        Ok(())
    }

    fn act(&mut self, effect: Effect) -> Result<(), TerminalError> {
        match effect {
            Effect::Want(wants) => self.client.want(wants),
            Effect::Call(id, call) => self.client.call(id, call),
            Effect::CancelDraw => self.client.cancel_draw(),
            Effect::Drain => {
                // A service that has ended already needs no word.
                let _sent = self.stop_service.take().map(|stop| stop.send(()));
            }
            Effect::Suspend if has_shell() => {
                // The whole job stops, as it does when the terminal sends this by itself.
                rustix::process::kill_current_process_group(Signal::TSTP)
                    .map_err(io::Error::from)?;
            }
            Effect::Suspend => {
                let text = "there is no shell to go back to: Ctrl-Z does nothing here";
                self.app.handle(moment(self.began), Event::Note(text.to_owned()));
            }
            Effect::Repaint => self.screen.repaint()?,
        }
        Ok(())
    }

    fn draw(&mut self) {
        if self.is_suspended || self.is_blind {
            return;
        }
        // A terminal that takes nothing any more is gone; the signal that says so may still come.
        self.is_blind = self.screen.draw(&self.app, self.look).is_err();
        self.drawn = Some(Instant::now());
        self.has_key = false;
    }

    /// Gives the terminal back to the shell and stops until the shell says to go on.
    fn suspend(&mut self) -> Result<(), TerminalError> {
        if !has_shell() || self.is_suspended {
            return Ok(());
        }
        give_back();
        if self.service_ended.is_some() {
            tell_shell("the service in this process stands still until `fg`");
        }
        self.is_suspended = true;
        let this = rustix::process::getpid();
        rustix::process::kill_process(this, Signal::STOP).map_err(io::Error::from)?;
        Ok(())
    }

    fn go_on(&mut self) -> Result<(), TerminalError> {
        if self.is_suspended {
            self.is_suspended = false;
            self.screen.retake()?;
        } else {
            self.screen.repaint()?;
        }
        let (columns, rows) = size()?;
        self.has_key = true;
        self.app.handle(moment(self.began), Event::Resize { columns, rows });
        Ok(())
    }
}

/// Whether a shell waits for this program to stop: it is in the same session and not in the same job.
fn has_shell() -> bool {
    let Some(parent) = getppid() else { return false };
    let is_same_session = getsid(Some(parent)).is_ok_and(|session| getsid(None) == Ok(session));
    is_same_session && getpgid(Some(parent)).is_ok_and(|group| group != getpgrp())
}

#[expect(clippy::print_stderr, reason = "the shell has the terminal")]
fn tell_shell(text: &str) {
    eprintln!("rewardpool: {text}");
}

fn moment(began: Instant) -> Moment {
    // A clock before 1970 shows wrong times, and nothing else.
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment {
        elapsed: began.elapsed(),
        unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
    }
}
