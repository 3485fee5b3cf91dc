//! Goal: a run of a million draws is judged in seconds, and one wrong outcome in it is found.
//! Method: make one in memory, whose outcomes follow the weights exactly.
use std::time::{Duration, Instant};

use rewardpool_checker::Finding;
use rewardpool_checker::history::What;
use rewardpool_checker::log::{Change, Log};
use rewardpool_core::catalog::Catalog;
use rewardpool_core::ids::{ItemIndex, Outcome};

use crate::made_run::{GOLD, MUD, Run, created, draw_call, draw_record, drawn, item};

/// Operations; each has a count of 5.
const OPERATIONS: u64 = 200_000;
/// Far above what it takes, far below what anything but O(n log n) takes.
const LIMIT: Duration = Duration::from_mins(1);

fn award(item: u32) -> Outcome {
    Outcome::award(ItemIndex::new(item).unwrap())
}

fn large_run() -> Run {
    let mut run = Run { events: Vec::new(), log: Log::default() };
    let mut change = created("p");
    let Change::PoolCreated(pool) = &mut change else { unreachable!() };
    pool.catalog = Catalog::new(vec![item("gold", 1, -1), item("mud", 3, -1)]).unwrap();
    run.log(change);
    run.push(What::Spawn);
    run.push(What::Ready { recovered_lsn: Some(0) });
    for number in 0..OPERATIONS {
        let first = 1 + 5 * number;
        let outcomes: Vec<u32> =
            (first..first + 5).map(|id| if id % 4 == 0 { 1 } else { 2 }).collect();
        let op = format!("op-{number}");
        // Every third has no key, every fifth is not answered.
        let key = (!number.is_multiple_of(3)).then_some(op.as_str());
        run.invoke(&op, draw_call(5, key));
        if number % 5 == 0 {
            run.push(What::Info { op: op.clone(), why: "lost".into() });
        } else {
            run.ok(&op, drawn(first, &outcomes));
        }
        run.log(draw_record(1, first, &outcomes, key));
    }
    run.push(What::Kill);
    run
}

#[test]
fn a_million_draws_are_judged_in_seconds() {
    let mut run = large_run();
    let begun = Instant::now();
    let report = run.judge();
    assert!(report.is_good(), "{report}");
    assert_eq!(report.counts.logged_draws, 5 * OPERATIONS);
    println!("{} draws judged in {:?}", report.counts.logged_draws, begun.elapsed());

    // The draws of operation 100 001, which was answered, begin with mud.
    let Change::Draw(draw) = &mut run.log.entries[100_002].change else { unreachable!() };
    assert_eq!(draw.outcomes[0], award(MUD));
    draw.outcomes[0] = award(GOLD);
    let report = run.judge();
    let found: Vec<_> = report.violations.iter().map(|violation| violation.finding).collect();
    assert_eq!(found, [Finding::OutcomeDiffers], "{report}");
    assert!(begun.elapsed() < LIMIT, "it takes {:?}", begun.elapsed());
}
