//! All pools of the service.
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::paint::{Painter, cut, find_note, marked, right};
use crate::app::{App, Pane};
use crate::layout::Areas;
use crate::look::{QUIET, STRONG};
use crate::model::{PoolStatus, PoolSummary};
use crate::numbers::{grouped, short};

const NAME_MAX: usize = 28;
const STATUS: usize = 6;
const NUMBER: usize = 11;

pub(super) fn draw(painter: &mut Painter<'_, '_>, areas: Areas, app: &App) {
    let rows = app.pool_rows();
    let mut note = find_note(app.pool_list.find.as_ref(), Pane::Main, rows.len());
    let known = app.pools.as_ref().map_or(0, |pools| pools.pools.len());
    if let Some(pools) = app.pools.as_ref().filter(|pools| {
        note.is_empty() && u64::try_from(known).is_ok_and(|known| known < pools.count)
    }) {
        let (known, all) = (grouped(u64::try_from(known).unwrap_or(0)), grouped(pools.count));
        note = format!("the first {known} of {all}");
    }
    painter.title(areas.main, "Pools", &note, app.focus == Some(Pane::Main));
    if app.pools.is_none() {
        painter.waiting(areas.list, app.no_pools.as_ref());
        return;
    }
    if rows.is_empty() {
        let text = "  no pools here: `rewardpool pool create` makes one";
        painter.line(areas.list, 0, Line::styled(text, QUIET));
        return;
    }
    let room = usize::from(areas.list.width).saturating_sub(4 + 2 + STATUS + 4 * NUMBER + 10);
    let width = rows.iter().map(|pool| pool.pool.width()).max().unwrap_or(4);
    let width = width.min(NAME_MAX).min(room).max(4);
    let head = Rect { y: areas.list.y - 1, height: 1, ..areas.list };
    let look = painter.look;
    let mut text = format!("    {:width$}  {:STATUS$}", "pool", "status");
    for name in ["items", "draws", "awards", "empty"] {
        text.push_str(&right(name, NUMBER, look));
    }
    painter.line(head, 0, Line::styled(text, QUIET));
    let seen = rows.into_iter().enumerate().skip(app.pool_list.top);
    for (row, (place, pool)) in seen.take(usize::from(areas.list.height)).enumerate() {
        let is_marked = app.focus == Some(Pane::Main) && place == app.pool_list.marked;
        let line = line(app, pool, width, is_marked, look);
        painter.line(areas.list, row, line);
    }
}

fn line<'a>(
    app: &'a App,
    pool: &'a PoolSummary,
    width: usize,
    is_marked: bool,
    look: crate::look::Look,
) -> Line<'a> {
    let mark = if is_marked { look.mark() } else { " " };
    // The pool of the first tab.
    let here = if pool.pool == app.pool_name() { "* " } else { "  " };
    let mut spans = vec![Span::styled(format!("{mark} {here}"), look.accent())];
    if pool.pool.width() <= width {
        spans.extend(marked(&pool.pool, STRONG, app.pool_list.find.as_ref()));
        spans.push(Span::raw(" ".repeat(width - pool.pool.width())));
    } else {
        spans.push(Span::styled(cut(&pool.pool, width, look), STRONG));
    }
    let style = match pool.status {
        PoolStatus::Active => look.good(),
        PoolStatus::Paused => look.warning(),
        PoolStatus::Closed => QUIET,
    };
    spans.push(Span::styled(format!("  {:STATUS$}", pool.status.name()), style));
    for number in [pool.item_count, pool.draws, pool.awards, pool.empties] {
        let text = if number < 1_000_000_000 { grouped(number) } else { short(number) };
        spans.push(Span::raw(right(&text, NUMBER, look)));
    }
    if pool.total_weight == 0 && pool.status != PoolStatus::Closed {
        spans.push(Span::styled("  sold out", look.bad()));
    }
    Line::from(spans)
}
