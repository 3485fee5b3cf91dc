//! Units of an item: a number, or unlimited.
use std::fmt;

use crate::limits::QUANTITY_MAX;

/// Why a number is not a quantity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a quantity is -1 (unlimited) or 0 to {QUANTITY_MAX}, not {0}")]
pub struct QuantityError(pub i64);

/// Units that are left of an item. No order: unlimited is not "big".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quantity {
    /// So many units, at most [`QUANTITY_MAX`].
    Limited(u64),
    /// Never runs out. Written as -1 where only numbers are possible.
    Unlimited,
}

impl Quantity {
    /// Reads the number form, in which -1 is unlimited.
    pub fn from_number(number: i64) -> Result<Self, QuantityError> {
        match u64::try_from(number) {
            Ok(units) => Ok(Self::Limited(units)),
            Err(_) if number == -1 => Ok(Self::Unlimited),
            Err(_) => Err(QuantityError(number)),
        }
    }

    /// The number form, in which -1 is unlimited.
    pub fn to_number(self) -> i64 {
        match self {
            Self::Limited(units) => i64::try_from(units).expect("units are at most QUANTITY_MAX"),
            Self::Unlimited => -1,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limited(units) => units.fmt(f),
            Self::Unlimited => f.pad("unlimited"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_one_is_unlimited_and_nothing_else_is_negative() {
        assert_eq!(Quantity::from_number(-1), Ok(Quantity::Unlimited));
        assert_eq!(Quantity::from_number(0), Ok(Quantity::Limited(0)));
        assert_eq!(Quantity::from_number(-2), Err(QuantityError(-2)));
        assert_eq!(Quantity::from_number(i64::MAX).unwrap().to_number(), i64::MAX);
    }
}
