//! How fast a log is read: a log is filled, then replayed, and then an engine starts on it.
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::selector::SelectorKind;
use rewardpool_engine::{Engine, StorageKind, inspect};
use rustix::fs::{Advice, fadvise};
use serde_json::json;

use crate::engine::{self, EnginePlan, selector_name, storage_name, temporary_directory};
use crate::error::Error;
use crate::log::{float, ratio};
use crate::machine::{Machine, Observer};
use crate::report::{self, Kind, Parameters, Replay, Report};
use crate::tally::Tally;
use crate::watch::{Phase, Watch};

/// Draws of a small log that tells how many bytes a draw takes.
const SAMPLE_DRAWS: u64 = 100_000;
/// The longest segment that the service can be configured to.
const SEGMENT_BYTES_MAX: f64 = 4_294_967_296.0;
/// Room beside what the sample tells: numbers grow longer in text.
const ROOM: f64 = 1.25;
const ROOM_BYTES: f64 = 4_194_304.0;

/// Which log is filled and how it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecoveryPlan {
    /// Draws of the log.
    pub draws: u64,
    /// Draws of a record: 1 to 10 000.
    pub count: u16,
    /// Items of the pool.
    pub items: u32,
    /// How they are located.
    pub selector: SelectorKind,
    /// Format of the records.
    pub format: Format,
    /// How the log is written.
    pub storage: StorageKind,
    /// How often it is replayed: at least once.
    pub repeats: u16,
    /// Whether the files are dropped from the page cache before each read.
    pub is_cold: bool,
}

impl RecoveryPlan {
    fn filling(&self, draws: u64, segment_bytes: usize) -> EnginePlan {
        let most = 65_536 / u32::from(self.count.max(1));
        EnginePlan {
            items: self.items,
            selector: self.selector,
            format: self.format,
            storage: self.storage,
            segment_bytes,
            batch_draws_max: 65_536,
            count: self.count,
            commands: u16::try_from(most.clamp(1, 1024)).expect("at most 1024"),
            in_flight: 4,
            producers: 1,
            // Draws end it.
            duration: Duration::from_hours(24),
            draws_max: draws,
            with_snapshots: false,
        }
    }

    fn parameters(&self) -> Parameters {
        report::parameters(json!({
            "draws": self.draws,
            "count": self.count,
            "items": self.items,
            "selector": selector_name(self.selector),
            "format": self.format.to_string(),
            "storage": storage_name(self.storage),
            "repeats": self.repeats,
            "cold": self.is_cold,
        }))
    }
}

/// Fills a log in a temporary directory below `parent`, reads it, starts on it, and reports.
///
/// # Errors
/// When the plan is out of bounds, or the engine fails.
pub fn bench(parent: &Path, plan: &RecoveryPlan, watch: &Watch) -> Result<Report, Error> {
    if plan.repeats == 0 || plan.draws == 0 {
        return Err(Error::Plan("at least one draw is replayed at least once"));
    }
    let directory = temporary_directory(parent)?;
    let machine = Machine::of(Some(directory.path()));
    let observer = Observer::begin(&[]);
    let segment_bytes = segment_bytes(directory.path(), plan)?;
    let filling = plan.filling(plan.draws, segment_bytes);
    let data = directory.path().join("data");
    let filled = engine::run(&data, &filling, watch)?;
    watch.enter(Phase::Replaying);
    let log_bytes = inspect::segments(&data)?.iter().map(|segment| segment.used_bytes).sum();
    let (load_seconds, tally) = load(&data, plan, watch)?;
    prepare(&data, plan)?;
    let begun = Instant::now();
    let engine = Engine::open(&filling.config(&data))?;
    let start_seconds = begun.elapsed().as_secs_f64();
    engine.stop()?;
    let mut trust = observer.end(&machine);
    if tally.draws != filled.tally.draws {
        trust.doubt("the log rotated, so a part of it was not replayed");
    }
    let median = median(&load_seconds);
    let told = report::Run {
        kind: Kind::Recovery,
        parameters: plan.parameters(),
        trust,
        machine,
        interrupted: watch.is_stopped(),
        elapsed: Duration::from_secs_f64(median),
    };
    let mut report = Report::new(told, &tally);
    report.log = Some(filled.log);
    report.recovery = Some(Replay {
        log_bytes,
        fill_seconds: filled.elapsed.as_secs_f64(),
        load_seconds,
        bytes_per_second: ratio(float(log_bytes), median),
        start_seconds,
    });
    Ok(report)
}

/// Loads the log as often as planned, at least once.
fn load(data: &Path, plan: &RecoveryPlan, watch: &Watch) -> Result<(Vec<f64>, Tally), Error> {
    let mut seconds = Vec::new();
    let mut tally = Tally::default();
    for repeat in 0..plan.repeats {
        if repeat > 0 && watch.is_stopped() {
            break;
        }
        prepare(data, plan)?;
        let begun = Instant::now();
        let (state, found) = inspect::load(data)?;
        seconds.push(begun.elapsed().as_secs_f64());
        drop(state);
        tally = Tally { requests: found.records, draws: found.draws, ..Tally::default() };
    }
    Ok((seconds, tally))
}

/// The length of a segment that takes the whole log. Only one that does not rotate is replayed as
/// a whole: a snapshot replaces what is before it.
fn segment_bytes(directory: &Path, plan: &RecoveryPlan) -> Result<usize, Error> {
    let sample = plan.filling(SAMPLE_DRAWS.min(plan.draws), 64 << 20);
    let data = directory.join("sample");
    let log = engine::run(&data, &sample, &Watch::new())?.log;
    fs::remove_dir_all(&data).map_err(Error::file(&data))?;
    let bytes = log.bytes_per_draw * float(plan.draws) * ROOM + ROOM_BYTES;
    if bytes > SEGMENT_BYTES_MAX {
        return Err(Error::Plan("so many draws do not fit into one segment of 4 GiB"));
    }
    let mebibytes = (1..=4096_u16).find(|&mebibytes| f64::from(mebibytes) * 1_048_576.0 >= bytes);
    Ok(usize::from(mebibytes.expect("it fits 4 GiB")) << 20)
}

/// Drops the files from the page cache, if the read shall be cold.
fn prepare(data: &Path, plan: &RecoveryPlan) -> Result<(), Error> {
    if !plan.is_cold {
        return Ok(());
    }
    for entry in fs::read_dir(data).map_err(Error::file(data))? {
        let path = entry.map_err(Error::file(data))?.path();
        let file = File::open(&path).map_err(Error::file(&path))?;
        // Only clean pages are dropped.
        file.sync_all().map_err(Error::file(&path))?;
        fadvise(&file, 0, None, Advice::DontNeed).map_err(|e| Error::file(&path)(e.into()))?;
    }
    Ok(())
}

fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_owned();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(draws: u64, count: u16, format: Format) -> RecoveryPlan {
        RecoveryPlan {
            draws,
            count,
            items: 6,
            selector: SelectorKind::Auto,
            format,
            storage: StorageKind::File,
            repeats: 2,
            is_cold: true,
        }
    }

    /// The longest lines come from the largest numbers, which the sample does not have.
    #[test]
    fn the_whole_log_is_replayed_in_every_format() {
        let parent = tempfile::tempdir().unwrap();
        for (draws, count, format) in [
            (300_000, 1, Format::Json),
            (300_000, 1, Format::StringLine),
            (100_000, 100, Format::Binary),
            (1, 1, Format::Binary),
        ] {
            let report = bench(parent.path(), &plan(draws, count, format), &Watch::new()).unwrap();
            assert!(report.draws >= draws, "{format}: {}", report.draws);
            assert!(!report.trust.reasons.iter().any(|reason| reason.contains("rotated")));
            let replay = report.recovery.unwrap();
            assert_eq!(replay.load_seconds.len(), 2);
            assert!(replay.log_bytes > 0 && replay.start_seconds > 0.0);
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn a_log_that_is_too_long_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let error = bench(parent.path(), &plan(1 << 40, 1, Format::Binary), &Watch::new());
        assert!(error.unwrap_err().to_string().contains("4 GiB"));
    }

    #[test]
    fn the_median_is_one_of_them() {
        let is = |seconds: &[f64], expected: f64| median(seconds).to_bits() == expected.to_bits();
        assert!(is(&[3.0, 1.0, 2.0], 2.0) && is(&[5.0], 5.0) && is(&[1.0, 9.0], 9.0));
    }
}
