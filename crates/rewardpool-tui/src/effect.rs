//! What the state asks the outside to do. It does nothing itself.
use crate::catalogue::CatalogueChange;
use crate::command::Change;
use crate::event::CommandId;

/// Something to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// From now on these things are shown.
    Want(Wants),
    /// A command for the service.
    Call(CommandId, Call),
    /// No further draws of the running command.
    CancelDraw,
    /// Stop the service in this process.
    Drain,
    /// Give the terminal back to the shell until it says to go on.
    Suspend,
    /// Draw everything anew.
    Repaint,
}

/// What is shown at present, and has to be kept current.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wants {
    /// The items that are shown.
    pub page: Page,
    /// Whether the condition of the service is shown.
    pub status: bool,
    /// Whether the list of the pools is shown.
    pub pools: bool,
}

/// A page of the items of a pool.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// The pool; empty for the default one.
    pub pool: String,
    /// Token of the page; empty for the first.
    pub token: String,
}

/// A command for the service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// Draw.
    Draw {
        /// The pool.
        pool: String,
        /// How often.
        count: u64,
    },
    /// Change an item.
    Update {
        /// The pool.
        pool: String,
        /// The item.
        item: String,
        /// What becomes of its units; never [`Change::MinusOne`].
        change: Change,
        /// Its new weight.
        weight: Option<u64>,
        /// The catalogue version that the user saw.
        seen_version: u64,
    },
    /// Pause the pool.
    Pause(String),
    /// Let the pool draw again.
    Resume(String),
    /// Write a snapshot.
    Snapshot,
    /// Tell what happened so far.
    Status(String),
    /// Look whether there is such a pool.
    FindPool(String),
    /// Compare the pool with the configuration.
    Compare(String),
    /// Make these changes.
    Apply {
        /// The pool.
        pool: String,
        /// In this order.
        changes: Vec<CatalogueChange>,
        /// The catalogue version that was compared.
        seen_version: u64,
    },
}
