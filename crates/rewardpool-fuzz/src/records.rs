//! Records that own what they hold, and what a sequence of them is in each format.
use std::borrow::Cow;

use rewardpool_core::format::{Decoder, Encoder, Format, FormatError};
use rewardpool_core::ids::{Lsn, Outcome};
use rewardpool_core::names::Names;
use rewardpool_core::record::{DrawRecord, Record};

/// A record with its outcomes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Logged {
    /// Without outcomes when it is a draw.
    record: Record<'static>,
    outcomes: Vec<Outcome>,
}

impl Logged {
    fn of(record: &Record<'_>) -> Self {
        let mut outcomes = Vec::new();
        let record = match record {
            Record::Draw(draw) => {
                outcomes.extend_from_slice(draw.outcomes);
                Record::Draw(DrawRecord {
                    pool: draw.pool,
                    catalog_version: draw.catalog_version,
                    first_request_id: draw.first_request_id,
                    outcomes: &[],
                    mode: draw.mode,
                    key: draw.key,
                })
            }
            Record::PoolCreated(created) => Record::PoolCreated(created.clone()),
            Record::Update(update) => Record::Update(update.clone()),
            Record::ItemAdded(added) => Record::ItemAdded(added.clone()),
            Record::ItemRetired(retired) => Record::ItemRetired(retired.clone()),
            Record::PoolStateChanged(changed) => Record::PoolStateChanged(changed.clone()),
            Record::Snapshot(snapshot) => Record::Snapshot(*snapshot),
            &Record::Rotate { next_segment, digest } => Record::Rotate { next_segment, digest },
            Record::Marker => Record::Marker,
            Record::Digest(digest) => Record::Digest(*digest),
            Record::Closed(digest) => Record::Closed(*digest),
            Record::LeaderEpoch(epoch) => Record::LeaderEpoch(*epoch),
            &Record::SecretChanged { pool, commitment } => {
                Record::SecretChanged { pool, commitment }
            }
        };
        Self { record, outcomes }
    }

    fn record(&self) -> Record<'_> {
        let mut record: Record<'_> = self.record.clone();
        if let Record::Draw(draw) = &mut record {
            draw.outcomes = &self.outcomes;
        }
        record
    }
}

/// Makes the names know what a record brings, as the state does.
fn learn(names: &mut Cow<'_, Names>, record: &Record<'_>) {
    match record {
        Record::PoolCreated(created) => {
            let names = names.to_mut();
            let pool = names.push(created.id.clone());
            assert_eq!(pool, created.pool, "a new pool has the next number");
            let names = names.pool_mut(pool).expect("the pool was pushed just now");
            for item in created.catalog.items() {
                names.push(item.id.clone());
            }
        }
        Record::ItemAdded(added) => {
            let names = names.to_mut().pool_mut(added.pool).expect("the decoder knows the pool");
            names.push(added.item.id.clone());
        }
        Record::Draw(_)
        | Record::Update(_)
        | Record::ItemRetired(_)
        | Record::PoolStateChanged(_)
        | Record::Snapshot(_)
        | Record::Rotate { .. }
        | Record::Marker
        | Record::Digest(_)
        | Record::Closed(_)
        | Record::LeaderEpoch(_)
        | Record::SecretChanged { .. } => {}
    }
}

/// The records at the beginning of a payload, and what is wrong after them.
pub(crate) fn decode(
    format: Format,
    payload: &[u8],
    first_lsn: Lsn,
    count: u32,
    names: &Names,
) -> (Vec<Logged>, Option<FormatError>) {
    let mut names = Cow::Borrowed(names);
    let mut decoder = Decoder::new(format, payload, first_lsn, count);
    let (mut records, mut outcomes) = (Vec::new(), Vec::new());
    loop {
        match decoder.next(&names, &mut outcomes) {
            Ok(Some(record)) => {
                learn(&mut names, &record);
                records.push(Logged::of(&record));
            }
            Ok(None) => return (records, None),
            Err(error) => {
                assert!(error.offset <= payload.len(), "a fault lies in the payload: {error}");
                let again = decoder.next(&names, &mut outcomes);
                assert_eq!(again, Err(error.clone()), "the decoder stays where it was");
                return (records, Some(error));
            }
        }
    }
}

/// The payload of these records.
pub(crate) fn encode(format: Format, first_lsn: Lsn, records: &[Logged], names: &Names) -> Vec<u8> {
    let mut names = Cow::Borrowed(names);
    let mut encoder = Encoder::new(format);
    encoder.begin(first_lsn);
    for logged in records {
        let record = logged.record();
        let before = encoder.payload().len();
        let most = encoder.record_bytes_max(&record);
        encoder.push(&record, &names);
        let bytes = encoder.payload().len() - before;
        if let Record::Draw(draw) = &record {
            let pool = names.pool(draw.pool).expect("the decoder knows the pool");
            let most = encoder.draw_bytes_max(pool, draw.outcomes.len());
            assert!(bytes <= most, "a draw of {bytes} bytes, at most {most}: {record:?}");
        } else {
            assert!(bytes <= most, "a record of {bytes} bytes, at most {most}: {record:?}");
        }
        learn(&mut names, &record);
    }
    encoder.payload().to_vec()
}

/// Recovery tells a sector that was never written by its zeros, so no payload may look like one.
pub(crate) fn assert_no_zero_sector(payload: &[u8]) {
    let longest = payload.split(|&byte| byte != 0).map(<[u8]>::len).max().unwrap_or(0);
    assert!(longest < 512, "{longest} zeros in a row");
}
