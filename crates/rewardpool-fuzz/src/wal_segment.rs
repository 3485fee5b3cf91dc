//! The reader of a segment: torn or rotten. Its verdict is compared with that of a second reader,
//! and what it takes is written again.
use std::sync::{Arc, OnceLock};

use crc32c::crc32c;
use rewardpool_wal::storage::Storage;
use rewardpool_wal::{
    Appender, Batch, EPOCH, Error, Identity, LogReader, Prepared, SECTOR, SEGMENT_BYTES_MIN,
    SegmentHeader, SegmentNumber, SnapshotHeader, Torn,
};

use crate::memory::{Files, Memory};
use crate::reference::{End, Found, Start, read};
use crate::script::Script;

const IDENTITY: Identity = Identity { uuid: *b"a log to be torn" };
const HEADER: usize = 64;
/// What is put right in each batch of the input, so that a mutation gets past the checksums.
const FIX_CHECKSUMS: u8 = 1;
const FIX_SALT: u8 = 2;
const FIX_CHAIN: u8 = 4;
const FIX_TRAILER: u8 = 8;

/// An empty log in each format, by the number of the format.
fn empty_logs() -> &'static [Files; 4] {
    static LOGS: OnceLock<[Files; 4]> = OnceLock::new();
    LOGS.get_or_init(|| [0, 1, 2, 3].map(|format| begin(format).0.files()))
}

fn begin(format: u8) -> (Memory, Appender) {
    let memory = Memory::default();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let prepared = Prepared::create(Arc::clone(&storage), SEGMENT_BYTES_MIN);
    let prepared = prepared.expect("memory does not fail");
    let log = Appender::begin(Arc::clone(&storage), IDENTITY, format, prepared);
    IDENTITY.publish(&memory).expect("memory does not fail");
    (memory, log.expect("memory does not fail"))
}

/// What stands behind the first sector of a segment with these batches: payloads and counts. Seeds.
pub(crate) fn content(format: u8, batches: &[(&[u8], u32)]) -> Vec<u8> {
    let (memory, mut log) = begin(format);
    for (place, (payload, count)) in (0..).zip(batches) {
        if payload.len() <= log.payload_room() {
            log.append(payload, *count, 1_764_000_000_000 + place).expect("memory does not fail");
        }
    }
    memory.files()["wal.000"][SECTOR..log.used_bytes()].to_vec()
}

/// The first two bytes choose what is put right and the format; the rest is what stands behind the
/// first sector of the segment.
pub fn wal_segment(data: &[u8]) {
    let mut script = Script::new(data);
    let (fixes, format) = (script.byte(), script.byte() % 4);
    let mut files = empty_logs()[usize::from(format)].clone();
    let file = files.get_mut("wal.000").expect("a log begins with segment 0");
    let content = script.take(file.len() - SECTOR);
    file[SECTOR..SECTOR + content.len()].copy_from_slice(content);
    let start = Start {
        format,
        epoch: u32::from_le_bytes(file[20..24].try_into().expect("the range has 4 bytes")),
        salt: u64::from_le_bytes(file[48..56].try_into().expect("the range has 8 bytes")),
        first_lsn: 1,
        previous: 0,
    };
    fix(file, &start, fixes);
    let (expected, end) = read(file, &start);
    let file = file.clone();
    let (found, result) = scan(files);
    assert_eq!(found, expected, "the batches");
    match (end, result) {
        (End::Clean, Ok(None)) => rewrite(&file, format, &found),
        (End::Torn { offset, bytes }, Ok(Some(torn))) => {
            assert_eq!(torn, Torn { offset: offset as u64, bytes: bytes as u64 });
            rewrite(&file, format, &found);
        }
        (End::Damaged { offset }, Err(Error::Corrupt { file, offset: found, .. })) => {
            assert_eq!((file.as_str(), found), ("wal.000", offset as u64));
        }
        (End::SuccessorMissing, Err(Error::Missing { file, .. })) => assert_eq!(file, "wal.001"),
        (end, result) => panic!("expected {end:?}, found {result:?}"),
    }
}

/// What the reader finds, batch by batch, and how the log ends.
fn scan(files: Files) -> (Vec<Found>, Result<Option<Torn>, Error>) {
    let memory = Memory::new(&files);
    drop(files);
    let reader = LogReader::open(Arc::new(memory)).expect("the mark is intact");
    let reader = reader.expect("the mark is there");
    let empty = SnapshotHeader {
        identity: IDENTITY,
        lsn: 0,
        chain: 0,
        next_segment: SegmentNumber(0),
        time_ms: 0,
        epoch: EPOCH,
    };
    let mut found = Vec::new();
    let mut visit = |header: &SegmentHeader, batch: &Batch<'_>| {
        assert_eq!((header.first_lsn, header.format), (1, batch.format));
        found.push(Found {
            offset: batch.offset,
            first_lsn: batch.first_lsn,
            count: batch.count,
            time_ms: batch.time_ms,
            payload: batch.payload.to_vec(),
        });
        Ok::<_, Error>(())
    };
    let replayed = reader.replay(&empty, None, &mut visit);
    let result = replayed.map(|replayed| {
        let records = found.iter().map(|batch| u64::from(batch.count)).sum::<u64>();
        assert_eq!((replayed.records, replayed.tail.last_lsn()), (records, records));
        replayed.torn
    });
    (found, result)
}

/// Puts right what a mutation of a batch made wrong, as far as it is asked for.
fn fix(file: &mut [u8], start: &Start, fixes: u8) {
    let (mut offset, mut last_lsn, mut chain) = (SECTOR, 0_u64, start.previous);
    while offset < file.len() {
        let batch = &mut file[offset..];
        if &batch[4..8] != b"RPB1" {
            offset += SECTOR;
            continue;
        }
        let length = u32::from_le_bytes(batch[8..12].try_into().expect("the range has 4 bytes"));
        let end = HEADER + usize::try_from(length).expect("lengths fit");
        if fixes & FIX_TRAILER != 0 && end < batch.len() {
            batch[end] = 0xA5;
        }
        if fixes & FIX_CHECKSUMS != 0 && end <= batch.len() {
            let checksum = crc32c(&batch[HEADER..end]);
            batch[12..16].copy_from_slice(&checksum.to_le_bytes());
        }
        if fixes & FIX_SALT != 0 {
            batch[24..32].copy_from_slice(&start.salt.to_le_bytes());
            batch[60] = start.format;
        }
        if fixes & FIX_CHAIN != 0 {
            batch[16..24].copy_from_slice(&(last_lsn + 1).to_le_bytes());
            batch[32..40].copy_from_slice(&last_lsn.to_le_bytes());
            batch[48..52].copy_from_slice(&chain.to_le_bytes());
            batch[54..56].fill(0);
        }
        if fixes & FIX_CHECKSUMS != 0 {
            let checksum = crc32c(&batch[4..HEADER]);
            batch[..4].copy_from_slice(&checksum.to_le_bytes());
        }
        chain = u32::from_le_bytes(batch[..4].try_into().expect("the range has 4 bytes"));
        last_lsn += u64::from(u16::from_le_bytes([batch[52], batch[53]]));
        offset += (end + 1).div_ceil(SECTOR) * SECTOR;
    }
}

/// Appends the same batches to a new log: as long as the writer would have written them like this,
/// the bytes are the same.
fn rewrite(file: &[u8], format: u8, found: &[Found]) {
    let (memory, mut log) = begin(format);
    let mut end = SECTOR;
    for batch in found {
        // The formats never write this many zeros, and a batch leaves room for the closing ones.
        let is_odd = batch.payload.is_empty()
            || batch.payload.split(|&byte| byte != 0).any(|zeros| zeros.len() >= SECTOR / 2)
            || batch.payload.len() > log.payload_room();
        if is_odd {
            break;
        }
        let committed = log.append(&batch.payload, batch.count, batch.time_ms);
        let last_lsn = committed.expect("memory does not fail").last_lsn();
        assert_eq!(last_lsn + 1, batch.first_lsn + u64::from(batch.count));
        let content = HEADER + batch.payload.len() + 1;
        let written = &memory.files()["wal.000"];
        let range = batch.offset..batch.offset + content;
        if file[range.clone()] != written[range] {
            assert!(!is_ordinary(&file[batch.offset..]), "the batch at {} differs", batch.offset);
            break;
        }
        end = log.used_bytes();
    }
    assert!(end <= file.len());
}

/// Whether the fields that no reader compares are as the writer fills them.
fn is_ordinary(header: &[u8]) -> bool {
    let long = |at: usize| {
        u64::from_le_bytes(header[at..at + 8].try_into().expect("the range has 8 bytes"))
    };
    long(32) + 1 == long(16) && header[56..60] == EPOCH.to_le_bytes() && header[61..64] == [0; 3]
}
