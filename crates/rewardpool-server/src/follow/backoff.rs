//! How long to wait before the next attempt: longer each time, and never the same for two followers.
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits between attempts.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next wait: between half of it and all of it.
    pub(super) fn wait(&mut self) -> Duration {
        let longest = self.next;
        self.next = (longest * 2).min(LONGEST);
        // Without randomness it waits the longest time, which is no harm.
        let random = getrandom::u32().unwrap_or(u32::MAX);
        let part = f64::from(random) / f64::from(u32::MAX);
        longest.mul_f64(part.midpoint(1.0))
    }

    /// The next wait is a short one again.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_vary() {
        let mut backoff = Backoff::new();
        let waits: Vec<Duration> = (0..20).map(|_| backoff.wait()).collect();
        let mut bound = FIRST;
        for wait in &waits {
            assert!(*wait >= bound / 2 && *wait <= bound, "{wait:?} of {bound:?}");
            bound = (bound * 2).min(LONGEST);
        }
        let last = &waits[10..];
        assert!(last.iter().any(|wait| *wait != last[0]), "{last:?}");
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
