//! What is seen of a run while it runs.
use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rewardpool_load::report::rate;
use rewardpool_load::{Phase, Watch};

/// How often the bar moves. Rarely, because it takes CPU time from what is measured.
const MOVE_EVERY: Duration = Duration::from_millis(200);
const STYLE: &str = "{msg:>24} [{bar:40}] {prefix}";

/// Runs, and shows how far it is when a person watches.
pub(super) fn beside<T>(watch: &Watch, run: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return run();
    }
    let (done, is_done) = sync_channel::<()>(0);
    std::thread::scope(|scope| {
        let show = move || {
            let bar = ProgressBar::new(1000);
            bar.set_style(ProgressStyle::with_template(STYLE).expect("the template is right"));
            let mut seen = (Instant::now(), 0);
            while is_done.recv_timeout(MOVE_EVERY) == Err(RecvTimeoutError::Timeout) {
                seen = show(&bar, watch, seen);
            }
            bar.finish_and_clear();
        };
        // A run without a bar is a run.
        drop(Builder::new().name("bench-progress".to_owned()).spawn_scoped(scope, show));
        let result = run();
        drop(done);
        result
    })
}

/// Moves the bar. Takes and gives the moment and the draws of the last look.
fn show(bar: &ProgressBar, watch: &Watch, (then, before): (Instant, u64)) -> (Instant, u64) {
    let (now, draws) = (Instant::now(), watch.draws());
    let (message, share) = stage(watch.phase(), now, draws);
    bar.set_message(if watch.is_stopped() { "ending early" } else { message });
    bar.set_position(share);
    let since = (now - then).as_millis().max(1);
    let per_second = u128::from(draws.saturating_sub(before)) * 1000 / since;
    let per_second = u32::try_from(per_second).unwrap_or(u32::MAX);
    bar.set_prefix(format!("{draws} draws, {}", rate(per_second.into())));
    (now, draws)
}

/// What is done, and how much of it, in thousandths.
fn stage(phase: Phase, now: Instant, draws: u64) -> (&'static str, u64) {
    let thousandths = |part: u128, whole: u128| {
        u64::try_from(part * 1000 / whole.max(1)).unwrap_or(1000).min(1000)
    };
    match phase {
        Phase::Preparing => ("preparing", 0),
        Phase::Filling { draws: all } => ("filling the log", thousandths(draws.into(), all.into())),
        Phase::Measuring { since, duration } => {
            let gone = now.saturating_duration_since(since);
            ("measuring", thousandths(gone.as_nanos(), duration.as_nanos()))
        }
        Phase::Replaying => ("replaying", 1000),
        Phase::Finishing => ("finishing", 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_at_the_end_and_never_fuller() {
        let since = Instant::now();
        let measuring = Phase::Measuring { since, duration: Duration::from_secs(2) };
        let at = |ms| stage(measuring, since + Duration::from_millis(ms), 0).1;
        assert_eq!((at(0), at(500), at(2000), at(9000)), (0, 250, 1000, 1000));
        let filling = |draws| stage(Phase::Filling { draws: 200 }, since, draws).1;
        assert_eq!((filling(0), filling(50), filling(300)), (0, 250, 1000));
        assert_eq!(stage(Phase::Filling { draws: 0 }, since, 0).1, 0);
    }
}
