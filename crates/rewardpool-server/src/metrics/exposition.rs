//! How a scrape is written: the names, units and meanings of all metrics.
//!
//! What begins with `rewardpool_pool_` and `rewardpool_item_` is of the state, so it goes on across
//! restarts; everything else begins anew with the process.
use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use rewardpool_core::command::PoolStatus;
use rewardpool_core::quantity::Quantity;
use rewardpool_core::view::ItemState;
use rewardpool_engine::{Distribution, FeedStanding};

use super::process::Process;
use super::scrape::{Pool, Scrape};
use crate::activity::float;

/// Bounds of the durations of commits: powers of two and what is halfway between, from 2^15
/// nanoseconds (33 µs) to 2^34 (17 s). All are bounds of the engine's own buckets, so the counts
/// are exact.
const COMMIT_BOUNDS: std::ops::RangeInclusive<u32> = 15..=34;
/// Bounds of the draws of a batch: one less than the powers of two up to this one.
const BATCH_BOUNDS: std::ops::RangeInclusive<u32> = 1..=20;

const STATUSES: [(PoolStatus, &str); 3] = [
    (PoolStatus::Active, "active"),
    (PoolStatus::Paused, "paused"),
    (PoolStatus::Closed, "closed"),
];

/// The text of a scrape.
pub(super) struct Exposition {
    open_metrics: String,
}

impl Exposition {
    pub(super) fn of(scrape: Scrape) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(scrape));
        let mut open_metrics = String::new();
        encode(&mut open_metrics, &registry).expect("a text takes everything");
        Self { open_metrics }
    }

    pub(super) fn into_open_metrics(self) -> String {
        self.open_metrics
    }

    /// The older format, which names a counter with its `_total` and knows neither units nor ends.
    pub(super) fn into_text(self) -> String {
        let mut text = String::with_capacity(self.open_metrics.len());
        let mut help = None;
        for line in self.open_metrics.split_inclusive('\n') {
            let mut words = line.splitn(4, ' ');
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some("#"), Some("HELP"), Some(name), Some(meaning)) => {
                    // Whether the name is that of a counter stands on the next line.
                    help = Some((name, meaning));
                }
                (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                    let suffix = if kind.trim_end() == "counter" { "_total" } else { "" };
                    if let Some((_, meaning)) = help.take().filter(|(of, _)| *of == name) {
                        text.extend(["# HELP ", name, suffix, " ", meaning]);
                    }
                    text.extend(["# TYPE ", name, suffix, " ", kind]);
                }
                (Some("#"), Some("UNIT" | "EOF\n"), ..) => {}
                _ => text.push_str(line),
            }
        }
        text
    }
}

/// Writes metrics one after the other.
struct Page<'a, 'b> {
    encoder: &'a mut DescriptorEncoder<'b>,
}

type Written = Result<(), fmt::Error>;

/// A number of each pool: its name, its meaning and how to read it.
type OfPools<T> = (&'static str, &'static str, fn(&Pool) -> T);

impl Page<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, value: &impl EncodeGaugeValue) -> Written {
        self.gauge_in(name, None, help, value)
    }

    fn gauge_in(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        value: &impl EncodeGaugeValue,
    ) -> Written {
        self.encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(value)
    }

    fn counter(&mut self, name: &str, help: &str, value: &impl EncodeCounterValue) -> Written {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, f64>(value, None)
    }

    fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (L, V)>,
    ) -> Written {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (L, u64)>,
    ) -> Written {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            let mut metric = metric.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        (sum, buckets): (f64, &[(f64, u64)]),
    ) -> Written {
        let count = buckets.iter().map(|(_, count)| count).sum();
        let kind = MetricType::Histogram;
        let mut metric = self.encoder.encode_descriptor(name, help, unit, kind)?;
        metric.encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Written {
        let page = &mut Page { encoder: &mut encoder };
        self.service(page)?;
        self.writer(page)?;
        self.log(page)?;
        self.replication(page)?;
        self.snapshots(page)?;
        self.calls(page)?;
        self.pools(page)?;
        self.items(page)?;
        process(&self.process, page)
    }
}

impl Scrape {
    fn service(&self, page: &mut Page<'_, '_>) -> Written {
        let help = "Always 1; its labels tell what runs and how.";
        page.gauges("rewardpool_build_info", help, [(self.build, 1_u64)].into_iter())?;
        let help = "1 when granted = left + awarded does not hold for an item, a defect; else 0.";
        page.gauge("rewardpool_conservation_error", help, &u64::from(!self.is_conserved))?;
        let help = "1 while the disk is full and draws are refused; else 0.";
        page.gauge("rewardpool_out_of_space", help, &u64::from(self.is_out_of_space))?;
        let help = "How long the start took to recover the log.";
        let seconds = Some(&Unit::Seconds);
        page.gauge_in("rewardpool_recovery_duration", seconds, help, &self.recovery.seconds)?;
        let help = "Records that the start replayed after the snapshot.";
        page.gauge("rewardpool_recovery_records", help, &self.recovery.records)?;
        let help =
            "Bytes of an unfinished batch that the start cut off, never answered to anybody.";
        let bytes = Some(&Unit::Bytes);
        page.gauge_in("rewardpool_recovery_torn", bytes, help, &self.recovery.torn_bytes)?;
        let help = "How long the reading of the metrics took.";
        page.gauge_in("rewardpool_scrape_duration", seconds, help, &self.seconds)?;
        let help = "1 when not all pools could be read for the metrics, in overload; else 0.";
        page.gauge("rewardpool_scrape_incomplete", help, &u64::from(!self.is_complete))
    }

    fn writer(&self, page: &mut Page<'_, '_>) -> Written {
        let reading = &self.reading;
        page.counter("rewardpool_draws", "Draws that are on disk.", &reading.draws)?;
        page.counter("rewardpool_awards", "Draws that won an item.", &reading.awards)?;
        let help = "Draws for which nothing was available.";
        page.counter("rewardpool_empties", help, &reading.empties)?;
        let help = "Requests that were refused, by the reason that the client was given.";
        let refusals = self.refusals.iter().map(|&(reason, count)| ([("reason", reason)], count));
        page.counters("rewardpool_refusals", help, refusals)?;
        let help = "Records that are on disk, of draws and changes.";
        page.counter("rewardpool_records", help, &reading.records)?;
        page.counter("rewardpool_commits", "Batches that are on disk.", &reading.commits)?;
        let help = "How long the write and sync of a batch took.";
        let (name, commits) = ("rewardpool_commit_duration", durations(&reading.commit_ns));
        page.histogram(name, Some(&Unit::Seconds), help, (commits.0, &commits.1))?;
        let help = "Draws of a batch that had any.";
        let batches = sizes(&reading.batch_draws);
        page.histogram("rewardpool_batch_draws", None, help, (batches.0, &batches.1))?;
        let help = "Commands that wait for the writer.";
        page.gauge("rewardpool_mailbox_depth", help, &self.mailbox_depth)?;
        let help = "Commands that may wait at most; more are refused as OVERLOADED.";
        page.gauge("rewardpool_mailbox_capacity", help, &self.mailbox_capacity)
    }

    fn log(&self, page: &mut Page<'_, '_>) -> Written {
        let help = "Number of the last record that is on disk.";
        page.gauge("rewardpool_durable_lsn", help, &self.reading.durable_lsn)?;
        let help = "Number of the last draw, since the log was begun.";
        page.gauge("rewardpool_last_request_id", help, &self.reading.last_request_id)?;
        let help = "Segments of the log in the working directory.";
        page.gauge("rewardpool_segments", help, &self.segments.len())?;
        let bytes = Some(&Unit::Bytes);
        let sum: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        page.gauge_in("rewardpool_wal", bytes, "Length of all segments.", &sum)?;
        let sum: u64 = self.segments.iter().map(|segment| segment.used_bytes).sum();
        let help = "Bytes of all segments that are written.";
        page.gauge_in("rewardpool_wal_used", bytes, help, &sum)
    }

    /// Who reads the log, and how far a follower is behind.
    fn replication(&self, page: &mut Page<'_, '_>) -> Written {
        let help = "How often the log changed hands: 1 until somebody took over.";
        page.gauge("rewardpool_epoch", help, &self.epoch)?;
        let number = |subscriber: &FeedStanding| subscriber.number.to_string();
        let names: Vec<String> = self.subscribers.iter().map(number).collect();
        let subscribers = || {
            let names = names.iter().map(|name| [("subscriber", name.as_str())]);
            names.zip(&self.subscribers)
        };
        let help =
            "Durable records that were not read yet for a follower or another reader of the log.";
        let records = subscribers().map(|(name, of)| (name, of.lag_records));
        page.gauges("rewardpool_subscriber_lag_records", help, records)?;
        let help = "Bytes of segments that were not read yet for a reader of the log, about.";
        let bytes = subscribers().map(|(name, of)| (name, of.lag_bytes));
        page.gauges("rewardpool_subscriber_lag_bytes", help, bytes)?;
        let help = "For how many seconds a reader of the log has not had all that is durable.";
        let seconds = subscribers().map(|(name, of)| (name, of.lag.as_secs_f64()));
        page.gauges("rewardpool_subscriber_lag_seconds", help, seconds)?;
        let Some(freshness) = &self.freshness else { return Ok(()) };
        let help = "Whether the leader is connected: 1 or 0. Only of a follower.";
        page.gauge("rewardpool_follower_connected", help, &u64::from(freshness.connected))?;
        let help = "Records of the leader that are not here yet, as far as it has told.";
        let lag = freshness.leader_lsn.saturating_sub(freshness.lsn);
        page.gauge("rewardpool_follower_lag_records", help, &lag)?;
        if freshness.staleness_ms == u64::MAX {
            return Ok(());
        }
        let help = "Upper bound of the age of what a follower answers.";
        let seconds = Duration::from_millis(freshness.staleness_ms).as_secs_f64();
        page.gauge_in("rewardpool_follower_staleness", Some(&Unit::Seconds), help, &seconds)
    }

    fn snapshots(&self, page: &mut Page<'_, '_>) -> Written {
        let made = self.snapshots_made;
        let help = "Snapshots that were made of closed segments.";
        page.counter("rewardpool_snapshots", help, &made.made)?;
        let help = "Attempts to make a snapshot that failed; the next one makes up for it.";
        page.counter("rewardpool_snapshot_failures", help, &made.failed)?;
        let (help, took) = ("How long the last snapshot took.", made.last_duration.as_secs_f64());
        page.gauge_in("rewardpool_snapshot_duration", Some(&Unit::Seconds), help, &took)?;
        let Some(newest) = self.snapshot else { return Ok(()) };
        let help = "The last record that the newest snapshot includes.";
        page.gauge("rewardpool_snapshot_lsn", help, &newest.lsn)?;
        let help = "Length of the newest snapshot.";
        page.gauge_in("rewardpool_snapshot", Some(&Unit::Bytes), help, &newest.bytes)?;
        let help = "When the newest snapshot was written, since 1970.";
        let (name, seconds) = ("rewardpool_snapshot_timestamp", Some(&Unit::Seconds));
        page.gauge_in(name, seconds, help, &newest.taken_at)
    }

    fn calls(&self, page: &mut Page<'_, '_>) -> Written {
        let ended = self.calls.iter().flat_map(|call| {
            let (service, method) = (("service", call.service), ("method", call.method));
            call.ended.iter().map(move |&(code, count)| ([service, method, ("code", code)], count))
        });
        let help = "Calls that ended, by status. A stream is one call.";
        page.counters("rewardpool_grpc_requests", help, ended)?;
        let in_flight = self
            .calls
            .iter()
            .map(|call| ([("service", call.service), ("method", call.method)], call.in_flight));
        page.gauges("rewardpool_grpc_in_flight", "Calls that go on, streams too.", in_flight)
    }

    fn pools(&self, page: &mut Page<'_, '_>) -> Written {
        let pools = || self.pools.iter().map(|pool| ([("pool", pool.summary.id.as_str())], pool));
        let counters: [OfPools<u64>; 3] = [
            ("draws", "Draws from the pool since it was created.", |p| p.summary.draws),
            ("awards", "Draws from the pool that won an item.", |p| p.summary.awards),
            ("empties", "Draws for which the pool had nothing.", |p| p.summary.empties),
        ];
        for (name, help, value) in counters {
            let values = pools().map(|(label, pool)| (label, value(pool)));
            page.counters(&format!("rewardpool_pool_{name}"), help, values)?;
        }
        let help = "1 for the status that the pool has, 0 for the others.";
        let statuses = self.pools.iter().flat_map(|pool| {
            let id = pool.summary.id.as_str();
            STATUSES.map(|(status, name)| {
                ([("pool", id), ("status", name)], u64::from(pool.summary.status == status))
            })
        });
        page.gauges("rewardpool_pool_status", help, statuses)?;
        let gauges: [OfPools<f64>; 7] = [
            ("items", "Items of the pool, retired ones included.", |p| size(p.summary.item_count)),
            ("items_left_out", "Items without metrics of their own: raise max_items.", |p| {
                size(p.summary.item_count.saturating_sub(p.items.len()))
            }),
            ("drawable_items", "Items that can be drawn now.", |p| {
                float(p.summary.available_items)
            }),
            ("drawable_units", "Units of limited items that can be drawn.", |p| {
                float(u64::try_from(p.summary.drawable_units).unwrap_or(u64::MAX))
            }),
            ("available_weight", "Weights of the items that can be drawn now.", |p| {
                float(p.summary.available_weight)
            }),
            ("idempotency_keys", "Idempotency keys that are known.", |p| {
                float(p.summary.keys.keys)
            }),
            ("idempotency_keys_max", "Idempotency keys that are kept at most.", |p| {
                float(p.summary.keys.limits.keys_max)
            }),
        ];
        for (name, help, value) in gauges {
            let values = pools().map(|(label, pool)| (label, value(pool)));
            page.gauges(&format!("rewardpool_pool_{name}"), help, values)?;
        }
        let help = "When the oldest idempotency key that is known was used, since 1970.";
        let oldest = pools().filter_map(|(label, pool)| {
            let oldest = pool.summary.keys.oldest_time_ms?;
            Some((label, float(oldest) / 1000.0))
        });
        page.gauges("rewardpool_pool_oldest_key_timestamp_seconds", help, oldest)
    }

    fn items(&self, page: &mut Page<'_, '_>) -> Written {
        let items = || {
            self.pools.iter().flat_map(|pool| {
                let id = pool.summary.id.as_str();
                pool.items.iter().filter_map(move |item| {
                    let name = pool.names.as_ref()?.get(item.index)?.as_str();
                    Some(([("pool", id), ("item", name)], item))
                })
            })
        };
        let left = |item: &ItemState| match item.quantity {
            Quantity::Limited(units) => Some(units),
            Quantity::Unlimited => None,
        };
        let help = "Units left. Unlimited items have none.";
        let values = items().filter_map(|(labels, item)| Some((labels, left(item)?)));
        page.gauges("rewardpool_item_left", help, values)?;
        let help = "Units ever granted: those left and those awarded. Unlimited items have none.";
        let values = items().filter_map(|(labels, item)| Some((labels, item.granted?)));
        page.gauges("rewardpool_item_granted", help, values)?;
        let values = items().map(|(labels, item)| (labels, item.awarded));
        page.counters("rewardpool_item_awarded", "Units awarded.", values)?;
        let help = "Weight of the item, 0 when it is retired. While it can be drawn its chance is this \
                    part of the pool's available weight.";
        let weight = |item: &ItemState| if item.retired { 0 } else { item.weight };
        let values = items().map(|(labels, item)| (labels, float(weight(item))));
        page.gauges("rewardpool_item_weight", help, values)?;
        let help = "1 when the item can be drawn: not retired, not sold out, weight above 0.";
        let values = items().map(|(labels, item)| (labels, u64::from(item.effective_weight > 0)));
        page.gauges("rewardpool_item_drawable", help, values)
    }
}

fn process(process: &Process, page: &mut Page<'_, '_>) -> Written {
    if let Some(seconds) = process.cpu_seconds {
        let help = "Processor time of the process.";
        page.counter("process_cpu_seconds", help, &seconds)?;
    }
    let gauges = [
        ("process_resident_memory_bytes", "Memory of the process.", process.resident_bytes),
        ("process_virtual_memory_bytes", "Addresses of the process.", process.virtual_bytes),
        ("process_open_fds", "File descriptors of the process.", process.open_fds),
        ("process_max_fds", "File descriptors that it may have.", process.max_fds),
        ("process_threads", "Threads of the process.", process.threads),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            page.gauge(name, help, &value)?;
        }
    }
    if let Some(seconds) = process.start_time {
        let help = "When the process was started, since 1970.";
        page.gauge("process_start_time_seconds", help, &seconds)?;
    }
    Ok(())
}

fn size(count: usize) -> f64 {
    float(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Nanoseconds as a histogram of seconds.
fn durations(distribution: &Distribution) -> (f64, Vec<(f64, u64)>) {
    let bounds = COMMIT_BOUNDS.flat_map(|power| [1 << power, 3 << (power - 1)]);
    let (sum, buckets) = buckets(distribution, bounds);
    let seconds = |nanos: f64| nanos / 1e9;
    (seconds(sum), buckets.into_iter().map(|(bound, count)| (seconds(bound), count)).collect())
}

/// Counts as a histogram. A bound that is one less than a power of two is the greatest number that
/// it counts.
fn sizes(distribution: &Distribution) -> (f64, Vec<(f64, u64)>) {
    let (sum, buckets) = buckets(distribution, BATCH_BOUNDS.map(|power| 1 << power));
    (sum, buckets.into_iter().map(|(bound, count)| (bound - 1.0, count)).collect())
}

/// How many numbers are below each bound and not below the one before it; at last the rest.
fn buckets(
    distribution: &Distribution,
    bounds: impl Iterator<Item = u64>,
) -> (f64, Vec<(f64, u64)>) {
    let mut below = 0;
    let mut buckets: Vec<(f64, u64)> = bounds
        .map(|bound| {
            let all = distribution.count_to(bound - 1);
            let count = all - std::mem::replace(&mut below, all);
            (float(bound), count)
        })
        .collect();
    buckets.push((f64::INFINITY, distribution.count() - below));
    (float(distribution.sum()), buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_in_full() {
        let open_metrics = "# HELP a_seconds It counts.\n# TYPE a_seconds counter\n\
                            # UNIT a_seconds seconds\na_seconds_total{x=\"# EOF\\n\"} 3\n\
                            # HELP b_x B b.\n# TYPE b_x gauge\nb_x 1\n# EOF\n";
        let text = Exposition { open_metrics: open_metrics.to_owned() }.into_text();
        let expected = "# HELP a_seconds_total It counts.\n# TYPE a_seconds_total counter\n\
                        a_seconds_total{x=\"# EOF\\n\"} 3\n\
                        # HELP b_x B b.\n# TYPE b_x gauge\nb_x 1\n";
        assert_eq!(text, expected);
    }
}
