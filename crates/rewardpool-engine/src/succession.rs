//! The change of hands: a copy of a log becomes the log, in a new epoch.
//!
//! The closing batch of the copied segment is the first one of the new epoch. The next segment begins
//! with the record that tells of it, and with a new secret for each pool: the old leader may have drawn
//! and answered behind the end of the copy, and nobody may know the words of the request ids that are
//! given again. The file that marks the copy goes last, so whatever is interrupted before can be done
//! again, in one more epoch.
use std::sync::Arc;

use rewardpool_core::format::Encoder;
use rewardpool_core::generator::{Generator, Secret};
use rewardpool_core::ids::Epoch;
use rewardpool_core::record::Record;
use rewardpool_core::state::State;
use rewardpool_wal::storage::Storage;
use rewardpool_wal::{Appender, Following, LogReader, Prepared};

use crate::compactor::{finish_snapshot, publish_snapshot};
use crate::config::EngineConfig;
use crate::engine::{Resumed, Started, TakenUp, go_on, resume};
use crate::error::EngineError;
use crate::progress::Progress;
use crate::recovery::{SEGMENT_FORMAT, known_format, recover};
use crate::secrets::{random_secret, store};
use crate::writer::{Now, first_record};

/// Recovers the copy and closes its last segment in the name of the new epoch.
pub(crate) fn take_over(
    storage: &Arc<dyn Storage>,
    config: &EngineConfig,
    reader: &LogReader,
    progress: &Progress,
    now: Now,
) -> Result<TakenUp, EngineError> {
    let recovered = recover(reader, None)?;
    let tail = &recovered.replayed.tail;
    known_format(tail.segment(), SEGMENT_FORMAT, tail.format())?;
    let Resumed { mut state, mut log, report, .. } = resume(storage, reader, progress, recovered)?;
    // Room for everything that the epoch begins with, or nothing is begun.
    let bytes = Appender::segment_bytes_for(opening_bytes_max(config, &state));
    let prepared = Prepared::create(Arc::clone(storage), config.segment_bytes.max(bytes))?;
    log.begin_epoch(log.epoch().max(state.epoch().0) + 1);
    let place = go_on(&mut log, &mut state, config, progress, (prepared, now))?;
    let taken = publish_snapshot(storage.as_ref(), &state, place, None)?;
    finish_snapshot(storage, taken, progress)?;
    Ok(TakenUp { state, log, generators: Vec::new(), report, is_new_segment: true })
}

/// More than the first batch of an epoch takes.
fn opening_bytes_max(config: &EngineConfig, state: &State) -> usize {
    let encoder = Encoder::new(config.format);
    let own = encoder.record_bytes_max(&Record::LeaderEpoch(Epoch(u32::MAX)));
    // Names are bounded, so this is the same for each pool.
    let changes = state.pools().map(|pool| {
        let (pool, commitment) = (pool.number, [0xff; 32]);
        let id = state.names().pool(pool).map_or(0, |names| names.id().as_str().len());
        encoder.record_bytes_max(&Record::SecretChanged { pool, commitment }) + 4 * id
    });
    2 * own + changes.sum::<usize>()
}

/// Writes what the new epoch begins with. When this is durable, the directory is the log.
pub(crate) fn begin_epoch(
    storage: &Arc<dyn Storage>,
    config: &EngineConfig,
    progress: &Progress,
    now: Now,
    taken: TakenUp,
) -> Result<Started, EngineError> {
    let TakenUp { mut state, mut log, report, .. } = taken;
    let time_ms = state.time_ms().max(now.wall_ms);
    let mut records =
        vec![first_record(progress.newest_snapshot()), Record::LeaderEpoch(Epoch(log.epoch()))];
    let mut generators = Vec::new();
    for pool in state.pools() {
        let secret = Secret::new(random_secret()?);
        // On disk before the log commits to it.
        store(storage.as_ref(), pool.number, &secret)?;
        let commitment = secret.commitment();
        records.push(Record::SecretChanged { pool: pool.number, commitment });
        generators.push(Generator::new(&secret));
    }
    let mut encoder = Encoder::new(config.format);
    encoder.begin(state.next_lsn());
    for record in &records {
        encoder.push(record, state.names());
        state.apply(record, state.next_lsn(), time_ms)?;
    }
    log.append(encoder.payload(), encoder.count(), time_ms)?;
    Following::end(storage.as_ref())?;
    let committed = log.committed();
    tracing::warn!(
        epoch = log.epoch(),
        lsn = committed.last_lsn(),
        "took over: this log is the one"
    );
    state.activate();
    Ok(Started { state, log, generators, committed, report })
}
