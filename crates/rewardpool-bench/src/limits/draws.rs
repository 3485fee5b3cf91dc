//! The least that a draw is: select, decrement, encode two bytes; and, to be durable, `pwrite` and
//! `fdatasync` of a batch. One thread, one thing after the other, nobody to answer.
use std::time::{Duration, Instant};

use rewardpool_engine::core::generator::{Generator, Secret};
use rewardpool_engine::core::ids::RequestId;
use rewardpool_engine::core::selector::{Selector, SelectorKind};
use rewardpool_load::Latencies;

use super::commit::ZeroFilled;
use crate::rounds::Round;

/// A catalogue, half of whose items are limited, and nothing around it.
pub(crate) struct BareDraws {
    selector: Selector,
    /// Units left; -1 never runs out.
    left: Vec<i64>,
    generator: Generator,
    last: u64,
    batch: Vec<u8>,
}

impl BareDraws {
    /// So many items with the weights 1, 2, 3, …
    pub(crate) fn new(items: u32) -> Self {
        let left = (0..items).map(|place| if place % 2 == 0 { 1 << 50 } else { -1 }).collect();
        Self {
            selector: Selector::new(SelectorKind::Auto, Weights(1..items + 1)),
            left,
            generator: Generator::new(&Secret::new([7; 32])),
            last: 0,
            batch: Vec::new(),
        }
    }

    /// Draws so many into a new batch.
    pub(crate) fn draw(&mut self, count: u32) {
        self.batch.clear();
        for _ in 0..count {
            self.last += 1;
            let request = RequestId::new(self.last).expect("ids begin at 1");
            let item = self.selector.locate(self.generator.below(request, self.selector.total()));
            let left = &mut self.left[item.as_usize()];
            *left -= i64::from(*left > 0);
            if *left == 0 {
                self.selector.set(item, 0);
            }
            let [low, high, _, _] = item.number().to_le_bytes();
            self.batch.extend_from_slice(&[low, high]);
        }
    }

    /// Draws batches and makes each durable.
    pub(crate) fn run(
        &mut self,
        file: &mut ZeroFilled,
        batch: u32,
        duration: Duration,
    ) -> anyhow::Result<Round> {
        let (mut latencies, mut events) = (Latencies::new(), 0);
        let begun = Instant::now();
        let mut last = begun;
        while last - begun < duration {
            self.draw(batch);
            file.commit(&self.batch)?;
            let now = Instant::now();
            latencies.record(now - last, 1);
            last = now;
            events += u64::from(batch);
        }
        Ok(Round { events, elapsed: last - begun, latencies })
    }

    /// Draws batches that nobody writes.
    pub(crate) fn run_in_memory(&mut self, batch: u32, duration: Duration) -> Round {
        let begun = Instant::now();
        let mut events = 0;
        while events == 0 || begun.elapsed() < duration {
            self.draw(batch);
            std::hint::black_box(&self.batch);
            events += u64::from(batch);
        }
        Round { events, elapsed: begun.elapsed(), latencies: Latencies::new() }
    }
}

/// Rising weights whose number is known.
struct Weights(std::ops::Range<u32>);

impl Iterator for Weights {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0.next().map(u64::from)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Weights {}
