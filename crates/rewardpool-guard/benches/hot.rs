//! The hot functions of a draw, each in a loop over fixed input, for callgrind to count their
//! instructions. What is made in a setup is not counted.
//!
//! The names of the functions and of their cases are those in `instructions.txt`.
#![expect(
    missing_docs,
    unused_qualifications,
    clippy::exit,
    reason = "of the code that the macros write"
)]
use std::hint::black_box;
use std::sync::Arc;

use gungraun::{library_benchmark, library_benchmark_group, main};
use rewardpool_core::catalog::{Catalog, CatalogItem};
use rewardpool_core::command::{
    AdminCommand, DrawCommand, DrawCount, DrawMode, KeyLimits, PoolSpec,
};
use rewardpool_core::format::{Decoder, Encoder, Format};
use rewardpool_core::generator::{Generator, Secret};
use rewardpool_core::ids::{ItemIndex, Lsn, Outcome, PoolNumber, RequestId};
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::quantity::Quantity;
use rewardpool_core::record::Record;
use rewardpool_core::selector::{Selector, SelectorKind};
use rewardpool_core::state::{Drawn, State};
use rewardpool_wal::storage::{FileStorage, Storage};
use rewardpool_wal::{Appender, Identity, Prepared, seal_for_measure};
use tempfile::TempDir;

/// Draws, or calls, of a run.
const RUN: u64 = 1000;

/// The same numbers in each run, spread over all 64 bits.
fn numbers(count: u64) -> Vec<u64> {
    (1..=count).map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect()
}

/// Weights from 1 to 100.
fn weights(items: usize) -> Vec<u64> {
    (0..items as u64).map(|place| place * 7919 % 100 + 1).collect()
}

fn request(number: u64) -> RequestId {
    RequestId::new(number).expect("request ids start at 1")
}

// Random numbers.

fn generator() -> Generator {
    Generator::new(&Secret::new([7; 32]))
}

#[library_benchmark]
#[bench::sequence(generator())]
fn generator_below(mut generator: Generator) -> (u64, Generator) {
    let mut sum = 0_u64;
    for number in 1..=RUN {
        sum = sum.wrapping_add(generator.below(request(number), black_box(220)));
    }
    (black_box(sum), generator)
}

// Selectors.

fn selector_and_numbers(kind: SelectorKind, items: usize) -> (Selector, Vec<u64>) {
    let weights = weights(items);
    let total: u64 = weights.iter().sum();
    let selector = Selector::new(kind, weights.into_iter());
    (selector, numbers(RUN).into_iter().map(|number| number % total).collect())
}

#[library_benchmark(setup = selector_and_numbers)]
#[bench::fenwick_6(SelectorKind::Fenwick, 6)]
#[bench::fenwick_1000(SelectorKind::Fenwick, 1000)]
#[bench::fenwick_100000(SelectorKind::Fenwick, 100_000)]
#[bench::prefix_sum_6(SelectorKind::PrefixSum, 6)]
#[bench::prefix_sum_1000(SelectorKind::PrefixSum, 1000)]
#[bench::prefix_sum_100000(SelectorKind::PrefixSum, 100_000)]
#[bench::sum_tree_6(SelectorKind::SumTree, 6)]
#[bench::sum_tree_1000(SelectorKind::SumTree, 1000)]
#[bench::sum_tree_100000(SelectorKind::SumTree, 100_000)]
fn selector_locate((selector, numbers): (Selector, Vec<u64>)) -> (usize, Selector, Vec<u64>) {
    let mut sum = 0;
    for &number in &numbers {
        sum ^= black_box(&selector).locate(number).as_usize();
    }
    (black_box(sum), selector, numbers)
}

/// So many changes; prefix sums are moved at each, so they get fewer.
fn selector_and_changes(kind: SelectorKind, items: usize) -> (Selector, Vec<(ItemIndex, u64)>) {
    let (selector, _) = selector_and_numbers(kind, items);
    let count = if kind == SelectorKind::PrefixSum { RUN / 100 } else { RUN };
    let change = |number: u64| {
        let place = usize::try_from(number % items as u64).expect("a place is small");
        (ItemIndex::from_usize(place).expect("a place is small"), number >> 58)
    };
    (selector, numbers(count).into_iter().map(change).collect())
}

#[library_benchmark(setup = selector_and_changes)]
#[bench::fenwick_6(SelectorKind::Fenwick, 6)]
#[bench::fenwick_1000(SelectorKind::Fenwick, 1000)]
#[bench::fenwick_100000(SelectorKind::Fenwick, 100_000)]
#[bench::prefix_sum_6(SelectorKind::PrefixSum, 6)]
#[bench::prefix_sum_1000(SelectorKind::PrefixSum, 1000)]
#[bench::prefix_sum_100000(SelectorKind::PrefixSum, 100_000)]
#[bench::sum_tree_6(SelectorKind::SumTree, 6)]
#[bench::sum_tree_1000(SelectorKind::SumTree, 1000)]
#[bench::sum_tree_100000(SelectorKind::SumTree, 100_000)]
fn selector_set(
    (mut selector, changes): (Selector, Vec<(ItemIndex, u64)>),
) -> (Selector, Vec<(ItemIndex, u64)>) {
    for &(item, weight) in &changes {
        black_box(&mut selector).set(item, weight);
    }
    (selector, changes)
}

// The state machine.

/// A state with one pool of unlimited and of limited items, ready to draw.
fn state(items: usize) -> State {
    let items = weights(items).into_iter().enumerate().map(|(place, weight)| CatalogItem {
        id: ItemId::new(&format!("item-{place}")).expect("a valid name"),
        weight,
        quantity: if place % 2 == 0 { Quantity::Unlimited } else { Quantity::Limited(1 << 40) },
    });
    let spec = PoolSpec {
        id: PoolId::new("default").expect("a valid name"),
        catalog: Catalog::new(items.collect()).expect("a valid catalogue"),
        selector: SelectorKind::Auto,
        keys: KeyLimits::default(),
    };
    let commitment = Secret::new([7; 32]).commitment();
    let mut state = State::new();
    let created = state.decide(&AdminCommand::CreatePool { spec, commitment });
    let created = created.expect("the pool can be created").expect("it is new");
    state.apply(&created, Lsn::FIRST, 1).expect("the pool is new");
    state.activate();
    state
}

fn command(count: i64) -> DrawCommand {
    let count = DrawCount::new(count).expect("a valid count");
    DrawCommand { pool: PoolNumber(0), count, mode: DrawMode::BestEffort, key: None }
}

/// A state, and what draws from it need.
struct Table {
    state: State,
    generator: Generator,
    outcomes: Vec<Outcome>,
    command: DrawCommand,
}

fn table(items: usize, count: i64) -> Table {
    let outcomes = Vec::with_capacity(usize::try_from(RUN).expect("a run is small"));
    Table { state: state(items), generator: generator(), outcomes, command: command(count) }
}

impl Table {
    fn draws(&self) -> u64 {
        RUN / u64::from(self.command.count.number())
    }
}

#[library_benchmark(setup = table)]
#[bench::single_6(6, 1)]
#[bench::single_1000(1000, 1)]
#[bench::single_100000(100_000, 1)]
#[bench::hundred_6(6, 100)]
#[bench::hundred_1000(1000, 100)]
#[bench::hundred_100000(100_000, 100)]
fn state_draw(mut table: Table) -> Table {
    for _ in 0..table.draws() {
        let Table { state, generator, outcomes, command } = &mut table;
        let drawn = state.draw(black_box(command), generator, 2, outcomes).expect("a draw");
        black_box(drawn);
        state.advance(state.next_lsn(), 2).expect("the next record");
    }
    table
}

// Records.

/// Draws that were made, to be encoded.
struct Made {
    state: State,
    drawn: Vec<Drawn>,
    outcomes: Vec<Outcome>,
    command: DrawCommand,
    encoder: Encoder,
}

fn made(format: Format, items: usize, count: i64) -> Made {
    let mut table = table(items, count);
    let draws = table.draws();
    let Table { state, generator, outcomes, command } = &mut table;
    let mut draw = |_| {
        let drawn = state.draw(command, generator, 2, outcomes).expect("a draw");
        state.advance(state.next_lsn(), 2).expect("the next record");
        drawn
    };
    let drawn = (0..draws).map(&mut draw).collect();
    let Table { state, outcomes, command, .. } = table;
    let mut made = Made { state, drawn, outcomes, command, encoder: Encoder::new(format) };
    // Once before, so that the buffer has grown.
    made.encode();
    made
}

impl Made {
    fn encode(&mut self) {
        self.encoder.begin(Lsn::FIRST.next());
        let outcomes = self.outcomes.chunks(self.command.count.as_usize());
        for (drawn, outcomes) in self.drawn.iter().zip(outcomes) {
            let record = Record::Draw(drawn.record(&self.command, outcomes));
            self.encoder.push(black_box(&record), self.state.names());
        }
    }
}

#[library_benchmark(setup = made)]
#[bench::binary_single_6(Format::Binary, 6, 1)]
#[bench::binary_single_1000(Format::Binary, 1000, 1)]
#[bench::binary_hundred_6(Format::Binary, 6, 100)]
#[bench::binary_hundred_1000(Format::Binary, 1000, 100)]
#[bench::json_single_6(Format::Json, 6, 1)]
#[bench::string_line_single_6(Format::StringLine, 6, 1)]
fn encoder_push(mut made: Made) -> Made {
    made.encode();
    made
}

/// A payload, and the state from which it was drawn, as it was before.
struct Logged {
    state: State,
    format: Format,
    payload: Vec<u8>,
    count: u32,
    scratch: Vec<Outcome>,
}

fn logged(format: Format, items: usize, count: i64) -> Logged {
    let Made { encoder, .. } = made(format, items, count);
    let scratch = Vec::with_capacity(usize::try_from(count).expect("a count is small"));
    let (payload, count) = (encoder.payload().to_vec(), encoder.count());
    Logged { state: state(items), format, payload, count, scratch }
}

#[library_benchmark(setup = logged)]
#[bench::binary_single_6(Format::Binary, 6, 1)]
#[bench::binary_single_1000(Format::Binary, 1000, 1)]
#[bench::binary_hundred_6(Format::Binary, 6, 100)]
#[bench::binary_hundred_1000(Format::Binary, 1000, 100)]
#[bench::json_single_6(Format::Json, 6, 1)]
#[bench::string_line_single_6(Format::StringLine, 6, 1)]
fn decoder_next(mut logged: Logged) -> Logged {
    let Logged { state, format, payload, count, scratch } = &mut logged;
    let mut decoder = Decoder::new(*format, black_box(payload), Lsn::FIRST.next(), *count);
    while let Ok(Some(ref record)) = decoder.next(state.names(), scratch) {
        black_box(record);
    }
    logged
}

// As recovery does it: decode and apply.
#[library_benchmark(setup = logged)]
#[bench::binary_single_6(Format::Binary, 6, 1)]
#[bench::binary_single_1000(Format::Binary, 1000, 1)]
#[bench::binary_hundred_6(Format::Binary, 6, 100)]
#[bench::binary_hundred_1000(Format::Binary, 1000, 100)]
fn state_apply(mut logged: Logged) -> Logged {
    let Logged { state, format, payload, count, scratch } = &mut logged;
    let mut decoder = Decoder::new(*format, black_box(payload), Lsn::FIRST.next(), *count);
    while let Ok(Some(ref record)) = decoder.next(state.names(), scratch) {
        state.apply(record, state.next_lsn(), 2).expect("the record of a draw");
    }
    logged
}

// The log.

/// A payload, and a buffer that has grown.
fn payload(bytes: usize) -> (Vec<u8>, Vec<u8>) {
    let (payload, mut buffer) = (vec![7; bytes], Vec::new());
    seal_for_measure(&payload, &mut buffer);
    (payload, buffer)
}

#[library_benchmark(setup = payload)]
#[bench::bytes_100(100)]
#[bench::bytes_4096(4096)]
#[bench::bytes_65536(65_536)]
fn batch_seal((payload, mut buffer): (Vec<u8>, Vec<u8>)) -> (Vec<u8>, Vec<u8>) {
    for _ in 0..10 {
        black_box(seal_for_measure(black_box(&payload), &mut buffer));
    }
    (payload, buffer)
}

/// A log in a directory of its own, and a payload to append.
struct Log {
    appender: Appender,
    payload: Vec<u8>,
    _directory: TempDir,
}

fn log(payload_bytes: usize) -> Log {
    let directory = TempDir::new().expect("a directory for temporary files");
    let storage = FileStorage::open(directory.path()).expect("the directory is there");
    let storage: Arc<dyn Storage> = Arc::new(storage);
    let prepared = Prepared::create(Arc::clone(&storage), 1 << 20).expect("room for a segment");
    let identity = Identity { uuid: [7; 16] };
    let appender = Appender::begin(storage, identity, Format::Binary.id(), prepared);
    let mut appender = appender.expect("the directory is empty");
    let payload = vec![7; payload_bytes];
    // Once before, so that the buffer has grown.
    appender.append(&payload, 1, 1).expect("room for a batch");
    Log { appender, payload, _directory: directory }
}

// Ten commits: the batch is sealed, written, synced and hashed. Most of it is the hash, because
// valgrind's processor has no instructions for SHA-256.
#[library_benchmark(setup = log)]
#[bench::bytes_100(100)]
fn appender_append(mut log: Log) -> Log {
    for _ in 0..10 {
        let committed = log.appender.append(black_box(&log.payload), 1, 2);
        black_box(committed.expect("room for a batch"));
    }
    log
}

library_benchmark_group!(
    name = hot,
    benchmarks = [
        generator_below,
        selector_locate,
        selector_set,
        state_draw,
        encoder_push,
        decoder_next,
        state_apply,
        batch_seal,
        appender_append
    ]
);

main!(library_benchmark_groups = hot);
