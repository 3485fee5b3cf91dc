//! What a draw costs before anything is written, and what its parts cost.
use std::hint::black_box;
use std::time::{Duration, Instant};

use rewardpool_engine::core::catalog::{Catalog, CatalogItem};
use rewardpool_engine::core::command::{DrawCommand, DrawCount, DrawMode, KeyLimits};
use rewardpool_engine::core::format::{Encoder, Format};
use rewardpool_engine::core::generator::{Generator, Secret};
use rewardpool_engine::core::ids::{ItemIndex, Lsn, Outcome, PoolNumber, RequestId};
use rewardpool_engine::core::name::{ItemId, PoolId};
use rewardpool_engine::core::quantity::Quantity;
use rewardpool_engine::core::record::{PoolCreated, Record};
use rewardpool_engine::core::selector::{Selector, SelectorKind};
use rewardpool_engine::core::state::State;
use rewardpool_load::Latencies;

use crate::bench::Bench;
use crate::limits::draws::BareDraws;
use crate::report::{Report, SelectorCost};
use crate::rounds::{Round, Rounds, alternate};

const BATCH: u32 = 4096;
const POOL: PoolNumber = PoolNumber(0);
/// Between two looks at the clock.
const STEPS: u32 = 64;
const KINDS: [(&str, SelectorKind); 3] = [
    ("sum_tree (auto)", SelectorKind::SumTree),
    ("fenwick", SelectorKind::Fenwick),
    ("prefix_sum", SelectorKind::PrefixSum),
];

/// Row 1: a draw in memory, with its record and the place of its answer.
pub(super) fn draw(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for (items, key) in [(6, "6"), (1_000, "1000"), (100_000, "100000")] {
        let (mut bare, mut ours) = (BareDraws::new(items), WholeDraws::new(items)?);
        let round = bench.scale.round / 2;
        let (limit, ours) = alternate(
            bench.scale.rounds,
            || Ok(bare.run_in_memory(BATCH, round)),
            || ours.run(round),
        )?;
        report.add(1, key, Some(limit.seconds_each()), ours.seconds_each());
    }
    Ok(())
}

/// What the writer does with single draws, without the log.
struct WholeDraws {
    state: State,
    generator: Generator,
    encoder: Encoder,
    outcomes: Vec<Outcome>,
    /// As in a reply: the first id, and where the outcomes begin and end.
    answers: Vec<(RequestId, usize, usize)>,
}

impl WholeDraws {
    fn new(items: u32) -> anyhow::Result<Self> {
        let items = (0..items).map(|place| {
            let limited = place % 2 == 0;
            let quantity = if limited { Quantity::Limited(1 << 50) } else { Quantity::Unlimited };
            let id = ItemId::new(&format!("item-{place}"))?;
            Ok(CatalogItem { id, weight: u64::from(place) + 1, quantity })
        });
        let created = PoolCreated {
            pool: POOL,
            id: PoolId::new("default")?,
            catalog: Catalog::new(items.collect::<anyhow::Result<_>>()?)?,
            selector: SelectorKind::Auto,
            commitment: [0; 32],
            keys: KeyLimits::default(),
        };
        let mut state = State::new();
        state.apply(&Record::PoolCreated(Box::new(created)), Lsn::FIRST, 0)?;
        state.activate();
        let generator = Generator::new(&Secret::new([7; 32]));
        let encoder = Encoder::new(Format::Binary);
        Ok(Self { state, generator, encoder, outcomes: Vec::new(), answers: Vec::new() })
    }

    fn run(&mut self, duration: Duration) -> anyhow::Result<Round> {
        let begun = Instant::now();
        let mut events = 0;
        while events == 0 || begun.elapsed() < duration {
            self.batch()?;
            black_box((self.encoder.payload(), &self.answers));
            events += u64::from(BATCH);
        }
        Ok(Round { events, elapsed: begun.elapsed(), latencies: Latencies::new() })
    }

    fn batch(&mut self) -> anyhow::Result<()> {
        let (mode, key) = (DrawMode::BestEffort, None);
        let command = DrawCommand { pool: POOL, count: DrawCount::ONE, mode, key };
        self.encoder.begin(self.state.next_lsn());
        self.outcomes.clear();
        self.answers.clear();
        for _ in 0..BATCH {
            let start = self.outcomes.len();
            let drawn = self.state.draw(&command, &mut self.generator, 0, &mut self.outcomes)?;
            let record = Record::Draw(drawn.record(&command, &self.outcomes[start..]));
            self.encoder.push(&record, self.state.names());
            self.state.advance(self.state.next_lsn(), 0)?;
            self.answers.push((drawn.first_request_id, start, self.outcomes.len()));
        }
        Ok(())
    }
}

/// Row 15: the selector alone.
pub(super) fn selector(bench: &Bench, report: &mut Report) {
    let mut selector = with_items(SelectorKind::Auto, bench.scale.items);
    let (mut select, mut update) = (Rounds::default(), Rounds::default());
    for _ in 0..bench.scale.rounds {
        select.push(selections(&selector, bench.scale.round / 2));
        update.push(updates(&mut selector, bench.scale.round / 2));
    }
    report.add(15, "select", None, select.seconds_each());
    report.add(15, "update", None, update.seconds_each());
}

/// The cost of every selector from small catalogues to the largest.
pub(super) fn selectors(bench: &Bench, report: &mut Report) {
    let duration = bench.scale.round / 7;
    for (name, kind) in KINDS {
        for items in [6, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
            if items > bench.scale.selector_items_max {
                break;
            }
            let mut selector = with_items(kind, items);
            let (mut select, mut update) = (Rounds::default(), Rounds::default());
            for _ in 0..bench.scale.rounds.min(3) {
                select.push(selections(&selector, duration));
                update.push(updates(&mut selector, duration));
            }
            let (select, update) = (select.seconds_each(), update.seconds_each());
            report.selectors.push(SelectorCost {
                selector: name.to_owned(),
                items,
                select,
                update,
            });
        }
    }
}

fn with_items(kind: SelectorKind, items: u32) -> Selector {
    let weights: Vec<u64> = (1..=u64::from(items)).collect();
    Selector::new(kind, weights.into_iter())
}

fn selections(selector: &Selector, duration: Duration) -> Round {
    let mut generator = Generator::new(&Secret::new([7; 32]));
    let total = selector.total();
    let mut last = 0;
    repeat(duration, || {
        last += 1;
        let request = RequestId::new(last).expect("ids begin at 1");
        black_box(selector.locate(generator.below(request, total)));
    })
}

fn updates(selector: &mut Selector, duration: Duration) -> Round {
    let items = selector.len() as u64;
    let mut number = 0_u64;
    repeat(duration, || {
        // Steps of the golden ratio visit the items in an order that no prefetcher sees.
        number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let (_, place) = number.carrying_mul(items, 0);
        let item = usize::try_from(place).ok().and_then(ItemIndex::from_usize);
        selector.set(item.expect("it is below the number of items"), (number & 0xffff) + 1);
    })
}

/// Does it again and again.
fn repeat(duration: Duration, mut step: impl FnMut()) -> Round {
    let begun = Instant::now();
    let mut events = 0;
    while events == 0 || begun.elapsed() < duration {
        (0..STEPS).for_each(|_| step());
        events += u64::from(STEPS);
    }
    Round { events, elapsed: begun.elapsed(), latencies: Latencies::new() }
}
