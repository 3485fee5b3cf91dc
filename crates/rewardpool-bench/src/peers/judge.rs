//! Whether what a system did was right, from its books.
use anyhow::{bail, ensure};

use super::Item;
use crate::distribution::{SCORE_MAX, fit};

/// What a system keeps, item by item in the order of the catalogue.
#[derive(Default)]
pub(crate) struct Account {
    /// Units that are left; none for an unlimited item.
    pub(crate) left: Vec<Option<u64>>,
    /// Units in the log.
    pub(crate) awarded: Vec<u64>,
    /// Draws in the log that found nothing.
    pub(crate) empties: u64,
    /// Draws of which a client had the answer.
    pub(crate) answered: u64,
    /// Draws that may have been made without that their client waited for the answer.
    pub(crate) unanswered_max: u64,
}

/// The sums of books that agree.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) draws: u64,
    pub(crate) awards: u64,
    /// Standard score of the distribution; 0 when an item was sold out, which changes the odds.
    pub(crate) score: f64,
}

impl Account {
    /// Compares the books with the catalogue and with what the clients saw.
    pub(crate) fn judge(&self, items: &[Item]) -> anyhow::Result<Judged> {
        ensure!(
            self.left.len() == items.len() && self.awarded.len() == items.len(),
            "{} of {} items are in the books",
            self.left.len().min(self.awarded.len()),
            items.len(),
        );
        let mut is_sold_out = false;
        for ((item, left), &awarded) in items.iter().zip(&self.left).zip(&self.awarded) {
            match (item.units, *left) {
                (None, None) => {}
                (Some(granted), Some(left)) if left.checked_add(awarded) == Some(granted) => {
                    is_sold_out |= left == 0;
                }
                (granted, left) => {
                    bail!("{}: granted {granted:?}, left {left:?}, awarded {awarded}", item.name)
                }
            }
            ensure!(item.weight > 0 || awarded == 0, "{} has no weight, but was drawn", item.name);
        }
        let awards = self.awarded.iter().sum::<u64>();
        let draws = awards + self.empties;
        ensure!(
            (self.answered..=self.answered + self.unanswered_max).contains(&draws),
            "{draws} draws are in the log, {} were answered",
            self.answered,
        );
        ensure!(is_sold_out || self.empties == 0, "{} draws were empty in vain", self.empties);
        let weights: Vec<u64> = items.iter().map(|item| item.weight).collect();
        let score = if is_sold_out { 0.0 } else { fit(&weights, &self.awarded).score };
        ensure!(score <= SCORE_MAX, "the odds are wrong, score {score:+.2}");
        Ok(Judged { draws, awards, score })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{catalogue, small_stock};

    /// Books of the sample after 220 draws, exactly as the weights say.
    fn honest() -> Account {
        let left = |taken: u64| Some(1_000_000_000 - taken);
        Account {
            left: vec![left(10), left(20), left(30), left(40), None, None],
            awarded: vec![10, 20, 30, 40, 70, 50],
            answered: 220,
            ..Account::default()
        }
    }

    #[test]
    fn honest_books_agree() {
        let judged = honest().judge(&catalogue(6).unwrap()).unwrap();
        assert_eq!((judged.draws, judged.awards), (220, 220));
    }

    #[test]
    fn each_fault_is_found() {
        type Fault = (&'static str, fn(&mut Account));
        let faults: [Fault; 6] = [
            ("a unit was lost", |a| a.left[0] = Some(999_999_989)),
            ("a unit was awarded twice", |a| a.awarded[1] += 1),
            ("an unlimited item has a quantity", |a| a.left[5] = Some(1)),
            ("an answered draw is not in the log", |a| a.answered += 1),
            ("an empty draw while there is stock", |a| {
                a.empties += 1;
                a.answered += 1;
            }),
            ("the odds are wrong", |a| {
                a.awarded[4] += 900;
                a.answered += 900;
            }),
        ];
        for (name, fault) in faults {
            let mut account = honest();
            fault(&mut account);
            assert!(account.judge(&catalogue(6).unwrap()).is_err(), "{name}");
        }
    }

    #[test]
    fn draws_after_the_last_unit_are_empty() {
        let account = Account {
            left: vec![Some(0), Some(0), Some(0), Some(0), Some(5)],
            awarded: vec![10, 100, 5_000, 8_000, 0],
            empties: 7,
            answered: 13_117,
            ..Account::default()
        };
        assert_eq!(account.judge(&small_stock()).unwrap().awards, 13_110);
    }
}
