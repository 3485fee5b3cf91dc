//! A second reader of a segment, written from docs/FORMAT.md alone (sections 4 and 5): slow, plain,
//! and by another road, so that the two readers check each other.
use crc32c::crc32c;

const SECTOR: usize = 512;
const HEADER: usize = 64;
const TRAILER: u8 = 0xA5;

/// What the first sector of a segment says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) format: u8,
    pub(crate) epoch: u32,
    pub(crate) salt: u64,
    pub(crate) first_lsn: u64,
    pub(crate) previous: u32,
}

/// A batch that counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) offset: usize,
    pub(crate) first_lsn: u64,
    pub(crate) count: u32,
    pub(crate) time_ms: u64,
    pub(crate) payload: Vec<u8>,
}

/// How the last segment of a log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Clean,
    Torn {
        offset: usize,
        bytes: usize,
    },
    Damaged {
        offset: usize,
    },
    /// The last batch says that another segment exists.
    SuccessorMissing,
}

fn short(bytes: &[u8], at: usize) -> u32 {
    (0..4).rev().fold(0, |number, place| number << 8 | u32::from(bytes[at + place]))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(short(bytes, at + 4)) << 32 | u64::from(short(bytes, at))
}

fn is_header(sector: &[u8]) -> bool {
    sector.len() >= HEADER
        && &sector[4..8] == b"RPB1"
        && short(sector, 0) == crc32c(&sector[4..HEADER])
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// Whether the header at the beginning of the sector goes on from this position.
fn continues(sector: &[u8], start: &Start, last_lsn: u64, chain: u32) -> bool {
    let (first, count) = (long(sector, 16), short(sector, 52));
    long(sector, 24) == start.salt
        && Some(first) == last_lsn.checked_add(1)
        && short(sector, 48) == chain
        && count != 0
        && first.checked_add(count.into()).is_some()
        && sector[60] == start.format
        && short(sector, 56) >= start.epoch
        && long(sector, 32) < first
}

/// Reads the last segment of a log. The bytes are the whole file.
pub(crate) fn read(file: &[u8], start: &Start) -> (Vec<Found>, End) {
    let (mut found, mut offset) = (Vec::new(), SECTOR);
    let (mut last_lsn, mut chain, mut closes) = (start.first_lsn - 1, start.previous, false);
    while offset < file.len() {
        let rest = &file[offset..];
        if !(is_header(rest) && continues(rest, start, last_lsn, chain)) {
            break;
        }
        let length = usize::try_from(short(rest, 8)).expect("lengths fit");
        let end = HEADER + length;
        if rest.len() <= end
            || rest[end] != TRAILER
            || crc32c(&rest[HEADER..end]) != short(rest, 12)
        {
            break;
        }
        let (first_lsn, count) = (long(rest, 16), short(rest, 52));
        let (time_ms, payload) = (long(rest, 40), rest[HEADER..end].to_vec());
        found.push(Found { offset, first_lsn, count, time_ms, payload });
        closes = rest[61] != 0;
        last_lsn = first_lsn + u64::from(count) - 1;
        chain = short(rest, 0);
        offset += (end + 1).div_ceil(SECTOR) * SECTOR;
    }
    let end = judge(file, start, (offset, last_lsn, chain));
    let end =
        if closes && !matches!(end, End::Damaged { .. }) { End::SuccessorMissing } else { end };
    (found, end)
}

/// The list "Torn or rotten", step by step.
fn judge(file: &[u8], start: &Start, (offset, last_lsn, chain): (usize, u64, u32)) -> End {
    let damaged = End::Damaged { offset };
    let rest = file.get(offset..).unwrap_or_default();
    let sectors: Vec<&[u8]> = rest.chunks(SECTOR).collect();
    // 1.
    let Some(last) = rest.iter().rposition(|&byte| byte != 0) else { return End::Clean };
    let torn = End::Torn { offset, bytes: last + 1 };
    // 2.
    let is_later = |sector: &&[u8]| {
        is_header(sector) && long(sector, 24) == start.salt && long(sector, 16) > last_lsn
    };
    if sectors[1..].iter().any(is_later) {
        return damaged;
    }
    // 3.
    if is_zero(sectors[0]) {
        return torn;
    }
    // 4. and 5.
    if !is_header(rest) || !continues(rest, start, last_lsn, chain) {
        return damaged;
    }
    // 6.
    let length = usize::try_from(short(rest, 8)).expect("lengths fit");
    let covered = (HEADER + length + 1).div_ceil(SECTOR);
    if covered > sectors.len() {
        return damaged;
    }
    // 7. and 8.
    if sectors[..covered].iter().any(|sector| is_zero(sector)) { torn } else { damaged }
}
