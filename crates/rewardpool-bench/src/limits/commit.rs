//! The least that makes bytes durable: `pwrite` and `fdatasync` into a file that is there already.
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread::Builder;
use std::time::{Duration, Instant};

use rewardpool_load::Latencies;

use crate::rounds::Round;

/// Real-time priority: any is above all ordinary threads.
const PRIORITY: i32 = 1;

/// A zero-filled file to write to, from its begin to its end and again.
pub(crate) struct ZeroFilled {
    file: File,
    bytes: usize,
    offset: usize,
}

impl ZeroFilled {
    /// Makes a file of so many bytes, which goes with its directory.
    pub(crate) fn new(directory: &Path, bytes: usize) -> anyhow::Result<Self> {
        let path = directory.join("limit");
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
        file.write_all_at(&vec![0; bytes], 0)?;
        file.sync_all()?;
        Ok(Self { file, bytes, offset: 0 })
    }

    /// Writes and syncs. The next ones begin on the next sector.
    pub(crate) fn commit(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if self.offset + bytes.len() > self.bytes {
            self.offset = 0;
        }
        self.file.write_all_at(bytes, self.offset as u64)?;
        self.file.sync_data()?;
        self.offset += bytes.len().next_multiple_of(512);
        Ok(())
    }

    /// Commits so many bytes again and again.
    pub(crate) fn run(&mut self, bytes: usize, duration: Duration) -> anyhow::Result<Round> {
        let batch = vec![7; bytes];
        let (mut latencies, mut events) = (Latencies::new(), 0);
        let begun = Instant::now();
        while events == 0 || begun.elapsed() < duration {
            let commit = Instant::now();
            self.commit(&batch)?;
            latencies.record(commit.elapsed(), 1);
            events += 1;
        }
        Ok(Round { events, elapsed: begun.elapsed(), latencies })
    }

    /// The same on a thread of real-time priority, or `None` where that is not permitted.
    pub(crate) fn run_first(
        &mut self,
        bytes: usize,
        duration: Duration,
    ) -> anyhow::Result<Option<Round>> {
        std::thread::scope(|scope| {
            let body = || {
                if become_first() { self.run(bytes, duration).map(Some) } else { Ok(None) }
            };
            let thread = Builder::new().name("limit-first".to_owned()).spawn_scoped(scope, body)?;
            thread.join().expect("the thread does not panic")
        })
    }
}

/// Gives the calling thread real-time priority (`SCHED_FIFO`); whether that is permitted.
fn become_first() -> bool {
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: 0 is the calling thread, and the parameters live until the call returns.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) == 0 }
}
