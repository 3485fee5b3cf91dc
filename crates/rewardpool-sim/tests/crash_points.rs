//! Goal: a crash before any operation on the disk, whatever it leaves of what was not synced,
//! loses nothing that was acknowledged (T2 of the test plan; the idea is ALICE's, Pillai et al.,
//! OSDI 2014).
//!
//! Method: a service with rotations, snapshots and changes is recorded before each operation; from
//! each of these moments every kind of power cut and the death of the process are tried, each
//! followed by a start, two turns, a power cut that keeps nothing, and another start.
//! `SECOND_CRASHES=1` crashes those starts as well, before each of their operations.
use rewardpool_engine::core::format::Format;
use rewardpool_sim::crash::{Recorded, outlive, record, record_restart};
use rewardpool_sim::{Disk, Moment, Numbers, Settings};
use rewardpool_tally::Trial;
use rewardpool_wal::SEGMENT_BYTES_MIN;

const FORMATS: [Format; 3] = [Format::Binary, Format::Json, Format::StringLine];

fn settings(format: Format) -> Settings {
    Settings { format, segment_bytes: SEGMENT_BYTES_MIN }
}

/// What may be on the disk after an end at this moment.
fn disks(moment: &Moment, random: usize, numbers: &mut Numbers) -> Vec<Disk> {
    let cuts = moment.disk.sets_of_survivors(random, numbers);
    let mut disks: Vec<_> = cuts.iter().map(|keep| moment.disk.cut(keep)).collect();
    disks.push(moment.disk.kill());
    disks
}

fn crash_everywhere(format: Format, turns: usize) -> (u64, u64) {
    let settings = settings(format);
    let recorded = record(settings, turns, 5);
    let mut numbers = Numbers(6);
    let mut states = 0;
    for moment in &recorded.moments {
        let may_be_found = recorded.may_be_found(moment.promise);
        for disk in disks(moment, 6, &mut numbers) {
            outlive(&disk, may_be_found, moment.promise.is_marked, settings);
            states += 1;
        }
    }
    (u64::try_from(recorded.moments.len()).expect("there are few"), states)
}

#[test]
fn a_crash_at_any_operation_loses_nothing() {
    let trial = Trial::begin("T2 crash at every operation");
    let (mut operations, mut states) = (0, 0);
    for format in FORMATS {
        let tried = crash_everywhere(format, 80);
        operations += tried.0;
        states += tried.1;
    }
    println!("{operations} operations, {states} states");
    assert!(states >= 10_000, "{states}");
    trial.pass(states, states);
}

fn crash_starts(recorded: &Recorded, settings: Settings, every: usize) -> u64 {
    let mut numbers = Numbers(8);
    let mut states = 0;
    for moment in recorded.moments.iter().step_by(every) {
        let may_be_found = recorded.may_be_found(moment.promise);
        let random = moment.disk.survivors(&mut numbers);
        for first in [moment.disk.kill(), moment.disk.cut_all(), moment.disk.cut(&random)] {
            for (disk, found, marked) in record_restart(moment, &first, may_be_found, settings) {
                let random = disk.survivors(&mut numbers);
                for second in [disk.kill(), disk.cut_all(), disk.cut(&random)] {
                    outlive(&second, &found, marked, settings);
                    states += 1;
                }
            }
        }
    }
    states
}

#[test]
fn a_crash_in_a_start_after_a_crash_loses_nothing() {
    let trial = Trial::begin("T2 crash in a start after a crash");
    let all = std::env::var_os("SECOND_CRASHES").is_some();
    let mut states = 0;
    for format in FORMATS {
        let settings = settings(format);
        states += crash_starts(&record(settings, 40, 11), settings, if all { 1 } else { 7 });
    }
    println!("{states} states");
    assert!(states >= if all { 150_000 } else { 10_000 }, "{states}");
    trial.pass(states, 2 * states);
}
