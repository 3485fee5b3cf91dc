//! A point in time. The state of the screen looks at no clock: each event brings the time with it.
use std::time::Duration;

/// A point in time, on both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moment {
    /// Since the program started; never falls. For everything that is measured.
    pub elapsed: Duration,
    /// Milliseconds since 1970 by the wall clock. For people to read.
    pub unix_ms: u64,
}

impl Moment {
    /// How long it is since an earlier moment.
    pub fn since(self, earlier: Self) -> Duration {
        self.elapsed.saturating_sub(earlier.elapsed)
    }
}
