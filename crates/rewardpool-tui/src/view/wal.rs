//! The log on disk: its segments and its last snapshot.
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::paint::{Painter, cut, right};
use crate::app::{App, Pane};
use crate::layout::Areas;
use crate::look::{Look, QUIET};
use crate::model::{Segment, SegmentState, ServiceStatus};
use crate::numbers::{bytes, date, grouped, span};

const LSN: usize = 16;
const SIZE: usize = 10;

pub(super) fn draw(painter: &mut Painter<'_, '_>, areas: Areas, app: &App) {
    let look = painter.look;
    let Some(status) = &app.status else {
        painter.title(areas.main, "Write-ahead log", "", app.focus == Some(Pane::Main));
        let rows = Rect { y: areas.main.y + 1, height: areas.main.height - 1, ..areas.main };
        painter.waiting(rows, app.no_status.as_ref());
        return;
    };
    let seen = status.segments.len().saturating_sub(app.segments.top);
    let note = if seen > usize::from(areas.list.height) || app.segments.top > 0 {
        format!("{} segments", status.segments.len())
    } else {
        String::new()
    };
    painter.title(areas.main, "Write-ahead log", &note, app.focus == Some(Pane::Main));
    for (row, line) in
        facts(app, status, usize::from(areas.main.width), look).into_iter().enumerate()
    {
        painter.line(areas.main, row + 1, line);
    }
    let head = Rect { y: areas.list.y - 1, height: 1, ..areas.list };
    let name = "  segment   state ";
    let text = format!(
        "{name}{}{}{}",
        right("first lsn", LSN, look),
        right("used", SIZE, look),
        right("size", SIZE, look)
    );
    painter.line(head, 0, Line::styled(text, QUIET));
    let seen = status.segments.iter().skip(app.segments.top).take(usize::from(areas.list.height));
    for (row, segment) in seen.enumerate() {
        painter.line(areas.list, row, line(segment, usize::from(areas.list.width), look));
    }
}

/// Four lines, whatever there is to say.
fn facts(app: &App, status: &ServiceStatus, columns: usize, look: Look) -> [Line<'static>; 4] {
    let fact = |name: &'static str, value: String| {
        let value = cut(&value, columns.saturating_sub(13), look);
        Line::from(vec![Span::styled(format!("  {name:<10}"), QUIET), Span::raw(value)])
    };
    let durable = app.activity.as_ref().map_or(status.durable_lsn, |activity| activity.durable_lsn);
    let durable = format!(
        "up to lsn {}; {} records, storage {}, {} scheduling",
        grouped(durable),
        status.format,
        status.storage,
        status.scheduling
    );
    let snapshot = status.snapshots.first().map_or_else(
        || "none yet: `snapshot` writes one".to_owned(),
        |last| {
            let made = if last.made_at_ms > 0 { date(last.made_at_ms) } else { String::new() };
            let age = match app.now.unix_ms.checked_sub(last.made_at_ms) {
                Some(age) if last.made_at_ms > 0 => {
                    format!(" ({} ago)", span(std::time::Duration::from_millis(age)))
                }
                Some(_) | None => String::new(),
            };
            format!("{}, {}, made {made}{age}", last.file, bytes(last.bytes))
        },
    );
    let recovery = &status.recovery;
    let torn = match recovery.torn_bytes {
        0 => String::new(),
        torn => format!(", {} unanswered cut off", bytes(torn)),
    };
    let start = if recovery.snapshot_lsn == 0 && recovery.records == 0 {
        "in an empty directory".to_owned()
    } else {
        format!(
            "from lsn {} and {} records, in {:.2} s{torn}",
            grouped(recovery.snapshot_lsn),
            grouped(recovery.records),
            recovery.duration.as_secs_f64()
        )
    };
    [
        fact("durable", durable),
        fact("snapshot", snapshot),
        fact("started", start),
        fact("directory", status.working_dir.clone()),
    ]
}

fn line(segment: &Segment, width: usize, look: Look) -> Line<'static> {
    let style = match segment.state {
        SegmentState::Open => look.good(),
        SegmentState::Closed => QUIET,
    };
    let name = format!("wal.{:03}", segment.number);
    let mut spans = vec![
        Span::raw(format!("  {name:<9} ")),
        Span::styled(format!("{:<6}", segment.state.name()), style),
        Span::raw(right(&grouped(segment.first_lsn), LSN, look)),
        Span::raw(right(&bytes(segment.used_bytes), SIZE, look)),
        Span::raw(right(&bytes(segment.bytes), SIZE, look)),
    ];
    let used = 18 + LSN + 2 * SIZE + 3;
    let columns = width.saturating_sub(used).min(60);
    if columns >= 8 {
        let bar = look.bar(segment.used_bytes, segment.bytes, columns);
        let rest = columns - bar.chars().count();
        spans.push(Span::raw("  "));
        spans.push(Span::styled(bar, style));
        spans.push(Span::styled(look.track(rest), QUIET));
    }
    Line::from(spans)
}
