//! How busy the service is: rates and percentiles of the last seconds, measured in one place, so
//! that everybody who watches sees the same.
use std::collections::VecDeque;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rewardpool_engine::{Handle, Reading};
use rewardpool_proto::v1;
use tokio::time::MissedTickBehavior;

use crate::convert::wide;

/// How often the counters are read.
const TICK: Duration = Duration::from_secs(1);
/// Percentiles are those of so many ticks.
const WINDOW: usize = 10;
/// Items are counted again for those who watch at most so often.
const RECOUNT_EVERY: Duration = Duration::from_secs(10);

/// Reads the counters of an engine again and again.
pub(crate) struct Meter {
    handle: Handle,
    ready_at: Instant,
    started_at_ms: i64,
    samples: Mutex<Samples>,
    /// When the items were last counted again for those who watch, in milliseconds of uptime.
    recounted_ms: AtomicU64,
}

/// The counters at a moment.
struct Sample {
    at: Instant,
    reading: Reading,
}

/// What was read in the last seconds, the newest last, and what follows from it.
struct Samples {
    kept: VecDeque<Sample>,
    /// Used to compute with.
    scratch: Reading,
    recent: Recent,
}

/// Of the last seconds.
#[derive(Clone, Copy, Default)]
struct Recent {
    draws_per_second: f64,
    commit_p50_us: u64,
    commit_p99_us: u64,
    commit_max_us: u64,
    batch_p50_draws: u64,
}

impl Meter {
    /// A meter of this engine, which was just opened.
    pub(crate) fn new(handle: Handle) -> Arc<Self> {
        let ready_at = Instant::now();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let samples = Samples {
            kept: VecDeque::with_capacity(WINDOW + 1),
            scratch: Reading::default(),
            recent: Recent::default(),
        };
        let meter = Self {
            handle,
            ready_at,
            started_at_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            samples: Mutex::new(samples),
            recounted_ms: AtomicU64::new(0),
        };
        meter.sample(ready_at);
        Arc::new(meter)
    }

    /// Reads once a second from now on, by a task that lives as long as the runtime.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(crate) fn tick(self: &Arc<Self>) {
        let ticked = Arc::clone(self);
        // Nobody waits for this task: it ends with the runtime.
        drop(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first one is now, and the meter has read already.
            ticks.tick().await;
            loop {
                ticks.tick().await;
                ticked.sample(Instant::now());
            }
        }));
    }

    /// Reads the counters.
    fn sample(&self, now: Instant) {
        let mut samples = self.lock();
        let oldest = if samples.kept.len() > WINDOW { samples.kept.pop_front() } else { None };
        let mut sample = oldest.unwrap_or_else(|| Sample { at: now, reading: Reading::default() });
        sample.at = now;
        self.handle.read_statistics(&mut sample.reading);
        samples.kept.push_back(sample);
        samples.evaluate();
    }

    /// When the service became ready, in milliseconds since 1970.
    pub(crate) fn started_at_ms(&self) -> i64 {
        self.started_at_ms
    }

    /// Seconds since the service became ready.
    pub(crate) fn uptime_seconds(&self) -> f64 {
        self.ready_at.elapsed().as_secs_f64()
    }

    /// Whether it is time to count all items again, for whoever asks first.
    pub(crate) fn is_recount_due(&self) -> bool {
        let now = u64::try_from(self.ready_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let every = u64::try_from(RECOUNT_EVERY.as_millis()).expect("it is short");
        let order = Ordering::Relaxed;
        let last = self.recounted_ms.load(order);
        // 0 is never.
        (last == 0 || now.saturating_sub(last) >= every)
            && self.recounted_ms.compare_exchange(last, now.max(1), order, order).is_ok()
    }

    /// How busy the service is.
    pub(crate) fn activity(&self) -> v1::ServiceActivity {
        let samples = &mut *self.lock();
        let Recent {
            draws_per_second,
            commit_p50_us,
            commit_p99_us,
            commit_max_us,
            batch_p50_draws,
        } = samples.recent;
        let now = &mut samples.scratch;
        self.handle.read_statistics(now);
        v1::ServiceActivity {
            uptime_seconds: self.uptime_seconds(),
            draws: now.draws,
            draws_per_second,
            commits: now.commits,
            commit_p50_us,
            commit_p99_us,
            commit_max_us,
            batch_p50_draws,
            durable_lsn: now.durable_lsn,
            last_request_id: now.last_request_id,
            mailbox_depth: wide(self.handle.mailbox_depth()),
            mailbox_capacity: wide(self.handle.mailbox_capacity()),
            out_of_space: self.handle.is_out_of_space(),
            conservation_ok: self.handle.conservation_ok(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            awards: now.awards,
            empties: now.empties,
            refusals: now.refusals,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Samples {
    /// Computes what is true until the next sample.
    fn evaluate(&mut self) {
        let Self { kept, scratch, recent } = self;
        let (Some(first), Some(last)) = (kept.front(), kept.back()) else { return };
        if let Some(before) = kept.len().checked_sub(2).and_then(|place| kept.get(place)) {
            let draws = last.reading.draws - before.reading.draws;
            let seconds = last.at.duration_since(before.at).as_secs_f64();
            recent.draws_per_second = if seconds > 0.0 { float(draws) / seconds } else { 0.0 };
        }
        let micros = |nanos: u64| nanos.div_ceil(1000);
        scratch.commit_ns.clone_from(&last.reading.commit_ns);
        scratch.commit_ns.subtract(&first.reading.commit_ns);
        recent.commit_p50_us = micros(scratch.commit_ns.per_mille(500));
        recent.commit_p99_us = micros(scratch.commit_ns.per_mille(990));
        recent.commit_max_us = micros(scratch.commit_ns.per_mille(1000));
        scratch.batch_draws.clone_from(&last.reading.batch_draws);
        scratch.batch_draws.subtract(&first.reading.batch_draws);
        recent.batch_p50_draws = scratch.batch_draws.per_mille(500);
    }
}

/// A count as a number to compute with; above 2^53 not exact.
#[expect(clippy::cast_precision_loss, reason = "rates are not exact")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Id of this process.
pub(crate) fn process_id() -> u32 {
    process::id()
}
