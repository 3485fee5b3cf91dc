//! A service that is recorded before each operation on its disk, and what must be found when it is
//! ended there.
use std::time::Duration;

use rewardpool_engine::Request;

use crate::clients::Clients;
use crate::disk::Disk;
use crate::numbers::Numbers;
use crate::requests::any_request;
use crate::service::{Clock, History, Picture, Service, Settings};
use crate::storage::{MemoryStorage, Moment, Promise, Recording};

/// The wall clock of all of these services.
const NOW_MS: u64 = 1_800_000_000_000;

/// A service that was recorded.
pub struct Recorded {
    /// The disk before each operation, in the middle of each long write, and at the end.
    pub moments: Vec<Moment>,
    /// Every state of the service, in order.
    pub pictures: Vec<Picture>,
}

impl Recorded {
    /// The states that may be found after an end at this moment.
    pub fn may_be_found(&self, promise: Promise) -> &[Picture] {
        // Before its start was over, a service had the state that it found.
        let (first, end) = (promise.acknowledged.max(1) - 1, promise.started.max(1));
        &self.pictures[first..end]
    }
}

/// Runs a service on an empty disk: its start, so many turns with rotations and snapshots, and a
/// clean stop.
///
/// # Panics
/// When a promise is broken.
pub fn record(settings: Settings, turns: usize, seed: u64) -> Recorded {
    let storage =
        MemoryStorage::recording(Disk::default(), Promise::default(), Recording::Operations);
    let pictures = run(&storage, settings, History::default(), turns, seed);
    let end = Moment { disk: storage.disk(), promise: storage.promised() };
    let mut moments = storage.take_moments();
    moments.push(end);
    Recorded { moments, pictures }
}

/// Starts a service on a disk that a crash left, runs it for two turns, cuts the power without
/// mercy, and starts it again.
///
/// # Panics
/// When a start is refused, finds another state than one of these, or forgets what it found.
pub fn outlive(disk: &Disk, may_be_found: &[Picture], is_marked: bool, settings: Settings) {
    let history = History::of(may_be_found, is_marked);
    let storage = MemoryStorage::new(disk.clone());
    let pictures = run(&storage, settings, history, 2, 7);
    let last = pictures.last().expect("a service has a state");
    let storage = MemoryStorage::new(storage.disk().cut_all());
    run(&storage, settings, History::of(&[*last], true), 0, 8);
}

/// The moments of a start on a disk that a crash left, up to the end of its second turn.
///
/// # Panics
/// As [`outlive`].
pub fn record_restart(
    moment: &Moment,
    disk: &Disk,
    may_be_found: &[Picture],
    settings: Settings,
) -> Vec<(Disk, Vec<Picture>, bool)> {
    let is_marked = moment.promise.is_marked;
    let unheard = Promise { is_marked, ..Promise::default() };
    let storage = MemoryStorage::recording(disk.clone(), unheard, Recording::Operations);
    let pictures = run(&storage, settings, History::of(may_be_found, is_marked), 2, 9);
    let recorded = Recorded { moments: Vec::new(), pictures };
    let moments = storage.take_moments().into_iter();
    let known = |Moment { disk, promise }| {
        // Until the start is over, nobody was told which of the states it found.
        let is_over = promise.acknowledged > 0;
        let found = if is_over { recorded.may_be_found(promise) } else { may_be_found };
        (disk, found.to_vec(), promise.is_marked)
    };
    moments.map(known).collect()
}

/// Runs a service and gives its states from its start on.
fn run(
    storage: &MemoryStorage,
    settings: Settings,
    mut history: History,
    turns: usize,
    seed: u64,
) -> Vec<Picture> {
    let (mut numbers, mut clients, mut clock) =
        (Numbers(seed), Clients::default(), Clock::new(NOW_MS));
    let started = Service::start(storage, settings, &clock, &mut clients, &mut history);
    let mut service = started.unwrap_or_else(|error| panic!("a start was refused: {error:?}"));
    for turn in 0..turns {
        clock.pass(Duration::from_secs(1));
        let mut bundles = vec![vec![any_request(&clients, &mut numbers)]];
        if turn % 7 == 6 {
            bundles.push(vec![Request::Rotate]);
        }
        let more = numbers.below(3);
        bundles.extend((0..more).map(|_| vec![any_request(&clients, &mut numbers)]));
        let turned = service.turn(bundles, false, &clock, &mut clients, &mut history);
        turned.unwrap_or_else(|error| panic!("a turn failed: {error:?}"));
        service.make_segment();
        if turn % 3 == 2 {
            service.make_snapshot();
            service.idle(&clock).unwrap_or_else(|error| panic!("a marker failed: {error:?}"));
        }
    }
    if turns > 2 {
        service.close().unwrap_or_else(|error| panic!("a stop failed: {error:?}"));
    }
    history.pictures().to_vec()
}
