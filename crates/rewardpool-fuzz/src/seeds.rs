//! Inputs to begin with: what the service itself writes, reads and gets, for each target.
use std::io;
use std::path::Path;

use prost::Message;
use rewardpool_core::format::{Encoder, Format};
use rewardpool_core::state::State;
use rewardpool_proto::{seed, v1};
use rewardpool_server::config::Config;
use rewardpool_wal::{EPOCH, SegmentNumber, SnapshotHeader, snapshot_name};

use crate::grpc::METHODS;
use crate::memory::Memory;
use crate::random::Random;
use crate::snapshot::IDENTITY;
use crate::{life, wal_segment};

/// Lives from which the seeds are taken.
const LIVES: u64 = 12;
/// Chooses LSN 1 and no names for a payload.
const PAYLOAD_HEAD: u8 = 1 + 4 * 3;

/// A seed: its target, its name and its bytes.
pub type Seed = (&'static str, String, Vec<u8>);

/// The seeds of all targets, the same in every run.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for seed in 0..LIVES {
        of_life(seed, &mut seeds);
    }
    segments(&mut seeds);
    configs(&mut seeds).expect("the samples can be read");
    damages(&mut seeds);
    calls(&mut seeds);
    seeds
}

fn script(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let length = 40 + random.below(260);
    // A life begins with a pool.
    [vec![0], random.bytes(length)].concat()
}

fn of_life(seed: u64, seeds: &mut Vec<Seed>) {
    let name = |what: &str| format!("{what}_{seed}");
    let script = script(seed);
    let (encoders, state) = life::batch(&script);
    for (encoder, target) in
        encoders.iter().zip(["format_binary", "format_json", "format_string_line"])
    {
        let payload = encoder.payload();
        seeds.push((target, name("life"), [&[PAYLOAD_HEAD], payload].concat()));
    }
    seeds.push(("life", name("life"), script.clone()));
    let (body, file) = snapshot_of(&state);
    seeds.push(("snapshot", name("body"), [&[2][..], &body].concat()));
    if seed < 4 {
        seeds.push(("snapshot", name("file"), [&[0][..], &file].concat()));
        seeds.push(("snapshot", name("fixed_file"), [&[1][..], &file].concat()));
        seeds.push(("snapshot", name("shaped"), [&[3][..], &script].concat()));
    }
}

fn snapshot_of(state: &State) -> (Vec<u8>, Vec<u8>) {
    let mut body = Vec::new();
    state.encode(&mut body);
    let header = SnapshotHeader {
        identity: IDENTITY,
        lsn: state.last_lsn(),
        chain: 7,
        next_segment: SegmentNumber(1),
        time_ms: state.time_ms(),
        epoch: EPOCH,
    };
    let memory = Memory::default();
    header.publish(&memory, &body).expect("memory does not fail");
    let file = memory.files()[&snapshot_name(state.last_lsn())].clone();
    (body, file)
}

/// Segments of a few batches, whole, torn and cut, with and without what puts them right.
fn segments(seeds: &mut Vec<Seed>) {
    for format in Format::ALL {
        let encoders: Vec<Encoder> = (0..3)
            .map(|seed| {
                let (encoders, _) = life::batch(&script(seed)[..60]);
                let of_format = encoders.into_iter().find(|encoder| encoder.format() == format);
                of_format.expect("there is one encoder for each format")
            })
            .collect();
        let batches: Vec<_> = encoders.iter().map(|e| (e.payload(), e.count())).collect();
        let whole = wal_segment::content(format.id(), &batches);
        let mut torn = whole.clone();
        let sectors = torn.len() / 512;
        torn[(sectors - 2) * 512..(sectors - 1) * 512].fill(0);
        for (name, content) in [("whole", &whole), ("torn", &torn)] {
            for fixes in [0, 1, 15] {
                let seed = [&[fixes, format.id()][..], content].concat();
                seeds.push(("wal_segment", format!("{name}_{format}_{fixes}"), seed));
            }
        }
    }
}

/// The sample and the configurations of the server's tests.
fn configs(seeds: &mut Vec<Seed>) -> io::Result<()> {
    seeds.push(("config", "sample".to_owned(), Config::sample().into()));
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../rewardpool-server/tests/configs");
    for kind in ["valid", "invalid"] {
        for (name, bytes) in crate::golden::read(&Path::new(place).join(kind))? {
            if let Some(name) = name.strip_suffix(".yaml") {
                seeds.push(("config", format!("{kind}_{name}"), bytes));
            }
        }
    }
    Ok(())
}

/// One damage of each kind to each directory, and several at once.
fn damages(seeds: &mut Vec<Seed>) {
    let mut random = Random::new(3);
    for place in 0..6 {
        seeds.push(("directory", format!("none_{place}"), vec![place]));
        for kind in 0..12 {
            let script = [vec![place, kind], random.bytes(9)].concat();
            if place == kind % 6 {
                seeds.push(("directory_start", format!("one_{place}_{kind}"), script.clone()));
            }
            seeds.push(("directory", format!("one_{place}_{kind}"), script));
        }
        let many = [vec![place], random.bytes(60)].concat();
        seeds.push(("directory", format!("many_{place}"), many));
    }
}

/// A call as the target reads it: no deadline, one message.
fn call(method: &str, message: &impl Message) -> Vec<u8> {
    let place = METHODS.iter().position(|known| known.ends_with(method));
    let place = u8::try_from(place.expect("the method is known")).expect("there are few methods");
    let message = message.encode_to_vec();
    let length = u16::try_from(message.len()).expect("the messages are short");
    [&[place, 0xf2][..], &length.to_le_bytes(), &message].concat()
}

fn draw(count: i32, key: &str) -> v1::DrawRequest {
    v1::DrawRequest { count, idempotency_key: key.into(), ..Default::default() }
}

/// Calls by name.
type Calls = Vec<(&'static str, Vec<u8>)>;

/// Each method alone, and some calls one after another.
fn calls(seeds: &mut Vec<Seed>) {
    let (players, admins) = (calls_of_players(), calls_of_admins());
    let of = |name| players.iter().find(|(known, _)| *known == name).map(|(_, bytes)| &bytes[..]);
    let retry: Vec<&[u8]> = ["draw", "draw", "get_draw"].into_iter().filter_map(of).collect();
    seeds.push(("grpc", "retry".to_owned(), retry.concat()));
    for (place, group) in [&players, &admins].into_iter().enumerate() {
        let several: Vec<&[u8]> = group.iter().map(|(_, bytes)| &bytes[..]).collect();
        for (part, calls) in several.chunks(5).enumerate() {
            seeds.push(("grpc", format!("several_{place}_{part}"), calls.concat()));
        }
    }
    for (name, bytes) in [players, admins].concat() {
        seeds.push(("grpc", name.to_owned(), bytes));
    }
}

fn calls_of_players() -> Calls {
    let pool = || "default".to_owned();
    let get = v1::GetStateRequest { pool: pool(), page_size: 2, page_token: "2".into() };
    let watch = v1::WatchStateRequest { interval_ms: 100, page_size: 2, ..Default::default() };
    let list = v1::ListPoolsRequest { page_size: 1, page_token: String::new() };
    let find = v1::GetDrawRequest { pool: pool(), idempotency_key: "key".into() };
    let old_draw = |count| call("RewardPoolService/Draw", &seed::DrawRequest { count });
    vec![
        ("draw", call("v1.RewardPool/Draw", &draw(7, "key"))),
        ("draw_most", call("v1.RewardPool/Draw", &draw(10_000, ""))),
        ("draw_too_many", call("v1.RewardPool/Draw", &draw(10_001, ""))),
        ("draw_less_than_none", call("v1.RewardPool/Draw", &draw(-1, ""))),
        ("stream", call("v1.RewardPool/DrawStream", &draw(3, ""))),
        ("get_state", call("v1.RewardPool/GetState", &get)),
        ("get_draw", call("v1.RewardPool/GetDraw", &find)),
        ("list_pools", call("v1.RewardPool/ListPools", &list)),
        ("watch_state", call("v1.RewardPool/WatchState", &watch)),
        ("old_state", call("RewardPoolService/GetState", &seed::GetStateRequest {})),
        ("old_draw", old_draw(20)),
        ("old_endless_draw", old_draw(i32::MAX)),
    ]
}

fn calls_of_admins() -> Calls {
    let pool = || "default".to_owned();
    let (actor, reason) = (|| "anna".to_owned(), || "why".to_owned());
    let item = v1::CatalogItem { item_id: "gold".into(), weight: Some(3), quantity: Some(-1) };
    let set = v1::SetQuantity { quantity: Some(5), expected_version: 1 };
    let limits = v1::KeyLimits { window_ms: Some(1), keys_max: Some(2), outcomes_max: Some(3) };
    let diamond = || "diamond".to_owned();
    let update = |quantity| v1::UpdateItemRequest {
        pool: pool(),
        item_id: diamond(),
        quantity: Some(quantity),
        weight: Some(9),
        actor: actor(),
        reason: reason(),
    };
    let create = v1::CreatePoolRequest {
        pool: "summer".into(),
        catalog: vec![item.clone()],
        selector: v1::Selector::SumTree.into(),
        key_limits: Some(limits),
    };
    let add =
        v1::AddItemRequest { pool: pool(), item: Some(item), actor: actor(), reason: reason() };
    let (actor, reason) = (actor(), reason());
    let retire = v1::RetireItemRequest {
        pool: pool(),
        item_id: diamond(),
        actor: actor.clone(),
        reason: reason.clone(),
    };
    let pause = v1::PausePoolRequest { pool: pool(), actor: actor.clone(), reason: reason.clone() };
    let resume =
        v1::ResumePoolRequest { pool: pool(), actor: actor.clone(), reason: reason.clone() };
    let close = v1::ClosePoolRequest { pool: "summer".into(), actor, reason };
    let log = v1::WatchLogRequest { after_sequence: 3, backlog: 2 };
    let add_units = update(v1::update_item_request::Quantity::Add(-2));
    let set_units = update(v1::update_item_request::Quantity::Set(set));
    vec![
        ("create", call("PoolAdmin/CreatePool", &create)),
        ("add_units", call("PoolAdmin/UpdateItem", &add_units)),
        ("set_units", call("PoolAdmin/UpdateItem", &set_units)),
        ("add", call("PoolAdmin/AddItem", &add)),
        ("retire", call("PoolAdmin/RetireItem", &retire)),
        ("pause", call("PoolAdmin/PausePool", &pause)),
        ("resume", call("PoolAdmin/ResumePool", &resume)),
        ("close", call("PoolAdmin/ClosePool", &close)),
        ("snapshot", call("PoolAdmin/TakeSnapshot", &v1::TakeSnapshotRequest {})),
        ("status", call("PoolAdmin/GetStatus", &v1::GetStatusRequest {})),
        ("watch_log", call("PoolAdmin/WatchLog", &log)),
    ]
}
