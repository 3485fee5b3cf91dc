//! Draws: many requests over one stream, a few of them under way at a time.
//!
//! Each request has a key, so that after a broken connection the service can be asked which of those
//! under way were made. Nothing is sent a second time, except what the service said it had not done.
//! Keys take room in the service's table and push out those of other clients, so commands of very
//! many draws go without.
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rewardpool_client::Authorized;
use rewardpool_proto::v1::draw_stream_response::Answer;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{DrawRefusal, DrawRequest, DrawResponse, GetDrawRequest};
use tokio::sync::{mpsc, watch};
use tokio::time::{self, Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{Connection, problem};
use crate::event::{CommandId, DrawEnd, DrawReport, Event, Problem, Reply};
use crate::numbers::grouped;

/// Draws of a command that has keys at most.
pub(super) const KEYED_MAX: u64 = 100_000;
/// Requests under way at the same time.
const IN_FLIGHT: usize = 4;
/// Draws of a request.
const CHUNK: std::ops::RangeInclusive<u64> = 100..=10_000;
/// Draws that are listed one by one.
const LISTED_MAX: usize = 10;
/// Time between two words about how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);
/// A request that the service has no room for is sent again after this, so often.
const CROWDED_PAUSE: Duration = Duration::from_millis(100);
const CROWDED_MAX: u32 = 50;
/// A request may still be on its way to the service when the next connection is there already, so
/// one that is not found is asked for a second time after this.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// A command of draws.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: CommandId,
    pub(super) pool: String,
    pub(super) count: u64,
    pub(super) session: u64,
}

/// A request that was sent and not answered.
struct Chunk {
    count: u64,
    key: String,
}

/// How a stream ended.
enum Ended {
    Done(DrawEnd),
    /// The pool keeps no keys; nothing of what was sent was done.
    WithoutKeys,
    Broken(Status),
}

impl Job {
    /// Draws, and tells how far it is and what came of it.
    pub(super) async fn run(
        self,
        connection: Connection,
        events: mpsc::Sender<Event>,
        cancelled: watch::Receiver<bool>,
    ) {
        let began = Instant::now();
        let channel = connection.borrow().clone();
        let mut draws = Draws {
            left: self.count,
            is_keyed: self.count <= KEYED_MAX,
            sent: 0,
            under_way: VecDeque::new(),
            drawn: 0,
            empties: 0,
            counts: BTreeMap::new(),
            listed: Vec::new(),
            told: began,
            crowded: 0,
            job: self,
            events,
            cancelled,
        };
        let end = draws.make(channel, &connection).await;
        draws.finish(began.elapsed(), end).await;
    }
}

struct Draws {
    job: Job,
    events: mpsc::Sender<Event>,
    cancelled: watch::Receiver<bool>,
    /// Draws that were not sent yet.
    left: u64,
    is_keyed: bool,
    /// Requests sent so far, to number them.
    sent: u64,
    /// Sent and not answered, oldest first.
    under_way: VecDeque<Chunk>,
    drawn: u64,
    empties: u64,
    counts: BTreeMap<String, u64>,
    listed: Vec<(u64, Option<String>)>,
    told: Instant,
    /// Requests in a row for which there was no room.
    crowded: u32,
}

impl Draws {
    async fn make(&mut self, channel: Option<Authorized>, connection: &Connection) -> DrawEnd {
        let Some(channel) = channel else {
            let what = "the service does not answer, nothing was sent";
            return DrawEnd::Refused(Problem::new(what, "try again when it is back"));
        };
        loop {
            match self.stream(channel.clone()).await {
                Ended::Done(end) => return end,
                Ended::WithoutKeys => {
                    self.is_keyed = false;
                    self.left = self.job.count;
                    self.under_way.clear();
                }
                Ended::Broken(status) if self.under_way.is_empty() => {
                    let problem = problem::of_status(&status);
                    return DrawEnd::Refused(problem);
                }
                Ended::Broken(status) => return self.resolve(&status, connection).await,
            }
        }
    }

    /// Sends requests over one stream and counts the answers.
    async fn stream(&mut self, channel: Authorized) -> Ended {
        let (requests, sent) = mpsc::channel(IN_FLIGHT);
        // The first request goes before the stream is opened: some servers wait for it.
        self.fill(&requests);
        let mut client = RewardPoolClient::new(channel).max_decoding_message_size(1 << 20);
        let mut answers = match client.draw_stream(ReceiverStream::new(sent)).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => {
                if problem::is_from_service(&status) {
                    self.under_way.clear();
                }
                return Ended::Broken(status);
            }
        };
        self.answers(&mut answers, &requests).await
    }

    async fn answers(
        &mut self,
        answers: &mut Streaming<rewardpool_proto::v1::DrawStreamResponse>,
        requests: &mpsc::Sender<DrawRequest>,
    ) -> Ended {
        let mut end = None;
        loop {
            if end.is_none() {
                if *self.cancelled.borrow() && self.left > 0 {
                    end = Some(DrawEnd::Cancelled);
                } else {
                    self.fill(requests);
                }
            }
            if self.under_way.is_empty() {
                return Ended::Done(end.unwrap_or_default());
            }
            let answer = match answers.message().await {
                Ok(Some(answer)) => answer.answer,
                Ok(None) => return Ended::Broken(Status::unavailable("the stream ended")),
                Err(status) => return Ended::Broken(status),
            };
            let chunk = self.under_way.pop_front().expect("an answer has a request");
            match answer {
                Some(Answer::Draw(draw)) => {
                    self.crowded = 0;
                    let awards = self.count(&draw);
                    if awards == 0 && self.left > 0 && end.is_none() {
                        end = Some(DrawEnd::Refused(nothing_left(self.left)));
                    }
                    self.tell_progress(None).await;
                }
                Some(Answer::Refusal(refusal)) => match self.on_refusal(&chunk, &refusal).await {
                    Some(Ended::Done(refused)) => end = Some(end.unwrap_or(refused)),
                    Some(other) => return other,
                    None => {}
                },
                None => return Ended::Broken(Status::internal("an answer says nothing")),
            }
        }
    }

    /// A request that was refused was not done, so it may be sent again when there was no room.
    async fn on_refusal(&mut self, chunk: &Chunk, refusal: &DrawRefusal) -> Option<Ended> {
        match refusal.reason.as_str() {
            "KEYS_OFF" if self.drawn == 0 => Some(Ended::WithoutKeys),
            "OVERLOADED" if self.crowded < CROWDED_MAX => {
                self.crowded += 1;
                self.left += chunk.count;
                time::sleep(CROWDED_PAUSE).await;
                None
            }
            reason => {
                let code = Code::from_i32(refusal.code);
                let problem = problem::of_reason(reason, code, &refusal.message);
                Some(Ended::Done(DrawEnd::Refused(problem)))
            }
        }
    }

    /// Sends as many requests as may be under way.
    fn fill(&mut self, requests: &mpsc::Sender<DrawRequest>) {
        while self.under_way.len() < IN_FLIGHT && self.left > 0 {
            let most = (self.job.count / 100).clamp(*CHUNK.start(), *CHUNK.end());
            let count = self.left.min(most);
            let key = if self.is_keyed {
                format!("tui-{:016x}-{}-{}", self.job.session, self.job.id.0, self.sent)
            } else {
                String::new()
            };
            let request = DrawRequest {
                pool: self.job.pool.clone(),
                count: i32::try_from(count).expect("at most 10 000"),
                idempotency_key: key.clone(),
                ..DrawRequest::default()
            };
            // Answered requests have left it, so there is room; a stream that has ended tells so.
            if requests.try_send(request).is_err() {
                return;
            }
            self.sent += 1;
            self.left -= count;
            self.under_way.push_back(Chunk { count, key });
        }
    }

    /// Counts an answer and returns how many of its draws won something.
    fn count(&mut self, draw: &DrawResponse) -> u64 {
        let mut counts = vec![0_u64; draw.item_ids.len() + 1];
        let mut place = |outcome: u32| {
            let place = usize::try_from(outcome).ok().filter(|place| *place < counts.len());
            // What names no item won nothing that could be shown.
            let place = place.unwrap_or(0);
            counts[place] += 1;
            place
        };
        for (number, outcome) in (draw.first_request_id..).zip(&draw.outcomes) {
            let place = place(*outcome);
            if self.listed.len() < LISTED_MAX {
                let item = place.checked_sub(1).map(|place| draw.item_ids[place].clone());
                self.listed.push((number, item));
            }
        }
        let all: u64 = counts.iter().sum();
        self.drawn += all;
        self.empties += counts[0];
        for (item, count) in draw.item_ids.iter().zip(&counts[1..]) {
            match self.counts.get_mut(item) {
                Some(sum) => *sum += count,
                None => drop(self.counts.insert(item.clone(), *count)),
            }
        }
        all - counts[0]
    }

    async fn tell_progress(&mut self, note: Option<String>) {
        if note.is_none() && self.told.elapsed() < PROGRESS_EVERY {
            return;
        }
        self.told = Instant::now();
        let reply = Reply::Progress { drawn: self.drawn, note };
        // Nobody is left to be told when the screen is gone.
        drop(self.events.send(Event::Reply(self.job.id, reply)).await);
    }

    /// Asks what became of the requests that were under way when the connection broke.
    async fn resolve(&mut self, status: &Status, connection: &Connection) -> DrawEnd {
        let reason = problem::why_gone(status);
        let (mut found, mut not_made, mut unknown) = (0, 0, 0);
        let chunks = std::mem::take(&mut self.under_way);
        let draws: u64 = chunks.iter().map(|chunk| chunk.count).sum();
        let note = format!("asking what became of {} draws; Esc gives up", grouped(draws));
        self.tell_progress(Some(note)).await;
        // Who cancelled the draws still wants to know; to give up, Esc is pressed from now on.
        self.cancelled.mark_unchanged();
        for chunk in chunks {
            match self.ask(&chunk, connection).await {
                Some(Some(draw)) => {
                    self.count(&draw);
                    found += chunk.count;
                }
                Some(None) => not_made += chunk.count,
                None => unknown += chunk.count,
            }
        }
        DrawEnd::Lost { reason, found, not_made, unknown }
    }

    /// The answer of a request by its key; `Some(None)` when it was not made, `None` when nobody knows.
    async fn ask(
        &mut self,
        chunk: &Chunk,
        connection: &Connection,
    ) -> Option<Option<DrawResponse>> {
        if chunk.key.is_empty() {
            return None;
        }
        let request =
            GetDrawRequest { pool: self.job.pool.clone(), idempotency_key: chunk.key.clone() };
        let mut connection = connection.clone();
        let asking = async {
            let mut looks = 0;
            loop {
                let channel = connected(&mut connection).await?;
                match RewardPoolClient::new(channel).get_draw(request.clone()).await {
                    Ok(draw) => return Some(Some(draw.into_inner())),
                    Err(status) if status.code() == Code::NotFound => {
                        looks += 1;
                        if looks == 2 {
                            return Some(None);
                        }
                        time::sleep(SECOND_LOOK).await;
                    }
                    Err(status) if problem::is_from_service(&status) => return None,
                    // Gone again.
                    Err(_) => time::sleep(SECOND_LOOK).await,
                }
            }
        };
        tokio::select! {
            found = asking => found,
            // A sender that is gone has given up, too.
            _ = self.cancelled.changed() => None,
        }
    }

    async fn finish(self, took: Duration, end: DrawEnd) {
        let mut counts: Vec<(String, u64)> = self.counts.into_iter().collect();
        counts.sort_by_key(|(item, count)| (std::cmp::Reverse(*count), item.clone()));
        let report = DrawReport {
            drawn: self.drawn,
            counts,
            empties: self.empties,
            listed: self.listed,
            took,
            end,
        };
        let reply = Reply::Drawn(Box::new(report));
        // Nobody is left to be told when the screen is gone.
        drop(self.events.send(Event::Reply(self.job.id, reply)).await);
    }
}

fn nothing_left(left: u64) -> Problem {
    let left = grouped(left);
    let what = format!("nothing is available any more, and {left} draws were not made");
    Problem::new(what, "`u <item> +50` refills")
}

/// The connection, as soon as there is one. `None` when there will be none.
async fn connected(connection: &mut Connection) -> Option<Authorized> {
    connection.wait_for(Option::is_some).await.ok().and_then(|channel| channel.clone())
}
