//! A backup as a stream: the files of the log are read on a thread that may wait for the disk, and
//! handed to the network a few parts ahead, as fast as the client takes them.
//!
//! Invariant: memory of a backup is bounded by [`PARTS_AHEAD`] parts. A client that takes nothing
//! costs the open files and these parts, and after [`PATIENCE`] only the parts.
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rewardpool_backup::archive::{ArchiveWriter, Made, WriteError};
use rewardpool_engine::{BackupError, BackupOptions, Chain, Refusal};
use rewardpool_proto::v1;
use tokio::sync::mpsc::{self, OwnedPermit, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_stream::Stream;
use tonic::Status;

use super::Edge;
use crate::convert::Fault;

/// Backups that may run at the same time.
const BACKUPS_MAX: usize = 2;
/// How long a backup waits for its client to take something.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a call without a deadline waits for the position where the log ends.
const POSITION_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a second if the client does not say: a tenth of what a processor can read and hash.
const BYTES_PER_SECOND: u64 = 64_000_000;
/// What a backup that was held up may make good at once.
const CATCH_UP: Duration = Duration::from_millis(50);
/// Parts that are read ahead of the client.
const PARTS_AHEAD: usize = 4;
/// Bytes of a part.
const PART_BYTES: usize = 64 << 10;

type Part = Result<v1::BackupChunk, Status>;

/// Limits the backups of a service.
pub(super) struct Backups {
    permits: Arc<Semaphore>,
}

impl Default for Backups {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(BACKUPS_MAX)) }
    }
}

impl Backups {
    /// Opens the files of a backup and begins to stream them.
    pub(super) async fn begin(
        &self,
        edge: &Edge,
        options: BackupOptions,
        bytes_per_second_max: u64,
        version: &'static str,
        deadline: Option<Instant>,
    ) -> Result<BackupStream, Fault> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| Fault::backup_running())?;
        let patience = deadline.map_or(POSITION_PATIENCE, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        let handle = edge.mailbox.handle.clone();
        let opened = tokio::task::spawn_blocking(move || handle.backup(options, patience)).await;
        let opened = opened.unwrap_or(Err(BackupError::Refused(Refusal::OutcomeUnknown)));
        let backup = opened.map_err(|error| {
            tracing::error!(error = %Chain(&error), "no backup can be made");
            Fault::no_backup(&error)
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let archive = ArchiveWriter::new(backup, Made { version, time_ms });
        // One place is kept for the last word, also when the client takes nothing.
        let (sender, receiver) = mpsc::channel(PARTS_AHEAD + 1);
        let last = sender.clone().try_reserve_owned().expect("the channel is empty");
        let stopping = edge.stopping.clone();
        let pace = Pace::new(bytes_per_second_max);
        let taker = Taker { sender, stopping, pace, part: Vec::with_capacity(PART_BYTES) };
        let stream = move || stream(archive, taker, last, permit);
        // Nobody waits for it: it ends with its client.
        drop(tokio::task::spawn_blocking(stream));
        Ok(BackupStream(receiver))
    }
}

/// The parts of one backup.
pub(crate) struct BackupStream(Receiver<Part>);

impl Stream for BackupStream {
    type Item = Part;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Part>> {
        self.0.poll_recv(context)
    }
}

/// Why a backup ends before it is whole.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error("the client went away")]
    ClientGone,
    #[error("the client took nothing for {} seconds", PATIENCE.as_secs())]
    ClientStuck,
    #[error("the service is stopping")]
    Stopping,
}

/// Reads all files of a backup and hands them to its client.
fn stream(
    archive: ArchiveWriter,
    mut taker: Taker,
    last: OwnedPermit<Part>,
    _permit: OwnedSemaphorePermit,
) {
    let (begun, manifest, bytes) = (Instant::now(), archive.manifest().clone(), archive.bytes());
    let start = v1::BackupStart {
        bytes,
        snapshot_lsn: manifest.snapshot_lsn,
        last_lsn: manifest.last_lsn,
        has_secrets: manifest.has_secrets,
    };
    let announced = taker.send(v1::BackupChunk { start: Some(start), data: Vec::new().into() });
    let written = match announced {
        Ok(()) => archive.write(|bytes| taker.take(bytes)).map(drop),
        Err(interruption) => Err(WriteError::Taken(interruption)),
    };
    let rest = std::mem::take(&mut taker.part);
    match written {
        Ok(()) => {
            let seconds = begun.elapsed().as_secs_f64();
            tracing::info!(lsn = manifest.last_lsn, bytes, seconds, "backup written");
            // A client that is gone does not want it.
            drop(last.send(Ok(v1::BackupChunk { start: None, data: rest.into() })));
        }
        Err(error) => {
            tracing::warn!(error = %Chain(&error), lsn = manifest.last_lsn, "backup interrupted");
            drop(last.send(Err(status(&error))));
        }
    }
}

fn status(error: &WriteError<Interruption>) -> Status {
    match error {
        WriteError::Taken(Interruption::Stopping) => Fault::from(Refusal::Stopping).to_status(),
        WriteError::Taken(interruption) => Status::deadline_exceeded(interruption.to_string()),
        WriteError::Read { .. } => Status::internal(error.to_string()),
    }
}

/// Hands parts to the network, of the length that suits it.
struct Taker {
    sender: Sender<Part>,
    stopping: watch::Receiver<bool>,
    pace: Pace,
    part: Vec<u8>,
}

impl Taker {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Interruption> {
        while self.part.len() + bytes.len() >= PART_BYTES {
            let (first, rest) = bytes.split_at(PART_BYTES - self.part.len());
            self.part.extend_from_slice(first);
            let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART_BYTES));
            self.keep_pace()?;
            self.send(v1::BackupChunk { start: None, data: part.into() })?;
            bytes = rest;
        }
        self.part.extend_from_slice(bytes);
        Ok(())
    }

    /// Waits until the next part is due.
    fn keep_pace(&mut self) -> Result<(), Interruption> {
        let patience = self.pace.next_in(Instant::now());
        if patience.is_zero() {
            return Ok(());
        }
        let stopped = async {
            // A sender that is gone has stopped, too.
            drop(self.stopping.wait_for(|stopping| *stopping).await);
        };
        wait(stopped, patience).map_or(Ok(()), |()| Err(Interruption::Stopping))
    }

    fn send(&mut self, chunk: v1::BackupChunk) -> Result<(), Interruption> {
        let Self { sender, stopping, .. } = self;
        let place = async {
            tokio::select! {
                biased;
                _stopped = stopping.wait_for(|stopping| *stopping) => Err(Interruption::Stopping),
                place = sender.reserve() => place.map_err(|_| Interruption::ClientGone),
            }
        };
        wait(place, PATIENCE).unwrap_or(Err(Interruption::ClientStuck))?.send(Ok(chunk));
        Ok(())
    }
}

/// Spreads the parts over time.
struct Pace {
    /// How long a part takes at least.
    interval: Duration,
    /// When the next part is due.
    due: Instant,
}

impl Pace {
    fn new(bytes_per_second_max: u64) -> Self {
        let rate = if bytes_per_second_max == 0 { BYTES_PER_SECOND } else { bytes_per_second_max };
        let part_bytes = u64::try_from(PART_BYTES).expect("a part is short");
        let interval = Duration::from_nanos(part_bytes * 1_000_000_000 / rate);
        Self { interval, due: Instant::now() }
    }

    /// How long the next part has to wait.
    fn next_in(&mut self, now: Instant) -> Duration {
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        let patience = self.due.saturating_duration_since(now);
        self.due = self.due.max(earliest) + self.interval;
        patience
    }
}

/// Waits on this thread. Unlike the runtime's own way this needs no timer of the runtime, which may be
/// gone by then.
fn wait<T>(future: impl Future<Output = T>, patience: Duration) -> Option<T> {
    let give_up_at = Instant::now() + patience;
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        let left = give_up_at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_spread_and_what_was_held_up_is_made_good_in_part() {
        let begun = Instant::now();
        // A part a millisecond.
        let mut pace = Pace::new(PART_BYTES as u64 * 1000);
        pace.due = begun;
        let mut now = begun;
        for _ in 0..100 {
            now += pace.next_in(now);
        }
        assert_eq!(now - begun, Duration::from_millis(99));
        // Held up for a second: fifty parts follow at once, and not a thousand.
        now += Duration::from_secs(1);
        let at_once = (0..1000).filter(|_| pace.next_in(now).is_zero()).count();
        assert!((50..=52).contains(&at_once), "{at_once}");
        assert_eq!(Pace::new(u64::MAX).interval, Duration::ZERO);
        assert_eq!(Pace::new(0).interval, Pace::new(BYTES_PER_SECOND).interval);
    }

    /// A waiting thread hears of what it waits for at once, and gives up in time.
    #[test]
    fn a_thread_waits_for_a_future() {
        let (sender, mut receiver) = mpsc::channel(1);
        let send = move || sender.try_send(7).unwrap();
        let thread = thread::Builder::new().name("sender".to_owned()).spawn(send).unwrap();
        assert_eq!(wait(receiver.recv(), Duration::from_secs(30)), Some(Some(7)));
        thread.join().unwrap();
        let begun = Instant::now();
        let patience = Duration::from_millis(20);
        assert_eq!(wait(std::future::pending::<()>(), patience), None);
        assert!(begun.elapsed() >= patience);
    }
}
