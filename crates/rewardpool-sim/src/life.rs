//! One simulated life: a service and its clients through a dozen restarts, on a disk that fails.
use std::time::Duration;

use rewardpool_engine::EngineError;
use rewardpool_engine::core::format::Format;
use rewardpool_wal::SEGMENT_BYTES_MIN;

use crate::clients::Clients;
use crate::disk::Disk;
use crate::numbers::Numbers;
use crate::requests::any_request;
use crate::service::{Clock, History, Service, Settings};
use crate::storage::{Faults, MemoryStorage};

/// Restarts of a life.
pub const RESTARTS: u32 = 12;
/// Turns between two restarts, at most.
const TURNS_MAX: usize = 24;
const TEN_YEARS_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;
/// The wall clock at the beginning of a life.
const BIRTH_MS: u64 = 1_800_000_000_000;

/// What happened in a life.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Lived {
    /// Starts, those that a fault ended included.
    pub recoveries: u64,
    /// Operations on the disk.
    pub operations: u64,
    /// Faults that were met: crashes, failed writes and syncs, a full disk.
    pub faults: u64,
    /// Draws that were answered.
    pub draws: u64,
}

/// Lives the life of this seed. The same seed is the same life, byte by byte.
///
/// # Panics
/// When a promise is broken.
pub fn live(seed: u64) -> Lived {
    let mut life = Life {
        numbers: Numbers(seed),
        disk: Disk::default(),
        clock: Clock::new(BIRTH_MS),
        clients: Clients::default(),
        history: History::default(),
        lived: Lived::default(),
    };
    for _ in 0..RESTARTS {
        life.round();
    }
    life.lived.draws = life.clients.draws;
    life.lived
}

struct Life {
    numbers: Numbers,
    disk: Disk,
    clock: Clock,
    clients: Clients,
    history: History,
    lived: Lived,
}

impl Life {
    /// A start, some turns, and the end of it.
    fn round(&mut self) {
        self.let_time_pass();
        let (storage, mut service) = self.start();
        let faults = any_faults(&mut self.numbers);
        self.lived.operations += storage.operations();
        storage.set_faults(faults);
        let turns = 1 + self.numbers.below(TURNS_MAX);
        let healed_at = self.numbers.below(2 * turns);
        let mut outcome = Ok(());
        for turn in 0..turns {
            if turn == healed_at && faults.bytes_left.is_some() {
                self.lived.operations += storage.operations();
                storage.set_faults(Faults::default());
                outcome = self.resume(&mut service);
            }
            outcome = outcome.and_then(|()| self.step(&mut service));
            if outcome.is_err() {
                break;
            }
        }
        match outcome {
            Ok(()) if self.numbers.one_in(3) => close(&storage, service),
            Ok(()) => drop(service),
            Err(error) => self.fail(&storage, service, &error),
        }
        self.end(&storage);
    }

    /// Starts a service. The start itself may be cut off, a few times.
    fn start(&mut self) -> (MemoryStorage, Service) {
        let format = [Format::Binary, Format::Json, Format::StringLine][self.numbers.below(3)];
        let segment_bytes = SEGMENT_BYTES_MIN * (1 + self.numbers.below(3));
        let settings = Settings { format, segment_bytes };
        let mut tries = 3;
        loop {
            let storage = MemoryStorage::new(std::mem::take(&mut self.disk));
            if tries > 0 && self.numbers.one_in(4) {
                storage.set_faults(faults_of_a_start(&mut self.numbers));
            }
            tries -= 1;
            self.lived.recoveries += 1;
            let (clients, history) = (&mut self.clients, &mut self.history);
            match Service::start(&storage, settings, &self.clock, clients, history) {
                Ok(service) => return (storage, service),
                Err(error) => {
                    let may_fail = storage.is_lost() || is_out_of_space(&error);
                    assert!(may_fail && storage.faults_met() > 0, "a start was refused: {error:?}");
                    assert!(!error.is_corruption(), "a fault was taken for rot: {error:?}");
                }
            }
            self.end(&storage);
        }
    }

    /// One thing that happens in a service.
    fn step(&mut self, service: &mut Service) -> Result<(), EngineError> {
        self.clock.pass(Duration::from_millis(1 + self.numbers.next() % 3000));
        match self.numbers.below(16) {
            0 => service.idle(&self.clock),
            1 => {
                service.make_segment();
                Ok(())
            }
            2 | 3 => {
                service.make_snapshot();
                Ok(())
            }
            _ => {
                let count = 1 + self.numbers.below(4);
                let bundles = (0..count).map(|_| self.bundle()).collect();
                let expired = self.numbers.one_in(30);
                let (clients, history) = (&mut self.clients, &mut self.history);
                service.turn(bundles, expired, &self.clock, clients, history)
            }
        }
    }

    /// What a client sends at once: at most one request that changes something, so that the states
    /// of the service are known one by one.
    fn bundle(&mut self) -> Vec<rewardpool_engine::Request> {
        let first = any_request(&self.clients, &mut self.numbers);
        let mut bundle = vec![first];
        if self.numbers.one_in(5) {
            bundle.push(rewardpool_engine::Request::ReadStatus);
        }
        bundle
    }

    /// When there is space again, the next draw is served.
    fn resume(&mut self, service: &mut Service) -> Result<(), EngineError> {
        service.make_segment();
        let refused = self.clients.refused_for_space;
        let bundles = (0..3).map(|_| self.bundle()).collect();
        let (clients, history) = (&mut self.clients, &mut self.history);
        service.turn(bundles, false, &self.clock, clients, history)?;
        assert_eq!(refused, self.clients.refused_for_space, "there is space again");
        Ok(())
    }

    fn fail(&mut self, storage: &MemoryStorage, service: Service, error: &EngineError) {
        assert!(storage.is_lost(), "a service failed without a fault: {error:?}");
        assert!(!error.is_corruption(), "a fault was taken for rot: {error:?}");
        service.fail(&mut self.clients);
    }

    /// The process dies, or the machine.
    fn end(&mut self, storage: &MemoryStorage) {
        self.lived.operations += storage.operations();
        self.lived.faults += storage.faults_met();
        let disk = storage.disk();
        self.disk = if self.numbers.one_in(3) {
            disk.kill()
        } else {
            disk.cut(&disk.survivors(&mut self.numbers))
        };
    }

    /// Five minutes, and now and then an operator with a wrong watch.
    fn let_time_pass(&mut self) {
        self.clock.pass(Duration::from_mins(5));
        let now = self.clock.now().wall_ms;
        match self.numbers.below(12) {
            0 => {
                // Keys may expire by this.
                self.clients.forget_keys();
                self.clock.set_wall(now + TEN_YEARS_MS);
            }
            1 => self.clock.set_wall(now.saturating_sub(TEN_YEARS_MS)),
            _ => {}
        }
    }
}

fn is_out_of_space(error: &EngineError) -> bool {
    matches!(error, EngineError::Log(error) if error.is_out_of_space())
}

fn close(storage: &MemoryStorage, service: Service) {
    if let Err(error) = service.close() {
        assert!(storage.is_lost(), "a clean stop failed: {error:?}");
    }
}

fn any_faults(numbers: &mut Numbers) -> Faults {
    let crash_at = Some(1 + numbers.next() % 80);
    match numbers.below(12) {
        0..=5 => Faults { crash_at, ..Faults::default() },
        6 | 7 => Faults { failing_sync: Some(1 + numbers.next() % 20), ..Faults::default() },
        8 => Faults { failing_write: Some(1 + numbers.next() % 20), ..Faults::default() },
        9 => Faults { bytes_left: Some(numbers.below(40_000)), ..Faults::default() },
        10 => {
            let crash_at = crash_at.filter(|_| numbers.coin());
            Faults { bytes_left: Some(numbers.below(20_000)), crash_at, ..Faults::default() }
        }
        _ => Faults::default(),
    }
}

fn faults_of_a_start(numbers: &mut Numbers) -> Faults {
    match numbers.below(8) {
        0 => Faults { failing_sync: Some(1 + numbers.next() % 8), ..Faults::default() },
        1 => Faults { failing_write: Some(1 + numbers.next() % 8), ..Faults::default() },
        2 => Faults { bytes_left: Some(numbers.below(30_000)), ..Faults::default() },
        _ => Faults { crash_at: Some(1 + numbers.next() % 24), ..Faults::default() },
    }
}
