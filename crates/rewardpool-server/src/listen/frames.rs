//! Where in HTTP/2 a client is: before its preface, between frames, within one, or within headers.
//!
//! It only counts. What is wrong with the bytes is found by whoever reads them.

/// What a client begins with.
const PREFACE_BYTES: u32 = 24;
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Follows the bytes of a client.
#[derive(Debug)]
pub(super) struct Frames {
    place: Place,
    /// Whether the preface and the first frame, which are its settings, are there.
    has_greeted: bool,
    in_headers: bool,
    /// Frames that carry nothing; see [`Frames::take_empty`].
    empty: u32,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// So many bytes of the preface are missing.
    Preface(u32),
    /// Within the head of a frame.
    Head([u8; HEAD_BYTES], usize),
    /// So many bytes of a frame are missing.
    Payload(u32),
}

impl Frames {
    /// A client of which nothing is known.
    pub(super) fn new() -> Self {
        Self {
            place: Place::Preface(PREFACE_BYTES),
            has_greeted: false,
            in_headers: false,
            empty: 0,
        }
    }

    /// Whether the greeting, a frame, or a block of headers has begun and not ended.
    pub(super) fn is_midway(&self) -> bool {
        !self.has_greeted || self.in_headers || !matches!(self.place, Place::Head(_, 0))
    }

    /// How many frames began since the last call that neither belong to a call nor carry anything:
    /// settings, pings, priorities, unknown ones, and data without data. They cost a client next to
    /// nothing, so they have a limit. Resets have their own, and windows follow from answers.
    pub(super) fn take_empty(&mut self) -> u32 {
        std::mem::take(&mut self.empty)
    }

    /// Follows more bytes. Returns whether a frame, or a block of headers, ended with one of them.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> bool {
        let mut has_ended = false;
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Preface(missing) => {
                    let left = skip(&mut bytes, *missing);
                    self.place = if left == 0 {
                        Place::Head([0; HEAD_BYTES], 0)
                    } else {
                        Place::Preface(left)
                    };
                }
                Place::Payload(missing) => {
                    let left = skip(&mut bytes, *missing);
                    self.place = Place::Payload(left);
                    has_ended |= left == 0 && self.end_frame();
                }
                Place::Head(head, have) => {
                    let part = bytes.len().min(HEAD_BYTES - *have);
                    head[*have..*have + part].copy_from_slice(&bytes[..part]);
                    *have += part;
                    bytes = &bytes[part..];
                    if *have == HEAD_BYTES {
                        let head = *head;
                        has_ended |= self.begin_frame(head);
                    }
                }
            }
        }
        has_ended
    }

    fn begin_frame(&mut self, head: [u8; HEAD_BYTES]) -> bool {
        let [a, b, c, kind, flags, ..] = head;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.in_headers = flags & END_HEADERS == 0;
        }
        let bytes = u32::from_be_bytes([0, a, b, c]);
        self.empty += u32::from(match kind {
            DATA => bytes == 0 && flags & END_STREAM == 0,
            HEADERS | CONTINUATION | RST_STREAM | WINDOW_UPDATE => false,
            _ => true,
        });
        self.place = Place::Payload(bytes);
        bytes == 0 && self.end_frame()
    }

    /// A frame ended. Returns whether nothing must follow it.
    fn end_frame(&mut self) -> bool {
        self.has_greeted = true;
        self.place = Place::Head([0; HEAD_BYTES], 0);
        !self.in_headers
    }
}

/// Takes up to so many bytes. Returns how many are still missing.
fn skip(bytes: &mut &[u8], missing: u32) -> u32 {
    let part = bytes.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
    *bytes = &bytes[part..];
    missing - u32::try_from(part).expect("no more than are missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

    fn greeted() -> Frames {
        let mut frames = Frames::new();
        frames.follow(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frames.follow(&SETTINGS);
        frames
    }

    #[test]
    fn a_greeting_ends_with_the_settings_however_it_is_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
        for size in 1..bytes.len() {
            let mut frames = Frames::new();
            for (index, part) in bytes.chunks(size).enumerate() {
                assert!(frames.is_midway(), "{size}");
                assert_eq!(frames.follow(part), (index + 1) * size >= bytes.len(), "{size}");
            }
            assert!(!frames.is_midway(), "{size}");
        }
    }

    #[test]
    fn headers_last_until_they_say_that_they_end() {
        let mut frames = greeted();
        frames.follow(&[0, 0, 2, HEADERS, 0, 0, 0, 0, 1, 7, 7]);
        assert!(frames.is_midway());
        frames.follow(&[0, 0, 0, CONTINUATION, 0, 0, 0, 0, 1]);
        assert!(frames.is_midway());
        frames.follow(&[0, 0, 1, CONTINUATION, END_HEADERS, 0, 0, 0, 1, 7]);
        assert!(!frames.is_midway());
    }

    #[test]
    fn each_end_is_told_also_when_the_next_frame_has_begun() {
        let mut frames = greeted();
        assert!(!frames.follow(&[0, 0, 2, 0, 0, 0, 0, 0, 1, 7]));
        assert!(frames.follow(&[7, 0, 0, 2, 0]));
        assert!(frames.is_midway());
        assert!(!frames.follow(&[0, 0, 0, 0, 1, 7]));
        assert!(frames.follow(&[7]));
    }

    #[test]
    fn frames_that_carry_nothing_are_counted() {
        let mut frames = greeted();
        assert_eq!(frames.take_empty(), 1);
        let head = |kind, flags, bytes| [0, 0, bytes, kind, flags, 0, 0, 0, 1];
        for (kind, flags, bytes, counts) in [
            (DATA, 0, 0, 1),
            (DATA, END_STREAM, 0, 0),
            (DATA, 0, 1, 0),
            (6, 0, 8, 1),
            (99, 0, 0, 1),
        ] {
            frames.follow(&head(kind, flags, bytes));
            frames.follow(&vec![0; bytes.into()]);
            assert_eq!(frames.take_empty(), counts, "{kind} {flags} {bytes}");
        }
    }

    #[test]
    fn a_frame_lasts_until_its_last_byte() {
        let mut frames = greeted();
        frames.follow(&[0, 1, 0, 0, 0, 0, 0, 0, 1]);
        frames.follow(&[0; 255]);
        assert!(frames.is_midway());
        frames.follow(&[0]);
        assert!(!frames.is_midway());
        frames.follow(&SETTINGS[..8]);
        assert!(frames.is_midway());
    }
}
