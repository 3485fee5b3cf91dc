//! A state that follows the log of another service: a snapshot, and then batch after batch by the
//! code that recovers.
use crc32c::crc32c;
use rewardpool_core::format::{Decoder, Format, FormatError};
use rewardpool_core::ids::{Epoch, Lsn, Outcome};
use rewardpool_core::record::Record;
use rewardpool_core::snapshot::SnapshotError;
use rewardpool_core::state::State;
use rewardpool_core::violation::Violation;
use rewardpool_wal::{Identity, SnapshotFile};

/// A copy of a state, as of one position of the log.
pub struct Replica {
    state: State,
    outcomes: Vec<Outcome>,
}

/// A batch as it arrived from somewhere.
#[derive(Clone, Copy, Debug)]
pub struct ArrivedBatch<'a> {
    /// LSN of the first record.
    pub first_lsn: u64,
    /// How many records.
    pub count: u32,
    /// Wall clock in milliseconds since 1970.
    pub time_ms: u64,
    /// How the records are encoded.
    pub format: Format,
    /// The encoded records.
    pub payload: &'a [u8],
    /// CRC-32C of the payload, as it was computed where the batch was written.
    pub payload_checksum: u32,
}

/// What arrived is not what follows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// The snapshot is damaged or of another log.
    #[error("the snapshot is not what was sent")]
    Snapshot(#[from] rewardpool_wal::Error),
    /// The snapshot is intact, but does not hold a state.
    #[error("the snapshot does not hold a state")]
    NoState(#[from] SnapshotError),
    /// The batch was changed on its way.
    #[error("the batch from LSN {first_lsn} on was damaged on its way: its checksum differs")]
    Checksum {
        /// Its first record.
        first_lsn: u64,
    },
    /// Records are missing between what is here and what arrived.
    #[error("the batch begins at LSN {found}, after LSN {last}")]
    Gap {
        /// The last record that is here.
        last: u64,
        /// The first record that arrived.
        found: u64,
    },
    /// The batch does not hold records.
    #[error("the batch from LSN {first_lsn} on does not hold records")]
    Format {
        /// Its first record.
        first_lsn: u64,
        /// What is wrong.
        source: FormatError,
    },
    /// A record does not follow from the state: the copies differ.
    #[error("the record {lsn} does not fit the state")]
    Record {
        /// The record.
        lsn: u64,
        /// What does not fit.
        source: Box<Violation>,
    },
}

impl Replica {
    /// The state of a snapshot file, which is verified.
    pub fn from_snapshot(file: Vec<u8>, lsn: u64, log: Identity) -> Result<Self, ReplicaError> {
        let snapshot = SnapshotFile::decode(file, lsn, log)?;
        let state = State::decode(snapshot.body())?.in_epoch(Epoch(snapshot.header.epoch));
        Ok(Self { state, outcomes: Vec::new() })
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Applies a batch and shows each record behind it. A batch that is here already changes
    /// nothing.
    ///
    /// # Errors
    /// The batch does not follow; the replica must not be used any more.
    pub fn apply(
        &mut self,
        batch: &ArrivedBatch<'_>,
        mut visit: impl FnMut(Lsn, &Record<'_>, &State),
    ) -> Result<(), ReplicaError> {
        let (first_lsn, last) = (batch.first_lsn, self.state.last_lsn());
        if crc32c(batch.payload) != batch.payload_checksum {
            return Err(ReplicaError::Checksum { first_lsn });
        }
        let gap = ReplicaError::Gap { last, found: first_lsn };
        if first_lsn > last + 1 {
            return Err(gap);
        }
        if first_lsn <= last {
            // Batches are sent whole, so one that is here in part is of another log.
            let end = first_lsn.saturating_add(u64::from(batch.count)) - 1;
            return if end <= last { Ok(()) } else { Err(gap) };
        }
        let mut lsn = self.state.next_lsn();
        let mut decoder = Decoder::new(batch.format, batch.payload, lsn, batch.count);
        loop {
            let next = decoder.next(self.state.names(), &mut self.outcomes);
            let next = next.map_err(|source| ReplicaError::Format { first_lsn, source })?;
            let Some(ref record) = next else { return Ok(()) };
            self.state.apply(record, lsn, batch.time_ms).map_err(|violation| {
                ReplicaError::Record { lsn: lsn.number(), source: Box::new(violation) }
            })?;
            visit(lsn, record, &self.state);
            lsn = lsn.next();
        }
    }
}
