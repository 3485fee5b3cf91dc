//! `wal tail`: the last records of a running service's log, and those that come.
use std::io::{self, Write as _};

use clap::Args;
use rewardpool_core::format::{Format, json_line};
use rewardpool_engine::{ArrivedBatch, Chain, Identity, Replica, ReplicaError};
use rewardpool_proto::v1::subscribe_response::Part;
use rewardpool_proto::v1::{BatchPart, GetStatusRequest, SnapshotPart, SubscribeRequest};

use super::Failure;
use super::failure::exit;
use super::service::{Address, Service, with_service};

const EXAMPLES: &str = "\
Examples:
  rewardpool wal tail                        The last ten records
  rewardpool wal tail --follow               And every one that comes, until Ctrl-C
  rewardpool wal tail --from 1000000 | jq .  From a position on
  rewardpool wal tail -f -n 0 | grep -v draw";

/// Print the last records of a running service, one JSON object a line
///
/// Asks the service at --addr; its files are not needed. A record is printed when it is on the
/// service's disk, as `wal cat` prints it.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WalTailArgs {
    /// How many records from the end to begin with
    #[arg(short = 'n', long, default_value_t = 10, value_name = "COUNT")]
    lines: u64,
    /// The LSN of the first record to print, instead of --lines
    #[arg(long, value_name = "LSN", conflicts_with = "lines",
          value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    /// Go on and print what comes, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

pub(crate) fn tail(args: WalTailArgs, address: &Address) -> Result<(), Failure> {
    with_service(address, async |service| {
        let from_lsn = match args.from {
            Some(from) => from,
            None => (last_lsn(service).await? + 1).saturating_sub(args.lines).max(1),
        };
        let request =
            SubscribeRequest { from_lsn, follow: args.follow, snapshot: true, copy: false };
        let stream = service.log().subscribe(request).await.map_err(|s| Failure::status(&s))?;
        let mut stream = stream.into_inner();
        let mut arriving = Arriving::default();
        let mut out = io::BufWriter::new(io::stdout().lock());
        while let Some(message) = stream.message().await.map_err(|s| Failure::status(&s))? {
            if let (Some(from), Some(Part::Snapshot(snapshot))) = (args.from, &message.part)
                && snapshot.lsn >= from
            {
                return Err(gone(from, snapshot.lsn + 1));
            }
            let lines = message.part.map_or(Ok(None), |part| arriving.take(part, from_lsn));
            if let Some(lines) = lines.map_err(|error| damaged(&error))? {
                out.write_all(&lines)?;
                out.flush()?;
            }
        }
        Ok(())
    })
}

async fn last_lsn(service: &Service) -> Result<u64, Failure> {
    let status = service.admin().get_status(GetStatusRequest {}).await;
    Ok(status.map_err(|status| Failure::status(&status))?.into_inner().durable_lsn)
}

fn gone(from: u64, oldest: u64) -> Failure {
    let what = format!("LSN {from} is gone, the log begins at LSN {oldest}");
    Failure::new(exit::REFUSED, what, "older records are in backups, if there are any")
}

fn damaged(error: &ReplicaError) -> Failure {
    let what = format!("what the service sent is not its log: {}", Chain(error));
    let hint = "run it again; if it comes again, run `rewardpool verify` where the service is";
    Failure::new(exit::CORRUPT, what, hint)
}

/// The log as it arrives: pieces are put together, and records are read with the names that the
/// snapshot and earlier records give.
#[derive(Default)]
struct Arriving {
    bytes: Vec<u8>,
    replica: Option<Replica>,
}

impl Arriving {
    /// The lines of the records from this LSN on, if the piece ends a batch.
    fn take(&mut self, part: Part, from_lsn: u64) -> Result<Option<Vec<u8>>, ReplicaError> {
        match part {
            Part::Snapshot(part) => self.take_snapshot(&part).map(|()| None),
            Part::Batch(part) => self.take_batch(&part, from_lsn),
            // Only copies of the files need it.
            Part::Segment(_) => Ok(None),
        }
    }

    fn take_snapshot(&mut self, part: &SnapshotPart) -> Result<(), ReplicaError> {
        self.bytes.extend_from_slice(&part.data);
        if self.bytes.len() as u64 >= part.file_bytes {
            let file = std::mem::take(&mut self.bytes);
            // An identifier of another length is of no log.
            let uuid = <[u8; 16]>::try_from(&*part.log_uuid).unwrap_or_default();
            self.replica = Some(Replica::from_snapshot(file, part.lsn, Identity { uuid })?);
        }
        Ok(())
    }

    fn take_batch(
        &mut self,
        part: &BatchPart,
        from_lsn: u64,
    ) -> Result<Option<Vec<u8>>, ReplicaError> {
        self.bytes.extend_from_slice(&part.data);
        if (self.bytes.len() as u64) < part.payload_bytes {
            return Ok(None);
        }
        let first_lsn = part.first_lsn;
        let no_state = ReplicaError::Gap { last: 0, found: first_lsn };
        let replica = self.replica.as_mut().ok_or(no_state)?;
        let batch = ArrivedBatch {
            first_lsn,
            count: part.count,
            time_ms: u64::try_from(part.time_ms).unwrap_or(0),
            // A format that is not known here does not hold records as binary either.
            format: part.format.parse().unwrap_or(Format::Binary),
            payload: &self.bytes,
            payload_checksum: part.payload_crc32c,
        };
        let mut lines = Vec::new();
        replica.apply(&batch, |lsn, record, state| {
            if lsn.number() >= from_lsn {
                json_line(lsn, record, state.names(), &mut lines);
            }
        })?;
        self.bytes.clear();
        Ok(Some(lines))
    }
}
