//! Looks at every file of a log by itself, so that one damage does not hide another.
//!
//! A start reads what it needs and stops at the first damage. Whoever has to decide what to do about
//! a damaged directory wants to know all of it, also in files that only serve when others fail.
use crate::error::Error;
use crate::layout::{SegmentNumber, segment_name};
use crate::reader::{LogReader, check_end, is_continued, is_untouched};
use crate::scan::{Scanned, scan};
use crate::segment::SegmentHeader;

/// What stands in the first sector of a segment, and behind it.
struct Outline {
    number: SegmentNumber,
    /// `None` when it is damaged.
    header: Option<SegmentHeader>,
    is_untouched: bool,
}

impl LogReader {
    /// What is wrong with the snapshots and the segments: of each file the first damage, and the
    /// files that are missing.
    ///
    /// # Errors
    /// When a file cannot be read. What it holds is never an error here.
    pub fn survey(&self) -> Result<Vec<Error>, Error> {
        let mut damages = Vec::new();
        for &lsn in self.snapshots() {
            keep(self.load_snapshot(lsn), &mut damages)?;
        }
        let needed = self.oldest_needed();
        damages.extend(self.gaps(needed));
        let mut outlines = Vec::new();
        let mut bytes = Vec::new();
        for &number in self.segments() {
            let header = keep(self.read_segment(number, &mut bytes), &mut damages)?;
            let is_untouched = header.is_some() && is_untouched(&bytes);
            outlines.push(Outline { number, header, is_untouched });
        }
        let mut durable_lsn = 0;
        for place in 0..outlines.len() {
            if let Some(header) = outlines[place].header {
                self.read_segment(header.number, &mut bytes)?;
                let next = outlines.get(place + 1).filter(|n| n.number == header.number.next());
                let is_last_but_one = place + 2 == outlines.len();
                let ends = Ends { next, next_is_empty: is_last_but_one && is_empty(next) };
                let surveyed = self.survey_segment(&header, &bytes, &ends, &mut durable_lsn);
                keep(surveyed, &mut damages)?;
            }
        }
        Ok(damages)
    }

    fn survey_segment(
        &self,
        header: &SegmentHeader,
        bytes: &[u8],
        ends: &Ends<'_>,
        durable_lsn: &mut u64,
    ) -> Result<(), Error> {
        let next = ends.next.and_then(|next| next.header);
        let stop = next.filter(|_| !ends.next_is_empty).map(|next| next.first_lsn - 1);
        let scanned: Scanned = scan(header, bytes, stop, &mut |_, _| Ok::<_, Error>(()))?;
        *durable_lsn = (*durable_lsn).max(scanned.durable_lsn);
        let is_continued = match next {
            Some(next) => is_continued(&scanned, header, &next, ends.next_is_empty)?,
            None => ends.next.is_some(),
        };
        let is_highest = self.segments().last() == Some(&header.number);
        if is_highest && scanned.is_closed {
            return Err(successor_missing(header.number));
        }
        if is_highest || (!is_continued && ends.next_is_empty) {
            check_end(self, header, &scanned, *durable_lsn, None)?;
        }
        Ok(())
    }

    /// The segment from which on all must be there: the one that the older of the newest two
    /// snapshots names, so that it can serve when the newest one fails.
    fn oldest_needed(&self) -> Option<SegmentNumber> {
        let newest = self.snapshots().iter().rev().take(2);
        let headers = newest.filter_map(|&lsn| self.load_snapshot(lsn).ok());
        headers.map(|snapshot| snapshot.header.next_segment).min()
    }

    fn gaps(&self, needed: Option<SegmentNumber>) -> Vec<Error> {
        let missing = |number, because| Error::Missing { file: segment_name(number), because };
        let Some(first) = needed else { return Vec::new() };
        let there: Vec<_> = self.segments().iter().copied().filter(|n| *n >= first).collect();
        let mut gaps = Vec::new();
        if there.first() != Some(&first) {
            gaps.push(missing(first, "a snapshot names it"));
        }
        // Of a long gap the first segment is told, as a start tells it.
        let broken = there.windows(2).filter(|pair| pair[1] != pair[0].next());
        gaps.extend(broken.map(|pair| missing(pair[0].next(), "later segments exist")));
        gaps
    }
}

/// What follows a segment.
struct Ends<'a> {
    next: Option<&'a Outline>,
    /// It was made before its predecessor was closed, and nothing was written to it.
    next_is_empty: bool,
}

fn is_empty(outline: Option<&Outline>) -> bool {
    outline.is_some_and(|outline| outline.is_untouched)
}

pub(crate) fn successor_missing(number: SegmentNumber) -> Error {
    let because = "the segment before it was closed";
    Error::Missing { file: segment_name(number.next()), because }
}

/// Sets a damage aside and goes on.
fn keep<T>(result: Result<T, Error>, damages: &mut Vec<Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_corruption() => {
            damages.push(error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
