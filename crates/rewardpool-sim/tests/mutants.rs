//! Goal: the tests find what they are for (T4 of the test plan).
//!
//! Method: each defect is switched on and must be found by the search that is named for it, within
//! a bound. Two more are found by the log's own tests (`rewardpool-wal`, `tests/it/mutants.rs`).
#![expect(clippy::print_stderr, reason = "tests tell")]
use std::panic::{self, catch_unwind};
use std::sync::LazyLock;

use rewardpool_engine::core::format::Format;
use rewardpool_mutant::{Mutant, switch_on};
use rewardpool_sim::life::live;
use rewardpool_sim::rot::{Damage, End, Image, Verdict, image};
use rewardpool_sim::{MemoryStorage, Settings};
use rewardpool_wal::SEGMENT_BYTES_MIN;

const SETTINGS: Settings = Settings { format: Format::Binary, segment_bytes: SEGMENT_BYTES_MIN };

/// Lives within which a defect must be found. The slowest takes 727.
const LIVES_MAX: u64 = 3000;

/// Lives until one fails: how many there were.
fn lives() -> Option<u64> {
    (0..LIVES_MAX).find(|&seed| catch_unwind(|| live(seed)).is_err()).map(|seed| seed + 1)
}

/// Made without a defect, so that only reading them can be wrong.
static IMAGES: LazyLock<[Image; 2]> = LazyLock::new(|| {
    let make = |end| image(&MemoryStorage::default().shared(), SETTINGS, 30, end);
    [make(End::Stopped), make(End::Killed)]
});

/// Damages a directory until a damage is not noticed.
fn rot() -> Option<u64> {
    let wrong = |image: &Image, damage: &Damage| matches!(image.judge(damage), Verdict::Wrong(_));
    let mut damages = 0;
    for image in &*IMAGES {
        let all = image.moved_files().into_iter().chain(image.lost_sectors());
        for damage in all.chain(image.changed_bytes()).chain(image.other_lengths()) {
            damages += 1;
            if wrong(image, &damage) {
                return Some(damages);
            }
        }
    }
    None
}

/// Every defect of the list must be found by this search, and nothing without a defect.
fn find_all(what: &str, mutants: &[Mutant], search: fn() -> Option<u64>) {
    // Hundreds of panics are what is wanted here.
    panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for &mutant in mutants {
        switch_on(Some(mutant));
        match search() {
            Some(tries) => eprintln!("{mutant:?}: found after {tries} {what}"),
            None => missed.push(mutant),
        }
    }
    switch_on(None);
    drop(panic::take_hook());
    let (all, misses) = (count(mutants), count(&missed));
    rewardpool_tally::record("T4 mutants", all, all, misses);
    assert!(missed.is_empty(), "not found: {missed:?}");
    // What is found must be the defect.
    assert_eq!(search(), None, "something is found without a defect");
}

fn count(mutants: &[Mutant]) -> u64 {
    u64::try_from(mutants.len()).expect("there are few")
}

#[test]
fn simulated_lives_find_defects_of_order_and_durability() {
    let mutants = [
        Mutant::AnswerBeforeSync,
        Mutant::NoChecksum,
        Mutant::RetrySync,
        Mutant::NoDirectorySync,
        Mutant::SnapshotNotSynced,
        Mutant::NoTailRepair,
        Mutant::PruneBeforeSnapshot,
        Mutant::NoRewrite,
        Mutant::IdReuse,
        Mutant::PartialSegment,
        Mutant::RecordLeftAfterRefusal,
        Mutant::SecretAfterLog,
    ];
    find_all("lives", &mutants, lives);
}

#[test]
fn rot_finds_defects_of_reading() {
    LazyLock::force(&IMAGES);
    let mutants = [
        Mutant::DamageIsEnd,
        Mutant::SetUpAgain,
        Mutant::ZerosAreEnd,
        Mutant::SnapshotNotHashed,
        Mutant::ClosingIgnored,
    ];
    find_all("damages", &mutants, rot);
}

/// No test can see that a salt is not compared: it would matter if files were used again, but
/// every segment is a new file that was full of zeros. The day segments are recycled this test
/// fails, and the defect moves to one of the lists above.
#[test]
fn a_salt_that_is_not_compared_is_the_one_defect_without_effect() {
    switch_on(Some(Mutant::SaltIgnored));
    let found = (0..300).find(|&seed| catch_unwind(|| live(seed)).is_err());
    switch_on(None);
    assert_eq!(found, None);
}
