//! What it costs to encode, decode and apply the record of a draw, by format and size of the draw.
//!
//! The unit is a batch of 4 096 outcomes; the throughput is in outcomes.
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rewardpool_core::catalog::{Catalog, CatalogItem};
use rewardpool_core::command::{DrawCommand, DrawCount, DrawMode, KeyLimits};
use rewardpool_core::format::{Decoder, Encoder, Format};
use rewardpool_core::generator::{Generator, Secret};
use rewardpool_core::ids::{Lsn, Outcome, PoolNumber};
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::quantity::Quantity;
use rewardpool_core::record::{PoolCreated, Record};
use rewardpool_core::selector::SelectorKind;
use rewardpool_core::state::{Drawn, State};

const BATCH_OUTCOMES: i64 = 4096;
/// Draws of one record.
const COUNTS: [i64; 2] = [1, 128];
const ITEMS: [usize; 3] = [6, 1_000, 100_000];
const POOL: PoolNumber = PoolNumber(0);

/// A state with one pool, half of whose items are limited.
fn state(items: usize) -> State {
    let items = (0..items).map(|place| {
        let half = place % 2 == 0;
        let quantity = if half { Quantity::Limited(1 << 50) } else { Quantity::Unlimited };
        let id = ItemId::new(&format!("item-{place}")).expect("a valid name");
        CatalogItem { id, weight: place as u64 % 97 + 1, quantity }
    });
    let mut state = State::new();
    let created = PoolCreated {
        pool: POOL,
        id: PoolId::new("default").expect("a valid name"),
        catalog: Catalog::new(items.collect()).expect("a valid catalogue"),
        selector: SelectorKind::Auto,
        commitment: [0; 32],
        keys: KeyLimits::default(),
    };
    state
        .apply(&Record::PoolCreated(Box::new(created)), Lsn::FIRST, 0)
        .expect("it follows the state");
    state
}

/// The draws of one batch.
struct Batch {
    command: DrawCommand,
    draws: Vec<(Drawn, Vec<Outcome>)>,
}

impl Batch {
    fn new(mut state: State, count: i64) -> Self {
        let count_of_draws = DrawCount::new(count).expect("a valid count");
        let (mode, key) = (DrawMode::BestEffort, None);
        let command = DrawCommand { pool: POOL, count: count_of_draws, mode, key };
        let mut generator = Generator::new(&Secret::new([7; 32]));
        state.activate();
        let mut draw = || {
            let mut outcomes = Vec::new();
            let drawn = state.draw(&command, &mut generator, 0, &mut outcomes);
            let drawn = drawn.expect("the pool draws");
            state.advance(state.next_lsn(), 0).expect("it is the next position");
            (drawn, outcomes)
        };
        let draws = (0..BATCH_OUTCOMES / count).map(|_| draw()).collect();
        Self { command, draws }
    }

    fn encode(&self, encoder: &mut Encoder, first: Lsn, state: &State) {
        encoder.begin(first);
        for (drawn, outcomes) in &self.draws {
            let record = Record::Draw(drawn.record(&self.command, outcomes));
            encoder.push(&record, state.names());
        }
    }
}

/// Each shape of a batch by its name.
fn shapes() -> impl Iterator<Item = (usize, i64, String)> {
    let name = |items, count| format!("{items} items, {count} a record");
    ITEMS.into_iter().flat_map(move |items| COUNTS.map(|count| (items, count, name(items, count))))
}

fn encode_and_decode(criterion: &mut Criterion) {
    for format in Format::ALL {
        for (items, count, name) in shapes() {
            let state = state(items);
            let batch = Batch::new(state.clone(), count);
            let mut encoder = Encoder::new(format);
            let mut group = criterion.benchmark_group(format!("encode {format}"));
            group.throughput(Throughput::Elements(BATCH_OUTCOMES.unsigned_abs()));
            group.bench_function(BenchmarkId::from_parameter(&name), |bencher| {
                bencher.iter(|| {
                    batch.encode(&mut encoder, state.next_lsn(), &state);
                    black_box(encoder.payload().len())
                });
            });
            group.finish();
            let mut group = criterion.benchmark_group(format!("decode {format}"));
            group.throughput(Throughput::Elements(BATCH_OUTCOMES.unsigned_abs()));
            let mut outcomes = Vec::new();
            group.bench_function(BenchmarkId::from_parameter(&name), |bencher| {
                bencher.iter(|| {
                    let (payload, records) = (encoder.payload(), encoder.count());
                    let mut decoder = Decoder::new(format, payload, state.next_lsn(), records);
                    while let Ok(Some(ref record)) = decoder.next(state.names(), &mut outcomes) {
                        black_box(record);
                    }
                });
            });
            group.finish();
        }
    }
}

/// What replay does with a batch that was decoded.
fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    group.throughput(Throughput::Elements(BATCH_OUTCOMES.unsigned_abs()));
    for (items, count, name) in shapes() {
        let before = state(items);
        let batch = Batch::new(before.clone(), count);
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let apply = |mut state: State| {
                for (drawn, outcomes) in &batch.draws {
                    let record = Record::Draw(drawn.record(&batch.command, outcomes));
                    let lsn = state.next_lsn();
                    state.apply(&record, lsn, 0).expect("the records follow the state");
                }
                state
            };
            bencher.iter_batched(|| before.clone(), apply, BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn settings() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}

criterion_group!(name = benches; config = settings(); targets = encode_and_decode, apply);
criterion_main!(benches);
