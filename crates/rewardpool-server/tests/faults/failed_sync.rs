//! T8. Goal: a failed write or sync of the log ends the service, with 74 and without an answer to
//! what may be lost; what a later start shows is on the disk, not a ghost in the kernel's memory.
//! Method: under load the disk fails its writes, or its flushes; the service must end by itself.
//! The disk heals, the service starts again on the same page cache and shows what it has to clients;
//! then the power is cut, and the checker looks whether anything that was shown is gone. `ROUNDS`
//! sets the rounds, `SEED` repeats the choices.
use std::time::Instant;

use rewardpool_checker::history::FaultKind;

use crate::campaign::{Campaign, Sum, runtime};
use crate::device::{Device, FileSystem};
use crate::dice::Dice;
use crate::looked::BY_EVERY_LOAD;
use crate::service::{INPUT_OUTPUT, NotReady, PATIENCE, Service};

/// Rounds, unless `ROUNDS` says otherwise.
const ROUNDS: u64 = 10;
/// Rounds on one working directory.
const ROUNDS_OF_A_DIRECTORY: u64 = 5;
/// Draws that are acknowledged before the fault, at least and at most.
const DRAWS: std::ops::Range<u64> = 50..1000;
/// Draws of the life that may stand on a ghost.
const DRAWS_AFTER: u64 = 20;
/// So large that the file system has little to do of its own: its journal must not be what fails.
const SEGMENT_KB: u32 = 1024;

#[test]
fn a_failed_sync_ends_the_service_and_leaves_no_ghost() {
    let rounds = std::env::var("ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let seed = Dice::seed();
    println!("SEED={seed} ROUNDS={rounds}");
    let (mut dice, begun) = (Dice::new(seed), Instant::now());
    let (mut sum, mut on_ghosts, runtime) = (Sum::default(), 0, runtime());
    let Some(mut device) = Device::new(FileSystem::Ext4) else { return };
    while sum.rounds < rounds {
        let mut campaign = Campaign::new(&device, &runtime);
        for _ in 0..ROUNDS_OF_A_DIRECTORY.min(rounds - sum.rounds) {
            on_ghosts += u64::from(one_round(&mut campaign, &mut device, &mut dice));
        }
        campaign.end(&mut dice, &mut sum);
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{sum:?}, {on_ghosts} restarts on the same page cache, in {seconds:.1} s");
    // The failure of the disk, which each round has, and the cut.
    rewardpool_tally::record("T8 failed sync", sum.judged, sum.rounds + sum.cuts, sum.failures);
    assert_eq!(sum.failures, 0, "repeat with SEED={seed} ROUNDS={rounds}");
    assert!(on_ghosts > 0, "no start saw what a failed write left in memory");
    sum.looked.assert_at(&BY_EVERY_LOAD);
}

/// Gives whether the service started on the page cache that the failure left.
fn one_round(campaign: &mut Campaign<'_>, device: &mut Device, dice: &mut Dice) -> bool {
    campaign.next_round(SEGMENT_KB, dice);
    let service = campaign.start();
    let target = DRAWS.start + dice.below(DRAWS.end - DRAWS.start);
    let clients = campaign.load(&service, target, dice);
    let detail = if dice.percent(50) { "writes fail" } else { "flushes fail" };
    campaign.record_fault(FaultKind::InputOutput, detail);
    if detail == "writes fail" {
        device.fail_writes();
    } else {
        device.fail_flushes();
    }
    end_by_itself(service, detail);
    campaign.gather(clients);
    assert!(device.heal() > 0, "the disk never failed");

    let (service, is_on_ghosts) = start_again(campaign, device);
    campaign.record_fault(FaultKind::Healed, detail);
    let clients = campaign.load(&service, DRAWS_AFTER, dice);
    let cut = campaign.cut_power(device, service, clients, dice);
    campaign.judge(&format!("{detail}, then {cut:?}"));
    is_on_ghosts
}

fn end_by_itself(mut service: Service, detail: &str) {
    let Some(status) = service.wait(PATIENCE) else {
        panic!("{detail}, and the service goes on: {}", service.said());
    };
    assert_eq!(status.code(), Some(INPUT_OUTPUT), "{detail}: {}", service.said());
}

/// Starts it without unmounting, so that it reads from memory what may not be on the disk. When the
/// journal met the failure too, the file system is read-only until it is mounted again.
fn start_again(campaign: &mut Campaign<'_>, device: &mut Device) -> (Service, bool) {
    let mut service = campaign.setup.spawn();
    match service.wait_ready(PATIENCE) {
        Ok(_) => return (service, true),
        Err(NotReady::Ended(status)) => {
            let said = service.said();
            assert_eq!(status.code(), Some(INPUT_OUTPUT), "{said}");
            assert!(said.contains("Read-only file system"), "{said}");
        }
        Err(NotReady::Slow) => panic!("it does not start: {}", service.said()),
    }
    drop(service);
    device.unmount();
    device.mount();
    (campaign.start(), false)
}
