//! Checks every selector against a plain list of weights, and so against each other.
use proptest::prelude::*;

use super::*;

/// Every kind, and the sum tree without vector instructions.
fn every_selector(weights: &[u64]) -> Vec<Selector> {
    let kinds = [SelectorKind::Fenwick, SelectorKind::PrefixSum, SelectorKind::SumTree];
    let mut selectors: Vec<Selector> =
        kinds.into_iter().map(|kind| Selector::new(kind, weights.iter().copied())).collect();
    selectors.push(Selector::SumTree(SumTree::new_portable(weights.iter().copied())));
    selectors
}

fn item(index: usize) -> ItemIndex {
    ItemIndex::from_usize(index).unwrap()
}

/// Compares all that can be asked, with both ends of each interval.
fn check(selector: &Selector, weights: &[u64]) {
    assert_eq!(selector.len(), weights.len());
    assert_eq!(selector.is_empty(), weights.is_empty());
    assert_eq!(selector.total(), weights.iter().sum::<u64>());
    let mut start = 0;
    for (index, &weight) in weights.iter().enumerate() {
        assert_eq!(selector.weight(item(index)), weight, "{:?} {index}", selector.kind());
        if weight > 0 {
            assert_eq!(selector.locate(start), item(index), "{:?} {start}", selector.kind());
            start += weight;
            assert_eq!(selector.locate(start - 1), item(index), "{:?} {start}", selector.kind());
        }
    }
}

/// Each number below the total, one by one and many at once, counted by item.
fn coverage(selector: &Selector) -> Vec<u64> {
    let mut counts = vec![0; selector.len()];
    let mut numbers: Vec<u64> = (0..selector.total()).collect();
    let items: Vec<ItemIndex> = numbers.iter().map(|&r| selector.locate(r)).collect();
    for item in &items {
        counts[item.as_usize()] += 1;
    }
    let mut at_once = vec![ItemIndex::FIRST; items.len()];
    selector.locate_each(&mut numbers, &mut at_once);
    assert_eq!(at_once, items);
    counts
}

/// Weights that differ from place to place, with a third of zeros.
fn mixed_weights(len: usize) -> Vec<u64> {
    (0..len as u64).map(|index| (index * 7 + 3) % 11 * u64::from(index % 3 != 1)).collect()
}

const EDGES: [usize; 14] = [0, 1, 2, 15, 16, 17, 31, 32, 33, 255, 256, 257, 4096, 4097];

#[test]
fn every_size_is_built_right() {
    for len in EDGES {
        let weights = mixed_weights(len);
        for selector in every_selector(&weights) {
            check(&selector, &weights);
        }
    }
}

#[test]
fn auto_is_the_sum_tree() {
    let selector = Selector::new(SelectorKind::Auto, [1].into_iter());
    assert_eq!(selector.kind(), SelectorKind::SumTree);
}

#[test]
fn one_item_with_weight_is_always_found() {
    for len in EDGES.into_iter().filter(|&len| len > 0) {
        for index in [0, len / 2, len - 1] {
            let mut weights = vec![0; len];
            weights[index] = 3;
            for mut selector in every_selector(&weights) {
                assert_eq!([0, 1, 2].map(|r| selector.locate(r)), [item(index); 3]);
                selector.set(item(index), 0);
                assert_eq!(selector.total(), 0);
                selector.set(item(len - 1), 1);
                assert_eq!(selector.locate(0), item(len - 1));
            }
        }
    }
}

/// Grows from nothing across every change of shape, and from each edge, changing on the way.
#[test]
fn pushes_across_growth() {
    let weights = mixed_weights(4_200);
    for mut selector in every_selector(&[]) {
        for (len, &weight) in weights.iter().enumerate() {
            selector.push(weight);
            if EDGES.contains(&(len + 1)) {
                check(&selector, &weights[..=len]);
            }
        }
        check(&selector, &weights);
    }
    for len in EDGES {
        let mut weights = mixed_weights(len);
        for mut selector in every_selector(&weights.clone()) {
            weights.truncate(len);
            for weight in [5, 0, 9] {
                selector.push(weight);
                weights.push(weight);
                weights[len / 2] = weight + 1;
                selector.set(item(len / 2), weight + 1);
                check(&selector, &weights);
            }
            weights = mixed_weights(len);
        }
    }
}

/// The first three are what a service that counts decimal digits gets wrong.
#[test]
fn each_item_is_found_exactly_as_often_as_its_weight() {
    let cases: [&[u64]; 6] = [
        &[1, 9999],
        &[10, 25, 65],
        &[5, 2000, 7995],
        &[10, 20, 30, 40, 70, 50],
        &[0, 0, 1, 0, 2, 0],
        &[7; 300],
    ];
    for weights in cases {
        for selector in every_selector(weights) {
            assert_eq!(coverage(&selector), weights);
        }
    }
}

#[test]
fn the_greatest_total_fits() {
    let weights = [TOTAL_WEIGHT_MAX - 2, 0, 1, 1];
    for mut selector in every_selector(&weights) {
        check(&selector, &weights);
        selector.set(item(0), 0);
        selector.set(item(1), TOTAL_WEIGHT_MAX - 2);
        check(&selector, &[0, TOTAL_WEIGHT_MAX - 2, 1, 1]);
        selector.push(0);
    }
}

/// Each of these must stop the program rather than give a wrong item.
#[test]
fn what_does_not_fit_panics() {
    let refused = |change: fn(&mut Selector)| {
        for mut selector in every_selector(&[TOTAL_WEIGHT_MAX - 1, 1]) {
            let attempt = std::panic::AssertUnwindSafe(|| change(&mut selector));
            assert!(std::panic::catch_unwind(attempt).is_err());
        }
    };
    refused(|selector| selector.push(1));
    refused(|selector| selector.push(u64::MAX));
    refused(|selector| selector.set(item(1), 2));
    refused(|selector| selector.set(item(1), u64::MAX));
    refused(|selector| selector.set(item(2), 0));
    refused(|selector| assert_eq!(selector.weight(item(2)), 0));
    refused(|selector| assert_eq!(selector.locate(TOTAL_WEIGHT_MAX), item(1)));
    refused(|selector| assert_eq!(selector.locate(u64::MAX), item(1)));
    refused(|selector| {
        let weights = [TOTAL_WEIGHT_MAX, 1];
        *selector = Selector::new(selector.kind(), weights.into_iter());
    });
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Set { place: prop::sample::Index, weight: u64 },
    Push { weight: u64 },
}

/// Half of them zero, the rest small, or large enough to need all the bits of a sum.
fn any_weight() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0), 3 => 1..10_u64, 1 => 0..1_u64 << 52]
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => (any::<prop::sample::Index>(), any_weight())
            .prop_map(|(place, weight)| Change::Set { place, weight }),
        1 => any_weight().prop_map(|weight| Change::Push { weight }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_selectors_agree(
        start in prop_oneof![
            prop::collection::vec(any_weight(), 0..40),
            prop::collection::vec(any_weight(), 240..300),
        ],
        changes in prop::collection::vec((any_change(), any::<u64>()), 0..60),
    ) {
        let mut weights = start;
        let mut selectors = every_selector(&weights);
        for (change, random) in changes {
            match change {
                Change::Set { place, weight } if !weights.is_empty() => {
                    let index = place.index(weights.len());
                    weights[index] = weight;
                    for selector in &mut selectors {
                        selector.set(item(index), weight);
                    }
                }
                Change::Set { weight, .. } | Change::Push { weight } => {
                    weights.push(weight);
                    for selector in &mut selectors {
                        selector.push(weight);
                    }
                }
            }
            let total: u64 = weights.iter().sum();
            let found: Vec<_> = selectors
                .iter()
                .map(|selector| {
                    assert_eq!(selector.total(), total);
                    (total > 0).then(|| selector.locate(random % total))
                })
                .collect();
            prop_assert!(found.iter().all(|other| *other == found[0]), "{:?}", found);
        }
        for selector in &selectors {
            check(selector, &weights);
        }
        for rebuilt in every_selector(&weights) {
            check(&rebuilt, &weights);
        }
    }
}
