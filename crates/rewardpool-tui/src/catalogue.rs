//! The catalogue of a configuration, compared with the one that runs. Who starts the terminal reads
//! the file and compares; here is what the terminal shows of it, and what it applies.
use std::fmt;
use std::sync::Arc;

use crate::event::Problem;
use crate::model::{Item, Units};

/// Reads the configuration again and compares one pool with its items at this version of its
/// catalogue.
pub type Compare = Arc<dyn Fn(&str, u64, &[Item]) -> Result<Difference, Problem> + Send + Sync>;

/// How a running catalogue differs from the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Difference {
    /// The file.
    pub file: String,
    /// Each difference, in the order of the file.
    pub lines: Vec<DifferenceLine>,
    /// Version of the catalogue that was compared.
    pub seen_version: u64,
}

impl Difference {
    /// What a reload changes.
    pub fn changes(&self) -> impl Iterator<Item = &CatalogueChange> {
        self.lines.iter().filter_map(|line| line.change.as_ref())
    }
}

/// One difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DifferenceLine {
    /// The item.
    pub item: String,
    /// What differs, for people.
    pub text: String,
    /// The update that takes it away. `None` when only a person can decide.
    pub change: Option<CatalogueChange>,
}

/// An update that brings an item in line with the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CatalogueChange {
    /// An item that runs gets another weight or quantity.
    Update {
        /// The item.
        item: String,
        /// What becomes of its units, if anything.
        units: Option<UnitsChange>,
        /// Its new weight, if it gets one.
        weight: Option<u64>,
    },
    /// A new item.
    Add {
        /// Its name.
        item: String,
        /// Its weight.
        weight: u64,
        /// Its units.
        units: Units,
    },
}

/// What becomes of the units of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitsChange {
    /// So many more, or less.
    Add(i64),
    /// So many from now on, if the catalogue still has the version that was compared.
    Set(Units),
}

impl fmt::Display for CatalogueChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Update { item, .. } => write!(f, "update {item}"),
            Self::Add { item, .. } => write!(f, "add {item}"),
        }
    }
}
