//! T6. Goal: whatever the disk forgets when its power is cut, everything acknowledged is there, and
//! the next start goes on from it.
//! Method: the real binary works on ext4 and XFS, on a disk of ours that forgets a random part of
//! what was not flushed. Under load, or while the service starts, the power is cut; the process is
//! killed, the file system recovers, and the checker compares what clients were told with the log
//! that is on the disk. Then the next round starts on it, with another storage and format. `ROUNDS`
//! sets the rounds for each file system, `SEED` repeats the choices.
use std::path::Path;
use std::time::{Duration, Instant};

use crate::campaign::{Campaign, Sum, Verdict, runtime};
use crate::control::mutants;
use crate::device::{Device, FileSystem};
use crate::dice::Dice;
use crate::looked::BY_EVERY_LOAD;
use crate::service::Setup;
use crate::shim::Shim;

/// Rounds, unless `ROUNDS` says otherwise.
const ROUNDS_EXT4: u64 = 60;
const ROUNDS_XFS: u64 = 30;
/// Rounds on one working directory. Then a new one is set up.
const ROUNDS_OF_A_DIRECTORY: u64 = 5;
/// Draws that are acknowledged before a cut, at least and at most.
const DRAWS: std::ops::Range<u64> = 50..1500;
/// In so many rounds a build that answers too early is caught, with certainty as good as any.
const CONTROL_ROUNDS_MAX: u64 = 20;
/// So small that the log goes through many segments and snapshots.
const SEGMENT_KB: u32 = 64;

#[test]
fn everything_acknowledged_survives_a_power_cut_on_ext4() {
    survive(FileSystem::Ext4, ROUNDS_EXT4);
}

#[test]
fn everything_acknowledged_survives_a_power_cut_on_xfs() {
    survive(FileSystem::Xfs, ROUNDS_XFS);
}

fn survive(file_system: FileSystem, rounds: u64) {
    let rounds = std::env::var("ROUNDS").map_or(rounds, |text| text.parse().unwrap());
    let seed = Dice::seed();
    println!("SEED={seed} ROUNDS={rounds}");
    let begun = Instant::now();
    let Some(mut device) = Device::new(file_system) else { return };
    let sum = cut_again_and_again(&mut device, rounds, &mut Dice::new(seed));
    println!("{file_system:?}: {sum:?} in {:.1} s", begun.elapsed().as_secs_f64());
    rewardpool_tally::record("T6 power cut", sum.judged, sum.cuts, sum.failures);
    assert_eq!(sum.failures, 0, "repeat with SEED={seed} ROUNDS={rounds}");
    assert!(sum.acknowledged > sum.rounds * DRAWS.start / 2, "too small a load: {sum:?}");
    assert!(sum.compared > 0, "every acknowledged draw was older than the log: {sum:?}");
    assert!(sum.lost > 0 && sum.kept > 0, "a disk that forgets nothing proves nothing: {sum:?}");
    sum.looked.assert_at(&BY_EVERY_LOAD);
}

fn cut_again_and_again(device: &mut Device, rounds: u64, dice: &mut Dice) -> Sum {
    let (mut sum, runtime) = (Sum::default(), runtime());
    while sum.rounds < rounds {
        let mut campaign = Campaign::new(device, &runtime);
        for _ in 0..ROUNDS_OF_A_DIRECTORY.min(rounds - sum.rounds) {
            one_round(&mut campaign, device, dice);
        }
        campaign.end(dice, &mut sum);
    }
    sum
}

/// The same rounds with a build that answers before its log is written.
#[test]
fn a_build_that_answers_too_early_is_caught_by_a_power_cut() {
    let Some(binary) = mutants() else { return };
    let early = |setup: Setup, _: &Path| {
        let setup = Setup { binary: binary.clone(), ..setup };
        setup.with_variable("REWARDPOOL_MUTANT", "AnswerAndWriteLater")
    };
    // It writes all in the end, so its log stays readable: only the loss itself counts.
    catch("T6 control: answers too early, caught", &early, Verdict::is_loss);
}

/// The same rounds with syncs that do nothing, which no kill of the process alone can show.
#[test]
fn syncs_that_do_nothing_are_caught_by_a_power_cut() {
    let Some(shim) = Shim::new() else { return };
    // Without syncs the order on the disk is any, so the log may have holes.
    let is_caught = |verdict: &Verdict| verdict.is_loss() || matches!(verdict, Verdict::Unreadable);
    catch("T6 control: syncs do nothing, caught", &|setup, disk| shim.lie(setup, disk), is_caught);
}

/// Cuts the power of a broken service, until the checker reports the loss.
fn catch(
    name: &str,
    break_it: &dyn Fn(Setup, &Path) -> Setup,
    is_caught: impl Fn(&Verdict) -> bool,
) {
    let seed = Dice::seed();
    println!("SEED={seed}");
    let (mut dice, runtime, mut sum) = (Dice::new(seed), runtime(), Sum::default());
    for file_system in [FileSystem::Ext4, FileSystem::Xfs] {
        let Some(mut device) = Device::new(file_system) else { return };
        let caught = (1..=CONTROL_ROUNDS_MAX).find(|_| {
            let mut campaign = Campaign::new(&device, &runtime);
            campaign.setup = break_it(campaign.setup.clone(), &device.path());
            let verdict = one_round(&mut campaign, &mut device, &mut dice);
            sum.add(campaign.sum());
            is_caught(&verdict)
        });
        let round = caught.expect("the loss of acknowledged draws is reported");
        println!("{file_system:?}: caught in round {round}");
    }
    rewardpool_tally::record(name, sum.judged, sum.cuts, 0);
}

fn one_round(campaign: &mut Campaign<'_>, device: &mut Device, dice: &mut Dice) -> Verdict {
    campaign.next_round(SEGMENT_KB, dice);
    let (service, clients);
    // A round in four meets the start, which writes the tail again and makes a snapshot.
    if dice.percent(25) {
        service = campaign.setup.spawn();
        clients = Vec::new();
        std::thread::sleep(Duration::from_micros(dice.below(60_000)));
    } else {
        service = campaign.start();
        let target = DRAWS.start + dice.below(DRAWS.end - DRAWS.start);
        clients = campaign.load(&service, target, dice);
    }
    let cut = campaign.cut_power(device, service, clients, dice);
    campaign.judge(&format!("{cut:?}"))
}
