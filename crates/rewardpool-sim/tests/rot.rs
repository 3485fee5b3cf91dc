//! Goal: whatever happens to the bytes of a directory at rest, the next start finds the same state
//! or refuses, names the file and changes nothing; never another state, never a panic (T3 of the
//! test plan).
//!
//! Method: directories of each format, written by each storage to real files, are damaged in
//! memory in every way, one at a time, and each is started.
#![expect(clippy::print_stderr, reason = "tests tell")]
use std::sync::Arc;
use std::thread;

use rewardpool_engine::core::format::Format;
use rewardpool_sim::Settings;
use rewardpool_sim::rot::{Damage, End, Image, Verdict, image};
use rewardpool_wal::SEGMENT_BYTES_MIN;
use rewardpool_wal::storage::{FileStorage, MmapStorage, Storage};

/// Seeds of directories for each combination.
fn shapes() -> u64 {
    let text = std::env::var("SHAPES").unwrap_or_else(|_| "1".to_owned());
    text.parse().expect("SHAPES is a number")
}

fn images(format: Format) -> Vec<Image> {
    let settings = Settings { format, segment_bytes: SEGMENT_BYTES_MIN };
    let mut images = Vec::new();
    for seed in 0..shapes() {
        for (is_mapped, end) in [(false, End::Stopped), (true, End::Killed)] {
            let place = tempfile::tempdir().expect("there is a place for temporary files");
            let files = FileStorage::open(place.path()).expect("the directory is there");
            let storage: Arc<dyn Storage> =
                if is_mapped { Arc::new(MmapStorage::new(files)) } else { Arc::new(files) };
            images.push(image(&storage, settings, 30 + seed, end));
        }
    }
    images
}

#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    same: u64,
    refused: u64,
    wrong: u64,
}

impl Tally {
    fn judge(&mut self, image: &Image, damage: &Damage) {
        match image.judge(damage) {
            Verdict::Same => self.same += 1,
            Verdict::Refused => self.refused += 1,
            Verdict::Wrong(what) => {
                self.wrong += 1;
                if self.wrong < 10 {
                    eprintln!("{}: {what}", damage.what);
                }
            }
        }
    }

    fn all(&self) -> u64 {
        self.same + self.refused + self.wrong
    }
}

fn rot(format: Format) {
    let images = images(format);
    let tally = thread::scope(|scope| {
        let judge = |image: &Image| {
            let mut tally = Tally::default();
            let damages = image.changed_bytes().chain(image.lost_sectors());
            let damages = damages.chain(image.other_lengths()).chain(image.moved_files());
            damages.for_each(|damage| tally.judge(image, &damage));
            tally
        };
        let workers: Vec<_> =
            images.iter().map(|image| scope.spawn(move || judge(image))).collect();
        let done = workers.into_iter().map(|worker| worker.join().expect("panics are caught"));
        done.fold(Tally::default(), |all, one| Tally {
            same: all.same + one.same,
            refused: all.refused + one.refused,
            wrong: all.wrong + one.wrong,
        })
    });
    eprintln!("{format:?}: {tally:?}");
    rewardpool_tally::record(
        "T3 rot of every byte and file",
        tally.all(),
        tally.all(),
        tally.wrong,
    );
    assert_eq!(tally.wrong, 0);
    assert!(tally.all() >= 60_000 && tally.same > 5_000 && tally.refused > 30_000, "{tally:?}");
}

#[test]
fn rot_of_a_binary_log_is_noticed() {
    rot(Format::Binary);
}

#[test]
fn rot_of_a_json_log_is_noticed() {
    rot(Format::Json);
}

#[test]
fn rot_of_a_string_line_log_is_noticed() {
    rot(Format::StringLine);
}
