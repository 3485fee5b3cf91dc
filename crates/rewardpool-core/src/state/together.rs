//! Goal: single draws that are decoded and applied together give what they give one by one, errors
//! included. Method: random draws, the payload whole and damaged, both ways.
use proptest::prelude::*;

use super::tests::{generator, no_note};
use super::*;
use crate::catalog::{Catalog, CatalogItem};
use crate::command::{AdminCommand, KeyLimits, PoolSpec, PoolStatus};
use crate::format::{Decoder, Encoder, Format, FormatError};
use crate::name::{ItemId, PoolId};
use crate::quantity::Quantity;
use crate::selector::SelectorKind;

const TIME_MS: u64 = 7;

#[derive(Debug, PartialEq)]
enum Fault {
    Format(FormatError),
    State(u64, Violation),
}

fn create(name: &str, items: usize, quantity: i64) -> AdminCommand {
    let item = |place: usize| CatalogItem {
        id: ItemId::new(&format!("item-{place}")).unwrap(),
        weight: 1 + place as u64 % 7,
        // Every third is unlimited, unless all should sell out.
        quantity: Quantity::from_number(if quantity > 0 && place.is_multiple_of(3) {
            -1
        } else {
            quantity.abs()
        })
        .unwrap(),
    };
    let spec = PoolSpec {
        id: PoolId::new(name).unwrap(),
        catalog: Catalog::new((0..items).map(item).collect()).unwrap(),
        selector: SelectorKind::Auto,
        keys: KeyLimits::default(),
    };
    AdminCommand::CreatePool { spec, commitment: [1; 32] }
}

fn next_lsn(state: &State) -> Lsn {
    Lsn::new(state.last_lsn() + 1).unwrap()
}

/// A state with a small pool, a large one, and one that sells out.
fn state() -> State {
    let mut state = State::new();
    for (name, items, quantity) in [("small", 6, 40), ("large", 3000, 2), ("scarce", 5, -9)] {
        let record = state.decide(&create(name, items, quantity)).unwrap().unwrap();
        state.apply(&record, next_lsn(&state), 0).unwrap();
    }
    state
}

/// Draws from pools one after another, as the writer does, and the payload of their records.
fn payload(start: &State, draws: &[(u16, i64, bool)]) -> (Vec<u8>, u32) {
    let mut state = start.clone();
    state.activate();
    let mut encoder = Encoder::new(Format::Binary);
    encoder.begin(next_lsn(&state));
    let mut outcomes = Vec::new();
    for &(pool, count, is_strict) in draws {
        let mode = if is_strict { DrawMode::AllOrNothing } else { DrawMode::BestEffort };
        let count = DrawCount::new(count).unwrap();
        let command = DrawCommand { pool: PoolNumber(pool.into()), count, mode, key: None };
        outcomes.clear();
        let Ok(drawn) = state.draw(&command, &mut generator(), TIME_MS, &mut outcomes) else {
            continue;
        };
        encoder.push(&Record::Draw(drawn.record(&command, &outcomes)), state.names());
        state.advance(next_lsn(&state), TIME_MS).unwrap();
    }
    (encoder.payload().to_vec(), encoder.count())
}

fn replay(
    state: &mut State,
    (payload, count): (&[u8], u32),
    together: Option<usize>,
) -> Result<usize, Fault> {
    let mut lsn = next_lsn(state);
    let mut decoder = Decoder::new(Format::Binary, payload, lsn, count);
    let (mut outcomes, mut bundles) = (Vec::new(), 0);
    loop {
        if let Some(most) = together
            && let Some(draws) = decoder.next_singles(state.names(), &mut outcomes, most)
        {
            assert!((1..=most).contains(&draws.outcomes.len()));
            let applied = state.apply_singles(&draws, lsn, TIME_MS);
            applied.map_err(|(lsn, violation)| Fault::State(lsn.number(), violation))?;
            lsn = next_lsn(state);
            bundles += 1;
            continue;
        }
        let Some(record) = decoder.next(state.names(), &mut outcomes).map_err(Fault::Format)?
        else {
            return Ok(bundles);
        };
        let applied = state.apply(&record, lsn, TIME_MS);
        applied.map_err(|violation| Fault::State(lsn.number(), violation))?;
        lsn = lsn.next();
    }
}

/// Replays both ways, and gives the number of bundles if the payload is right.
fn assert_same(start: &State, payload: (&[u8], u32), most: usize) -> Option<usize> {
    let (mut alone, mut together) = (start.clone(), start.clone());
    let expected = replay(&mut alone, payload, None);
    let found = replay(&mut together, payload, Some(most));
    match (expected, found) {
        (Ok(_), Ok(bundles)) => {
            let bytes = |state: &State| {
                let mut bytes = Vec::new();
                state.encode(&mut bytes);
                bytes
            };
            assert!(bytes(&alone) == bytes(&together), "the states differ");
            together.check().unwrap();
            Some(bundles)
        }
        (expected, found) => {
            assert_eq!(expected.unwrap_err(), found.unwrap_err());
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 64 }))]

    #[test]
    fn singles_together_give_what_they_give_alone(
        draws in prop::collection::vec(
            (0_u16..3, prop_oneof![9 => Just(1_i64), 1 => 1_i64..40], prop::bool::weighted(0.05)),
            1..300,
        ),
        most in 1_usize..300,
        (place, bit) in (any::<prop::sample::Index>(), 0_u8..8),
    ) {
        let start = state();
        let (mut payload, count) = payload(&start, &draws);
        prop_assert!(assert_same(&start, (&payload, count), most).is_some());
        if !payload.is_empty() {
            let place = place.index(payload.len());
            payload[place] ^= 1 << bit;
            assert_same(&start, (&payload, count), most);
        }
    }
}

#[test]
fn many_draws_of_one_pool_are_applied_in_few_bundles() {
    let start = state();
    let (payload, count) = payload(&start, &[(1, 1, false); 1000]);
    assert_eq!(count, 1000);
    // The first of a batch says what all have in common, so it stands alone.
    assert_eq!(assert_same(&start, (&payload, count), 256), Some(4));
}

#[test]
fn draws_of_a_paused_pool_are_refused_together_too() {
    let start = state();
    let (payload, count) = payload(&start, &[(0, 1, false); 9]);
    let pool = PoolNumber(0);
    let pause = AdminCommand::SetStatus { pool, status: PoolStatus::Paused, note: no_note() };
    let mut paused = start;
    let record = paused.decide(&pause).unwrap().unwrap();
    paused.apply(&record, next_lsn(&paused), 0).unwrap();
    assert_eq!(assert_same(&paused, (&payload, count), 256), None);
}
