//! Inputs to begin with: what the service itself writes, reads and gets, for each target.
use rewardpool_core::format::{Encoder, Format};
use rewardpool_core::state::State;
use rewardpool_wal::{EPOCH, SegmentNumber, SnapshotHeader, snapshot_name};

use crate::memory::Memory;
use crate::random::Random;
use crate::snapshot::IDENTITY;
use crate::{life, wal_segment};

/// Lives from which the seeds are taken.
const LIVES: u64 = 12;
/// Chooses LSN 1 and no names for a payload.
const PAYLOAD_HEAD: u8 = 1 + 4 * 3;

/// A seed: its target, its name and its bytes.
pub type Seed = (&'static str, String, Vec<u8>);

/// The seeds of all targets, the same in every run.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for seed in 0..LIVES {
        of_life(seed, &mut seeds);
    }
    segments(&mut seeds);
    seeds
}

fn script(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let length = 40 + random.below(260);
    // A life begins with a pool.
    [vec![0], random.bytes(length)].concat()
}

fn of_life(seed: u64, seeds: &mut Vec<Seed>) {
    let name = |what: &str| format!("{what}_{seed}");
    let script = script(seed);
    let (encoders, state) = life::batch(&script);
    for (encoder, target) in
        encoders.iter().zip(["format_binary", "format_json", "format_string_line"])
    {
        let payload = encoder.payload();
        seeds.push((target, name("life"), [&[PAYLOAD_HEAD], payload].concat()));
    }
    seeds.push(("life", name("life"), script.clone()));
    let (body, file) = snapshot_of(&state);
    seeds.push(("snapshot", name("body"), [&[2][..], &body].concat()));
    if seed < 4 {
        seeds.push(("snapshot", name("file"), [&[0][..], &file].concat()));
        seeds.push(("snapshot", name("fixed_file"), [&[1][..], &file].concat()));
        seeds.push(("snapshot", name("shaped"), [&[3][..], &script].concat()));
    }
}

fn snapshot_of(state: &State) -> (Vec<u8>, Vec<u8>) {
    let mut body = Vec::new();
    state.encode(&mut body);
    let header = SnapshotHeader {
        identity: IDENTITY,
        lsn: state.last_lsn(),
        chain: 7,
        next_segment: SegmentNumber(1),
        time_ms: state.time_ms(),
        epoch: EPOCH,
    };
    let memory = Memory::default();
    header.publish(&memory, &body).expect("memory does not fail");
    let file = memory.files()[&snapshot_name(state.last_lsn())].clone();
    (body, file)
}

/// Segments of a few batches, whole, torn and cut, with and without what puts them right.
fn segments(seeds: &mut Vec<Seed>) {
    for format in Format::ALL {
        let encoders: Vec<Encoder> = (0..3)
            .map(|seed| {
                let (encoders, _) = life::batch(&script(seed)[..60]);
                let of_format = encoders.into_iter().find(|encoder| encoder.format() == format);
                of_format.expect("there is one encoder for each format")
            })
            .collect();
        let batches: Vec<_> = encoders.iter().map(|e| (e.payload(), e.count())).collect();
        let whole = wal_segment::content(format.id(), &batches);
        let mut torn = whole.clone();
        let sectors = torn.len() / 512;
        torn[(sectors - 2) * 512..(sectors - 1) * 512].fill(0);
        for (name, content) in [("whole", &whole), ("torn", &torn)] {
            for fixes in [0, 1, 15] {
                let seed = [&[fixes, format.id()][..], content].concat();
                seeds.push(("wal_segment", format!("{name}_{format}_{fixes}"), seed));
            }
        }
    }
}
