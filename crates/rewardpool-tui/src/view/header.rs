//! The head of the screen: which service and pool this is, and how they are.
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::paint::Painter;
use crate::app::{App, Phase, Seat};
use crate::event::Link;
use crate::look::{Look, QUIET, STRONG};
use crate::model::PoolStatus;
use crate::numbers::{grouped, micros, rate, span};

pub(super) fn draw(painter: &mut Painter<'_, '_>, area: Rect, app: &App) {
    let look = painter.look;
    let who = who(app, look);
    let room = usize::from(area.width).saturating_sub(who.width() + 2);
    painter.edges(area, 0, who, connection(app, room, look));
    painter.line(area, 1, pulse(app, look));
}

fn who(app: &App, look: Look) -> Line<'_> {
    let mut spans = vec![Span::styled(" rewardpool", look.accent().patch(STRONG))];
    let name = app.pool_name();
    if !name.is_empty() {
        spans.push(Span::raw("  pool "));
        spans.push(Span::styled(name, STRONG));
    }
    if let Some(state) = &app.state {
        let style = match state.status {
            PoolStatus::Active => look.good(),
            PoolStatus::Paused => look.warning(),
            PoolStatus::Closed => look.bad(),
        };
        spans.push(Span::raw(look.dot()));
        spans.push(Span::styled(state.status.name(), style));
    }
    Line::from(spans)
}

/// Where the service is, in as many words as there is room for, and how the connection is.
fn connection(app: &App, room: usize, look: Look) -> Line<'static> {
    let (style, word) = match (app.phase, &app.link) {
        (Phase::Draining, _) => (look.warning(), "draining"),
        (Phase::Leaving, _) => (look.warning(), "leaving"),
        (Phase::Ended, _) => (look.warning(), "stopped"),
        (Phase::Running, Link::Up) => (look.good(), "connected"),
        (Phase::Running, Link::Connecting) => (look.warning(), "connecting"),
        (Phase::Running, Link::Down { .. }) => (look.bad(), "gone"),
    };
    let places = match &app.seat {
        Seat::Attached { url } => {
            let short = url.trim_start_matches("http://");
            [format!("attached to {url}"), format!("attached to {short}"), "attached".to_owned()]
        }
        Seat::Embedded { access } => {
            let short = access.trim_start_matches("serving ");
            [format!("embedded, {access}"), format!("embedded, {short}"), "embedded".to_owned()]
        }
    };
    let rest = look.dot().width() + word.width() + 1;
    let fits = |place: &String| place.width() + rest <= room;
    let mut spans = vec![Span::styled(word, style), Span::raw(" ")];
    if let Some(place) = places.into_iter().find(fits) {
        spans.splice(0..0, [Span::styled(place, QUIET), Span::raw(look.dot())]);
    }
    Line::from(spans)
}

/// What moves: the last request, the rate, how long commits take.
fn pulse(app: &App, look: Look) -> Line<'_> {
    let mut facts: Vec<(&str, String)> = Vec::new();
    match (&app.activity, &app.state) {
        (Some(activity), state) => {
            // The state is newer; the activity counts all pools.
            let last = state.as_ref().map_or(0, |state| state.last_request_id);
            facts.push(("request ", grouped(last.max(activity.last_request_id))));
            facts.push((
                "",
                format!("{} draws", rate(activity.draws_per_second))
                    .replace("/s draws", " draws/s"),
            ));
            if activity.commit_p50_us > 0 {
                let (p50, p99) = (micros(activity.commit_p50_us), micros(activity.commit_p99_us));
                facts.push(("commit ", format!("p50 {p50}, p99 {p99}")));
            }
            facts.push(("up ", span(activity.uptime)));
        }
        (None, Some(state)) => facts.push(("request ", grouped(state.last_request_id))),
        (None, None) => {}
    }
    let is_stale = app.down_since.is_some();
    let style = if is_stale { QUIET } else { STRONG };
    let mut spans = vec![Span::raw(" ")];
    for (place, (name, value)) in facts.into_iter().enumerate() {
        if place > 0 {
            spans.push(Span::styled(look.dot(), QUIET));
        }
        spans.push(Span::styled(name, QUIET));
        spans.push(Span::styled(value, style));
    }
    Line::from(spans)
}
