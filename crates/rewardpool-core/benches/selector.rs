//! What it costs to select an item and to change a weight, by selector and size of the catalogue.
//!
//! The numbers come in a random order, so at many items memory is part of the figure.
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;
use rewardpool_core::generator::{Generator, Secret};
use rewardpool_core::ids::{ItemIndex, RequestId};
use rewardpool_core::selector::{Selector, SelectorKind};

const SIZES: [usize; 5] = [6, 1_000, 100_000, 1_000_000, 10_000_000];
/// Prefix sums change a weight in time linear in the items: beyond this a bench never ends.
const PREFIX_SUM_UPDATE_MAX: usize = 100_000;
const KINDS: [(&str, SelectorKind); 3] = [
    ("sum_tree", SelectorKind::SumTree),
    ("fenwick", SelectorKind::Fenwick),
    ("prefix_sum", SelectorKind::PrefixSum),
];

fn selector(kind: SelectorKind, items: usize) -> Selector {
    Selector::new(kind, (0..items).map(|place| place as u64 % 97 + 1))
}

/// The random number of the next request and its item: what a draw does before it takes a unit.
fn select(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("select");
    for items in SIZES {
        for (name, kind) in KINDS {
            let selector = selector(kind, items);
            let mut generator = Generator::new(&Secret::new([7; 32]));
            let mut last = 0;
            group.bench_function(BenchmarkId::new(name, items), |bencher| {
                bencher.iter(|| {
                    last += 1;
                    let request = RequestId::new(last).expect("ids begin at 1");
                    black_box(selector.locate(generator.below(request, selector.total())))
                });
            });
        }
    }
    group.finish();
}

/// A new weight for a random item.
fn update(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("update");
    for items in SIZES {
        for (name, kind) in KINDS {
            if kind == SelectorKind::PrefixSum && items > PREFIX_SUM_UPDATE_MAX {
                continue;
            }
            let mut selector = selector(kind, items);
            let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
            group.bench_function(BenchmarkId::new(name, items), |bencher| {
                bencher.iter(|| {
                    let word = random.next_u64();
                    let place = usize::try_from(word % items as u64).expect("it is below items");
                    let item = ItemIndex::from_usize(place).expect("catalogues are bounded");
                    selector.set(item, (word >> 32) % 97 + 1);
                });
            });
            black_box(selector.total());
        }
    }
    group.finish();
}

fn settings() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}

criterion_group!(name = benches; config = settings(); targets = select, update);
criterion_main!(benches);
