//! One thread of the client: what its connections share, its begin and its end.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rewardpool_client::Authorized;
use tokio::task::JoinSet;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::codec::{Ask, LoadCodec};
use super::schedule::Schedule;
use super::stream::{self, Lane};
use super::timer::Timer;
use super::{GrpcPlan, Method, unary};
use crate::error::Error;
use crate::tally::Tally;
use crate::watch::Watch;

/// How often it is looked whether somebody ended the run.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long answers are waited for after the last request.
const DRAIN: Duration = Duration::from_secs(10);
/// The shortest sleep between requests that are due: below, waking costs more than it tells.
const TICK: Duration = Duration::from_micros(20);

/// What a thread counted.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) tally: Tally,
    /// From the begin to the last answer.
    pub(super) elapsed: Duration,
    /// Requests that were due and not sent.
    pub(super) unsent: u64,
}

/// Shared by the connections of a thread.
pub(super) struct Client {
    pub(super) plan: GrpcPlan,
    codec: LoadCodec,
    /// In an open loop: when requests are due.
    pub(super) schedule: Option<Schedule>,
    pub(super) begun: Instant,
    until: Instant,
    is_over: AtomicBool,
    serial: AtomicU64,
    ledger: Mutex<Ledger>,
    watch: Arc<Watch>,
}

impl Client {
    pub(super) fn new(
        plan: GrpcPlan,
        key_prefix: &str,
        schedule: Option<Schedule>,
        begun: Instant,
        watch: Arc<Watch>,
    ) -> Arc<Self> {
        let ledger = Ledger { tally: Tally::default(), elapsed: Duration::ZERO, unsent: 0 };
        Arc::new(Self {
            codec: LoadCodec::new(plan.method, &plan.pool, plan.count, key_prefix),
            schedule,
            begun,
            until: begun + plan.duration,
            is_over: AtomicBool::new(false),
            serial: AtomicU64::new(0),
            ledger: Mutex::new(ledger),
            watch,
            plan,
        })
    }

    pub(super) fn codec(&self) -> LoadCodec {
        self.codec.clone()
    }

    pub(super) fn path(&self) -> PathAndQuery {
        PathAndQuery::from_static(self.plan.method.path())
    }

    /// The next request.
    pub(super) fn ask(&self) -> Ask {
        Ask(self.plan.with_keys.then(|| self.serial.fetch_add(1, Ordering::Relaxed)))
    }

    /// Whether nothing is sent any more. Looks at the moment of an answer, so that a closed loop
    /// ends in time without looking at a clock.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.is_over.load(Ordering::Relaxed) || now >= self.until
    }

    /// Counts something that happened at this moment.
    pub(super) fn count(&self, now: Instant, count: impl FnOnce(&mut Tally)) {
        let mut ledger = self.lock();
        ledger.elapsed = ledger.elapsed.max(now - self.begun);
        let before = ledger.tally.draws;
        count(&mut ledger.tally);
        self.watch.add_draws(ledger.tally.draws - before);
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no holder of this lock panics")
    }
}

/// Lays the load on and waits for its end.
pub(super) async fn drive(client: Arc<Client>, channels: Vec<Authorized>) -> Result<Ledger, Error> {
    let mut tasks = JoinSet::new();
    let mut lanes = Vec::new();
    let slots = usize::from(client.plan.in_flight);
    for (number, channel) in channels.into_iter().enumerate() {
        match client.plan.method {
            Method::Unary => {
                for slot in number * slots..(number + 1) * slots {
                    drop(tasks.spawn(unary::run(Arc::clone(&client), slot, channel.clone())));
                }
            }
            Method::Stream | Method::Seed => {
                let lane = Lane::new(&client);
                lanes.push(Arc::clone(&lane));
                drop(tasks.spawn(stream::run(Arc::clone(&client), lane, number, channel)));
            }
        }
    }
    let timer = Timer::new().map_err(Error::system("make a timer"))?;
    let pacing = pace(&client, &timer);
    tokio::select! {
        paced = pacing => paced.map_err(Error::system("wait for a timer"))?,
        () = until_over(&client, &mut tasks) => {}
    }
    client.is_over.store(true, Ordering::Relaxed);
    let unsent = client.schedule.as_ref().map_or(0, Schedule::finish);
    for lane in &lanes {
        lane.wake();
    }
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        let left = lanes.iter().map(|lane| lane.in_flight()).sum::<u64>();
        let slots_left = if lanes.is_empty() { tasks.len() as u64 } else { 0 };
        tasks.abort_all();
        client.lock().tally.fail("NO_ANSWER", left + slots_left);
    }
    let mut ledger = client.lock();
    Ok(Ledger { tally: std::mem::take(&mut ledger.tally), elapsed: ledger.elapsed, unsent })
}

/// Makes requests due as time goes by; for ever when it is a closed loop.
async fn pace(client: &Client, timer: &Timer) -> std::io::Result<()> {
    let Some(schedule) = &client.schedule else { return std::future::pending().await };
    loop {
        let now = Instant::now();
        if now >= client.until {
            return Ok(());
        }
        let next = schedule.rate().moment(schedule.advance(now));
        timer.sleep_until(next.max(now + TICK).min(client.until)).await?;
    }
}

/// Waits until time is up, somebody ends the run, or no connection is left.
async fn until_over(client: &Client, tasks: &mut JoinSet<()>) {
    loop {
        let now = Instant::now();
        if client.is_over(now) || client.watch.is_stopped() {
            return;
        }
        let look = tokio::time::sleep_until((now + LOOK_EVERY).min(client.until).into());
        tokio::select! {
            joined = tasks.join_next() => if joined.is_none() { return },
            () = look => {}
        }
    }
}

/// The reason code of a status, or the name of its code when it has none.
pub(super) fn reason(status: &Status) -> (String, bool) {
    match status.get_details_error_info() {
        Some(info) if !info.reason.is_empty() => (info.reason, true),
        _ => (code_name(status.code()), false),
    }
}

/// The name of a code as the protocol writes it, for example `RESOURCE_EXHAUSTED`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_of_the_protocol() {
        assert_eq!(code_name(Code::ResourceExhausted), "RESOURCE_EXHAUSTED");
        assert_eq!(code_name(Code::Unavailable), "UNAVAILABLE");
        assert_eq!(reason(&Status::unavailable("")), ("UNAVAILABLE".to_owned(), false));
    }
}
