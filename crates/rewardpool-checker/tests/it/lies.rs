//! Lies about a run: each changes the log or the history once. Where possible the rest is made to
//! fit.
use std::collections::HashSet;

use proptest::prelude::*;
use rewardpool_checker::history::{Answer, Event, What};
use rewardpool_checker::log::{Change, Draw, Entry, Log};
use rewardpool_core::command::KeyHash;
use rewardpool_core::ids::{ItemIndex, Outcome};

/// One lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lie {
    /// A logged draw is gone, and all that follows is numbered anew.
    DropDraw,
    /// An outcome is another item.
    ChangeItem,
    /// A logged draw stands twice, with ids of its own.
    DoubleDraw,
    /// A draw begins with the id of the one before.
    DoubleId,
    /// Two draws stand in the other order.
    SwapDraws,
    /// A client was told another item.
    TellOtherItem,
    /// A client was told other ids.
    TellOtherIds,
    /// The history lacks an operation.
    ForgetOperation,
    /// An acknowledged draw was refused, says the history.
    SayRefused,
}

pub(crate) const LIES: [Lie; 9] = [
    Lie::DropDraw,
    Lie::ChangeItem,
    Lie::DoubleDraw,
    Lie::DoubleId,
    Lie::SwapDraws,
    Lie::TellOtherItem,
    Lie::TellOtherIds,
    Lie::ForgetOperation,
    Lie::SayRefused,
];

/// Gives all records and draws new numbers, as a log without a gap has them.
fn renumber(log: &mut Log) {
    let (mut lsn, mut request_id) = (log.base.lsn, log.base.last_request_id + 1);
    for entry in &mut log.entries {
        lsn += 1;
        entry.lsn = lsn;
        if let Change::Draw(draw) = &mut entry.change {
            draw.first_request_id = request_id;
            request_id += draw.outcomes.len() as u64;
        }
    }
}

/// The operation of a draw that was answered for the first time.
fn acknowledged_op(event: &Event) -> Option<String> {
    let What::Ok { op, answer: Answer::Draw(draw) } = &event.what else { return None };
    (!draw.replayed).then(|| op.clone())
}

/// What can be lied about so that it can be told: draws that were answered at once and for which
/// there is a key. Others may have been lost, or may be taken for another that was not answered.
fn sure_keys(events: &[Event], log: &Log) -> HashSet<KeyHash> {
    let unsure = |event: &Event| {
        let What::Info { op, .. } = &event.what else { return None };
        Some(op.clone())
    };
    let unsure: HashSet<String> = events.iter().filter_map(unsure).collect();
    let logged: HashSet<KeyHash> =
        log.draws().filter_map(|(_, draw)| Some(draw.key?.hash)).collect();
    let answered = events.iter().filter_map(acknowledged_op).filter(|op| !unsure.contains(op));
    answered.filter_map(|op| hash(&op)).filter(|hash| logged.contains(hash)).collect()
}

fn hash(op: &str) -> Option<KeyHash> {
    KeyHash::of(op.as_bytes())
}

/// Applies a lie. What would give it away at once, the secret and the engine's own sums, is taken
/// from the log, unless `has_secret`.
pub(crate) fn tell(
    lie: Lie,
    which: prop::sample::Index,
    has_secret: bool,
    events: &mut Vec<Event>,
    log: &mut Log,
) {
    if !has_secret {
        log.secrets.clear();
        log.checkpoints.clear();
    }
    let keys = sure_keys(events, log);
    match lie {
        Lie::DropDraw | Lie::ChangeItem | Lie::DoubleDraw | Lie::DoubleId | Lie::SwapDraws => {
            let is_known = |entry: &Entry| {
                let Change::Draw(draw) = &entry.change else { return false };
                draw.key.is_some_and(|key| keys.contains(&key.hash))
            };
            let places = 0..log.entries.len();
            let draws: Vec<usize> = places.filter(|&at| is_known(&log.entries[at])).collect();
            lie_in_log(lie, which, &draws, log);
        }
        Lie::TellOtherItem | Lie::TellOtherIds | Lie::ForgetOperation | Lie::SayRefused => {
            let is_sure = |event: &Event| {
                let hash = acknowledged_op(event).and_then(|op| hash(&op));
                hash.is_some_and(|hash| keys.contains(&hash))
            };
            let places = 0..events.len();
            let told: Vec<usize> = places.filter(|&at| is_sure(&events[at])).collect();
            lie_in_history(lie, *which.get(&told), events);
        }
    }
}

fn lie_in_log(lie: Lie, which: prop::sample::Index, draws: &[usize], log: &mut Log) {
    let pair = which.index(draws.len() - 1);
    let (place, next) = (draws[pair], draws[pair + 1]);
    let (first, changed) = (draw_at(log, place).first_request_id, draw_at(log, place));
    match lie {
        Lie::DropDraw => drop(log.entries.remove(place)),
        Lie::ChangeItem => {
            let at = which.index(changed.outcomes.len());
            let known = changed.outcomes[at].item().map_or(0, ItemIndex::number);
            changed.outcomes[at] = Outcome::award(ItemIndex::new((known + 1) % 4).unwrap());
        }
        Lie::DoubleDraw => log.entries.insert(place + 1, log.entries[place].clone()),
        Lie::DoubleId => {
            draw_at(log, next).first_request_id = first;
            return;
        }
        Lie::SwapDraws => log.entries.swap(place, next),
        Lie::TellOtherItem | Lie::TellOtherIds | Lie::ForgetOperation | Lie::SayRefused => {
            unreachable!("these are about the history")
        }
    }
    renumber(log);
}

fn draw_at(log: &mut Log, place: usize) -> &mut Draw {
    let Change::Draw(draw) = &mut log.entries[place].change else { panic!("not a draw") };
    draw
}

fn lie_in_history(lie: Lie, place: usize, events: &mut Vec<Event>) {
    let What::Ok { op, answer: Answer::Draw(draw) } = &mut events[place].what else {
        panic!("only answers of draws are chosen")
    };
    let op = op.clone();
    match lie {
        Lie::TellOtherItem => draw.outcomes[0] = (draw.outcomes[0] + 1) % 5,
        Lie::TellOtherIds => draw.first_request_id += 1,
        Lie::SayRefused => events[place].what = What::Fail { op, code: "OVERLOADED".into() },
        Lie::ForgetOperation => events.retain(|event| {
            !matches!(&event.what, What::Invoke { op: of, .. } | What::Ok { op: of, .. }
                | What::Fail { op: of, .. } | What::Info { op: of, .. } if *of == op)
        }),
        Lie::DropDraw | Lie::ChangeItem | Lie::DoubleDraw | Lie::DoubleId | Lie::SwapDraws => {
            unreachable!("these are about the log")
        }
    }
}
