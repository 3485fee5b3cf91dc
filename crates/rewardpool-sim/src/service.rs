//! A service on a simulated disk, driven turn by turn, with its clients and with every state that
//! it was in since its start.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::state::State;
use rewardpool_engine::simulation::{Moment, Steps};
use rewardpool_engine::{
    EngineConfig, EngineError, Reply, ReplyPort, Request, Scheduling, StorageKind, Submission,
};

use rewardpool_wal::storage::Storage;

use crate::clients::Clients;
use crate::storage::MemoryStorage;

/// What tells a state from all others: its digest, and the number of draws.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Picture {
    digest: u64,
    last_request_id: u64,
}

impl Picture {
    /// The picture of a state.
    pub fn of(state: &State) -> Self {
        Self { digest: state.digest(), last_request_id: state.last_request_id() }
    }
}

/// The states of a service in their order, the one before the first request included. A restart
/// must find one of those from the acknowledged one on.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pictures: Vec<Picture>,
    acknowledged: usize,
    /// Whether a start succeeded ever.
    was_open: bool,
}

impl Default for History {
    fn default() -> Self {
        Self { pictures: vec![Picture::of(&State::new())], acknowledged: 0, was_open: false }
    }
}

impl History {
    /// A history of which a restart may find any of these states.
    pub(crate) fn of(may_be_found: &[Picture], was_open: bool) -> Self {
        Self { pictures: may_be_found.to_vec(), acknowledged: 0, was_open }
    }

    /// The states that a restart may find.
    pub(crate) fn may_be_found(&self) -> &[Picture] {
        &self.pictures[self.acknowledged..]
    }

    /// How many states were begun, and how many of them were acknowledged.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        (self.pictures.len(), self.acknowledged + 1)
    }

    /// All states so far.
    pub(crate) fn pictures(&self) -> &[Picture] {
        &self.pictures
    }

    /// The state of a service that was started.
    fn restart(&mut self, state: &State) {
        let found = Picture::of(state);
        let known = self.may_be_found();
        assert!(
            known.contains(&found),
            "a start found {found:?} (lsn {}), which is none of the {} states from {:?} on",
            state.last_lsn(),
            known.len(),
            known[0],
        );
        *self = Self { pictures: vec![found], acknowledged: 0, was_open: true };
    }

    fn push(&mut self, state: &State) {
        self.pictures.push(Picture::of(state));
    }

    fn acknowledge(&mut self) {
        self.acknowledged = self.pictures.len() - 1;
    }
}

/// The clocks of a simulated machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    now: Moment,
}

impl Clock {
    /// A clock that shows this wall time.
    pub(crate) fn new(wall_ms: u64) -> Self {
        Self { now: Moment { wall_ms, instant: std::time::Instant::now() } }
    }

    /// What it shows.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        let millis = u64::try_from(time.as_millis()).expect("it is a short time");
        self.now.wall_ms = self.now.wall_ms.saturating_add(millis);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set_wall(&mut self, wall_ms: u64) {
        self.now.wall_ms = wall_ms;
    }
}

/// Where replies wait until the clients hear them.
#[derive(Default)]
struct Inbox(Mutex<Vec<Reply>>);

impl ReplyPort for Inbox {
    fn deliver(&self, reply: Reply) {
        self.0.lock().expect("no holder of this lock panics").push(reply);
    }
}

/// How a service is run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Format of new segments.
    pub format: Format,
    /// Bytes of a segment.
    pub segment_bytes: usize,
}

impl Settings {
    pub(crate) fn config(self) -> EngineConfig {
        let Self { format, segment_bytes } = self;
        EngineConfig {
            directory: "simulated".into(),
            storage: StorageKind::File,
            format,
            segment_bytes,
            mailbox_capacity: 1,
            batch_draws_max: usize::MAX,
            scheduling: Scheduling::Normal,
        }
    }
}

/// A running service.
pub(crate) struct Service {
    steps: Steps,
    inbox: Arc<Inbox>,
    /// Is told what the service has promised.
    promises: MemoryStorage,
}

impl Service {
    /// Starts a service and compares what it found with what its clients were told.
    pub(crate) fn start(
        storage: &MemoryStorage,
        settings: Settings,
        clock: &Clock,
        clients: &mut Clients,
        history: &mut History,
    ) -> Result<Self, EngineError> {
        Self::open((storage, storage.shared()), settings, clock, clients, history)
    }

    /// Starts a service on any storage. What it promises is told to the simulated one.
    pub(crate) fn open(
        (promises, storage): (&MemoryStorage, Arc<dyn Storage>),
        settings: Settings,
        clock: &Clock,
        clients: &mut Clients,
        history: &mut History,
    ) -> Result<Self, EngineError> {
        let uuid = *b"a-simulated-pool";
        let steps = Steps::open(storage, &settings.config(), clock.now(), uuid)?;
        assert!(!(history.was_open && steps.recovery().fresh), "the log is gone");
        let is_damaged = !steps.recovery().damaged_snapshots.is_empty();
        assert!(!is_damaged, "a crash left a damaged snapshot");
        steps.state().check().expect("everything adds up");
        history.restart(steps.state());
        clients.reconnect(steps.state());
        let service = Self { steps, inbox: Arc::default(), promises: promises.clone() };
        promises.promise(|promise| promise.is_marked = true);
        service.promise(history);
        Ok(service)
    }

    /// One batch: stages these requests, makes them durable, lets the clients hear the answers.
    pub(crate) fn turn(
        &mut self,
        bundles: Vec<Vec<Request>>,
        expired: bool,
        clock: &Clock,
        clients: &mut Clients,
        history: &mut History,
    ) -> Result<(), EngineError> {
        self.steps.begin_turn(clock.now())?;
        for requests in bundles {
            let mut submission = Submission::new(Arc::clone(&self.inbox) as Arc<dyn ReplyPort>);
            for request in requests {
                submission.push(request);
            }
            submission.set_deadline(expired.then_some(clock.now().instant));
            let staged = self.steps.stage(submission, clock.now());
            history.push(self.steps.state());
            self.promise(history);
            staged?;
        }
        self.steps.commit()?;
        history.acknowledge();
        self.promise(history);
        hear(&self.inbox, clients);
        clients.check(self.steps.state());
        Ok(())
    }

    /// Nothing happens for a while.
    pub(crate) fn idle(&mut self, clock: &Clock) -> Result<(), EngineError> {
        self.steps.idle(clock.now())
    }

    pub(crate) fn make_segment(&mut self) {
        self.steps.make_segment();
    }

    pub(crate) fn make_snapshot(&mut self) {
        self.steps.make_snapshot();
    }

    /// A clean stop.
    pub(crate) fn close(self) -> Result<(), EngineError> {
        self.steps.close()
    }

    /// The service failed; the clients hear that nobody knows.
    pub(crate) fn fail(self, clients: &mut Clients) {
        self.steps.abandon();
        hear(&self.inbox, clients);
    }

    fn promise(&self, history: &History) {
        let (started, acknowledged) = history.lengths();
        self.promises.promise(|promise| {
            promise.started = started;
            promise.acknowledged = acknowledged;
        });
    }
}

fn hear(inbox: &Inbox, clients: &mut Clients) {
    for reply in inbox.0.lock().expect("no holder of this lock panics").drain(..) {
        clients.hear(&reply);
    }
}
