//! A snapshot: the file around it and the state in it. What is taken is written like this, adds up,
//! and can be drawn from.
use std::sync::Arc;

use crc32c::crc32c;
use rewardpool_core::command::{DrawCommand, DrawCount, DrawMode};
use rewardpool_core::generator::{Generator, Secret};
use rewardpool_core::limits::REQUEST_ID_MAX;
use rewardpool_core::snapshot::SnapshotError;
use rewardpool_core::state::State;
use rewardpool_core::violation::Violation;
use rewardpool_wal::storage::Storage as _;
use rewardpool_wal::{Identity, LogReader, SnapshotFile, snapshot_name};
use sha2::{Digest as _, Sha256};

use crate::memory::Memory;
use crate::script::Script;

pub(crate) const IDENTITY: Identity = Identity { uuid: *b"a snapshot's log" };
const HEADER: usize = 76;
const SHA256: usize = 32;
/// Draws whose ids must be left for the state to be drawn from.
const ROOM: u64 = 1000;

/// The first byte chooses what the rest is: 0 a file, 1 a file whose checksums are put right, 2 the
/// body of one, else a list of values from which a body is made that has the right shape.
pub fn snapshot(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 4 {
        0 => file(script.rest().to_vec()),
        1 => file(with_checksums(script.rest().to_vec())),
        2 => body(script.rest()),
        _ => body(&shaped(&mut script)),
    }
}

/// Reads a file as the snapshot of the LSN in its header.
fn file(bytes: Vec<u8>) {
    let lsn = bytes.get(32..40).and_then(|lsn| lsn.try_into().ok()).map_or(0, u64::from_le_bytes);
    let name = snapshot_name(lsn);
    let memory = Memory::new(&[(name.clone(), bytes)].into());
    IDENTITY.publish(&memory).expect("memory does not fail");
    let reader = LogReader::open(Arc::new(memory.clone())).expect("the mark is intact");
    let reader = reader.expect("the mark is there");
    let read = match reader.load_snapshot(lsn) {
        Ok(read) => read,
        Err(error) => {
            assert!(error.is_corruption() && error.to_string().contains(&name), "{error}");
            return;
        }
    };
    assert_same_file(&memory, &read);
    body(read.body());
}

fn assert_same_file(memory: &Memory, read: &SnapshotFile) {
    let name = snapshot_name(read.header.lsn);
    let mut bytes = Vec::new();
    memory.read(&name, &mut bytes).expect("the file is there");
    let again = Memory::default();
    let sha256 = read.header.publish(&again, read.body()).expect("memory does not fail");
    if bytes[64..72] == [0; 8] {
        assert!(again.files()[&name] == bytes, "a snapshot is written as it was read");
        assert_eq!(sha256, read.sha256);
    }
    assert_eq!(SnapshotFile::file_bytes(read.body()), bytes.len() as u64);
}

fn body(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let mut read = State::decode(&bytes);
    if let Err(SnapshotError::State(Violation::Digest { expected, .. })) = read
        && let Some(digest) = bytes.last_chunk_mut()
    {
        *digest = expected.to_le_bytes();
        read = State::decode(&bytes);
    }
    let Ok(mut state) = read else { return };
    state.check().expect("a state that is read adds up");
    let mut again = Vec::new();
    state.encode(&mut again);
    assert!(again == bytes, "a state is written as it was read");
    let sha256: [u8; 32] = Sha256::digest(&bytes).into();
    assert_eq!(sha256, state.state_hash());
    let has_room = state.last_request_id() < REQUEST_ID_MAX - ROOM
        && state.pools().all(|pool| pool.awards < u64::MAX - ROOM);
    if has_room {
        draw(&mut state);
    }
}

/// A state that was read can be drawn from, and still adds up.
fn draw(state: &mut State) {
    state.activate();
    let pools: Vec<_> = state.pools().map(|pool| pool.number).take(8).collect();
    let time_ms = state.time_ms();
    let mut outcomes = Vec::new();
    for (place, pool) in pools.into_iter().enumerate() {
        let mut generator = Generator::new(&Secret::new([7; 32]));
        let count = DrawCount::new(3).expect("3 is in range");
        let mode = [DrawMode::BestEffort, DrawMode::AllOrNothing][place % 2];
        let command = DrawCommand { pool, count, mode, key: None };
        outcomes.clear();
        if state.draw(&command, &mut generator, time_ms, &mut outcomes).is_ok() {
            assert_eq!(outcomes.len(), 3);
        }
    }
    state.check().expect("a state that was drawn from adds up");
}

fn with_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= HEADER + SHA256 {
        bytes[16..32].copy_from_slice(&IDENTITY.uuid);
        let checksum = crc32c(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..HEADER].copy_from_slice(&checksum.to_le_bytes());
        let signed = bytes.len() - SHA256;
        let sha256 = Sha256::digest(&bytes[..signed]);
        bytes[signed..].copy_from_slice(&sha256);
    }
    bytes
}

/// A body in the layout of docs/FORMAT.md, section 8, with values of the script and right hashes.
fn shaped(script: &mut Script<'_>) -> Vec<u8> {
    let (mut pools, mut draws) = (Vec::new(), 0_u64);
    let count = script.byte() % 4;
    for pool in 0..count {
        draws = draws.wrapping_add(shape_pool(script, pool, &mut pools));
    }
    let mut out = vec![1];
    put(&mut out, script.number());
    put(&mut out, if script.byte() < 230 { draws } else { script.number() });
    put(&mut out, script.number());
    put(&mut out, count.into());
    out.extend_from_slice(&pools);
    out.extend_from_slice(&[0; 8]);
    out
}

/// Gives the number of draws from the pool.
fn shape_pool(script: &mut Script<'_>, pool: u8, out: &mut Vec<u8>) -> u64 {
    text(out, &format!("pool_{pool}"));
    out.extend_from_slice(&[script.byte() % 4, script.byte() % 5]);
    out.extend_from_slice(&[9; 32]);
    for _ in 0..4 {
        put(out, script.number());
    }
    let items: Vec<_> = (0..script.byte() % 8).map(|_| Shape::of(script)).collect();
    // Mostly what the items say, so that the sums have a chance to be right.
    let awarded = items.iter().map(|item| item.awarded).fold(0, u64::wrapping_add);
    let awards = if script.byte() < 230 { awarded } else { script.number() };
    let empties = script.number();
    put(out, awards);
    put(out, empties);
    put(out, items.len() as u64);
    let mut hash = Sha256::new();
    for (place, item) in items.iter().enumerate() {
        // One digit, so that the order of the names is that of the places.
        let name = format!("item {place}");
        text(out, &name);
        item.write(out);
        if item.flags & 1 == 0 {
            let left = if item.flags & 2 == 0 { item.left } else { u64::MAX };
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update(item.weight.to_le_bytes());
            hash.update(left.to_le_bytes());
        }
    }
    out.extend_from_slice(&hash.finalize());
    let keys = script.byte() % 4;
    put(out, keys.into());
    for key in 0..keys {
        shape_key(script, key, out);
    }
    awards.wrapping_add(empties)
}

fn shape_key(script: &mut Script<'_>, key: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[key; 16]);
    for _ in 0..4 {
        put(out, script.number());
    }
    let outcomes = script.byte() % 5;
    put(out, outcomes.into());
    for _ in 0..outcomes {
        put(out, script.number());
    }
}

/// An item as it is stored.
struct Shape {
    flags: u8,
    weight: u64,
    awarded: u64,
    left: u64,
    granted: u64,
}

impl Shape {
    fn of(script: &mut Script<'_>) -> Self {
        let flags = if script.byte() < 250 { script.byte() % 4 } else { script.byte() };
        let (weight, awarded, left) = (script.number(), script.number(), script.number());
        let sum = left.wrapping_add(awarded);
        let granted = if script.byte() < 230 { sum } else { script.number() };
        Self { flags, weight, awarded, left, granted }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.flags);
        put(out, self.weight);
        put(out, self.awarded);
        if self.flags & 2 == 0 {
            put(out, self.left);
            put(out, self.granted);
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).expect("the names are short"));
    out.extend_from_slice(text.as_bytes());
}

/// A number in base 128.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).expect("seven bits fit") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("seven bits fit"));
}
