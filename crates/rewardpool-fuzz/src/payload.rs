//! What the targets of the three formats share: what decodes has one encoding in each format.
use std::sync::OnceLock;

use rewardpool_core::format::Format;
use rewardpool_core::ids::Lsn;
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::names::Names;

use crate::records::{assert_no_zero_sector, decode, encode};
use crate::script::Script;

/// Positions at which a batch may begin.
const LSNS: [u64; 4] = [7, 1, u64::MAX - 4, 1 << 40];
/// Items of the first pool: outcomes of one byte, of two, and the last number of one byte.
const ITEMS: [usize; 4] = [3, 300, 254, 0];

/// The names before the batch, by the number of items: two pools, or none.
fn all_names() -> &'static [Names; 4] {
    static NAMES: OnceLock<[Names; 4]> = OnceLock::new();
    NAMES.get_or_init(|| ITEMS.map(names))
}

fn names(items: usize) -> Names {
    let mut names = Names::default();
    if items == 0 {
        return names;
    }
    for (pool, items) in [("default", items), ("summer_2", 1)] {
        let number = names.push(PoolId::new(pool).expect("the name is one"));
        let names = names.pool_mut(number).expect("the pool was pushed just now");
        for place in 0..items {
            let name = match place {
                0 => "gold".to_owned(),
                1 => "-50 %, once; \"a\\b\"".to_owned(),
                2 => "金".to_owned(),
                _ => format!("item {place}"),
            };
            names.push(ItemId::new(&name).expect("the name is one"));
        }
    }
    names
}

/// The first byte chooses where the batch begins and which names are known, the rest is a payload.
pub(crate) fn round_trip(format: Format, data: &[u8]) {
    let mut script = Script::new(data);
    let head = usize::from(script.byte());
    let lsn = LSNS[head % LSNS.len()];
    let names = &all_names()[head / LSNS.len() % ITEMS.len()];
    let first_lsn = Lsn::new(lsn).expect("the positions are not 0");
    // The reader of the log refuses a batch whose positions do not fit.
    let count_max = u32::try_from(u64::MAX - lsn).unwrap_or(u32::MAX);
    let payload = script.rest();
    let (records, _fault) = decode(format, payload, first_lsn, count_max, names);
    let count = u32::try_from(records.len()).expect("a record has a byte");
    for other in Format::ALL {
        let bytes = encode(other, first_lsn, &records, names);
        assert_no_zero_sector(&bytes);
        if other == format {
            assert!(payload.starts_with(&bytes), "{format}: what was read is not what is written");
        }
        let (again, fault) = decode(other, &bytes, first_lsn, count, names);
        assert_eq!(fault, None, "{other} does not read what it wrote");
        assert_eq!(again, records, "{other} reads something else than {format}");
    }
}
