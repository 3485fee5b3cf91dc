//! A fixed errand: so many draws with a snapshot in the middle, one call at a time, so that the
//! service makes nearly the same system calls each time.
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rewardpool_checker::history::Recorder;

use crate::client::{Client, DrawOp, Told};

/// Draws of one call.
const COUNT: u32 = 5;
/// Calls before the snapshot, and after it.
const CALLS: [u32; 2] = [12, 8];
/// How soon draws must be served again when there is space.
const RESUMES_WITHIN: Duration = Duration::from_secs(1);

/// How far an errand came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ran {
    /// Everything was answered; what was refused for lack of space was asked for again.
    ToItsEnd,
    /// The service broke off.
    UntilTheServiceEnded,
}

/// A client on its errand.
pub(crate) struct Errand {
    client: Client,
    /// Numbers the operations over all lives of one history.
    serial: Arc<AtomicU32>,
}

impl Errand {
    /// `None` when the service ended before it could be reached.
    pub(crate) async fn begin(
        recorder: &Arc<Recorder>,
        serial: &Arc<AtomicU32>,
        address: &str,
    ) -> Option<Self> {
        let client = Client::connect(address, recorder, 0).await.ok()?;
        Some(Self { client, serial: Arc::clone(serial) })
    }

    /// Does all of it.
    pub(crate) async fn run(&mut self) -> Ran {
        let [before, after] = CALLS;
        if self.draws(before).await == Ran::UntilTheServiceEnded {
            return Ran::UntilTheServiceEnded;
        }
        let op = self.next_op("snapshot");
        // A snapshot that the disk has no room for is refused; the draws go on.
        if self.client.take_snapshot(&op).await.is_unknown() {
            return Ran::UntilTheServiceEnded;
        }
        self.draws(after).await
    }

    /// Makes so many calls that succeed. Those that are refused are definite, and made again.
    pub(crate) async fn draws(&mut self, calls: u32) -> Ran {
        for _ in 0..calls {
            let begun = Instant::now();
            loop {
                let draw = DrawOp::keyed(self.next_op("draw"), "default", COUNT);
                match self.client.draw(&draw).await {
                    Told::Ok(_) => break,
                    Told::Info(_) => return Ran::UntilTheServiceEnded,
                    Told::Fail(reason) => {
                        assert!(begun.elapsed() < RESUMES_WITHIN, "still refused: {reason}");
                    }
                }
            }
        }
        Ran::ToItsEnd
    }

    /// Sends draws again whose outcome is unknown.
    pub(crate) async fn repeat(&mut self, ops: &[String]) -> Ran {
        for op in ops {
            let draw = DrawOp::keyed(op.clone(), "default", COUNT);
            if !matches!(self.client.draw(&draw).await, Told::Ok(_)) {
                return Ran::UntilTheServiceEnded;
            }
        }
        Ran::ToItsEnd
    }

    fn next_op(&self, kind: &str) -> String {
        format!("{kind}-{}", self.serial.fetch_add(1, Ordering::Relaxed))
    }
}
