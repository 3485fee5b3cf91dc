//! Pools and their items.

/// Whether a pool draws.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PoolStatus {
    /// Draws are served.
    #[default]
    Active,
    /// Draws are refused until it is resumed.
    Paused,
    /// Draws and changes are refused for ever.
    Closed,
}

impl PoolStatus {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Closed => "closed",
        }
    }
}

/// A number of units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Units {
    /// So many.
    Limited(u64),
    /// As many as are drawn.
    Unlimited,
}

impl Units {
    /// Of the number that stands for it in the protocol, where unlimited is -1.
    pub fn from_number(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Unlimited, Self::Limited)
    }
}

/// An item of the pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// Its name.
    pub id: String,
    /// Its chance relative to the other items.
    pub weight: u64,
    /// Units left.
    pub left: Units,
    /// Units ever granted.
    pub granted: Units,
    /// Units awarded.
    pub awarded: u64,
    /// Whether it was taken out of the draws for ever.
    pub is_retired: bool,
    /// Whether it can be drawn now, the status of the pool apart.
    pub is_drawable: bool,
}

impl Item {
    /// The weight with which it takes part in the next draw.
    pub fn effective_weight(&self) -> u64 {
        if self.is_drawable { self.weight } else { 0 }
    }
}

/// The totals of a pool and one page of its items.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PoolState {
    /// Its name.
    pub pool: String,
    /// Whether it draws.
    pub status: PoolStatus,
    /// Position of the log that this state includes.
    pub lsn: u64,
    /// Version of the catalogue.
    pub catalog_version: u64,
    /// Number of the last draw of the service.
    pub last_request_id: u64,
    /// Draws so far.
    pub draws: u64,
    /// Those that won an item.
    pub awards: u64,
    /// Those for which nothing was available.
    pub empties: u64,
    /// Sum of the weights of what can be drawn.
    pub total_weight: u64,
    /// The items of this page.
    pub items: Vec<Item>,
    /// Items of all pages.
    pub item_count: u64,
    /// Token of the page behind this one; empty on the last.
    pub next_page: String,
}

impl PoolState {
    /// The item of that name, when it is on this page.
    pub fn item(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }
}

/// A pool in the list of all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolSummary {
    /// Its name.
    pub pool: String,
    /// Whether it draws.
    pub status: PoolStatus,
    /// Items, retired ones included.
    pub item_count: u64,
    /// Draws so far.
    pub draws: u64,
    /// Those that won an item.
    pub awards: u64,
    /// Those for which nothing was available.
    pub empties: u64,
    /// Sum of the weights of what can be drawn.
    pub total_weight: u64,
}

/// The first pools of the service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pools {
    /// In the order of their creation.
    pub pools: Vec<PoolSummary>,
    /// Pools that there are.
    pub count: u64,
}
