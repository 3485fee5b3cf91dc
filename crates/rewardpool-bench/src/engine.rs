//! The engine in this process, each row beside a bare loop that does the least that must be done:
//! write the same bytes to a zero-filled file and sync them.
#![expect(clippy::print_stdout, reason = "the output of the program")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use hdrhistogram::Histogram;
use rewardpool_engine::core::command::{DrawCommand, DrawCount, DrawMode};
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::core::selector::SelectorKind;
use rewardpool_engine::{
    Answer, Engine, EngineConfig, Handle, Reply, ReplyPort, Request, Submission,
};

use crate::catalog::{config, pool};
use crate::table::{per_second, rate, row};

const PATIENCE: Duration = Duration::from_secs(30);
const LIMIT_FILE_BYTES: usize = 64 << 20;

/// One measurement: how the draws are handed over.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    items: u64,
    /// Draws of one command.
    count: i64,
    /// Commands of one submission.
    commands: usize,
    /// Submissions in flight.
    in_flight: usize,
    batch_draws_max: usize,
    /// Bytes of the log a commit of the bare loop writes.
    limit_bytes: usize,
}

impl Shape {
    /// Fills a log as fast as it goes.
    pub(crate) const fn filling(
        name: &'static str,
        items: u64,
        count: i64,
        commands: usize,
    ) -> Self {
        Self {
            name,
            items,
            count,
            commands,
            in_flight: 16,
            batch_draws_max: 65_536,
            limit_bytes: 0,
        }
    }
}

const SHAPES: [Shape; 7] = [
    Shape {
        name: "one caller, single draws, 6 items",
        items: 6,
        count: 1,
        commands: 1,
        in_flight: 1,
        batch_draws_max: 4096,
        limit_bytes: 512,
    },
    Shape {
        name: "singles, batch 4096, 6 items",
        items: 6,
        count: 1,
        commands: 1024,
        in_flight: 8,
        batch_draws_max: 4096,
        limit_bytes: 8704,
    },
    Shape {
        name: "singles, batch 65536, 6 items",
        items: 6,
        count: 1,
        commands: 1024,
        in_flight: 128,
        batch_draws_max: 65_536,
        limit_bytes: 131_584,
    },
    Shape {
        name: "count 100, batch 4096, 6 items",
        items: 6,
        count: 100,
        commands: 41,
        in_flight: 2,
        batch_draws_max: 4096,
        limit_bytes: 4608,
    },
    Shape {
        name: "count 1000, batch 65536, 6 items",
        items: 6,
        count: 1000,
        commands: 66,
        in_flight: 2,
        batch_draws_max: 65_536,
        limit_bytes: 66_560,
    },
    Shape {
        name: "count 1000, batch 65536, 1000 items",
        items: 1000,
        count: 1000,
        commands: 66,
        in_flight: 2,
        batch_draws_max: 65_536,
        limit_bytes: 132_608,
    },
    Shape {
        name: "count 1000, batch 65536, 100000 items",
        items: 100_000,
        count: 1000,
        commands: 66,
        in_flight: 2,
        batch_draws_max: 65_536,
        limit_bytes: 198_656,
    },
];

pub(crate) fn run(seconds: u64) -> anyhow::Result<ExitCode> {
    let duration = Duration::from_secs(seconds);
    println!(
        "Durable draws in process. The limit writes and syncs the same bytes, and draws nothing."
    );
    row(&["shape", "draws", "reply p50/p99 us", "limit p50/p99", "p50 ratio", "B/draw"]);
    for shape in &SHAPES {
        let directory = tempfile::tempdir_in(".")?;
        let limit = bare_commits(directory.path(), shape.limit_bytes, duration / 2)?;
        let config = config(&directory.path().join("data"), shape.batch_draws_max);
        let measured = measure(&config, shape, duration, false)?;
        let micros = |h: &Histogram<u64>| {
            format!("{}/{}", h.value_at_quantile(0.5) / 1000, h.value_at_quantile(0.99) / 1000)
        };
        let (ours, bare) = (measured.latency.value_at_quantile(0.5), limit.value_at_quantile(0.5));
        row(&[
            shape.name,
            &rate(per_second(measured.draws, measured.elapsed)),
            &micros(&measured.latency),
            &micros(&limit),
            &format!("{:.2}", crate::table::float(ours) / crate::table::float(bare)),
            &format!(
                "{:.2}",
                crate::table::float(measured.log_bytes) / crate::table::float(measured.draws)
            ),
        ]);
    }
    Ok(ExitCode::SUCCESS)
}

/// What the rotations and snapshots of a large pool add to the draws beside them.
pub(crate) fn pauses(seconds: u64, items: u64) -> anyhow::Result<ExitCode> {
    let shape = Shape {
        name: "count 100, one caller",
        items,
        count: 100,
        commands: 1,
        in_flight: 1,
        batch_draws_max: 4096,
        limit_bytes: 512,
    };
    println!("{items} items, segments of 1 MiB, a snapshot as often as one is done.");
    row(&["shape", "draws", "p50/p99 us", "p99.9 us", "max us", "rotations"]);
    for segment_bytes in [64 << 20, 1 << 20] {
        let directory = tempfile::tempdir_in(".")?;
        let config = EngineConfig { segment_bytes, ..config(&directory.path().join("data"), 4096) };
        let measured =
            measure(&config, &shape, Duration::from_secs(seconds), segment_bytes == 1 << 20)?;
        let micros = |quantile| (measured.latency.value_at_quantile(quantile) / 1000).to_string();
        row(&[
            &format!("{}, segments of {} MiB", shape.name, segment_bytes >> 20),
            &rate(per_second(measured.draws, measured.elapsed)),
            &format!("{}/{}", micros(0.5), micros(0.99)),
            &micros(0.999),
            &(measured.latency.max() / 1000).to_string(),
            &measured.segments.to_string(),
        ]);
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) struct Measured {
    draws: u64,
    elapsed: Duration,
    /// From hand-over to reply of a submission, in nanoseconds.
    latency: Histogram<u64>,
    log_bytes: u64,
    /// Number of the last segment.
    segments: u32,
}

/// Lays the load on a new engine.
pub(crate) fn measure(
    config: &EngineConfig,
    shape: &Shape,
    duration: Duration,
    with_snapshots: bool,
) -> anyhow::Result<Measured> {
    let engine = Engine::open(config)?;
    let handle = engine.handle();
    let weights: Vec<u64> = (1..=shape.items).collect();
    let number = handle.create_pool(pool(&weights, SelectorKind::Auto)?, PATIENCE)?;
    let stopped = Arc::new(AtomicBool::new(false));
    let snapshots = with_snapshots.then(|| take_snapshots(&handle, &stopped)).transpose()?;
    let (sender, replies): (Sender<Reply>, Receiver<Reply>) =
        crossbeam_channel::bounded(shape.in_flight);
    let port: Arc<dyn ReplyPort> = Arc::new(ChannelPort(sender));
    let mut latency = Histogram::new(3)?;
    let mut handed_over = std::collections::VecDeque::new();
    let begun = Instant::now();
    for _ in 0..shape.in_flight {
        submit(&handle, Submission::new(Arc::clone(&port)), shape, number);
        handed_over.push_back(Instant::now());
    }
    let mut draws = 0;
    while !handed_over.is_empty() {
        let reply = replies.recv()?;
        let since = handed_over.pop_front().expect("a reply answers a submission");
        latency.record(u64::try_from(since.elapsed().as_nanos())?)?;
        draws += u64::try_from(shape.count)? * shape.commands as u64;
        if begun.elapsed() < duration {
            submit(&handle, Submission::reuse(reply, Arc::clone(&port)), shape, number);
            handed_over.push_back(Instant::now());
        }
    }
    let elapsed = begun.elapsed();
    stopped.store(true, Ordering::Relaxed);
    if let Some(snapshots) = snapshots {
        snapshots.join().expect("the thread does not panic");
    }
    let status = handle.call(Request::ReadStatus, PATIENCE)?.0;
    let Answer::Status(status) = status else { unreachable!("a status is answered by a status") };
    engine.stop()?;
    let segments = rewardpool_engine::inspect::segments(&config.directory)?;
    let (bytes, records): (u64, u64) =
        segments.iter().fold((0, 0), |(b, r), s| (b + s.used_bytes, r + s.records));
    let per_record = bytes / records.max(1);
    let log_bytes =
        if records == 0 { 0 } else { per_record.max(1) * (draws / u64::try_from(shape.count)?) };
    let segments = status.current_segment;
    Ok(Measured { draws, elapsed, latency, log_bytes, segments })
}

/// Takes one snapshot after another until it is told to stop.
fn take_snapshots(handle: &Handle, stopped: &Arc<AtomicBool>) -> anyhow::Result<JoinHandle<()>> {
    let (handle, stopped) = (handle.clone(), Arc::clone(stopped));
    let snapshots = move || {
        while !stopped.load(Ordering::Relaxed) {
            handle.take_snapshot(PATIENCE).expect("the engine runs until this thread ends");
        }
    };
    Ok(Builder::new().name("bench-snapshots".to_owned()).spawn(snapshots)?)
}

fn submit(handle: &Handle, mut submission: Submission, shape: &Shape, pool: PoolNumber) {
    let count = DrawCount::new(shape.count).expect("the shapes are valid");
    for _ in 0..shape.commands {
        let mode = DrawMode::BestEffort;
        submission.push(Request::Draw(DrawCommand { pool, count, mode, key: None }));
    }
    assert!(handle.submit(submission).is_ok(), "the mailbox holds what is in flight");
}

struct ChannelPort(Sender<Reply>);

impl ReplyPort for ChannelPort {
    fn deliver(&self, reply: Reply) {
        assert!(self.0.try_send(reply).is_ok(), "the channel holds what is in flight");
    }
}

/// Writes and syncs so many bytes again and again; how long each commit takes, in nanoseconds.
fn bare_commits(
    directory: &std::path::Path,
    bytes: usize,
    duration: Duration,
) -> anyhow::Result<Histogram<u64>> {
    let path = directory.join("limit");
    let file: File = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    file.write_all_at(&vec![0; LIMIT_FILE_BYTES], 0)?;
    file.sync_all()?;
    let batch = vec![7; bytes];
    let mut latency = Histogram::new(3)?;
    let (begun, mut offset) = (Instant::now(), 0);
    while begun.elapsed() < duration {
        if offset + bytes > LIMIT_FILE_BYTES {
            offset = 0;
        }
        let commit = Instant::now();
        file.write_all_at(&batch, offset as u64)?;
        file.sync_data()?;
        latency.record(u64::try_from(commit.elapsed().as_nanos())?)?;
        offset += bytes;
    }
    std::fs::remove_file(path)?;
    Ok(latency)
}
