//! Goal: a submission is answered or refused, never both and never neither, and a refusal had no
//! effect. Method: full mailboxes, passed deadlines, and stops under load; answers are counted and
//! compared with the state.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::{
    Engine, EngineConfig, Handle, Refusal, Reply, ReplyPort, Request, StorageKind, Submission,
    inspect,
};

use crate::fixture::{PATIENCE, config, directory, draws, new_pool, readable};

const POOL: PoolNumber = PoolNumber(0);

/// Counts what became of the requests of submissions.
#[derive(Default)]
struct Count {
    answered: AtomicU64,
    stopped: AtomicU64,
    other: Mutex<Vec<Refusal>>,
}

impl ReplyPort for Count {
    fn deliver(&self, reply: Reply) {
        for answer in reply.answers() {
            match answer {
                Ok(_) => drop(self.answered.fetch_add(1, Ordering::Relaxed)),
                Err(Refusal::Stopping) => drop(self.stopped.fetch_add(1, Ordering::Relaxed)),
                Err(refusal) => self.other.lock().unwrap().push(*refusal),
            }
        }
    }
}

/// Hands a reply to the thread that waits for it.
pub(crate) struct Forward(pub(crate) Sender<Reply>);

impl ReplyPort for Forward {
    fn deliver(&self, reply: Reply) {
        self.0.send(reply).unwrap();
    }
}

fn start(config: &EngineConfig) -> (Engine, Handle) {
    let engine = Engine::open(config).unwrap();
    let handle = engine.handle();
    let pool = new_pool("summer", &[("gold", 1, 500), ("rock", 9, -1)]);
    assert_eq!(handle.create_pool(pool, PATIENCE), Ok(POOL));
    (engine, handle)
}

fn draw_submission(port: Arc<dyn ReplyPort>) -> Submission {
    let mut submission = Submission::new(port);
    submission.push(Request::Draw(draws(POOL, 1)));
    submission
}

fn drawn(config: &EngineConfig) -> u64 {
    inspect::verify(&config.directory).unwrap();
    inspect::load(&config.directory).unwrap().0.last_request_id()
}

#[test]
fn a_full_mailbox_refuses_and_loses_nothing() {
    for capacity in [1, 3] {
        let place = directory();
        let plain = config(place.path(), Format::Binary, StorageKind::File);
        let config = EngineConfig { mailbox_capacity: capacity, ..plain };
        let (engine, handle) = start(&config);
        let count = Arc::new(Count::default());
        let (threads, each) = (8, 1000);
        let refused = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..each {
                        let port = Arc::<Count>::clone(&count);
                        if let Err((refusal, given_back)) = handle.submit(draw_submission(port)) {
                            assert_eq!(refusal, Refusal::Overloaded);
                            assert_eq!(given_back.len(), 1);
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        engine.stop().unwrap();
        let (answered, refused) =
            (count.answered.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
        assert_eq!(*count.other.lock().unwrap(), []);
        assert_eq!(count.stopped.load(Ordering::Relaxed), 0, "all was handed over before the stop");
        assert_eq!(answered + refused, threads * each);
        assert_eq!(drawn(&config), answered);
        assert!(refused > 0 && answered > 0, "{answered} answered, {refused} refused");
    }
}

#[test]
fn a_waiting_caller_is_answered_or_refused() {
    let place = directory();
    let plain = config(place.path(), Format::Binary, StorageKind::File);
    let config = EngineConfig { mailbox_capacity: 1, ..plain };
    let (engine, handle) = start(&config);
    let answered = AtomicU64::new(0);
    thread::scope(|scope| {
        for turn in 0..8 {
            let (handle, answered) = (&handle, &answered);
            scope.spawn(move || {
                for _ in 0..300 {
                    match handle.draw(draws(POOL, 1), Duration::from_micros(turn * 20)) {
                        Ok(_) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(Refusal::Overloaded | Refusal::Expired) => {}
                        Err(refusal) => panic!("{refusal}"),
                    }
                }
            });
        }
    });
    engine.stop().unwrap();
    assert_eq!(drawn(&config), answered.load(Ordering::Relaxed));
}

#[test]
fn a_passed_deadline_has_no_effect() {
    let place = directory();
    let config = config(place.path(), Format::Binary, StorageKind::File);
    let (engine, handle) = start(&config);
    let before = readable(&handle);
    let refusal = handle.draw(draws(POOL, 5), Duration::ZERO).unwrap_err();
    assert_eq!(refusal, Refusal::Expired);
    let (sender, replies): (_, Receiver<Reply>) = bounded(1);
    let mut submission = draw_submission(Arc::new(Forward(sender)));
    submission.push(Request::ReadStatus);
    submission.set_deadline(Some(Instant::now()));
    assert!(handle.submit(submission).is_ok());
    let reply = replies.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reply.answers().len(), 2);
    assert!(reply.answers().iter().all(|answer| matches!(answer, Err(Refusal::Expired))));
    assert_eq!(readable(&handle), before);
    engine.stop().unwrap();
    assert_eq!(drawn(&config), 0);
}

#[test]
fn after_a_stop_everything_is_refused() {
    let place = directory();
    let config = config(place.path(), Format::Binary, StorageKind::File);
    let (engine, handle) = start(&config);
    let ended = engine.ended();
    engine.stop().unwrap();
    assert!(ended.recv_timeout(PATIENCE).unwrap_err().is_disconnected());
    assert_eq!(handle.draw(draws(POOL, 1), PATIENCE), Err(Refusal::Stopping));
    assert_eq!(handle.take_snapshot(PATIENCE), Err(Refusal::Stopping));
    let refused = handle.submit(draw_submission(Arc::new(Count::default())));
    assert_eq!(refused.map_err(|(refusal, _)| refusal), Err(Refusal::Stopping));
    assert_eq!(drawn(&config), 0);
}

/// Keeps the writer busy for longer than it takes to make the next.
fn long_submission(port: Arc<dyn ReplyPort>) -> Submission {
    let mut submission = Submission::new(port);
    (0..16).for_each(|_| submission.push(Request::Draw(draws(POOL, 100))));
    submission
}

/// Callers that never pause keep the mailbox full; the stop must end all the same, and every
/// submission that was taken must be answered or refused.
#[test]
fn a_stop_ends_under_a_flood() {
    let place = directory();
    let plain = config(place.path(), Format::Binary, StorageKind::File);
    let config = EngineConfig { mailbox_capacity: 4096, segment_bytes: 1 << 20, ..plain };
    let (engine, handle) = start(&config);
    let count = Arc::new(Count::default());
    let (stopped, stops) = bounded(1);
    thread::scope(|scope| {
        for _ in 0..4 {
            let (handle, count) = (&handle, &count);
            let begun = Instant::now();
            // The flood ends by itself, so that a stop that waits for it fails and does not hang.
            scope.spawn(move || {
                while begun.elapsed() < Duration::from_secs(10) {
                    let port = Arc::<Count>::clone(count);
                    match handle.submit(long_submission(port)).map_err(|(refusal, _)| refusal) {
                        Ok(()) | Err(Refusal::Overloaded) => {}
                        Err(Refusal::Stopping) => break,
                        Err(refusal) => panic!("{refusal}"),
                    }
                }
            });
        }
        while count.answered.load(Ordering::Relaxed) < 10_000 {
            thread::yield_now();
        }
        let begun = Instant::now();
        scope.spawn(move || stopped.send(engine.stop()).unwrap());
        stops.recv_timeout(PATIENCE).unwrap().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5), "stopped after {:?}", begun.elapsed());
    });
    assert_eq!(*count.other.lock().unwrap(), []);
    assert_eq!(drawn(&config), 100 * count.answered.load(Ordering::Relaxed));
}
