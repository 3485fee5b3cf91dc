//! The newest lines of the service's log, kept in memory for those who watch it from elsewhere.
//!
//! Only the service's own lines are kept. Libraries tell of each frame that they send when they are
//! allowed to, and a frame that carries a line would make the next one.
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

/// So many lines are kept.
pub const LINES_MAX: usize = 1000;
/// Bytes of a text of a line; the rest is cut off.
const TEXT_BYTES_MAX: usize = 2048;
/// How the targets of the service's own lines begin.
const OWN_TARGETS: &str = "rewardpool";

/// One line of the log.
#[derive(Debug)]
pub struct Line {
    /// Its number: one more than that of the line before it, and across restarts more than that.
    pub sequence: u64,
    /// When it was written, in milliseconds since 1970.
    pub time_ms: i64,
    /// How important it is.
    pub level: Level,
    /// The part of the program that wrote it.
    pub target: &'static str,
    /// What happened.
    pub message: String,
    /// The particulars, those of the spans in which it happened first.
    pub fields: Vec<(&'static str, String)>,
}

/// The newest lines of the log. Clones are the same ring.
#[derive(Clone)]
pub struct LogRing(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    /// Number of the line that comes next.
    next: watch::Sender<u64>,
}

struct Lines {
    /// Of this process.
    first_sequence: u64,
    next_sequence: u64,
    kept: VecDeque<Arc<Line>>,
}

/// What a ring holds from a line on.
pub(crate) enum Found {
    /// This line, after so many that are gone.
    Line(Arc<Line>, u64),
    /// Nothing yet.
    Nothing,
}

impl Default for LogRing {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A later run of the service begins behind every number of this one.
        let first_sequence = u64::try_from(since.as_micros()).unwrap_or(1).max(1);
        let kept = VecDeque::with_capacity(LINES_MAX);
        let lines = Lines { first_sequence, next_sequence: first_sequence, kept };
        let (next, _) = watch::channel(first_sequence);
        Self(Arc::new(Shared { lines: Mutex::new(lines), next }))
    }
}

impl fmt::Debug for LogRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogRing").field("next", &*self.0.next.borrow()).finish_non_exhaustive()
    }
}

impl LogRing {
    /// The lines that are kept, the oldest first.
    pub fn lines(&self) -> Vec<Arc<Line>> {
        self.lock().kept.iter().cloned().collect()
    }

    /// Number of the line that comes next, as it changes.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.next.subscribe()
    }

    /// Where somebody begins who knows the lines up to this one: with the line behind it; or with
    /// the first of this process, if that line was not of this process.
    pub(crate) fn place_after(&self, sequence: u64) -> u64 {
        let lines = self.lock();
        let is_known = (lines.first_sequence..lines.next_sequence).contains(&sequence);
        if is_known { sequence + 1 } else { lines.first_sequence }
    }

    /// Where somebody begins who wants so many of the lines that are kept.
    pub(crate) fn place_before_end(&self, backlog: usize) -> u64 {
        let lines = self.lock();
        let backlog = backlog.min(lines.kept.len()) as u64;
        lines.next_sequence - backlog
    }

    /// The first line that is kept from this number on.
    pub(crate) fn find(&self, sequence: u64) -> Found {
        let lines = self.lock();
        let oldest = lines.next_sequence - lines.kept.len() as u64;
        let missed = oldest.saturating_sub(sequence);
        let place = usize::try_from((sequence + missed) - oldest).unwrap_or(usize::MAX);
        lines.kept.get(place).map_or(Found::Nothing, |line| Found::Line(Arc::clone(line), missed))
    }

    fn push(&self, mut line: Line) {
        let mut lines = self.lock();
        line.sequence = lines.next_sequence;
        lines.next_sequence += 1;
        if lines.kept.len() == LINES_MAX {
            lines.kept.pop_front();
        }
        lines.kept.push_back(Arc::new(line));
        // Within the lock, so that the numbers are told in their order.
        self.0.next.send_replace(lines.next_sequence);
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The particulars of a span, as they are kept beside it.
struct SpanFields(Vec<(&'static str, String)>);

impl<S> Layer<S> for LogRing
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id).filter(|span| is_own(span.metadata().target())) else {
            return;
        };
        let mut texts = Texts::default();
        attributes.record(&mut texts);
        span.extensions_mut().insert(SpanFields(texts.fields));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(SpanFields(fields)) = span.extensions_mut().get_mut() {
            let mut texts = Texts::default();
            values.record(&mut texts);
            fields.append(&mut texts.fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if !is_own(metadata.target()) {
            return;
        }
        let mut texts = Texts::default();
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                texts.fields.extend(fields.iter().cloned());
            }
        }
        event.record(&mut texts);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.push(Line {
            sequence: 0,
            time_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            level: *metadata.level(),
            target: metadata.target(),
            message: texts.message,
            fields: texts.fields,
        });
    }
}

fn is_own(target: &str) -> bool {
    target.starts_with(OWN_TARGETS)
}

/// Takes the fields of an event or a span as texts.
#[derive(Default)]
struct Texts {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Texts {
    fn put(&mut self, field: &Field, mut text: String) {
        if text.len() > TEXT_BYTES_MAX {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
            text.push('…');
        }
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.push((field.name(), text));
        }
    }
}

impl Visit for Texts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    //! Goal: who reads slowly loses the oldest lines and knows how many; numbers lead on across a
    //! restart. Method: real events through the layer, on this thread only.
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::registry;

    use super::*;

    fn with_ring(body: impl FnOnce()) -> LogRing {
        let ring = LogRing::default();
        with_default(registry().with(ring.clone()), body);
        ring
    }

    #[test]
    fn a_line_has_the_fields_of_its_event_and_of_its_spans() {
        let long = "é".repeat(TEXT_BYTES_MAX);
        let ring = with_ring(|| {
            let call = tracing::info_span!("call", id = "7", peer = tracing::field::Empty);
            call.record("peer", "somebody");
            let _entered = call.enter();
            tracing::warn!(lsn = 12, text = %long, "it happened {}", 3);
            tracing::info!(target: "h2", "a frame was sent");
        });
        let lines = ring.lines();
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((line.level, &*line.message), (Level::WARN, "it happened 3"));
        assert!(line.target.starts_with("rewardpool_server::log_ring"), "{line:?}");
        let names: Vec<&str> = line.fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["id", "peer", "lsn", "text"]);
        assert_eq!((&*line.fields[1].1, &*line.fields[2].1), ("somebody", "12"));
        assert_eq!(line.fields[3].1.len(), TEXT_BYTES_MAX + '…'.len_utf8());
    }

    #[test]
    fn the_newest_lines_are_kept_and_the_others_are_counted() {
        let ring = with_ring(|| {
            for number in 0..LINES_MAX + 5 {
                tracing::info!(number, "line");
            }
        });
        let first = ring.lines()[0].sequence - 5;
        let found = |sequence| match ring.find(sequence) {
            Found::Line(line, missed) => Some((line.sequence - first, missed)),
            Found::Nothing => None,
        };
        assert_eq!(ring.lines().len(), LINES_MAX);
        assert_eq!(found(first), Some((5, 5)));
        assert_eq!(found(first + 3), Some((5, 2)));
        assert_eq!(found(first + 5), Some((5, 0)));
        assert_eq!(found(first + 1004), Some((1004, 0)));
        assert_eq!(found(first + 1005), None);
        assert_eq!(ring.place_before_end(0), first + 1005);
        assert_eq!(ring.place_before_end(10), first + 995);
        assert_eq!(ring.place_before_end(usize::MAX), first + 5);
        assert_eq!(ring.place_after(first + 7), first + 8);
        assert_eq!(ring.place_after(first + 1004), first + 1005);
        // Numbers of another run, an earlier or a later one.
        assert_eq!(ring.place_after(first - 1), first);
        assert_eq!(ring.place_after(first + 1005), first);
        let later = LogRing::default();
        assert!(later.place_before_end(0) > first + 1004);
    }
}
