//! A timer of the kernel that keeps microseconds: that of the runtime rounds up to milliseconds,
//! which is longer than a draw takes.
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A timer.
pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// Must be called on a runtime.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: the descriptor is owned, and nothing replaces or closes it before the `AsyncFd`
        // is dropped.
        Ok(Self(unsafe { AsyncFd::register(timer) }.map_err(io::Error::from)?))
    }

    /// Waits until that moment. Returns at once when it has passed.
    pub(super) async fn sleep_until(&self, moment: Instant) -> io::Result<()> {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // Others of this thread must run all the same.
            tokio::task::yield_now().await;
            return Ok(());
        }
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once(left))?;
        let mut guard = self.0.readable().await?;
        // Rearming clears what was not read.
        guard.clear_ready();
        Ok(())
    }
}

fn once(after: Duration) -> Itimerspec {
    let it_value = Timespec {
        tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: after.subsec_nanos().into(),
    };
    Itimerspec { it_interval: Timespec::default(), it_value }
}
