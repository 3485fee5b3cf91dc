//! Keeps the connection, and what is shown current: one stream for the pool, one for the log, and a
//! question each second for what only some tabs show.
use std::time::Duration;

use rewardpool_client::Authorized;
use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{
    GetStateRequest, GetStatusRequest, ListPoolsRequest, WatchLogRequest, WatchStateRequest,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{self, Instant};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status, Streaming};

use super::{ITEMS_OF_PAGE, Target, problem, translate};
use crate::effect::{Page, Wants};
use crate::event::{Event, Link, Problem};

/// Time between two pictures of the pool.
const STATE_EVERY_MS: u32 = 250;
/// Time between two questions for what a tab shows.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A pool that is not there is looked for again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// What was refused is asked for again after this: rights change seldom, and a service counts those
/// who ask without.
const ASK_REFUSED_AGAIN: Duration = Duration::from_secs(10);
/// The first pause before connecting again; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Lines of the log that are shown from before.
const BACKLOG: u32 = 500;
/// Names that Tab knows beside those on the page.
const NAMES: i32 = 5000;
/// Pools that are listed.
const POOLS: i32 = 1000;
/// Lines of the log that reach the screen at once.
const LINES_AT_ONCE: usize = 100;

/// Connects, again and again, for as long as somebody looks.
pub(super) async fn keep(
    target: Target,
    connected: watch::Sender<Option<Authorized>>,
    wants: watch::Receiver<Wants>,
    events: mpsc::Sender<Event>,
) {
    let mut last_line = 0;
    let mut tries = 0_u32;
    loop {
        let (reason, is_mute) = match target.connect().await {
            Err(reason) => (reason, false),
            Ok(channel) => {
                let watching = Watching { channel, wants: wants.clone(), events: events.clone() };
                let run = watching.run(&connected, &mut tries, &mut last_line);
                (Box::pin(run).await, connected.borrow().is_none())
            }
        };
        connected.send_replace(None);
        tries += 1;
        let problem = Problem { next: target.way_out(&reason, is_mute).to_owned(), what: reason };
        if events.send(Event::Link(Link::Down { problem, tries })).await.is_err() {
            return;
        }
        time::sleep(pause(tries)).await;
    }
}

/// How long to wait before the next try: up to twice as long each time, and never the same for all
/// who lost the same service.
fn pause(tries: u32) -> Duration {
    let longest = PAUSE_MIN.saturating_mul(1 << tries.min(10)).min(PAUSE_MAX);
    let mut random = [0; 2];
    // Without randomness everybody waits the longest time.
    let part = getrandom::fill(&mut random).map_or(u16::MAX, |()| u16::from_le_bytes(random));
    longest / 2 + longest.mul_f64(f64::from(part) / f64::from(u16::MAX) / 2.0)
}

/// What runs over one connection.
struct Watching {
    channel: Authorized,
    wants: watch::Receiver<Wants>,
    events: mpsc::Sender<Event>,
}

impl Watching {
    /// Returns why the connection is of no use any more.
    async fn run(
        &self,
        connected: &watch::Sender<Option<Authorized>>,
        tries: &mut u32,
        last_line: &mut u64,
    ) -> String {
        let state = self.watch_state(connected, tries);
        let log = self.watch_log(last_line);
        tokio::select! {
            reason = state => reason,
            () = log => unreachable!("the log goes on until the state ends"),
            () = self.ask() => unreachable!("questions go on until the state ends"),
        }
    }

    async fn tell(&self, event: Event) {
        // Nobody is left to be told when the screen is gone.
        drop(self.events.send(event).await);
    }

    /// Shows the pool that is wanted. Returns why there is nothing to show any more.
    async fn watch_state(
        &self,
        connected: &watch::Sender<Option<Authorized>>,
        tries: &mut u32,
    ) -> String {
        let mut wants = self.wants.clone();
        let mut last_problem = None;
        loop {
            let page = wants.borrow_and_update().page.clone();
            match self.open_state(&page).await {
                Ok(mut stream) => {
                    last_problem = None;
                    let shown = self.show(&mut stream, &page, &mut wants, |up: &Self| {
                        *tries = 0;
                        connected.send_replace(Some(up.channel.clone()));
                    });
                    match shown.await {
                        Shown::OtherPage => {}
                        Shown::Ended(status) if problem::is_from_service(&status) => {
                            last_problem = self.tell_problem(&status, last_problem).await;
                            wait_for_page(&mut wants, &page, pause_after(&status)).await;
                        }
                        Shown::Ended(status) => return problem::why_gone(&status),
                    }
                }
                Err(status) if problem::is_from_service(&status) => {
                    // It answers, so that another pool can be chosen.
                    *tries = 0;
                    connected.send_replace(Some(self.channel.clone()));
                    self.tell(Event::Link(Link::Up)).await;
                    last_problem = self.tell_problem(&status, last_problem).await;
                    wait_for_page(&mut wants, &page, pause_after(&status)).await;
                }
                Err(status) => return problem::why_gone(&status),
            }
        }
    }

    async fn open_state(
        &self,
        page: &Page,
    ) -> Result<Streaming<rewardpool_proto::v1::WatchStateResponse>, Status> {
        let request = WatchStateRequest {
            pool: page.pool.clone(),
            interval_ms: STATE_EVERY_MS,
            page_size: i32::try_from(ITEMS_OF_PAGE).expect("a page is small"),
            page_token: page.token.clone(),
        };
        let answer = RewardPoolClient::new(self.channel.clone()).watch_state(request).await?;
        Ok(answer.into_inner())
    }

    /// Passes on what a stream shows, until another page is wanted or it ends.
    async fn show(
        &self,
        stream: &mut Streaming<rewardpool_proto::v1::WatchStateResponse>,
        page: &Page,
        wants: &mut watch::Receiver<Wants>,
        up: impl FnOnce(&Self),
    ) -> Shown {
        let mut up = Some(up);
        loop {
            let message = tokio::select! {
                biased;
                () = other_page(wants, page) => return Shown::OtherPage,
                message = stream.message() => message,
            };
            match message {
                Ok(Some(shown)) => {
                    if let Some(up) = up.take() {
                        up(self);
                        self.tell(Event::Link(Link::Up)).await;
                    }
                    let state = Box::new(translate::pool(shown.state.unwrap_or_default()));
                    let activity = shown.activity.map(translate::activity);
                    self.tell(Event::State { page: page.clone(), state, activity }).await;
                }
                Ok(None) => return Shown::Ended(Status::unavailable("the stream ended")),
                Err(status) => return Shown::Ended(status),
            }
        }
    }

    /// Tells why the pool cannot be shown, once.
    async fn tell_problem(&self, status: &Status, last: Option<Problem>) -> Option<Problem> {
        let found = problem::of_status(status);
        if last.as_ref() != Some(&found) {
            self.tell(Event::Unwatchable(found.clone())).await;
        }
        Some(found)
    }

    /// Shows the log from the last line on that was shown.
    async fn watch_log(&self, last_line: &mut u64) {
        loop {
            let backlog = if *last_line == 0 { BACKLOG } else { 0 };
            let request = WatchLogRequest { after_sequence: *last_line, backlog };
            let mut admin = PoolAdminClient::new(self.channel.clone());
            let ended = match admin.watch_log(request).await {
                Ok(stream) => self.show_log(stream.into_inner(), last_line).await,
                Err(status) => Some(status),
            };
            let pause = match ended.filter(problem::is_from_service) {
                Some(status) => {
                    self.tell(Event::NoLog(problem::of_status(&status))).await;
                    pause_after(&status)
                }
                // The stream of the pool tells of it.
                None => LOOK_AGAIN,
            };
            time::sleep(pause).await;
        }
    }

    /// Returns why the service ended it, if it did.
    async fn show_log(
        &self,
        stream: Streaming<rewardpool_proto::v1::LogEvent>,
        last_line: &mut u64,
    ) -> Option<Status> {
        // What is there at once is shown at once.
        let lines = stream.chunks_timeout(LINES_AT_ONCE, Duration::from_millis(50));
        tokio::pin!(lines);
        while let Some(messages) = lines.next().await {
            let mut ended = None;
            let messages =
                messages.into_iter().map_while(|line| line.map_err(|why| ended = Some(why)).ok());
            let lines: Vec<_> = messages.map(translate::log_line).collect();
            if let Some(last) = lines.last() {
                *last_line = last.sequence;
                self.tell(Event::Log(lines)).await;
            }
            if ended.is_some() {
                return ended;
            }
        }
        None
    }

    /// Asks for what is shown besides: each second for what changes, once for names.
    async fn ask(&self) {
        let mut wants = self.wants.clone();
        let mut named = None;
        let mut has_pools = false;
        // What is refused has to wait.
        let [mut status_due, mut pools_due, mut names_due] = [Instant::now(); 3];
        loop {
            let now = wants.borrow_and_update().clone();
            if now.status && Instant::now() >= status_due {
                status_due = self.ask_status().await;
            }
            if (now.pools || !has_pools) && Instant::now() >= pools_due {
                match self.ask_pools().await {
                    Ok(()) => has_pools = true,
                    Err(due) => pools_due = due,
                }
            }
            if named.as_ref() != Some(&now.page.pool) && Instant::now() >= names_due {
                match self.ask_names(now.page.pool.clone()).await {
                    Ok(()) => named = Some(now.page.pool),
                    Err(due) => names_due = due,
                }
            }
            // A tab that is opened is filled at once.
            drop(time::timeout(ASK_EVERY, wants.changed()).await);
        }
    }

    /// Asks how the service is. Returns when it may be asked again.
    async fn ask_status(&self) -> Instant {
        let mut admin = PoolAdminClient::new(self.channel.clone());
        match admin.get_status(GetStatusRequest {}).await {
            Ok(status) => {
                self.tell(Event::Status(Box::new(translate::status(status.into_inner())))).await;
                Instant::now()
            }
            Err(status) => self.tell_refusal(&status, Event::NoStatus).await,
        }
    }

    /// Asks which pools there are. Returns when it may be asked again if they are not told.
    async fn ask_pools(&self) -> Result<(), Instant> {
        let request = ListPoolsRequest { page_size: POOLS, ..Default::default() };
        match RewardPoolClient::new(self.channel.clone()).list_pools(request).await {
            Ok(pools) => {
                self.tell(Event::Pools(translate::pools(pools.into_inner()))).await;
                Ok(())
            }
            Err(status) => Err(self.tell_refusal(&status, Event::NoPools).await),
        }
    }

    /// Asks for the names of the items of a pool, likewise.
    async fn ask_names(&self, pool: String) -> Result<(), Instant> {
        let request = GetStateRequest { pool, page_size: NAMES, ..Default::default() };
        match RewardPoolClient::new(self.channel.clone()).get_state(request).await {
            Ok(state) => {
                let state = state.into_inner();
                let items = state.items.into_iter().map(|item| item.item_id).collect();
                self.tell(Event::Names { pool: state.pool, items }).await;
                Ok(())
            }
            // The stream of the pool tells why.
            Err(status) => Err(Instant::now() + pause_after(&status)),
        }
    }

    /// Tells what the service does not say, and returns when it may be asked again.
    async fn tell_refusal(&self, status: &Status, event: fn(Problem) -> Event) -> Instant {
        if problem::is_from_service(status) {
            self.tell(event(problem::of_status(status))).await;
        }
        Instant::now() + pause_after(status)
    }
}

/// Time before something is asked for again that was not told.
fn pause_after(status: &Status) -> Duration {
    let refused = [Code::PermissionDenied, Code::Unauthenticated, Code::Unimplemented];
    if refused.contains(&status.code()) { ASK_REFUSED_AGAIN } else { LOOK_AGAIN }
}

/// How a stream of states came to its end.
enum Shown {
    OtherPage,
    Ended(Status),
}

async fn other_page(wants: &mut watch::Receiver<Wants>, page: &Page) {
    // The sender lives as long as the screen.
    drop(wants.wait_for(|wants| wants.page != *page).await);
}

async fn wait_for_page(wants: &mut watch::Receiver<Wants>, page: &Page, pause: Duration) {
    // Both mean to look again.
    drop(time::timeout(pause, other_page(wants, page)).await);
}
