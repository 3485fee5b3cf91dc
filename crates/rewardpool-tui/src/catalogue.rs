//! The catalogue of a configuration, compared with the one that runs. Who starts the terminal reads
//! the file and compares; here is what the terminal shows of it, and what it applies.
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
    /// The updates that take the differences away, in the order in which they are made.
    pub changes: Vec<CatalogueChange>,
    /// Version of the catalogue that was compared.
    pub seen_version: u64,
}

/// One difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DifferenceLine {
    /// The item.
    pub item: String,
    /// What differs, for people.
    pub text: String,
    /// Whether an update takes it away. If not, only a person can decide.
    pub is_changed: bool,
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
