//! Keeps the copy up to date: a thread with a connection to the leader, which takes the stream up again
//! behind the last record that is here, whenever it was cut off.
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use rewardpool_client::Authorized;
use rewardpool_core::format::Format;
use rewardpool_engine::{CopiedBatch, Copier, EngineError, NotCopied, SegmentHeader};
use rewardpool_proto::v1::subscribe_response::Part;
use rewardpool_proto::v1::wal_stream_client::WalStreamClient;
use rewardpool_proto::v1::{BatchPart, SubscribeRequest, SubscribeResponse};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;

use super::backoff::Backoff;
use super::{Leader, Source, words};
use crate::convert::DOMAIN;

/// How long a connection may take to be made.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
/// After so long without a word the connection is made anew. The leader says something twice a second.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(3);

/// How following ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was asked to, or the engine has ended.
    Stopped,
    /// The leader does not have the next records any more.
    TooOld,
    /// What is here is no prefix of the leader's log.
    Diverged(String),
    /// The leader does not let this service in.
    Refused(String),
    /// The directory could not be marked.
    Failed(EngineError),
}

/// Why a stream has ended.
#[derive(Debug)]
pub(super) enum Unwell {
    /// Nothing was heard for too long.
    Silent,
    /// The leader ended it.
    Ended,
    /// Something did not arrive as it was sent.
    Damaged(String),
    /// The leader is away.
    Away(String),
    /// It does not take what it was shown.
    Refused(String),
    /// Nothing more is to be done.
    Over(Outcome),
}

impl fmt::Display for Unwell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("nothing is heard of it"),
            Self::Ended => f.write_str("it ended the stream"),
            Self::Damaged(problem) | Self::Away(problem) | Self::Refused(problem) => {
                f.write_str(problem)
            }
            Self::Over(outcome) => write!(f, "{outcome:?}"),
        }
    }
}

impl Unwell {
    pub(super) fn of_status(status: &Status) -> Self {
        let message = status.message().replace(char::is_control, " ");
        // Damage on the way makes any code; only what the leader says itself has a reason.
        let details = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        match details.as_ref().map_or("", |info| info.reason.as_str()) {
            "UNAUTHENTICATED" | "PERMISSION_DENIED" | "UNKNOWN_METHOD" => Self::Refused(message),
            "GONE" => Self::Over(Outcome::TooOld),
            "NEVER_WRITTEN" => Self::Over(Outcome::Diverged(message)),
            _ => Self::Away(message),
        }
    }
}

/// Connects to the leader.
pub(super) async fn connect(source: &Source) -> Result<WalStreamClient<Authorized>, Unwell> {
    let endpoint = source.access.endpoint(&source.url);
    let endpoint = endpoint.map_err(|error| Unwell::Refused(words(&error)))?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_PATIENCE)
        .http2_keep_alive_interval(CONNECT_PATIENCE)
        .keep_alive_timeout(CONNECT_PATIENCE);
    let channel = endpoint.connect().await.map_err(|error| Unwell::Away(words(&error)))?;
    Ok(WalStreamClient::new(source.access.authorize(channel)))
}

/// Asks for the stream.
pub(super) async fn subscribe(
    client: &mut WalStreamClient<Authorized>,
    request: SubscribeRequest,
) -> Result<Streaming<SubscribeResponse>, Unwell> {
    let answer = timeout(SILENCE_MAX, client.subscribe(request)).await;
    Ok(answer
        .map_err(|_| Unwell::Silent)?
        .map_err(|status| Unwell::of_status(&status))?
        .into_inner())
}

/// The thread that copies.
pub(super) struct Link {
    thread: JoinHandle<Outcome>,
    stop: oneshot::Sender<()>,
}

impl Link {
    pub(super) fn start(source: Source, leader: Arc<Leader>, copier: Copier) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let follow = move || {
            let mut copying = Copying::new(source, Arc::clone(&leader), copier);
            let outcome = runtime.block_on(async {
                tokio::select! {
                    _ = stopped => Outcome::Stopped,
                    outcome = copying.run() => outcome,
                }
            });
            leader.end_link();
            outcome
        };
        let thread = thread::Builder::new().name("rewardpool-follow".to_owned()).spawn(follow)?;
        Ok(Self { thread, stop })
    }

    /// Stops, after the engine, and tells how it ended.
    pub(super) fn end(self) -> Outcome {
        // One that has ended does not hear it.
        let _heard = self.stop.send(()).is_ok();
        let panicked = || Outcome::Failed(EngineError::Panicked("rewardpool-follow"));
        self.thread.join().unwrap_or_else(|_| panicked())
    }
}

/// Carries batches from the leader to the engine.
struct Copying {
    source: Source,
    leader: Arc<Leader>,
    copier: Copier,
    backoff: Backoff,
    /// Counts the connections.
    way: u64,
    /// Whether it is known that this is a copy of the leader's log.
    is_marked: bool,
}

/// What of a batch and a segment has arrived.
#[derive(Default)]
struct Arriving {
    payload: Vec<u8>,
    /// The batch of the payload: its first record and its length.
    head: Option<(u64, u64)>,
    /// The segment that follows the one that is written.
    next: Option<SegmentHeader>,
    has_begun: bool,
}

impl Copying {
    fn new(source: Source, leader: Arc<Leader>, copier: Copier) -> Self {
        let (backoff, way, is_marked) = (Backoff::new(), 0, false);
        Self { source, leader, copier, backoff, way, is_marked }
    }

    async fn run(&mut self) -> Outcome {
        loop {
            let unwell = match self.stream().await {
                Ok(never) => match never {},
                Err(Unwell::Over(outcome)) => return outcome,
                Err(Unwell::Refused(problem)) => return Outcome::Refused(problem),
                Err(unwell) => unwell,
            };
            let problem = unwell.to_string();
            if self.leader.problem() != problem {
                let leader = self.leader.url();
                tracing::warn!(leader, problem, "the leader is not there, trying again");
            }
            self.leader.lost(&problem);
            sleep(self.backoff.wait()).await;
        }
    }

    /// One connection, from its beginning to its end.
    async fn stream(&mut self) -> Result<std::convert::Infallible, Unwell> {
        self.way += 1;
        let mut client = connect(&self.source).await?;
        let from_lsn = self.copier.durable_lsn() + 1;
        let request = SubscribeRequest { from_lsn, follow: true, snapshot: false, copy: true };
        let mut stream = subscribe(&mut client, request).await?;
        let mut arriving = Arriving::default();
        loop {
            let message = timeout(SILENCE_MAX, stream.message()).await;
            let message = message
                .map_err(|_| Unwell::Silent)?
                .map_err(|status| Unwell::of_status(&status))?;
            let SubscribeResponse { part, durable_lsn } = message.ok_or(Unwell::Ended)?;
            self.copier.check(self.way).map_err(of_refusal)?;
            if let Some(part) = part {
                self.take(part, &mut arriving)?;
            }
            self.leader.heard(durable_lsn, self.copier.durable_lsn());
        }
    }

    fn take(&mut self, part: Part, arriving: &mut Arriving) -> Result<(), Unwell> {
        let damaged = |what: &str| Err(Unwell::Damaged(what.to_owned()));
        match part {
            Part::Snapshot(_) => damaged("a snapshot was sent that nobody asked for"),
            Part::Segment(part) => {
                let header = <[u8; 512]>::try_from(&*part.header).ok();
                let Some(header) = header.as_ref().and_then(SegmentHeader::arrived) else {
                    return damaged("the header of a segment was damaged on its way");
                };
                if std::mem::replace(&mut arriving.has_begun, true) {
                    arriving.next = Some(header);
                    return Ok(());
                }
                self.begin(&header)
            }
            Part::Batch(_) if !arriving.has_begun => damaged("the stream begins with a batch"),
            Part::Batch(part) => match arriving.batch(&part, self.way)? {
                Some(batch) => self.put(batch),
                None => Ok(()),
            },
        }
    }

    /// The leader's segment must be the one that is here.
    fn begin(&mut self, theirs: &SegmentHeader) -> Result<(), Unwell> {
        let lsn = self.copier.durable_lsn();
        let diverged = |because| Err(Unwell::Over(Outcome::Diverged(because)));
        let ours = self.copier.own_segment(theirs.number);
        let ours = ours.map_err(|error| Unwell::Over(Outcome::Failed(error)))?;
        match ours {
            Some(ours) if ours == *theirs => {}
            _ if theirs.identity != self.copier.identity() => {
                return diverged(format!(
                    "it is another log, with the uuid {}",
                    theirs.identity.to_hex()
                ));
            }
            _ if theirs.epoch < self.copier.epoch() => {
                return diverged(format!(
                    "the leader is of epoch {}, which ended at or before LSN {lsn}: another service has \
                     taken over in epoch {}",
                    theirs.epoch,
                    self.copier.epoch()
                ));
            }
            _ => {
                return diverged(format!(
                    "the two differ at or before LSN {lsn}, the last record that is here"
                ));
            }
        }
        tracing::info!(leader = self.leader.url(), lsn, "following");
        self.backoff.reset();
        Ok(())
    }

    fn put(&mut self, batch: CopiedBatch) -> Result<(), Unwell> {
        if !self.is_marked {
            // From here on the directory is a copy, if it was a log of its own before.
            let marked = self.copier.mark(self.leader.url());
            marked.map_err(|error| Unwell::Over(Outcome::Failed(error)))?;
            self.is_marked = true;
        }
        self.copier.put(batch).map_err(of_refusal)
    }
}

fn of_refusal(refusal: NotCopied) -> Unwell {
    match refusal {
        NotCopied::Refused { .. } => Unwell::Damaged(refusal.to_string()),
        NotCopied::Ended => Unwell::Over(Outcome::Stopped),
    }
}

impl Arriving {
    /// Puts pieces together. A batch is given when all of it is there and its checksum is right.
    fn batch(&mut self, part: &BatchPart, way: u64) -> Result<Option<CopiedBatch>, Unwell> {
        let head = (part.first_lsn, part.payload_bytes);
        if *self.head.get_or_insert(head) != head {
            let problem = "a piece of another batch came in between";
            return Err(Unwell::Damaged(problem.to_owned()));
        }
        self.payload.extend_from_slice(&part.data);
        let bytes = self.payload.len() as u64;
        if bytes < part.payload_bytes {
            return Ok(None);
        }
        self.head = None;
        let (first_lsn, payload) = (part.first_lsn, std::mem::take(&mut self.payload));
        let next = part.closes.then(|| self.next.take()).flatten();
        let format = part.format.parse::<Format>().ok();
        let (Some(format), true) = (format, part.closes == next.is_some()) else {
            let problem = format!("the batch from LSN {first_lsn} on was damaged on its way");
            return Err(Unwell::Damaged(problem));
        };
        Ok(Some(CopiedBatch {
            way,
            first_lsn,
            count: part.count,
            time_ms: u64::try_from(part.time_ms).unwrap_or(0),
            epoch: part.epoch,
            format: format.id(),
            payload,
            payload_checksum: part.payload_crc32c,
            chain: part.header_crc32c,
            next,
        }))
    }
}
