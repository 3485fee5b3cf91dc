//! Begins a copy: fetches a snapshot of the leader and the segment behind it.
use std::path::Path;
use std::time::Duration;

use rewardpool_engine::{Identity, SegmentHeader, SnapshotFile, begin_copy};
use rewardpool_proto::v1::SubscribeRequest;
use rewardpool_proto::v1::subscribe_response::Part;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::link::{SILENCE_MAX, Unwell, connect, subscribe};
use super::{FollowError, Leader, Source, wait_for, words};
use crate::serve::ServeError;

/// Copies, however long the leader is away. `false` when it was stopped before.
pub(super) fn copy(
    directory: &Path,
    source: &Source,
    leader: &Leader,
    stopping: &watch::Receiver<bool>,
) -> Result<bool, FollowError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ServeError::Start)?;
    let fetched = runtime.block_on(async {
        tokio::select! {
            () = wait_for(stopping.clone()) => Ok(None),
            fetched = fetch_in_the_end(source, leader) => fetched.map(Some),
        }
    });
    let Some(Beginning { snapshot, segment }) = fetched? else { return Ok(false) };
    begin_copy(directory, &source.url, &snapshot, &segment)?;
    let lsn = snapshot.header.lsn;
    tracing::info!(leader = source.url, lsn, "the leader's snapshot was copied");
    Ok(true)
}

/// What a copy begins with.
struct Beginning {
    snapshot: SnapshotFile,
    segment: SegmentHeader,
}

async fn fetch_in_the_end(source: &Source, leader: &Leader) -> Result<Beginning, FollowError> {
    let mut backoff = Backoff::new();
    loop {
        let problem = match fetch(source).await {
            Ok(beginning) => return Ok(beginning),
            Err(Unwell::Refused(problem)) => {
                return Err(FollowError::Refused { leader: source.url.clone(), problem });
            }
            Err(unwell) => unwell.to_string(),
        };
        if leader.problem() != problem {
            tracing::warn!(
                leader = source.url,
                problem,
                "the leader cannot be copied, trying again"
            );
        }
        leader.lost(&problem);
        let wait: Duration = backoff.wait();
        sleep(wait).await;
    }
}

async fn fetch(source: &Source) -> Result<Beginning, Unwell> {
    let request = SubscribeRequest { from_lsn: 0, follow: true, snapshot: true, copy: true };
    let mut client = connect(source).await?;
    let mut stream = subscribe(&mut client, request).await?;
    let (mut file, mut snapshot) = (Vec::new(), None);
    loop {
        let message = timeout(SILENCE_MAX, stream.message()).await.map_err(|_| Unwell::Silent)?;
        let message = message.map_err(|status| Unwell::of_status(&status))?.ok_or(Unwell::Ended)?;
        match (message.part, snapshot.take()) {
            (Some(Part::Snapshot(part)), None) => {
                file.extend_from_slice(&part.data);
                if file.len() as u64 >= part.file_bytes {
                    let uuid = <[u8; 16]>::try_from(&*part.log_uuid).unwrap_or_default();
                    let file = std::mem::take(&mut file);
                    let decoded = SnapshotFile::decode(file, part.lsn, Identity { uuid });
                    snapshot = Some(decoded.map_err(|error| Unwell::Damaged(words(&error)))?);
                }
            }
            (Some(Part::Segment(part)), Some(snapshot)) => {
                let header = <[u8; 512]>::try_from(&*part.header).ok();
                let segment = header.as_ref().and_then(SegmentHeader::arrived);
                let damaged = || Unwell::Damaged("the header of the segment is damaged".to_owned());
                return Ok(Beginning { snapshot, segment: segment.ok_or_else(damaged)? });
            }
            (None, _) => {}
            (Some(_), _) => {
                let problem = "the stream does not begin with a snapshot and a segment";
                return Err(Unwell::Damaged(problem.to_owned()));
            }
        }
    }
}
