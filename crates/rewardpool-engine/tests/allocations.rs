//! Goal: a draw allocates nothing once the buffers have grown, from the hand-over to the reply.
//! Method: a million draws of each shape through a running engine, with an allocator that counts
//! what all threads of this process ask for: the caller's, the writer's and its helpers'.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use rewardpool_allocations::{CountingAllocator, of_the_process};
use rewardpool_engine::core::catalog::{Catalog, CatalogItem};
use rewardpool_engine::core::command::{DrawCommand, DrawCount, DrawMode, KeyLimits, PoolSpec};
use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::name::{ItemId, PoolId};
use rewardpool_engine::core::quantity::Quantity;
use rewardpool_engine::core::selector::SelectorKind;
use rewardpool_engine::{
    Answer, Engine, EngineConfig, Handle, NewPool, Reply, ReplyPort, Request, Scheduling,
    StorageKind, Submission,
};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// No segment ends in the runs, so that no rotation is counted among the draws.
const SEGMENT_BYTES: usize = 64 << 20;
/// Draws of a run.
const DRAWS: usize = 1_000_000;

/// What a run may allocate however many draws it has: the segment that is made ahead meanwhile takes
/// about ten, and a batch that is larger than all before it makes a buffer grow.
const OF_A_RUN: u64 = 16;

/// How draws are handed over.
#[derive(Clone, Copy, Debug)]
struct Shape {
    items: usize,
    /// Draws of a command.
    count: usize,
    /// Commands of a submission.
    commands: usize,
    /// Submissions in flight.
    in_flight: usize,
    format: Format,
}

const SINGLES: Shape =
    Shape { items: 6, count: 1, commands: 64, in_flight: 8, format: Format::Binary };
const HUNDREDS: Shape =
    Shape { items: 6, count: 100, commands: 16, in_flight: 4, format: Format::Binary };
/// A commit for each draw, so what a commit allocates would show, too.
const ALONE: Shape =
    Shape { items: 6, count: 1, commands: 1, in_flight: 1, format: Format::Binary };

#[test]
fn draws_do_not_allocate() {
    let runs = [
        (SINGLES, DRAWS),
        (HUNDREDS, DRAWS),
        (Shape { items: 1000, ..SINGLES }, DRAWS),
        (Shape { items: 1000, ..HUNDREDS }, DRAWS),
        (Shape { format: Format::Json, ..SINGLES }, DRAWS / 10),
        (Shape { format: Format::StringLine, ..SINGLES }, DRAWS / 10),
        (ALONE, DRAWS / 100),
    ];
    for (shape, draws) in runs {
        let directory = directory();
        let engine = Engine::open(&config(directory.path(), shape.format)).unwrap();
        let handle = engine.handle();
        let pool = handle.create_pool(pool(shape.items), PATIENCE).unwrap();
        let count = DrawCount::new(shape.count.try_into().unwrap()).unwrap();
        let command = DrawCommand { pool, count, mode: DrawMode::BestEffort, key: None };
        let mut load = Load::new(handle, shape, command);
        // The buffers grow to what a batch may need at most, which few batches do.
        load.run(draws / 10);
        let before = of_the_process();
        load.run(draws);
        let allocations = of_the_process() - before;
        engine.stop().unwrap();
        assert!(allocations <= OF_A_RUN, "{allocations} in {draws} draws of {shape:?}");
    }
}

/// Hands draws over, always the same number of submissions in flight, in the same buffers.
struct Load {
    handle: Handle,
    shape: Shape,
    command: DrawCommand,
    port: Arc<dyn ReplyPort>,
    replies: Receiver<Reply>,
    idle: Vec<Submission>,
}

impl Load {
    fn new(handle: Handle, shape: Shape, command: DrawCommand) -> Self {
        let (sender, replies) = crossbeam_channel::bounded(shape.in_flight);
        let port: Arc<dyn ReplyPort> = Arc::new(Port(sender));
        let idle = (0..shape.in_flight).map(|_| Submission::new(Arc::clone(&port))).collect();
        Self { handle, shape, command, port, replies, idle }
    }

    fn run(&mut self, draws: usize) {
        let mut left = draws.div_ceil(self.shape.count * self.shape.commands);
        while left > 0 || self.idle.len() < self.shape.in_flight {
            while left > 0
                && let Some(mut submission) = self.idle.pop()
            {
                for _ in 0..self.shape.commands {
                    submission.push(Request::Draw(self.command));
                }
                assert!(self.handle.submit(submission).is_ok(), "the mailbox holds all");
                left -= 1;
            }
            let reply = self.replies.recv_timeout(PATIENCE).unwrap();
            assert_eq!(reply.answers().len(), self.shape.commands);
            for answer in reply.answers() {
                let Ok(Answer::Draw(draw)) = answer else { panic!("{answer:?}") };
                assert_eq!(reply.outcomes(draw).len(), self.shape.count);
            }
            self.idle.push(Submission::reuse(reply, Arc::clone(&self.port)));
        }
    }
}

struct Port(Sender<Reply>);

impl ReplyPort for Port {
    fn deliver(&self, reply: Reply) {
        assert!(self.0.try_send(reply).is_ok(), "the channel holds what is in flight");
    }
}

/// A directory in memory where there is one: the syncs cost nothing.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

fn config(directory: &Path, format: Format) -> EngineConfig {
    EngineConfig {
        directory: directory.to_owned(),
        storage: StorageKind::File,
        format,
        segment_bytes: SEGMENT_BYTES,
        mailbox_capacity: 1024,
        batch_draws_max: 16_384,
        scheduling: Scheduling::Normal,
    }
}

/// Unlimited items, every second one limited to more than is drawn.
fn pool(items: usize) -> NewPool {
    let items = (0..items).map(|place| CatalogItem {
        id: ItemId::new(&format!("item-{place}")).unwrap(),
        weight: place as u64 + 1,
        quantity: if place % 2 == 0 { Quantity::Unlimited } else { Quantity::Limited(1 << 40) },
    });
    let spec = PoolSpec {
        id: PoolId::new("default").unwrap(),
        catalog: Catalog::new(items.collect()).unwrap(),
        selector: SelectorKind::Auto,
        keys: KeyLimits::default(),
    };
    NewPool { spec, secret: Some([7; 32]) }
}
