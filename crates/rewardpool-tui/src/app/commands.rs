//! Does what a line says, as far as it is the screen's business, and passes the rest on.
use super::{About, App, Chance, Line, Mode, Phase, Question, RunningDraw, Seat, Tone};
use crate::command::{Change, Command, parse};
use crate::effect::{Call, Effect};
use crate::event::{CommandId, Problem};
use crate::model::{Item, PoolStatus, Units};
use crate::numbers::grouped;

impl App {
    /// Runs a line that was entered.
    pub(super) fn run(&mut self, line: &str) {
        let Some(parsed) = parse(line) else { return };
        self.history_view.from_end = 0;
        let id = self.history.open(self.now, line);
        match parsed {
            Ok(command) => self.execute(id, command),
            Err(misunderstood) => {
                self.answer(id, vec![Line::new(Tone::Bad, misunderstood.to_string())]);
            }
        }
    }

    fn execute(&mut self, id: CommandId, command: Command) {
        match command {
            Command::Help => {
                self.answer(id, Vec::new());
                self.mode = Mode::Help { top: 0 };
            }
            Command::Quit => {
                self.answer(id, Vec::new());
                self.leave();
            }
            Command::Draw { .. }
            | Command::Update { .. }
            | Command::Status
            | Command::Reload
            | Command::Pause
            | Command::Resume
            | Command::Snapshot
            | Command::Pool { .. } => self.ask_service(id, command),
        }
    }

    fn ask_service(&mut self, id: CommandId, command: Command) {
        if !self.is_up() {
            let next = "wait until the line about the connection is gone, then enter it again";
            return self
                .fail(id, &Problem::new("the service does not answer, nothing was sent", next));
        }
        let pool = self.pool_name().to_owned();
        let call = match command {
            Command::Draw { count } => return self.start_draw(id, pool, count),
            Command::Update { item, change, weight } => {
                return self.start_update(id, item, change, weight);
            }
            Command::Status => Call::Status(pool),
            Command::Reload => Call::Compare(pool),
            Command::Pause => Call::Pause(pool),
            Command::Resume => Call::Resume(pool),
            Command::Snapshot => Call::Snapshot,
            Command::Pool { name } => Call::FindPool(name),
            Command::Help | Command::Quit => unreachable!("the service is not needed for these"),
        };
        self.effects.push(Effect::Call(id, call));
    }

    pub(super) fn fail(&mut self, id: CommandId, problem: &Problem) {
        self.answer(id, vec![Line::new(Tone::Bad, format!("{}; {}", problem.what, problem.next))]);
    }

    fn start_draw(&mut self, id: CommandId, pool: String, count: u64) {
        if self.running.is_some() {
            let next = "wait for it, or cancel it with Esc";
            return self.fail(id, &Problem::new("another draw is under way", next));
        }
        let state = self.state.as_ref();
        let drawable = state.iter().flat_map(|state| &state.items).filter(|item| item.is_drawable);
        self.running = Some(RunningDraw {
            id,
            count,
            drawn: 0,
            began: self.now,
            is_cancelled: false,
            note: None,
            chances: drawable.map(Chance::of).collect(),
            total_weight: state.map_or(0, |state| state.total_weight),
        });
        self.effects.push(Effect::Call(id, Call::Draw { pool, count }));
    }

    pub(super) fn cancel_draw(&mut self) {
        if let Some(running) = self.running.as_mut().filter(|running| !running.is_cancelled) {
            running.is_cancelled = true;
            self.effects.push(Effect::CancelDraw);
        }
    }

    fn start_update(&mut self, id: CommandId, item: String, change: Change, weight: Option<u64>) {
        if change == Change::MinusOne {
            let text = format!("-1 is how the catalogue writes unlimited. Make {item} unlimited?");
            let choices: &[_] = &[('y', "yes"), ('m', "no, take 1 away"), ('n', "do nothing")];
            let about = About::MinusOne { id, item, weight };
            return self.ask(text, choices, about);
        }
        self.send_update(id, item, change, weight);
    }

    fn send_update(&mut self, id: CommandId, item: String, change: Change, weight: Option<u64>) {
        let pool = self.pool_name().to_owned();
        let seen_version = self.seen_version;
        let call = Call::Update { pool, item, change, weight, seen_version };
        self.effects.push(Effect::Call(id, call));
    }

    fn ask(&mut self, text: String, choices: &'static [(char, &'static str)], about: About) {
        self.focus = None;
        self.mode = Mode::Ask(Question { text, choices, about });
    }

    pub(super) fn ask_reload(&mut self, id: CommandId, about_changes: super::answers::Reload) {
        let super::answers::Reload { pool, changes, seen_version } = about_changes;
        let noun = if changes.len() == 1 { "change" } else { "changes" };
        let text = format!("Make {} {noun} in the pool {pool}?", grouped_len(changes.len()));
        let about = About::Reload { id, pool, changes, seen_version };
        self.ask(text, &[('y', "yes"), ('n', "no")], about);
    }

    /// A question was answered by one of its letters.
    pub(super) fn on_answer(&mut self, letter: char, about: About) {
        match about {
            About::Reload { id, pool, changes, seen_version } if letter == 'y' => {
                let call = Call::Apply { pool, changes, seen_version };
                self.effects.push(Effect::Call(id, call));
            }
            About::MinusOne { id, item, weight } if letter == 'y' => {
                self.send_update(id, item, Change::Unlimited, weight);
            }
            About::MinusOne { id, item, weight } if letter == 'm' => {
                self.send_update(id, item, Change::Add(-1), weight);
            }
            About::Reload { id, .. } | About::MinusOne { id, .. } => {
                self.answer(id, vec![Line::new(Tone::Quiet, "nothing was changed")]);
            }
            About::Leave if letter == 'y' => {
                self.cancel_draw();
                self.phase = Phase::Leaving;
            }
            About::Leave => {}
        }
    }

    /// The user wants to go.
    pub(super) fn leave(&mut self) {
        let Some(running) = &self.running else { return self.end() };
        let (drawn, count) = (grouped(running.drawn), grouped(running.count));
        let what = match self.seat {
            Seat::Attached { .. } => "leave",
            Seat::Embedded { .. } => "stop the service",
        };
        let text = format!("{drawn} of {count} draws are made. Cancel the rest and {what}?");
        self.ask(text, &[('y', "yes"), ('n', "no")], About::Leave);
    }

    /// What the pool's condition has to do with the odds on the screen.
    pub(crate) fn is_drawing(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.status == PoolStatus::Active)
    }
}

fn grouped_len(number: usize) -> String {
    grouped(u64::try_from(number).unwrap_or(u64::MAX))
}

/// An item's units and weight, before and after a change.
pub(super) fn difference(before: &Item, after: &Item) -> String {
    let units = |units| match units {
        Units::Limited(units) => grouped(units),
        Units::Unlimited => "unlimited".to_owned(),
    };
    let mut parts = Vec::new();
    let (old, new) = (units(before.left), units(after.left));
    if before.granted != after.granted || before.left != after.left {
        parts.push(format!("quantity {old} → {new}"));
    }
    if before.weight != after.weight {
        parts.push(format!("weight {} → {}", grouped(before.weight), grouped(after.weight)));
    }
    if parts.is_empty() {
        parts.push(format!("quantity {new}, weight {}, as before", grouped(after.weight)));
    }
    format!("{}: {}", after.id, parts.join(", "))
}
