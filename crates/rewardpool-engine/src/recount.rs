//! Counts the items again while draws wait, so never more than takes a millisecond: of a great state
//! one part after the other.
use rewardpool_core::ids::PoolNumber;
use rewardpool_core::state::State;

/// Items that are counted at once, at most.
const ITEMS_MAX: usize = 100_000;

/// Where the next part of a great state begins.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Recount {
    pool: u32,
    place: usize,
}

impl Recount {
    /// Counts all items again, or the next part of them. Whether no unit appeared or vanished.
    pub(crate) fn step(&mut self, state: &State) -> bool {
        let items: usize = state.pools().map(|pool| pool.item_count).sum();
        if items <= ITEMS_MAX {
            return state.check_items().is_ok();
        }
        let mut left = ITEMS_MAX;
        while left > 0 {
            let pool = PoolNumber(self.pool);
            let Ok(counted) = state.check_items_from(pool, self.place, left) else { return false };
            left -= counted;
            self.place += counted;
            let end = state.pool(pool).map_or(0, |pool| pool.item_count);
            if self.place >= end {
                let is_last = pool.as_usize() + 1 >= state.pools().len();
                *self = Self { pool: if is_last { 0 } else { self.pool + 1 }, place: 0 };
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use rewardpool_core::catalog::{Catalog, CatalogItem};
    use rewardpool_core::command::{AdminCommand, KeyLimits, PoolSpec};
    use rewardpool_core::name::{ItemId, PoolId};
    use rewardpool_core::quantity::Quantity;
    use rewardpool_core::selector::SelectorKind;

    use super::*;

    fn state(pools: &[usize]) -> State {
        let mut state = State::new();
        for (number, &items) in pools.iter().enumerate() {
            let item = |place| CatalogItem {
                id: ItemId::new(&format!("item-{place}")).unwrap(),
                weight: 1,
                quantity: Quantity::Limited(1),
            };
            let spec = PoolSpec {
                id: PoolId::new(&format!("pool-{number}")).unwrap(),
                catalog: Catalog::new((0..items).map(item).collect()).unwrap(),
                selector: SelectorKind::Auto,
                keys: KeyLimits::default(),
            };
            let create = AdminCommand::CreatePool { spec, commitment: [0; 32] };
            let record = state.decide(&create).unwrap().unwrap();
            state.apply(&record, state.next_lsn(), 1).unwrap();
        }
        state
    }

    /// Each item of a great state has its turn, and then it begins anew.
    #[test]
    fn a_great_state_is_counted_part_by_part() {
        let state = state(&[130_000, 1, 90_000]);
        let mut recount = Recount::default();
        let mut step = || {
            assert!(recount.step(&state));
            (recount.pool, recount.place)
        };
        assert_eq!(step(), (0, 100_000));
        assert_eq!(step(), (2, 69_999));
        assert_eq!(step(), (0, 79_999));
    }

    #[test]
    fn a_small_state_is_counted_as_a_whole() {
        let state = state(&[3, 4]);
        let mut recount = Recount::default();
        assert!(recount.step(&state));
        assert_eq!(recount, Recount::default());
        assert!(Recount::default().step(&State::new()));
    }
}
