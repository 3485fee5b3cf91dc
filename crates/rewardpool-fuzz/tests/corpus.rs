//! Goal: what the fuzzers found stays fixed, on any toolchain. Method: every input of the corpus and
//! of the regressions goes through its target, and so do mutations of them, the same in every run.
//! An input that breaks a target is left in `target/fuzz-failure-<target>`.
#![cfg(test)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rewardpool_fuzz::random::Random;
use rewardpool_fuzz::{TARGETS, Target, seeds};

/// Mutated inputs of each target. `REWARDPOOL_FUZZ_MUTATIONS` is another number.
const MUTATIONS: usize = 20_000;
/// On the slowest machine, and of the slowest target.
const MUTATIONS_MIN: usize = 500;
/// Mutations of one target end after so long, with what they did until then.
const MUTATIONS_TIME: Duration = Duration::from_secs(20);
/// One input never takes so long, however busy the machine is.
const INPUT_TIME: Duration = Duration::from_secs(10);
/// A mutation grows no longer.
const BYTES_MAX: usize = 8 << 10;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The inputs of a target in the repository, by name.
fn inputs(target: &str) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for kind in ["corpus", "regressions"] {
        let Ok(entries) = fuzz().join(kind).join(target).read_dir() else { continue };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        inputs.extend(paths.iter().map(|path| fs::read(path).unwrap()));
    }
    inputs
}

/// Runs one input. When it breaks the target, it is kept for whoever looks at it.
fn run((name, body): Target, input: &[u8]) {
    let begun = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| body(input)));
    let took = begun.elapsed();
    if result.is_ok() && took < INPUT_TIME {
        return;
    }
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-failure-{name}"));
    fs::write(&place, input).unwrap();
    println!("{name} fails after {took:?} with the input in {}", place.display());
    match result {
        Ok(()) => panic!("{name}: one input takes {took:?}"),
        Err(panic) => resume_unwind(panic),
    }
}

/// Changes an input in one to four places, as fuzzers do.
fn mutate(random: &mut Random, input: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(8) {
            0 | 1 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
            2 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.bytes(1)[0]),
            3 => {
                let (length, bytes) = (random.below(9), random.bytes(8));
                input.splice(at..at, bytes[..length.min(8)].iter().copied());
            }
            4 => drop(input.drain(at..(at + random.below(9)).min(input.len()))),
            5 => input.truncate(at),
            6 => {
                let edges = [0, 1, 0x7f, 0x80, 0xff, b'-', b'"', b'%'];
                let edge = edges[random.below(edges.len())];
                input.iter_mut().skip(at).take(1 + random.below(8)).for_each(|byte| *byte = edge);
            }
            _ => {
                let from = random.below(other.len() + 1);
                let length = random.below(other.len() - from + 1).min(200);
                input.splice(at..at, other[from..from + length].iter().copied());
            }
        }
    }
    input.truncate(BYTES_MAX);
}

fn mutations() -> usize {
    let wanted = std::env::var("REWARDPOOL_FUZZ_MUTATIONS");
    wanted.map_or(MUTATIONS, |number| number.parse().expect("a number of mutations"))
}

/// Replays a target's inputs and mutates them.
fn explore(name: &str) {
    let target = *TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let inputs = inputs(name);
    assert!(!inputs.is_empty(), "{name} has a corpus");
    for input in &inputs {
        run(target, input);
    }
    let mut random = Random::new(20_260_801);
    let begun = Instant::now();
    let mut mutated = 0;
    while mutated < mutations() && begun.elapsed() < MUTATIONS_TIME {
        let mut input = inputs[random.below(inputs.len())].clone();
        let other = &inputs[random.below(inputs.len())];
        mutate(&mut random, &mut input, other);
        run(target, &input);
        mutated += 1;
    }
    println!("{name}: {} inputs, {mutated} mutations", inputs.len());
    assert!(mutated >= MUTATIONS_MIN.min(mutations()), "{name}: only {mutated} mutations");
    let runs = u64::try_from(inputs.len() + mutated).unwrap();
    rewardpool_tally::record(&format!("T10 fuzz {name}"), runs, runs, 0);
}

macro_rules! explore {
    ($($name:ident),* $(,)?) => {
        /// The targets that are explored here.
        const EXPLORED: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            explore(stringify!($name));
        })*
    };
}

explore!(
    config,
    directory,
    directory_start,
    format_binary,
    format_json,
    format_string_line,
    grpc,
    life,
    snapshot,
    wal_segment,
);

#[test]
fn every_target_is_driven_by_libfuzzer_and_explored_here() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(EXPLORED.contains(&name), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
        let driver = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(driver.contains(&format!("rewardpool_fuzz::{name}(data)")), "{name}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}

/// The corpus grew from these, and each of them is still an input that its target takes.
#[test]
fn the_seeds_are_the_same_in_every_run() {
    let seeds = seeds();
    assert!(TARGETS.iter().all(|(name, _)| seeds.iter().any(|(target, ..)| target == name)));
    for ((target, name, bytes), (_, _, again)) in seeds.iter().zip(rewardpool_fuzz::seeds()) {
        assert!(*bytes == again, "{target} {name}");
    }
}
