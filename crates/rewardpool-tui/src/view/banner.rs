//! The one thing that somebody must know before anything else.
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::paint::{Painter, cut};
use crate::app::{App, Phase};
use crate::event::{Link, Problem};
use crate::look::{Look, STRONG};
use crate::model::PoolStatus;
use crate::numbers::{clock, span};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Weight {
    Bad,
    Warning,
}

/// What there is to know. `None` when all is as it should be.
pub(crate) fn banner(app: &App) -> Option<(Weight, String)> {
    ending(app).or_else(|| connection(app)).or_else(|| service(app)).or_else(|| pool(app))
}

fn ending(app: &App) -> Option<(Weight, String)> {
    let text = match app.phase {
        Phase::Leaving => "leaving as soon as the draws that are under way are answered",
        Phase::Draining => "draining: the service answers what it has, then this ends",
        Phase::Running | Phase::Ended => return None,
    };
    Some((Weight::Warning, text.to_owned()))
}

fn connection(app: &App) -> Option<(Weight, String)> {
    match &app.link {
        Link::Up => {
            if let Some(Problem { what, next }) = &app.unwatchable {
                return Some((Weight::Bad, format!("{what}; {next}")));
            }
            let silence = span(app.silence()?);
            Some((Weight::Warning, format!("no word from the service for {silence}: it is busy")))
        }
        Link::Connecting => Some((Weight::Warning, "connecting".to_owned())),
        Link::Down { problem, tries } => {
            let since = app.down_since.unwrap_or(app.now);
            let (at, gone) = (clock(since.unix_ms), span(app.now.since(since)));
            let has_been = if app.was_up() {
                format!("the service is gone since {at} ({gone}), reconnecting")
            } else {
                format!("no service answers ({gone}), trying again")
            };
            Some((Weight::Bad, format!("{has_been} (try {tries}): {}", problem.what)))
        }
    }
}

fn service(app: &App) -> Option<(Weight, String)> {
    let activity = app.activity.as_ref()?;
    let text = if !activity.is_conserved {
        "granted = left + awarded does NOT hold: stop the service and run `rewardpool verify`"
    } else if activity.is_out_of_space {
        "the disk is full: draws are refused until there is room; nothing is lost"
    } else {
        return None;
    };
    Some((Weight::Bad, text.to_owned()))
}

fn pool(app: &App) -> Option<(Weight, String)> {
    let state = app.state.as_ref()?;
    let text = match state.status {
        PoolStatus::Paused => "paused: draws are refused; `resume` lets the pool draw again",
        PoolStatus::Closed => {
            "closed: this pool draws no more, for ever; `pool <name>` shows another"
        }
        PoolStatus::Active if state.total_weight == 0 && state.item_count > 0 => {
            "nothing is available: every draw is empty; `u <item> +50` refills"
        }
        PoolStatus::Active => return None,
    };
    Some((Weight::Warning, text.to_owned()))
}

pub(super) fn draw(painter: &mut Painter<'_, '_>, area: Rect, app: &App) {
    let Some((weight, text)) = banner(app) else { return };
    let style = style(weight, painter.look);
    let text = cut(&text, usize::from(area.width).saturating_sub(4), painter.look);
    painter.line(area, 0, Line::from(vec![Span::styled(" ! ", style), Span::styled(text, style)]));
}

fn style(weight: Weight, look: Look) -> Style {
    match weight {
        Weight::Bad => look.bad(),
        Weight::Warning => look.warning().patch(STRONG),
    }
}
