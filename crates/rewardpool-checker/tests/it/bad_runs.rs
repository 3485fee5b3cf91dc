//! Goal: whatever can be wrong with a run is found, and named as what it is.
//! Method: one good run, which passes; a table of runs in each of which one thing was broken by hand,
//! with what must be found. A finding without a run in the table fails the test.
use std::collections::BTreeSet;

use rewardpool_checker::history::{Answer, Event, FaultKind, What};
use rewardpool_checker::log::Change;
use rewardpool_checker::{Finding, Invariant, Status};
use rewardpool_core::command::{DrawMode, PoolStatus};
use rewardpool_core::generator::Secret;
use rewardpool_core::ids::{ItemIndex, Outcome};

use crate::made_run::{
    GOLD, MUD, Run, SECOND, created, draw_call, draw_record, drawn, good, read_call, status_record,
    update_record,
};

fn award(item: u32) -> Outcome {
    Outcome::award(ItemIndex::new(item).unwrap())
}

fn is_invoke(what: &What) -> bool {
    matches!(what, What::Invoke { .. })
}

fn is_ok(what: &What) -> bool {
    matches!(what, What::Ok { .. })
}

fn is_ready(what: &What) -> bool {
    matches!(what, What::Ready { .. })
}

/// Sets what the second start found.
fn recover(run: &mut Run, lsn: u64) {
    let place = run.events.iter().rposition(|event| is_ready(&event.what)).unwrap();
    run.events[place].what = What::Ready { recovered_lsn: Some(lsn) };
}

/// Replaces the end of the second life.
fn end_with(run: &mut Run, events: &[What]) {
    let place = run.place("", |what| *what == What::Terminate);
    run.events.truncate(place);
    events.iter().cloned().for_each(|what| run.push(what));
}

/// Appends draws that won gold far too often, for an operation that is answered or not.
fn too_much_gold(run: &mut Run, is_answered: bool) {
    run.log.entries.pop();
    run.log.checkpoints.clear();
    let place = run.place("", |what| *what == What::Terminate);
    run.events.truncate(place);
    run.log(update_record("more", 1000, (1004, 5)));
    let (call, answer) = (crate::made_run::update_call(1000), (16, 5));
    let changed = Answer::Changed { lsn: answer.0, catalog_version: answer.1 };
    run.done("more", call, changed);
    // Without the last record, the next position is 15.
    *run.answer("more") = Answer::Changed { lsn: 15, catalog_version: 5 };
    let outcomes = [1; 200];
    run.invoke("lucky", draw_call(200, Some("lucky")));
    if is_answered {
        run.ok("lucky", drawn(10, &outcomes));
    }
    run.log(draw_record(5, 10, &outcomes, Some("lucky")));
}

type Break = fn(&mut Run);

/// What is broken, and what must be found.
const CASES: &[(Finding, Break)] = &[
    (Finding::TimeFalls, |run| run.events[5].t = 0),
    (Finding::ResultWithoutRequest, |run| run.ok("nobody", drawn(1, &[1]))),
    (Finding::OperationReused, |run| run.invoke("k1", draw_call(3, Some("k1")))),
    (Finding::KeyShared, |run| run.invoke("other", draw_call(2, Some("k1")))),
    (Finding::AnswerOfOtherKind, |run| {
        *run.answer("k1") = Answer::Changed { lsn: 3, catalog_version: 1 };
    }),
    (Finding::UnknownPoolName, |run| *run.entry(2) = created("q")),
    (Finding::Lost, |run| {
        // The log as it is after the last draw was lost.
        run.log.entries.truncate(13);
        run.log.checkpoints.clear();
        end_with(run, &[What::Kill]);
    }),
    (Finding::OutcomeDiffers, |run| run.logged(14).outcomes[0] = award(GOLD)),
    (Finding::OfAnotherOperation, |run| {
        let key = run.logged(13).key;
        run.logged(14).key = key;
    }),
    (Finding::LostAtCrash, |run| recover(run, 3)),
    (Finding::DrawnByNobody, |run| {
        run.events.retain(|event| {
            !matches!(&event.what,
            What::Invoke { op, .. } | What::Info { op, .. } if op == "quiet")
        });
    }),
    (Finding::RefusedButLogged, |run| {
        let what = What::Fail { op: "half".into(), code: "OVERLOADED".into() };
        run.events.retain(|event| {
            !matches!(&event.what,
            What::Ok { op, .. } | What::Info { op, .. } if op == "half")
        });
        run.push(what);
        let again = run
            .events
            .iter()
            .rposition(|event| matches!(&event.what, What::Invoke { op, .. } if op == "half"));
        run.events.remove(again.unwrap());
    }),
    (Finding::IdGap, |run| {
        run.logged(14).first_request_id = 11;
        run.drawn("k4").first_request_id = 11;
    }),
    (Finding::IdTwice, |run| {
        run.logged(14).first_request_id = 8;
        run.drawn("k4").first_request_id = 8;
    }),
    (Finding::LsnGap, |run| run.log.entries[14].lsn = 99),
    (Finding::ToldTwice, |run| run.drawn("k4").first_request_id = 8),
    (Finding::AnswersDiffer, |run| {
        run.done("k1", draw_call(2, Some("k1")), drawn(1, &[2, 2]));
    }),
    (Finding::NotReplayed, |run| {
        run.done("k1", draw_call(2, Some("k1")), drawn(1, &[1, 2]));
    }),
    (Finding::ReplayOfNothing, |run| run.drawn("k1").replayed = true),
    (Finding::RetryRefused, |run| {
        run.invoke("k1", draw_call(2, Some("k1")));
        run.push(What::Fail { op: "k1".into(), code: "POOL_PAUSED".into() });
    }),
    (Finding::PartOfOperation, |run| {
        run.logged(7).outcomes.pop();
        let call = draw_call(3, Some("quiet"));
        for event in &mut run.events {
            if let What::Invoke { op, call: found, .. } = &mut event.what
                && op == "quiet"
            {
                *found = call.clone();
            }
        }
        let Change::Draw(record) = draw_record(2, 5, &[2, 2], Some("quiet")) else {
            unreachable!()
        };
        *run.logged(7) = record;
    }),
    (Finding::EmptyInAllOrNothing, |run| {
        run.logged(7).mode = DrawMode::AllOrNothing;
        run.logged(7).outcomes[1] = Outcome::EMPTY;
    }),
    (Finding::OrderReversed, |run| {
        // `k4` is asked for after `k3` was answered, and yet has the lower position.
        let (low, high) = (run.logged(13).clone(), run.logged(14).clone());
        (run.logged(13).key, run.logged(14).key) = (high.key, low.key);
        (run.drawn("k3").first_request_id, run.drawn("k4").first_request_id) = (9, 8);
    }),
    (Finding::StreamReversed, |run| {
        let (low, high) = (run.logged(13).clone(), run.logged(14).clone());
        (run.logged(13).key, run.logged(14).key) = (high.key, low.key);
        (run.drawn("k3").first_request_id, run.drawn("k4").first_request_id) = (9, 8);
        // Both are in flight at the same time, so only the stream tells.
        let (from, to) = (run.place("k4", is_invoke), run.place("k3", is_ok));
        run.shift(from, to);
    }),
    (Finding::AfterItsEnd, |run| {
        // Nobody asked the second process for the draw, and yet it was made by it.
        let last = |event: &Event| matches!(&event.what, What::Ok { op, .. } if op == "half");
        let place = run.events.iter().rposition(last).unwrap();
        run.events.drain(place - 1..=place);
        recover(run, 5);
    }),
    (Finding::Overdrawn, |run| {
        let Change::PoolCreated(created) = run.entry(2) else { unreachable!() };
        let items = vec![crate::made_run::item("gold", 1, 0), crate::made_run::item("mud", 3, -1)];
        created.catalog = rewardpool_core::catalog::Catalog::new(items).unwrap();
    }),
    (Finding::QuantityDiffers, |run| *run.entry(5) = update_record("c1", 2, (6, 2))),
    (Finding::StateDiffers, |run| run.log.checkpoints[0].pools[0][0].quantity += 1),
    (Finding::MoreToldThanGranted, |run| {
        let outcomes = [1; 7];
        run.done("greedy", draw_call(7, None), drawn(10, &outcomes));
        run.log(draw_record(4, 10, &outcomes, None));
    }),
    (Finding::MoreLoggedThanAsked, |run| {
        let outcomes = [2; 40];
        run.log(draw_record(4, 10, &outcomes, None));
    }),
    (Finding::IllegalItem, |run| run.logged(14).outcomes[0] = award(2)),
    (Finding::EmptyInStock, |run| run.logged(14).outcomes[0] = Outcome::EMPTY),
    (Finding::WrongVersion, |run| run.logged(14).catalog_version = 3),
    (Finding::NotActive, |run| {
        let (paused, active) = ("c2", "c3");
        *run.entry(9) = status_record(active, PoolStatus::Active);
        *run.entry(10) = status_record(paused, PoolStatus::Paused);
    }),
    (Finding::ReadDiffers, |run| run.read("r1").items[0].quantity = 5),
    (Finding::ReadBehind, |run| run.read("r1").lsn = 4),
    (Finding::ReadAhead, |run| run.read("r1").lsn = 99),
    (Finding::DirtyRead, |run| {
        let read = run.answer("r1").clone();
        run.invoke("early", read_call());
        run.ok("early", read);
        let kill = run.place("", |what| *what == What::Kill);
        for _ in 0..2 {
            run.shift(run.events.len() - 1, kill);
        }
    }),
    (Finding::ChangeLost, |run| {
        *run.entry(11) = Change::Nothing;
        *run.entry(12) = Change::Nothing;
    }),
    (Finding::ChangeTwice, |run| run.log(update_record("c1", 2, (6, 5)))),
    (Finding::ChangeDiffers, |run| *run.entry(5) = update_record("c1", 3, (6, 2))),
    (Finding::ChangeByNobody, |run| run.log(update_record("nobody", 2, (6, 5)))),
    (Finding::ChangeRefusedButLogged, |run| {
        let place = run.place("c1", is_ok);
        run.events[place].what = What::Fail { op: "c1".into(), code: "NO_SPACE".into() };
    }),
    (Finding::ChangeOutOfOrder, |run| {
        // Asked for after the draw that was answered with a higher position.
        let (from, to) = (run.place("c1", is_invoke), run.place("k3", is_ok));
        run.shift(from, to);
        let from = run.place("c1", is_ok);
        run.shift(from, to);
    }),
    (Finding::ChangeLostAtCrash, |run| recover(run, 4)),
    (Finding::Rerolled, |run| run.log(draw_record(4, 10, &[1, 2], Some("k1")))),
    (Finding::NotGenerated, |run| {
        // Of 7 draws with this secret, not all are as the log has them.
        run.log.secrets = vec![Secret::new([9; 32])];
    }),
    (Finding::SearchDiffers, |run| run.drawn("f1").outcomes[0] = 2),
    (Finding::Biased, |run| too_much_gold(run, true)),
    (Finding::BiasedAfterFault, |run| too_much_gold(run, false)),
    (Finding::SnapshotDiffers, |run| run.log.snapshots[1].is_equal = false),
    (Finding::SnapshotOtherHash, |run| run.log.snapshots[1].sha256 = [8; 32]),
    (Finding::RefusedWithoutReason, |run| {
        run.push(What::Fault { kind: FaultKind::NoSpace, detail: "full".into() });
        run.push(What::Spawn);
        run.push(What::Exit { code: Some(65) });
    }),
    (Finding::NeverReady, |run| {
        let place = run.events.iter().rposition(|event| is_ready(&event.what)).unwrap();
        run.events[place..].iter_mut().for_each(|event| event.t += 6 * SECOND);
    }),
    (Finding::NeverServed, |run| {
        end_with(run, &[What::Kill, What::Spawn, What::Ready { recovered_lsn: None }]);
        run.invoke("never", draw_call(1, None));
        let t = run.events.last().unwrap().t + 6 * SECOND;
        let what = What::Fail { op: "never".into(), code: "OVERLOADED".into() };
        run.events.push(Event { t, what });
    }),
    (Finding::NotClosed, |run| {
        run.log.entries.pop();
        run.log.checkpoints.clear();
    }),
    (Finding::AnsweredAfterClose, |run| {
        run.invoke("late", draw_call(1, None));
        run.ok("late", drawn(10, &[2]));
        for _ in 0..2 {
            let terminate = run.place("", |what| *what == What::Terminate);
            run.shift(run.events.len() - 1, terminate + 1);
        }
        run.log.entries.pop();
        run.log(Change::Closed);
        run.log(draw_record(4, 10, &[2], None));
        run.push(What::Spawn);
        run.push(What::Ready { recovered_lsn: Some(15) });
    }),
    (Finding::UncleanStop, |run| end_with(run, &[What::Terminate, What::Exit { code: Some(101) }])),
    (Finding::LeftUnanswered, |run| {
        run.invoke("open", draw_call(1, None));
        run.shift(run.events.len() - 1, 3);
    }),
];

#[test]
fn a_good_run_passes_and_every_invariant_is_looked_at() {
    let report = good().judge();
    assert!(report.is_good(), "{report}");
    for verdict in &report.verdicts {
        // Without the secret nothing is generated, but keys are still looked at.
        let is_judged = verdict.status == Status::Holds;
        assert_eq!(is_judged, verdict.invariant != Invariant::I14, "{report}");
    }
    assert_eq!((report.counts.acknowledged, report.counts.unknown), (5, 2));
    assert_eq!((report.counts.refused, report.counts.kills), (1, 1));
    assert_eq!(report.counts.logged_draws, 9);
}

#[test]
fn each_broken_run_is_flagged_as_what_it_is() {
    let mut missed = Vec::new();
    for (finding, break_it) in CASES {
        let mut run = good();
        break_it(&mut run);
        let report = run.judge();
        let found: Vec<Finding> = report.violations.iter().map(|v| v.finding).collect();
        if !found.contains(finding) {
            missed.push(format!("{finding:?} is not among {found:?}"));
        }
        assert_eq!(
            report.violates(finding.invariant()),
            found.iter().any(|found| { found.invariant() == finding.invariant() })
        );
    }
    assert!(missed.is_empty(), "\n{}", missed.join("\n"));
}

#[test]
fn every_finding_has_a_broken_run() {
    let tried: BTreeSet<String> = CASES.iter().map(|(finding, _)| format!("{finding:?}")).collect();
    let all: BTreeSet<String> = Finding::ALL.iter().map(|finding| format!("{finding:?}")).collect();
    assert_eq!(tried, all);
    assert_eq!(CASES.len(), all.len(), "each once");
}

#[test]
fn a_process_that_is_locked_out_does_not_hide_the_clean_stop_before_it() {
    let locked_out = |run: &mut Run| {
        run.push(What::Fault { kind: FaultKind::DirectoryInUse, detail: "two at once".into() });
        run.push(What::Spawn);
        run.push(What::Spawn);
        run.push(What::Exit { code: Some(73) });
        run.push(What::Ready { recovered_lsn: Some(run.log.last_lsn()) });
    };
    let mut run = good();
    locked_out(&mut run);
    let report = run.judge();
    assert!(report.is_good(), "{report}");
    assert_eq!(report.verdict(Invariant::I18), good().judge().verdict(Invariant::I18));

    let mut run = good();
    run.log.entries.pop();
    run.log.checkpoints.clear();
    locked_out(&mut run);
    assert!(run.judge().violates(Invariant::I18), "the log was not closed");
}

#[test]
fn a_forgotten_key_may_be_drawn_again() {
    let mut run = good();
    let Change::PoolCreated(created) = run.entry(2) else { unreachable!() };
    created.keys.keys_max = 2;
    let outcomes = [2, 2];
    run.log.checkpoints.clear();
    end_with(&mut run, &[]);
    run.log.entries.pop();
    run.log(draw_record(4, 10, &outcomes, Some("k1")));
    run.done("k1", draw_call(2, Some("k1")), drawn(10, &outcomes));
    let report = run.judge();
    assert!(report.is_good(), "{report}");
    assert_eq!(run.logged(15).outcomes[0], award(MUD));
}
