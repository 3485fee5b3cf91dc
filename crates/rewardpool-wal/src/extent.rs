//! How far a segment goes, from the headers of its batches alone: what they hold is not read. For
//! those who copy a segment that is being written to, up to a position that is known to be durable.
use crate::batch::{HEADER_BYTES, SECTOR, SealedHeader, batch_bytes};
use crate::error::{Error, Fault};
use crate::layout::segment_name;
use crate::scan::continues;
use crate::segment::SegmentHeader;
use crate::storage::Source;

/// Where the batch ends in a segment whose last record is this one, which must be durable. The bytes
/// up to there never change any more.
///
/// # Errors
/// [`Error::Corrupt`] when the batches do not lead there.
pub fn used_bytes(
    source: &dyn Source,
    header: &SegmentHeader,
    last_lsn: u64,
) -> Result<u64, Error> {
    let name = segment_name(header.number);
    let (mut offset, mut lsn, mut chain) = (SECTOR, header.first_lsn - 1, header.previous);
    let mut bytes = [0; HEADER_BYTES];
    while lsn < last_lsn {
        let corrupt = |fault| Error::corrupt(&name, offset, fault);
        let ends_early = Fault::EndsEarly { end: lsn, durable: last_lsn };
        if offset as u64 + SECTOR as u64 > header.bytes {
            return Err(corrupt(ends_early));
        }
        source.read_at(offset as u64, &mut bytes).map_err(Error::io("read", &name))?;
        if bytes.iter().all(|&byte| byte == 0) {
            return Err(corrupt(ends_early));
        }
        let sealed = SealedHeader::read(&bytes).ok_or_else(|| corrupt(Fault::HeaderChecksum))?;
        if !continues(header, &sealed, (lsn, chain)) {
            return Err(corrupt(Fault::Header("first_lsn")));
        }
        lsn += u64::from(sealed.header.count);
        chain = sealed.checksum;
        offset += batch_bytes(sealed.payload_bytes);
    }
    if lsn != last_lsn || offset as u64 > header.bytes {
        return Err(Error::corrupt(&name, offset, Fault::Discontinuous));
    }
    Ok(offset as u64)
}
