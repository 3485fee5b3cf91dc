//! A directory at rest, every way in which its bytes may rot, and what a start then makes of it.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rewardpool_engine::EngineError;
use rewardpool_engine::Request;
use rewardpool_engine::core::state::State;
use rewardpool_engine::simulation::{self, Steps};
use rewardpool_wal::SECTOR;
use rewardpool_wal::storage::Storage;

use crate::clients::Clients;
use crate::disk::Disk;
use crate::numbers::Numbers;
use crate::requests::any_request;
use crate::service::{Clock, History, Picture, Service, Settings};
use crate::storage::MemoryStorage;

/// The wall clock of these services.
const NOW_MS: u64 = 1_800_000_000_000;

/// All files of a directory.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A directory at rest.
pub struct Image {
    /// Its files.
    pub files: Files,
    /// What the files were at earlier moments.
    pub earlier: Vec<Files>,
    content: String,
    settings: Settings,
}

/// All that a state holds, except for positions and times, which a lost marker changes.
fn content(state: &State) -> String {
    let mut text = format!("{:016x} {}\n", state.digest(), state.last_request_id());
    for pool in state.pools() {
        let totals = (pool.status, pool.selector, pool.catalog_version, pool.draws, pool.awards);
        let keys = (pool.keys.keys, pool.keys.outcomes, pool.keys.limits);
        let id = pool.names.id();
        writeln!(text, "{id:?} {totals:?} {keys:?} {:?}", pool.commitment)
            .expect("writing to a string cannot fail");
        for item in state.items(pool.number, 0, usize::MAX).expect("the pool exists") {
            writeln!(text, "{:?} {item:?}", pool.names.items().get(item.index))
                .expect("writing to a string cannot fail");
        }
    }
    text
}

/// How a service ended before its directory rotted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With a clean stop.
    Stopped,
    /// By the death of its process, when it was idle.
    Killed,
}

/// Damaged files, and what was done to them.
pub struct Damage {
    /// What was done, with file and offset.
    pub what: String,
    /// The files that were replaced, added or (`None`) removed.
    changes: Vec<(String, Option<Vec<u8>>)>,
    /// Whether a single file is damaged inside.
    is_inside: bool,
}

/// What a start made of damaged files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The same state as ever.
    Same,
    /// A refusal that names one of the files.
    Refused,
    /// Anything else: another state, a refusal that does not help, a panic.
    Wrong(String),
}

/// Runs a service with changes, rotations and snapshots on this storage, and keeps its files.
///
/// # Panics
/// When a promise is broken.
pub fn image(storage: &Arc<dyn Storage>, settings: Settings, seed: u64, end: End) -> Image {
    let (mut numbers, mut clients, mut clock, mut history) =
        (Numbers(seed), Clients::default(), Clock::new(NOW_MS), History::default());
    let watched = MemoryStorage::default();
    let service = Service::open(
        (&watched, Arc::clone(storage)),
        settings,
        &clock,
        &mut clients,
        &mut history,
    );
    let mut service = service.expect("a new directory can be set up");
    let mut earlier = Vec::new();
    for turn in 0..14 {
        clock.pass(Duration::from_secs(1));
        let bundles = (0..2).map(|_| vec![any_request(&clients, &mut numbers)]);
        let mut bundles: Vec<_> = bundles.collect();
        if turn % 5 == 4 {
            earlier.push(files_of(storage.as_ref()));
            bundles.push(vec![Request::Rotate]);
        }
        let turned = service.turn(bundles, false, &clock, &mut clients, &mut history);
        turned.expect("nothing fails");
        service.make_segment();
        if turn % 5 == 0 && turn < 10 {
            service.make_snapshot();
        }
    }
    service.idle(&clock).expect("nothing fails");
    if end == End::Stopped {
        service.close().expect("nothing fails");
    } else {
        drop(service);
    }
    let found = simulation::read(Arc::clone(storage)).expect("nothing fails");
    let state = found.expect("there is a log");
    assert_eq!(Some(&Picture::of(&state)), history.pictures().last(), "the last state is stored");
    Image { files: files_of(storage.as_ref()), earlier, content: content(&state), settings }
}

fn files_of(storage: &dyn Storage) -> Files {
    let names = storage.list().expect("nothing fails");
    let content = |name: String| {
        let mut bytes = Vec::new();
        storage.read(&name, &mut bytes).expect("nothing fails");
        (name, bytes)
    };
    names.into_iter().map(content).collect()
}

impl Image {
    /// The directory after this damage.
    fn damaged(&self, damage: &Damage) -> Files {
        let mut files = self.files.clone();
        for (name, content) in &damage.changes {
            match content {
                Some(content) => files.insert(name.clone(), content.clone()),
                None => files.remove(name),
            };
        }
        files
    }

    /// Starts a service on damaged files and judges what comes of it.
    pub fn judge(&self, damage: &Damage) -> Verdict {
        let files = self.damaged(damage);
        let storage = MemoryStorage::new(Disk::with_files(&files));
        let clock = Clock::new(NOW_MS);
        let config = self.settings.config();
        let start = || Steps::open(storage.shared(), &config, clock.now(), [1; 16]);
        match catch_unwind(AssertUnwindSafe(start)) {
            Err(_) => Verdict::Wrong("a panic".to_owned()),
            Ok(Ok(steps)) if content(steps.state()) != self.content => {
                Verdict::Wrong("another state".to_owned())
            }
            // What the start wrote and left must give the same once more.
            Ok(Ok(_)) => match simulation::read(storage.shared()) {
                Ok(Some(state)) if content(&state) == self.content => Verdict::Same,
                other => Verdict::Wrong(format!("the next start fails: {:?}", other.map(|_| ()))),
            },
            Ok(Err(error)) => judge_refusal(&error, damage, storage.disk().files() == files),
        }
    }

    /// Each byte with one bit changed, full of ones, and zero. Of the sectors of a segment that were
    /// never written only every fifth byte, as they are all alike.
    pub fn changed_bytes(&self) -> impl Iterator<Item = Damage> + '_ {
        self.files.iter().flat_map(|(name, good)| {
            (0..good.len()).flat_map(move |place| {
                let bit = good[place] ^ 1 << (place % 8);
                let sector = &good[place / SECTOR * SECTOR..];
                let sector = &sector[..SECTOR.min(sector.len())];
                let is_empty = name.starts_with("wal.") && sector.iter().all(|&byte| byte == 0);
                let is_filling = is_empty && place % 5 != 0;
                let wanted = move |byte: &u8| *byte != good[place] && !is_filling;
                [bit, 0xff, 0].into_iter().filter(wanted).map(move |byte| {
                    let mut bad = good.clone();
                    bad[place] = byte;
                    Damage::of(name, &format!("byte {place} = {byte:#04x}"), bad)
                })
            })
        })
    }

    /// Each sector full of zeros or ones, and as that of each other place.
    pub fn lost_sectors(&self) -> impl Iterator<Item = Damage> + '_ {
        self.files.iter().flat_map(|(name, good)| {
            (0..good.len()).step_by(SECTOR).flat_map(move |start| {
                let end = (start + SECTOR).min(good.len());
                let filled = [0, 0xff].into_iter().map(move |filler| {
                    let mut bad = good.clone();
                    bad[start..end].fill(filler);
                    Damage::of(name, &format!("sector at {start} full of {filler:#04x}"), bad)
                });
                let others = (0..good.len().saturating_sub(SECTOR)).step_by(SECTOR);
                let strayed = others.filter(move |_| end - start == SECTOR).map(move |other| {
                    let mut bad = good.clone();
                    bad.copy_within(other..other + SECTOR, start);
                    Damage::of(name, &format!("sector at {start} like that at {other}"), bad)
                });
                filled.chain(strayed)
            })
        })
    }

    /// Each shorter length, and a few longer ones.
    pub fn other_lengths(&self) -> impl Iterator<Item = Damage> + '_ {
        self.files.iter().flat_map(|(name, good)| {
            let shorter = (0..good.len()).map(move |length| {
                Damage::of(name, &format!("cut to {length}"), good[..length].to_vec())
            });
            let longer = [1, SECTOR].into_iter().map(move |more| {
                Damage::of(name, &format!("{more} more"), [&good[..], &vec![0; more]].concat())
            });
            shorter.chain(longer)
        })
    }

    /// Each file removed, swapped with each other, copied over each other, and as it was earlier.
    ///
    /// An older copy of the newest segment is left out: it is what the directory once was, so
    /// nothing in the directory can tell.
    pub fn moved_files(&self) -> Vec<Damage> {
        let mut damages = Vec::new();
        let newest = self.files.keys().rfind(|name| name.starts_with("wal.")).cloned();
        for (name, good) in &self.files {
            let changes = vec![(name.clone(), None)];
            damages.push(Damage::of_files(format!("{name} removed"), changes));
            for (other, content) in self.files.iter().filter(|(other, _)| *other != name) {
                let copy = (other.clone(), Some(good.clone()));
                let what = format!("{other} is a copy of {name}");
                damages.push(Damage::of_files(what, vec![copy.clone()]));
                let swapped = (name.clone(), Some(content.clone()));
                let what = format!("{name} and {other} swapped");
                damages.push(Damage::of_files(what, vec![copy, swapped]));
            }
            for extra in ["wal.099", "wal.next", "snapshot.3", "snapshot.99999", "secret.9", "x"] {
                let changes = vec![(extra.to_owned(), Some(good.clone()))];
                damages.push(Damage::of_files(format!("{extra} is a copy of {name}"), changes));
            }
        }
        for (age, files) in self.earlier.iter().enumerate() {
            for (name, content) in files.iter().filter(|(name, _)| Some(*name) != newest.as_ref()) {
                let changes = vec![(name.clone(), Some(content.clone()))];
                damages.push(Damage::of_files(format!("{name} as it was at {age}"), changes));
            }
        }
        damages
    }
}

impl Damage {
    fn of(name: &str, what: &str, content: Vec<u8>) -> Self {
        let changes = vec![(name.to_owned(), Some(content))];
        Self { what: format!("{name}: {what}"), changes, is_inside: true }
    }

    fn of_files(what: String, changes: Vec<(String, Option<Vec<u8>>)>) -> Self {
        Self { what, changes, is_inside: false }
    }
}

fn judge_refusal(error: &EngineError, damage: &Damage, is_untouched: bool) -> Verdict {
    let (file, offset) = error.place().unwrap_or(("", None));
    // A file inside which something changed is named itself, with the place; one that is gone or
    // is another one may show by what it does not fit.
    let is_inside = matches!(&damage.changes[..], [(_, Some(_))]) && damage.is_inside;
    let is_named = !is_inside || file == damage.changes[0].0;
    let is_missing = error.to_string().contains("is missing");
    let is_placed = !file.is_empty() && (offset.is_some() || (is_missing && !is_inside));
    if !error.is_corruption() || !is_placed || !is_named {
        return Verdict::Wrong(format!("a refusal that does not help: {error}"));
    }
    if !is_untouched {
        return Verdict::Wrong(format!("a refusal that changed a file: {error}"));
    }
    Verdict::Refused
}
