//! The service, asked over gRPC: keeps what is shown current, and makes the calls of commands. All of
//! it runs on the runtime of the terminal, in tasks that tell what they find by [`Event`]s.
mod calls;
mod dial;
mod draws;
mod link;
mod problem;
mod translate;

use std::sync::Arc;

use rewardpool_client::Authorized;
use tokio::sync::{mpsc, watch};

use crate::catalogue::Compare;
use crate::effect::{Call, Wants};
use crate::event::{CommandId, Event};

pub use self::dial::{LocalConnector, Target};

/// Items of a page.
pub const ITEMS_OF_PAGE: u64 = 500;
/// Events that wait for the screen.
pub(crate) const EVENTS_MAX: usize = 256;

/// The connection at present. `None` while there is none.
type Connection = watch::Receiver<Option<Authorized>>;

/// What calls need besides the connection.
pub struct Desk {
    /// Who changes something, for the log.
    pub actor: String,
    /// Compares a pool with the configuration. `None` when there is none.
    pub compare: Option<Compare>,
    /// Makes the keys of this terminal's draws unlike those of any other.
    pub session: u64,
}

/// Asks the service, in tasks of its own.
pub(crate) struct Client {
    connection: Connection,
    wants: watch::Sender<Wants>,
    events: mpsc::Sender<Event>,
    desk: Arc<Desk>,
    /// Draws that are under way listen to it.
    cancel: Option<watch::Sender<bool>>,
}

impl Client {
    /// Begins to connect.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(crate) fn start(
        target: Target,
        wants: Wants,
        events: mpsc::Sender<Event>,
        desk: Desk,
    ) -> Self {
        let (wants, wanted) = watch::channel(wants);
        let (connected, connection) = watch::channel(None);
        tokio::spawn(link::keep(target, connected, wanted, events.clone()));
        Self { connection, wants, events, desk: Arc::new(desk), cancel: None }
    }

    /// Shows something else from now on.
    pub(crate) fn want(&self, wants: Wants) {
        self.wants.send_replace(wants);
    }

    /// Makes a call. What comes of it is told by an event.
    pub(crate) fn call(&mut self, id: CommandId, call: Call) {
        let (connection, events) = (self.connection.clone(), self.events.clone());
        let desk = Arc::clone(&self.desk);
        if let Call::Draw { pool, count } = call {
            let (cancel, cancelled) = watch::channel(false);
            self.cancel = Some(cancel);
            let job = draws::Job { id, pool, count, session: desk.session };
            tokio::spawn(job.run(connection, events, cancelled));
            return;
        }
        tokio::spawn(async move {
            let channel = connection.borrow().clone();
            let reply = calls::make(channel, call, &desk).await;
            // Nobody is left to be told when the screen is gone.
            drop(events.send(Event::Reply(id, reply)).await);
        });
    }

    /// Sends no more of the draws that are under way.
    pub(crate) fn cancel_draw(&self) {
        if let Some(cancel) = &self.cancel {
            cancel.send_replace(true);
        }
    }
}
