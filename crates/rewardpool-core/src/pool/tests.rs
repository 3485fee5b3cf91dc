//! The pool counts itself: each number that it keeps is spoiled once and found out.
use proptest::prelude::*;

use super::*;
use crate::command::KeyHash;
use crate::generator::Secret;
use crate::record::KeyStamp;

const POOL: PoolNumber = PoolNumber(4);

fn item(weight: u64, quantity: i64) -> Item {
    Item::new(weight, Quantity::from_number(quantity).unwrap()).unwrap()
}

fn index(place: u32) -> ItemIndex {
    ItemIndex::new(place).unwrap()
}

fn pool() -> Pool {
    let charter = Charter { number: POOL, selector: SelectorKind::default(), commitment: [0; 32] };
    let mut pool = Pool::new(charter, KeyLimits::default());
    for item in [item(3, 10), item(2, -1), item(0, 5), item(1, 2)] {
        pool.push(&item);
    }
    pool.activate();
    let outcomes = [Outcome::award(index(0)), Outcome::award(index(1))];
    pool.retrace(&outcomes).unwrap();
    let stamp = KeyStamp { hash: KeyHash::of(b"k").unwrap(), fingerprint: 2 };
    pool.keep_key(KeyedDraw::new(stamp, RequestId::FIRST, &outcomes, 1, 7));
    pool.check().unwrap();
    pool
}

fn found(spoil: impl Fn(&mut Pool)) -> Violation {
    let mut pool = pool();
    spoil(&mut pool);
    pool.check().unwrap_err()
}

fn sum_found(spoil: impl Fn(&mut Pool)) -> Sum {
    let violation = found(spoil);
    let Violation::Sum { pool: POOL, sum, kept, counted } = violation else {
        unreachable!("{violation}")
    };
    assert_ne!(kept, counted);
    sum
}

#[test]
fn a_unit_that_appears_or_vanishes_is_found() {
    let conservation = |item, granted, quantity, awarded| Violation::Conservation {
        pool: POOL,
        item: index(item),
        granted,
        quantity,
        awarded,
    };
    assert_eq!(found(|pool| pool.stock[0].quantity += 1), conservation(0, 10, 10, 1));
    assert_eq!(found(|pool| pool.stock[0].quantity = -1), conservation(0, 10, -1, 1));
    assert_eq!(found(|pool| pool.stock[1].quantity = -2), conservation(1, 0, -2, 1));
    assert_eq!(found(|pool| pool.stock[3].awarded_and_mark += 1), conservation(3, 2, 2, 1));
    assert_eq!(found(|pool| pool.terms[0].granted -= 1), conservation(0, 9, 9, 1));
    // A unit that is taken without an award counted anywhere else.
    assert_eq!(
        sum_found(|pool| {
            pool.stock[0].quantity -= 1;
            pool.stock[0].awarded_and_mark += 1;
        }),
        Sum::Fingerprint
    );
}

#[test]
fn each_spoiled_sum_is_found() {
    assert_eq!(sum_found(|pool| pool.sums.fingerprint ^= 1 << 40), Sum::Fingerprint);
    assert_eq!(sum_found(|pool| pool.sums.units += 1), Sum::DrawableUnits);
    assert_eq!(sum_found(|pool| pool.sums.unlimited += 1), Sum::DrawableUnlimited);
    assert_eq!(sum_found(|pool| pool.sums.listed_weight += 1), Sum::ListedWeight);
    assert_eq!(sum_found(|pool| pool.sums.available_weight += 1), Sum::AvailableWeight);
    assert_eq!(sum_found(|pool| pool.sums.available_items += 1), Sum::AvailableItems);
    assert_eq!(sum_found(|pool| pool.counters.awards += 1), Sum::Awards);
    assert_eq!(sum_found(|pool| pool.counters.draws += 1), Sum::Draws);
    assert_eq!(sum_found(|pool| pool.counters.empties += 1), Sum::Draws);
    let more = |pool: &mut Pool| {
        if let Some(selector) = &mut pool.selector {
            selector.push(1);
        }
    };
    assert_eq!(sum_found(more), Sum::SelectorTotal);
}

#[test]
fn a_wrong_mark_and_a_wrong_selector_are_found() {
    let marked = found(|pool| pool.stock[2].awarded_and_mark |= DRAWABLE);
    assert_eq!(marked, Violation::DrawableMark { pool: POOL, item: index(2), found: true });
    let unmarked = found(|pool| pool.stock[0].awarded_and_mark &= !DRAWABLE);
    assert_eq!(unmarked, Violation::DrawableMark { pool: POOL, item: index(0), found: false });
    let selector = found(|pool| {
        if let Some(selector) = &mut pool.selector {
            selector.set(index(1), 9);
        }
    });
    let expected = Violation::SelectorWeight { pool: POOL, item: index(1), expected: 2, found: 9 };
    assert_eq!(selector, expected);
}

#[test]
fn a_sold_out_item_leaves_the_selector_and_comes_back() {
    let mut pool = pool();
    assert_eq!(pool.available_weight(), 6);
    pool.retrace(&[Outcome::award(index(3)); 2]).unwrap();
    assert_eq!(pool.available_weight(), 5);
    let selector = pool.selector.as_ref().unwrap();
    assert_eq!((selector.weight(index(3)), selector.total()), (0, 5));
    let violation = pool.retrace(&[Outcome::award(index(3))]).unwrap_err();
    assert_eq!(violation, Violation::NotAvailable { pool: POOL, item: index(3) });
    let change = ItemChange { quantity: Some(QuantityChange::Add(1)), weight: None };
    let planned = pool.plan_update(index(3), &change).unwrap();
    pool.change(index(3), planned);
    assert_eq!(pool.selector.as_ref().unwrap().total(), 6);
    pool.retrace(&[Outcome::award(index(3))]).unwrap();
    pool.check().unwrap();
}

#[test]
fn no_fingerprint_of_a_small_difference_is_the_same() {
    let base = pool();
    let mut fingerprints = vec![base.sums.fingerprint];
    for place in 0..4 {
        let index = index(place);
        let item = base.item(index).unwrap();
        for other in [
            Item { awarded: item.awarded + 1, ..item },
            Item { quantity: item.quantity + 1, ..item },
            Item { weight: item.weight + 1, ..item },
            Item { granted: item.granted + 1, ..item },
            Item { retired: true, ..item },
            Item { awarded: item.awarded + 1, quantity: item.quantity - 1, ..item },
            Item { quantity: item.quantity + 1, granted: item.granted + 1, ..item },
        ] {
            let mut sums = base.sums;
            sums.subtract(index, &item);
            sums.add(index, &other);
            fingerprints.push(sums.fingerprint);
        }
    }
    let count = fingerprints.len();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), count);
}

fn outcomes_of(pool: &mut Pool, parts: &[u16]) -> Vec<Outcome> {
    let mut generator = Generator::new(&Secret::new([3; 32]));
    let mut outcomes = Vec::new();
    let mut id = 1;
    for &part in parts {
        pool.choose(RequestId::new(id).unwrap(), part, &mut generator, &mut outcomes);
        id += u64::from(part);
    }
    pool.check().unwrap();
    outcomes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Choosing ahead gives what draws one by one give, over sale-outs until nothing is left.
    #[test]
    fn many_draws_at_once_are_draws_one_by_one(
        items in proptest::collection::vec((0_u64..5, -1_i64..4), 1..40),
        parts in proptest::collection::vec(1_u16..70, 1..4),
    ) {
        let charter = Charter { number: POOL, selector: SelectorKind::default(), commitment: [0; 32] };
        let mut at_once = Pool::new(charter, KeyLimits::default());
        for &(weight, quantity) in &items {
            at_once.push(&item(weight, quantity));
        }
        at_once.activate();
        let mut one_by_one = at_once.clone();
        let singles = vec![1; parts.iter().map(|&part| usize::from(part)).sum()];
        prop_assert_eq!(outcomes_of(&mut at_once, &parts), outcomes_of(&mut one_by_one, &singles));
        prop_assert_eq!(at_once.sums, one_by_one.sums);
        prop_assert_eq!(at_once.counters, one_by_one.counters);
    }
}
