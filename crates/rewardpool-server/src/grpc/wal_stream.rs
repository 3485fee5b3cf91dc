//! `WalStream`: the log, for whoever follows it.
//!
//! Files are read on threads for such work, never on the one of the network.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rewardpool_core::format::Format;
use rewardpool_engine::{Batch, Feed, FollowError, Handle, SegmentHeader};
use rewardpool_proto::v1;
use rewardpool_proto::v1::subscribe_response::Part;
use rewardpool_proto::v1::wal_stream_server::WalStream;
use tokio::time;
use tonic::codegen::Bytes;
use tonic::{Response, Status};

use super::audit::Action;
use super::watch::{Messages, Source};
use super::{Edge, check};
use crate::convert::Fault;

/// Bytes of a piece of a snapshot or a payload, at most.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes of batches that are read at once for a stream.
const READ_BYTES: usize = 1 << 20;
/// How long a stream that has nothing to tell waits before it looks again, at least and at most.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(8)];
/// After so long without a message a stream for a copy says that it is there still.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);

/// Serves the log of an engine.
pub(crate) struct WalStreamService {
    edge: Edge,
}

impl WalStreamService {
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge }
    }
}

#[tonic::async_trait]
impl WalStream for WalStreamService {
    type SubscribeStream = Messages<LogPieces>;

    async fn subscribe(
        &self,
        request: tonic::Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let deadline = check::deadline(request.metadata());
        let caller = self.edge.caller(&request)?;
        let handle = self.edge.mailbox.handle.clone();
        let pieces = on_thread(move || LogPieces::open(handle, request.get_ref())).await??;
        Ok(Response::new(Messages::new(&self.edge, caller, deadline, pieces)?))
    }

    async fn promote(
        &self,
        request: tonic::Request<v1::PromoteRequest>,
    ) -> Result<Response<v1::PromoteResponse>, Status> {
        let caller = self.edge.caller(&request)?;
        let v1::PromoteRequest { actor, reason } = request.get_ref();
        caller.note(actor, reason)?;
        let lsn = self.edge.mailbox.handle.durable_lsn();
        let asked = self.edge.leader.as_ref().ok_or_else(Fault::not_follower);
        let action = Action { what: "follower promoted", actor, reason, ..Action::default() };
        action.audit(&caller, request.metadata(), asked.as_ref().map(|_| lsn));
        asked?.promote();
        Ok(Response::new(v1::PromoteResponse { lsn }))
    }
}

/// What is left to send to a subscriber.
pub(crate) struct LogPieces {
    handle: Handle,
    /// On a thread while it is read from.
    feed: Option<Feed>,
    pieces: VecDeque<Part>,
    /// The stream ends behind this record.
    until_lsn: Option<u64>,
    /// The last record of the pieces.
    last_lsn: u64,
    patience: Duration,
    /// Whether the files are to be copied.
    is_for_copy: bool,
    /// When the last message was made.
    told_at: Instant,
}

impl LogPieces {
    fn open(handle: Handle, request: &v1::SubscribeRequest) -> Result<Self, Fault> {
        let v1::SubscribeRequest { from_lsn, follow, snapshot, copy } = *request;
        let durable = handle.durable_lsn();
        if from_lsn > durable + 1 {
            return Err(Fault::never_written(from_lsn, durable));
        }
        let wanted = if from_lsn == 0 { durable + 1 } else { from_lsn };
        let (mut pieces, from_lsn) =
            if snapshot { snapshot_pieces(&handle, wanted)? } else { (VecDeque::new(), wanted) };
        let feed = handle.feed(from_lsn)?;
        if copy {
            pieces.push_back(segment_piece(feed.segment()));
        }
        let (until_lsn, last_lsn) = ((!follow).then_some(durable), from_lsn - 1);
        Ok(Self {
            handle,
            feed: Some(feed),
            pieces,
            until_lsn,
            last_lsn,
            patience: LOOK_AGAIN[0],
            is_for_copy: copy,
            told_at: Instant::now(),
        })
    }

    fn message(&mut self, part: Option<Part>) -> v1::SubscribeResponse {
        self.told_at = Instant::now();
        v1::SubscribeResponse { part, durable_lsn: self.handle.durable_lsn() }
    }

    /// Reads what is durable by now, if anything new is.
    async fn look(&mut self) -> Result<(), Status> {
        if self.feed.as_ref().is_some_and(|feed| !feed.has_news()) {
            time::sleep(self.patience).await;
            self.patience = (self.patience * 2).min(LOOK_AGAIN[1]);
            return Ok(());
        }
        self.patience = LOOK_AGAIN[0];
        let feed = self.feed.take().expect("it comes back from each read");
        let is_for_copy = self.is_for_copy;
        let (feed, read) = on_thread(move || read(feed, is_for_copy)).await?;
        self.last_lsn = feed.last_lsn();
        self.feed = Some(feed);
        self.pieces.extend(read.map_err(Fault::from)?);
        Ok(())
    }
}

impl Source for LogPieces {
    type Message = v1::SubscribeResponse;

    async fn next(&mut self) -> Result<Option<v1::SubscribeResponse>, Status> {
        loop {
            if let Some(part) = self.pieces.pop_front() {
                return Ok(Some(self.message(Some(part))));
            }
            if self.is_for_copy && self.told_at.elapsed() >= SIGN_OF_LIFE {
                return Ok(Some(self.message(None)));
            }
            if self.until_lsn.is_some_and(|until| self.last_lsn >= until) {
                return Ok(None);
            }
            self.look().await?;
        }
    }
}

/// Work that waits for the disk.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Status::internal(format!("the log could not be read: {error}")))
}

/// A snapshot from which a feed from this LSN on can begin, and the LSN behind it.
fn snapshot_pieces(handle: &Handle, wanted: u64) -> Result<(VecDeque<Part>, u64), Fault> {
    let snapshot = handle.snapshot_before(wanted).map_err(FollowError::from)?;
    let lsn = snapshot.header.lsn;
    let log_uuid = Bytes::copy_from_slice(&snapshot.header.identity.uuid);
    let file = Bytes::from(snapshot.into_bytes());
    let piece = |data| {
        let (file_bytes, log_uuid) = (file.len() as u64, log_uuid.clone());
        Part::Snapshot(v1::SnapshotPart { lsn, file_bytes, log_uuid, data })
    };
    Ok((cut(&file).map(piece).collect(), lsn + 1))
}

/// Pieces of bytes, none of which is copied.
fn cut(bytes: &Bytes) -> impl Iterator<Item = Bytes> {
    let starts = (0..bytes.len()).step_by(PIECE_BYTES);
    starts.map(|start| bytes.slice(start..bytes.len().min(start + PIECE_BYTES)))
}

fn read(mut feed: Feed, is_for_copy: bool) -> (Feed, Result<Vec<Part>, FollowError>) {
    let (mut parts, mut bytes) = (Vec::new(), 0);
    let result = loop {
        match feed.read() {
            Ok(Some(batch)) => {
                bytes += batch.payload.len();
                let (closes, pieces) = (batch.closes, batch_pieces(&batch));
                if closes && is_for_copy {
                    match feed.next_segment() {
                        Ok(next) => parts.push(segment_piece(&next)),
                        Err(error) => break Err(error),
                    }
                }
                parts.extend(pieces);
                if bytes >= READ_BYTES {
                    break Ok(parts);
                }
            }
            Ok(None) => break Ok(parts),
            // What was read before is told first; the error comes again.
            Err(_) if !parts.is_empty() => break Ok(parts),
            Err(error) => break Err(error),
        }
    };
    (feed, result)
}

fn segment_piece(segment: &SegmentHeader) -> Part {
    let header = Bytes::copy_from_slice(&segment.encode());
    Part::Segment(v1::SegmentPart { header })
}

fn batch_pieces(batch: &Batch<'_>) -> Vec<Part> {
    let format = Format::from_id(batch.format).expect("the engine writes formats that it knows");
    let payload = Bytes::copy_from_slice(batch.payload);
    let piece = |data| {
        Part::Batch(v1::BatchPart {
            first_lsn: batch.first_lsn,
            count: batch.count,
            time_ms: i64::try_from(batch.time_ms).unwrap_or(i64::MAX),
            format: format.name().to_owned(),
            payload_bytes: payload.len() as u64,
            payload_crc32c: batch.payload_checksum,
            data,
            epoch: batch.epoch,
            closes: batch.closes,
            header_crc32c: batch.chain,
        })
    };
    cut(&payload).map(piece).collect()
}
