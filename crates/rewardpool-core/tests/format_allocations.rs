//! Goal: draws are encoded and decoded without allocating once the buffers have grown. Method: an
//! allocator that counts what this thread asks for.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]
use rewardpool_allocations::{CountingAllocator, of_this_thread};
use rewardpool_core::command::{DrawMode, KeyHash};
use rewardpool_core::format::{Decoder, Encoder, Format};
use rewardpool_core::ids::{ItemIndex, Lsn, Outcome, PoolNumber, RequestId};
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::names::Names;
use rewardpool_core::record::{DrawRecord, KeyStamp, Record};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn names(items: usize) -> Names {
    let mut names = Names::default();
    let pool = names.push(PoolId::new("default").unwrap());
    for number in 0..items {
        let name = ItemId::new(&format!("item, \"{number}\"")).unwrap();
        names.pool_mut(pool).unwrap().push(name);
    }
    names
}

/// Draws of one and of several, with and without a key.
fn encode(encoder: &mut Encoder, names: &Names, outcomes: &[Outcome]) {
    encoder.begin(Lsn::FIRST);
    let mut id = RequestId::FIRST;
    for (place, _) in outcomes.iter().enumerate() {
        let count = if place % 3 == 0 { place + 1 } else { 1 };
        let key = KeyStamp { hash: KeyHash([1; 16]), fingerprint: 1 };
        let draw = DrawRecord {
            pool: PoolNumber(0),
            catalog_version: 1,
            first_request_id: id,
            outcomes: &outcomes[..count],
            mode: DrawMode::BestEffort,
            key: (place % 5 == 0).then_some(key),
        };
        encoder.push(&Record::Draw(draw), names);
        id = RequestId::new(id.number() + u64::try_from(count).unwrap()).unwrap();
    }
}

#[test]
fn draws_do_not_allocate() {
    let names = names(300);
    let award = |item| Outcome::award(ItemIndex::from_usize(item).unwrap());
    let outcomes: Vec<Outcome> =
        (0..300).map(|item| if item % 7 == 0 { Outcome::EMPTY } else { award(item) }).collect();
    for format in Format::ALL {
        let mut encoder = Encoder::new(format);
        encode(&mut encoder, &names, &outcomes);
        let before = of_this_thread();
        encode(&mut encoder, &names, &outcomes);
        assert_eq!(of_this_thread(), before, "encoding {format}");
    }
}

#[test]
fn binary_draws_are_decoded_without_allocating() {
    let names = names(300);
    let outcomes = vec![Outcome::EMPTY; 300];
    let mut encoder = Encoder::new(Format::Binary);
    encode(&mut encoder, &names, &outcomes);
    let mut scratch = Vec::with_capacity(outcomes.len());
    let before = of_this_thread();
    let mut decoder = Decoder::new(Format::Binary, encoder.payload(), Lsn::FIRST, encoder.count());
    while decoder.next(&names, &mut scratch).unwrap().is_some() {}
    assert_eq!(of_this_thread(), before);
}
