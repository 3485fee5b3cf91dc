//! Goal: ids are unique and without gaps, and stock is never overdrawn, however many threads draw.
//! Method: four threads draw more than there is, and all answers are gathered.
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;

use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::{Engine, inspect};

use crate::fixture::{COMBINATIONS, PATIENCE, config, directory, draws, new_pool};

const THREADS: usize = 4;
const DRAWS: usize = 2000;

#[test]
fn threads_share_a_limited_stock() {
    for (format, storage) in COMBINATIONS {
        let place = directory();
        let config = config(place.path(), format, storage);
        let engine = Engine::open(&config).unwrap();
        let handle = engine.handle();
        let pool = new_pool("summer", &[("gold", 1, 500), ("silver", 2, 1000), ("rock", 9, 1500)]);
        handle.create_pool(pool, PATIENCE).unwrap();
        let (ids, awards) = (Mutex::new(BTreeSet::new()), Mutex::new(0));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..DRAWS {
                        let drawn = handle.draw(draws(PoolNumber(0), 1), PATIENCE).unwrap();
                        assert!(ids.lock().unwrap().insert(drawn.first_request_id.number()));
                        *awards.lock().unwrap() += drawn.items.iter().flatten().count();
                    }
                });
            }
        });
        engine.stop().unwrap();
        assert_eq!(*awards.lock().unwrap(), 3000);
        let all = (THREADS * DRAWS) as u64;
        assert!(ids.into_inner().unwrap().into_iter().eq(1..=all));
        inspect::verify(place.path()).unwrap();
        let (state, _) = inspect::load(place.path()).unwrap();
        let pool = state.pool(PoolNumber(0)).unwrap();
        assert_eq!((pool.draws, pool.awards, pool.empties), (all, 3000, all - 3000));
        assert_eq!(pool.available_weight, 0);
    }
}
