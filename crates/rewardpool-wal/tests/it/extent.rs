//! Goal: the headers of batches alone tell how far a segment goes. Method: segments of random
//! batches, measured at every position, and with every sector damaged.
use std::sync::Arc;

use rewardpool_sim::Numbers;
use rewardpool_wal::storage::{FileStorage, Storage};
use rewardpool_wal::{
    Appender, Fault, Identity, Prepared, SECTOR, SegmentHeader, SegmentNumber, used_bytes,
};

const IDENTITY: Identity = Identity { uuid: *b"a-test-of-a-log!" };
const FIRST: SegmentNumber = SegmentNumber(0);

/// A segment with random batches, and for each position between two batches the bytes up to there.
fn segment(seed: u64) -> (Vec<u8>, Vec<(u64, u64)>) {
    let directory = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::open(directory.path()).unwrap());
    let prepared = Prepared::create(Arc::clone(&storage), 64 * SECTOR).unwrap();
    let mut log = Appender::begin(Arc::clone(&storage), IDENTITY, 1, prepared).unwrap();
    let mut numbers = Numbers(seed);
    let mut ends = vec![(0, log.used_bytes() as u64)];
    loop {
        let length = 1 + numbers.below(1500);
        if length > log.payload_room() {
            break;
        }
        let count = u32::try_from(1 + numbers.below(5)).unwrap();
        log.append(&vec![7; length], count, 1).unwrap();
        ends.push((log.position().lsn, log.used_bytes() as u64));
    }
    let mut bytes = Vec::new();
    storage.read("wal.000", &mut bytes).unwrap();
    (bytes, ends)
}

#[test]
fn each_end_of_a_batch_is_found_and_nothing_else() {
    for seed in 0..20 {
        let (bytes, ends) = segment(seed);
        let header = SegmentHeader::read(&bytes, FIRST, IDENTITY).unwrap();
        let (last, _) = *ends.last().unwrap();
        assert!(ends.len() > 10, "{ends:?}");
        for lsn in 0..=last {
            let expected = ends.iter().find(|(end, _)| *end == lsn).map(|(_, bytes)| *bytes);
            assert_eq!(used_bytes(&bytes, &header, lsn).ok(), expected, "lsn {lsn}");
        }
        let early = used_bytes(&bytes, &header, last + 1).unwrap_err();
        let early = early.to_string();
        assert!(early.contains(&format!("ends at LSN {last}")), "{early}");
    }
}

#[test]
fn a_damaged_header_of_a_batch_is_refused_with_its_place() {
    let (bytes, ends) = segment(77);
    let header = SegmentHeader::read(&bytes, FIRST, IDENTITY).unwrap();
    let (last, _) = *ends.last().unwrap();
    for pair in ends.windows(2) {
        let begin = usize::try_from(pair[0].1).unwrap();
        for place in begin..begin + 64 {
            let mut bad = bytes.clone();
            bad[place] ^= 0x10;
            let error = used_bytes(&bad, &header, last).unwrap_err();
            assert_eq!(error.place(), Some(("wal.000", Some(pair[0].1))), "byte {place}");
        }
        // A whole batch of another place, intact by itself.
        let mut bad = bytes.clone();
        bad.copy_within(SECTOR..2 * SECTOR, begin);
        let told = used_bytes(&bad, &header, last);
        assert!(begin == SECTOR || told.is_err(), "a batch at {begin}");
    }
    assert!(matches!(
        SegmentHeader::read(&bytes[..100].to_vec(), FIRST, IDENTITY),
        Err(rewardpool_wal::Error::Corrupt { fault: Fault::Length { .. }, .. })
    ));
    let sector: [u8; SECTOR] = bytes[..SECTOR].try_into().unwrap();
    assert_eq!(SegmentHeader::stated_bytes(&sector), Some(bytes.len() as u64));
    for place in 0..SECTOR {
        let mut bad = sector;
        bad[place] ^= 4;
        assert_eq!(SegmentHeader::stated_bytes(&bad), None, "byte {place}");
    }
}
