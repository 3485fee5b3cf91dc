//! How much one caller may take: draws in a second (a token bucket) and calls at the same time.
//!
//! The bucket is one atomic number. A stream takes a few draws out of it at once and then spends
//! them one by one, so that single draws that are sent together do not share an atomic each.
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::QuotaConfig;

/// Most draws that a stream takes out of the bucket before it needs them.
const AHEAD_MAX: u32 = 64;

/// The limits of one caller, shared by all their calls.
#[derive(Debug)]
pub(super) struct Limits {
    bucket: Option<Bucket>,
    streams: Option<Arc<Semaphore>>,
}

#[derive(Debug)]
struct Bucket {
    limiter: DefaultDirectRateLimiter,
    burst: u32,
}

/// Why a caller may not draw now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exceeded {
    /// There is room again after so long.
    For(Duration),
    /// There is never room for so many draws at once: this is the most.
    Always(u32),
}

impl Limits {
    /// Limits of this size, of which nothing is taken yet.
    pub(super) fn new(config: QuotaConfig) -> Self {
        let bucket = config.draws_per_second.and_then(NonZeroU32::new).map(|rate| {
            let burst = config.draws_burst.and_then(NonZeroU32::new).unwrap_or(rate);
            let limiter = RateLimiter::direct(Quota::per_second(rate).allow_burst(burst));
            Bucket { limiter, burst: burst.get() }
        });
        let streams = config.streams.filter(|&streams| streams > 0).map(|streams| {
            Arc::new(Semaphore::new(usize::try_from(streams).expect("the option bounds it")))
        });
        Self { bucket, streams }
    }

    /// A place for one more call, to be held while it lasts.
    pub(super) fn begin_call(&self) -> Result<Option<OwnedSemaphorePermit>, ()> {
        let Some(streams) = &self.streams else { return Ok(None) };
        Arc::clone(streams).try_acquire_owned().map(Some).map_err(drop)
    }
}

impl Bucket {
    fn take(&self, draws: u32) -> Result<(), Exceeded> {
        let Some(draws) = NonZeroU32::new(draws) else { return Ok(()) };
        match self.limiter.check_n(draws) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => {
                Err(Exceeded::For(not_until.wait_time_from(DefaultClock::default().now())))
            }
            Err(_) => Err(Exceeded::Always(self.burst)),
        }
    }
}

/// What one call or stream may draw.
#[derive(Debug)]
pub(crate) struct Allowance {
    limits: Arc<Limits>,
    /// Draws that were taken out of the bucket and not made yet.
    credit: u32,
}

impl Allowance {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self { limits, credit: 0 }
    }

    /// Takes so many draws, all or none.
    pub(super) fn take(&mut self, draws: u16) -> Result<(), Exceeded> {
        let Some(bucket) = &self.limits.bucket else { return Ok(()) };
        let draws = u32::from(draws);
        if draws > bucket.burst {
            return Err(Exceeded::Always(bucket.burst));
        }
        if let Some(left) = self.credit.checked_sub(draws) {
            self.credit = left;
            return Ok(());
        }
        let missing = draws - self.credit;
        // A small quota is not kept in the pocket of one stream.
        let ahead = (bucket.burst / AHEAD_MAX).min(AHEAD_MAX);
        if missing < ahead && bucket.take(ahead).is_ok() {
            self.credit = ahead - missing;
            return Ok(());
        }
        bucket.take(missing)?;
        self.credit = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(rate: u32, burst: Option<u32>, streams: u32) -> Arc<Limits> {
        Arc::new(Limits::new(QuotaConfig {
            draws_per_second: Some(rate),
            draws_burst: burst,
            streams: Some(streams),
        }))
    }

    #[test]
    fn a_burst_is_given_once_and_then_the_rate() {
        let limits = limits(1, Some(100), 0);
        let mut one = Allowance::new(Arc::clone(&limits));
        let mut other = Allowance::new(limits);
        assert_eq!(one.take(60), Ok(()));
        assert_eq!(other.take(40), Ok(()));
        let Err(Exceeded::For(wait)) = one.take(10) else { panic!("nothing is left") };
        assert!(wait > Duration::from_secs(8) && wait <= Duration::from_secs(10), "{wait:?}");
        assert_eq!(other.take(101), Err(Exceeded::Always(100)));
    }

    /// However single draws are spread over streams, all together get the burst and not one more.
    #[test]
    fn draws_taken_ahead_are_counted() {
        let limits = limits(1, Some(10_000), 0);
        let mut allowances: Vec<_> = (0..3).map(|_| Allowance::new(Arc::clone(&limits))).collect();
        let mut given = 0;
        for turn in 0..40_000 {
            given += u32::from(allowances[turn % 3].take(1).is_ok());
        }
        assert!((10_000..=10_001).contains(&given), "{given}");
    }

    #[test]
    fn no_limit_is_no_limit() {
        let mut allowance = Allowance::new(limits(0, None, 0));
        for _ in 0..1000 {
            assert_eq!(allowance.take(10_000), Ok(()));
        }
    }

    #[test]
    fn calls_end_and_make_room() {
        let limits = limits(0, None, 2);
        let first = limits.begin_call().expect("there is room");
        let _second = limits.begin_call().expect("there is room");
        assert!(limits.begin_call().is_err());
        drop(first);
        assert!(limits.begin_call().is_ok());
    }
}
