//! What the clients of a service know, and so what it must never contradict.
//!
//! They believe only what was answered. Each answer is compared with what all earlier answers
//! imply, and the state of the service with the sum of them.
use std::collections::BTreeMap;

use rewardpool_engine::core::command::{
    AdminCommand, DrawCommand, DrawMode, ItemChange, KeyHash, PoolStatus, QuantityChange, Rejection,
};
use rewardpool_engine::core::ids::{Outcome, PoolNumber};
use rewardpool_engine::core::quantity::Quantity;
use rewardpool_engine::core::state::State;
use rewardpool_engine::core::view::ItemState;
use rewardpool_engine::{Answer, DrawAnswer, PoolPage, Refusal, Reply, Request};

/// What clients know of an item.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Item {
    weight: u64,
    left: Quantity,
    awarded: u64,
    is_retired: bool,
}

impl Item {
    fn of(item: &ItemState) -> Self {
        let ItemState { weight, quantity: left, awarded, retired: is_retired, .. } = *item;
        Self { weight, left, awarded, is_retired }
    }

    fn is_available(&self) -> bool {
        !self.is_retired && self.weight > 0 && self.left != Quantity::Limited(0)
    }

    fn award(&mut self) {
        assert!(self.is_available(), "an item was won that is not available");
        self.awarded += 1;
        if let Quantity::Limited(left) = &mut self.left {
            *left -= 1;
        }
    }

    fn change(&mut self, change: &ItemChange) {
        match change.quantity {
            None => {}
            Some(QuantityChange::Set { to, .. }) => self.left = to,
            Some(QuantityChange::Add(units)) => {
                let Quantity::Limited(left) = &mut self.left else {
                    panic!("units were added to an unlimited item")
                };
                *left = left.checked_add_signed(units).expect("the change was accepted");
            }
        }
        self.weight = change.weight.unwrap_or(self.weight);
    }
}

/// What clients know of a pool.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pool {
    status: PoolStatus,
    items: Vec<Item>,
}

/// A draw with a key.
#[derive(Clone, PartialEq, Eq, Debug)]
struct KeyedDraw {
    command: DrawCommand,
    /// Request id of the first draw and all outcomes, if an answer came.
    answer: Option<(u64, Vec<Outcome>)>,
}

impl KeyedDraw {
    /// An acknowledged draw is found as it was.
    fn check(&self, state: &State) {
        let Some((first, outcomes)) = &self.answer else { return };
        let key = self.command.key.expect("it is a draw with a key");
        let known = state.find_draw(self.command.pool, key);
        let known = known.unwrap_or_else(|_| panic!("the acknowledged draw {first} is lost"));
        assert_eq!(known.first_request_id.number(), *first, "a draw has another id now");
        assert_eq!(known.outcomes, outcomes, "draw {first} has other outcomes now");
    }
}

/// All that clients know.
#[derive(Clone, Default, Debug)]
pub(crate) struct Clients {
    pools: Vec<Pool>,
    last_request_id: u64,
    keyed: BTreeMap<(u32, KeyHash), KeyedDraw>,
    /// Keys in the order of their first use.
    keys: Vec<(u32, KeyHash)>,
    /// Draws that were answered.
    pub(crate) draws: u64,
    /// Draws that were refused because the disk was full.
    pub(crate) refused_for_space: u64,
}

impl Clients {
    pub(crate) fn pools(&self) -> usize {
        self.pools.len()
    }

    pub(crate) fn items(&self, pool: PoolNumber) -> usize {
        self.pools[pool.as_usize()].items.len()
    }

    /// A draw with a key that was used before, one of the latest, and whether it was answered.
    pub(crate) fn earlier_draw(&self, place: usize) -> Option<(DrawCommand, bool)> {
        let place = self.keys.len().checked_sub(1 + place % self.keys.len().max(1))?;
        let known = &self.keyed[&self.keys[place]];
        Some((known.command, known.answer.is_some()))
    }

    /// Forgets all keys, because they may have expired.
    pub(crate) fn forget_keys(&mut self) {
        self.keyed.clear();
        self.keys.clear();
    }

    /// Compares the state of a service that was started again, and takes over what clients cannot
    /// know: what became of requests that were never answered.
    pub(crate) fn reconnect(&mut self, state: &State) {
        assert!(state.last_request_id() >= self.last_request_id, "acknowledged draws are lost");
        assert!(state.pools().len() >= self.pools.len(), "an acknowledged pool is lost");
        for (pool, known) in state.pools().zip(&self.pools) {
            let items: Vec<_> = items_of(state, pool.number).collect();
            assert!(items.len() >= known.items.len(), "an acknowledged item is lost");
            for (item, known) in items.iter().zip(&known.items) {
                assert!(item.awarded >= known.awarded, "acknowledged awards are lost");
                assert!(item.is_retired >= known.is_retired, "a retired item came back");
            }
        }
        for place in self.keys.iter().rev().take(6) {
            self.keyed[place].check(state);
        }
        let pools = state.pools();
        self.pools = pools
            .map(|pool| Pool { status: pool.status, items: items_of(state, pool.number).collect() })
            .collect();
        self.last_request_id = state.last_request_id();
    }

    /// Compares the state of a running service, all of whose answers were heard.
    pub(crate) fn check(&self, state: &State) {
        assert_eq!(state.last_request_id(), self.last_request_id, "draws that nobody asked for");
        assert_eq!(state.pools().len(), self.pools.len(), "pools that nobody asked for");
        for (pool, known) in state.pools().zip(&self.pools) {
            assert_eq!(pool.status, known.status, "another status");
            assert!(items_of(state, pool.number).eq(known.items.iter().cloned()), "other items");
        }
    }

    /// Hears the reply to a submission.
    pub(crate) fn hear(&mut self, reply: &Reply) {
        for (request, answer) in reply.requests().iter().zip(reply.answers()) {
            match (request, answer) {
                (Request::Draw(command), Ok(Answer::Draw(draw))) => {
                    self.hear_draw(command, draw, reply.outcomes(draw));
                }
                (Request::Draw(command), Err(refusal)) => self.hear_refusal(command, *refusal),
                (Request::FindDraw { pool, key }, Ok(Answer::Draw(draw))) => {
                    self.hear_found((pool.0, *key), draw, reply.outcomes(draw));
                }
                (Request::FindDraw { pool, key }, Err(Refusal::Rejected(refused))) => {
                    assert_eq!(*refused, Rejection::UnknownKey);
                    let known = self.keyed.get(&(pool.0, *key));
                    let is_lost = known.is_some_and(|draw| draw.answer.is_some());
                    assert!(!is_lost, "an acknowledged draw is not found");
                }
                (Request::ReadPool { pool, .. }, Ok(Answer::Pool(page))) => {
                    self.hear_page(*pool, page);
                }
                (Request::CreatePool(new), Ok(Answer::Changed { .. })) => {
                    let items = new.spec.catalog.items().iter().map(|item| Item {
                        weight: item.weight,
                        left: item.quantity,
                        awarded: 0,
                        is_retired: false,
                    });
                    let items = items.collect();
                    self.pools.push(Pool { status: PoolStatus::Active, items });
                }
                (Request::Change(command), Ok(Answer::Changed { .. })) => self.hear_change(command),
                (_, Ok(Answer::Status(status))) => assert!(status.conservation_ok),
                (_, Ok(Answer::Changed { .. } | Answer::Pools(_)) | Err(_)) => {}
                (request, Ok(answer)) => panic!("{request:?} was answered with {answer:?}"),
            }
        }
    }

    fn hear_draw(&mut self, command: &DrawCommand, draw: &DrawAnswer, outcomes: &[Outcome]) {
        assert_eq!(outcomes.len(), command.count.as_usize(), "as many outcomes as draws");
        let first = draw.first_request_id.number();
        let place = command.key.map(|key| (command.pool.0, key));
        let known = place.and_then(|place| self.keyed.get(&place));
        if draw.replayed {
            let known = known.expect("an answer is repeated only for a key that was used");
            assert_eq!(known.command, *command, "a key answers only the draw that it is of");
            if let Some(answer) = &known.answer {
                assert_eq!(
                    *answer,
                    (first, outcomes.to_vec()),
                    "a repeated draw has another answer"
                );
            }
        } else {
            let is_double = known.is_some_and(|known| known.answer.is_some());
            assert!(!is_double, "a draw with a known key was made again");
            assert_eq!(first, self.last_request_id + 1, "request ids have no gaps");
            self.last_request_id += u64::from(command.count.number());
            self.draws += u64::from(command.count.number());
            self.count(command, outcomes);
        }
        if let Some(place) = place {
            self.remember(place, *command, Some((first, outcomes.to_vec())));
        }
    }

    fn count(&mut self, command: &DrawCommand, outcomes: &[Outcome]) {
        let pool = &mut self.pools[command.pool.as_usize()];
        assert_eq!(pool.status, PoolStatus::Active, "only an active pool draws");
        for outcome in outcomes {
            if let Some(item) = outcome.item() {
                pool.items[item.as_usize()].award();
            } else {
                let is_empty = !pool.items.iter().any(Item::is_available);
                assert!(is_empty, "nothing was won though something was available");
                assert_eq!(command.mode, DrawMode::BestEffort, "all or nothing");
            }
        }
    }

    fn hear_refusal(&mut self, command: &DrawCommand, refusal: Refusal) {
        let pool = self.pools.get(command.pool.as_usize());
        let place = command.key.map(|key| (command.pool.0, key));
        match refusal {
            Refusal::Rejected(Rejection::KeyReused) => {
                let known = place.and_then(|place| self.keyed.get(&place));
                let is_other = known.is_some_and(|known| known.command != *command);
                assert!(is_other, "a retry was taken for another draw");
            }
            Refusal::Rejected(Rejection::InsufficientStock) => {
                assert_eq!(command.mode, DrawMode::AllOrNothing);
            }
            Refusal::Rejected(Rejection::PoolPaused) => {
                assert_eq!(pool.map(|pool| pool.status), Some(PoolStatus::Paused));
            }
            Refusal::Rejected(Rejection::PoolClosed) => {
                assert_eq!(pool.map(|pool| pool.status), Some(PoolStatus::Closed));
            }
            Refusal::OutcomeUnknown => {
                if let Some(place) = place
                    && !self.keyed.contains_key(&place)
                {
                    self.remember(place, *command, None);
                }
            }
            Refusal::OutOfSpace => self.refused_for_space += 1,
            Refusal::Stopping | Refusal::Expired => {}
            other @ (Refusal::Rejected(_) | Refusal::Overloaded | Refusal::Follower) => {
                panic!("{command:?} was refused: {other}")
            }
        }
    }

    fn remember(
        &mut self,
        place: (u32, KeyHash),
        command: DrawCommand,
        answer: Option<(u64, Vec<Outcome>)>,
    ) {
        if self.keyed.insert(place, KeyedDraw { command, answer }).is_none() {
            self.keys.push(place);
        }
    }

    fn hear_found(&mut self, place: (u32, KeyHash), draw: &DrawAnswer, outcomes: &[Outcome]) {
        let known = self.keyed.get_mut(&place).expect("only a key that was used is found");
        let answer = (draw.first_request_id.number(), outcomes.to_vec());
        let is_same = known.answer.as_ref().is_none_or(|known| *known == answer);
        assert!(is_same, "a draw is found with another answer");
        known.answer = Some(answer);
    }

    fn hear_page(&self, pool: PoolNumber, page: &PoolPage) {
        assert_eq!(page.last_request_id, self.last_request_id, "a read sees what was answered");
        let known = &self.pools[pool.as_usize()].items;
        assert!(page.items.iter().map(Item::of).eq(known.iter().cloned()), "a read shows others");
    }

    fn hear_change(&mut self, command: &AdminCommand) {
        match command {
            AdminCommand::CreatePool { .. } => unreachable!("pools are created by a request"),
            AdminCommand::UpdateItem { pool, item, change, .. } => {
                self.item(*pool, item.as_str()).change(change);
            }
            AdminCommand::AddItem { pool, item, .. } => {
                let (weight, left) = (item.weight, item.quantity);
                let item = Item { weight, left, awarded: 0, is_retired: false };
                self.pools[pool.as_usize()].items.push(item);
            }
            AdminCommand::RetireItem { pool, item, .. } => {
                self.item(*pool, item.as_str()).is_retired = true;
            }
            AdminCommand::SetStatus { pool, status, .. } => {
                self.pools[pool.as_usize()].status = *status;
            }
        }
    }

    /// The item of this name, which is its place in the catalogue.
    fn item(&mut self, pool: PoolNumber, name: &str) -> &mut Item {
        let place: usize = name.parse().expect("the clients name items by their places");
        &mut self.pools[pool.as_usize()].items[place]
    }
}

fn items_of(state: &State, pool: PoolNumber) -> impl Iterator<Item = Item> {
    let items = state.items(pool, 0, usize::MAX).expect("the pool exists");
    items.map(|item| Item::of(&item)).collect::<Vec<_>>().into_iter()
}
