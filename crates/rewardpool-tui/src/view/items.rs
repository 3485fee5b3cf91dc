//! The items of the pool as a bar chart: what is left of what was granted, the odds of the next draw,
//! and when it runs out.
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::paint::{Painter, cut, find_note, left, marked, right};
use crate::app::{App, Pane};
use crate::forecast::Forecast;
use crate::layout::Areas;
use crate::look::{Look, QUIET, STRONG};
use crate::model::{Item, PoolState, Units};
use crate::numbers::{grouped, percent, short};

/// Columns between two columns.
const GAP: usize = 2;
const NAME_MAX: usize = 24;
const ODDS: usize = 7;
const FORECAST: usize = 11;
/// From this width on there is a column for the awards.
const WIDE: usize = 100;

/// What is shown of an item.
#[derive(Clone, Copy)]
struct Row<'a> {
    item: &'a Item,
    forecast: Forecast,
    is_marked: bool,
}

/// Widths of the columns.
struct Columns {
    name: usize,
    bar: usize,
    left: usize,
    awarded: usize,
    weight: usize,
    has_granted: bool,
}

pub(super) fn draw(painter: &mut Painter<'_, '_>, areas: Areas, app: &App) {
    let rows = app.item_rows();
    let note = note(app, rows.len(), areas.list);
    painter.title(areas.main, "Items", &note, app.focus == Some(Pane::Main));
    let Some(state) = &app.state else {
        let told = if app.unwatchable.is_some() {
            "  the service does not show this pool"
        } else {
            "  waiting for the service"
        };
        painter.line(areas.list, 0, Line::styled(told, QUIET));
        return;
    };
    if rows.is_empty() {
        let text = match (app.is_turning(), state.item_count) {
            (true, _) => "  turning the page",
            (false, 0) => "  this pool has no items",
            (false, _) => "  no item on this page has that in its name",
        };
        painter.line(areas.list, 0, Line::styled(text, QUIET));
        return;
    }
    let seen: Vec<(usize, &Item)> =
        rows.iter().skip(app.items.top).take(usize::from(areas.list.height)).copied().collect();
    let columns = Columns::fit(&seen, usize::from(areas.list.width), painter.look);
    let head = Rect { y: areas.list.y - 1, height: 1, ..areas.list };
    painter.line(head, 0, columns.head(painter.look));
    for (row, (place, item)) in seen.into_iter().enumerate() {
        let is_marked = app.focus == Some(Pane::Main) && app.items.top + row == app.items.marked;
        let forecast = app.forecasts.get(place).copied().unwrap_or(Forecast::Unknown);
        let line = columns.row(app, state, Row { item, forecast, is_marked }, painter.look);
        painter.line(areas.list, row, line);
    }
}

/// Which items these are, when they are not all.
fn note(app: &App, rows: usize, list: Rect) -> String {
    let found = find_note(app.items.find.as_ref(), Pane::Main, rows);
    let Some(state) = &app.state else { return found };
    let number = |number: usize| u64::try_from(number).expect("a page is bounded");
    let seen = rows.saturating_sub(app.items.top).min(usize::from(list.height));
    if !found.is_empty() || state.item_count <= number(seen) || app.is_turning() {
        return found;
    }
    let first = app.items_before + number(app.items.top) + 1;
    let last = app.items_before + number(app.items.top + seen);
    format!("{} to {} of {}", grouped(first), grouped(last), grouped(state.item_count))
}

impl Columns {
    fn fit(seen: &[(usize, &Item)], width: usize, look: Look) -> Self {
        let most = |text: &dyn Fn(&Item) -> String, least: usize| {
            seen.iter().map(|(_, item)| text(item).width()).max().unwrap_or(0).max(least)
        };
        let name = most(&|item| item.id.clone(), 4).min(NAME_MAX).min(width / 4);
        let weight = most(&|item| short(item.weight), 6);
        let awarded = if width >= WIDE { most(&|item| grouped(item.awarded), 7) } else { 0 };
        let bar = |left: usize| {
            let extra = if awarded > 0 { awarded + GAP } else { 0 };
            let fixed = 2 + name + left + weight + ODDS + FORECAST + extra + 5 * GAP + 1;
            width.saturating_sub(fixed)
        };
        let full = most(&|item| left_of(item, true, look), 14);
        let has_granted = bar(full) >= 10;
        let left = if has_granted { full } else { most(&|item| left_of(item, false, look), 5) };
        Self { name, bar: bar(left), left, awarded, weight, has_granted }
    }

    fn head(&self, look: Look) -> Line<'static> {
        let gap = " ".repeat(GAP);
        let left_of = if self.has_granted { "left / granted" } else { "left" };
        let mut text = format!("  {}{gap}{}", left("item", self.name, look), " ".repeat(self.bar));
        text.extend([gap.as_str(), &right(left_of, self.left, look)]);
        if self.awarded > 0 {
            text.extend([gap.as_str(), &right("awarded", self.awarded, look)]);
        }
        text.extend([gap.as_str(), &right("weight", self.weight, look)]);
        text.extend([gap.as_str(), &right("odds", ODDS, look)]);
        text.extend([gap.as_str(), &right("runs out", FORECAST, look)]);
        Line::styled(text, QUIET)
    }

    fn row<'a>(&self, app: &'a App, state: &PoolState, row: Row<'a>, look: Look) -> Line<'a> {
        let Row { item, forecast, is_marked } = row;
        let is_stale = app.down_since.is_some() || item.is_retired;
        let base = if is_stale { QUIET } else { Style::new() };
        let gap = " ".repeat(GAP);
        let mark = if is_marked { look.mark() } else { " " };
        let mut spans = vec![Span::styled(format!("{mark} "), look.accent())];
        spans.extend(self.name(app, item, base, is_marked, look));
        spans.push(Span::raw(gap.clone()));
        spans.extend(self.bar(item, base, look));
        let number = left_of(item, self.has_granted, look);
        spans.push(Span::styled(format!("{gap}{}", right(&number, self.left, look)), base));
        let mut column = |text: &str, width: usize, style: Style| {
            spans.push(Span::raw(gap.clone()));
            spans.push(Span::styled(right(text, width, look), style));
        };
        if self.awarded > 0 {
            column(&grouped(item.awarded), self.awarded, base);
        }
        column(&short(item.weight), self.weight, base);
        let odds = match item.effective_weight() {
            0 => "-".to_owned(),
            weight => percent(weight, state.total_weight),
        };
        column(&odds, ODDS, if app.is_drawing() { base } else { QUIET });
        let (text, style) = outlook(app, item, forecast, base, look);
        column(&text, FORECAST, style);
        Line::from(spans)
    }

    fn name<'a>(
        &self,
        app: &'a App,
        item: &'a Item,
        base: Style,
        is_marked: bool,
        look: Look,
    ) -> Vec<Span<'a>> {
        let style = if is_marked { look.accent().patch(STRONG) } else { base };
        let pad = self.name.saturating_sub(item.id.width());
        if item.id.width() > self.name {
            return vec![Span::styled(cut(&item.id, self.name, look), style)];
        }
        let mut spans = marked(&item.id, style, app.items.find.as_ref());
        spans.push(Span::raw(" ".repeat(pad)));
        spans
    }

    fn bar(&self, item: &Item, base: Style, look: Look) -> Vec<Span<'static>> {
        let (Units::Limited(units), Units::Limited(granted)) = (item.left, item.granted) else {
            return vec![Span::styled(left("unlimited", self.bar, look), QUIET)];
        };
        let bar = look.bar(units, granted, self.bar);
        let track = look.track(self.bar.saturating_sub(bar.width()));
        let style = if base == QUIET { base } else { level(units, granted, look) };
        vec![Span::styled(bar, style), Span::styled(track, QUIET)]
    }
}

/// The colour of a bar: how much is left.
fn level(units: u64, granted: u64, look: Look) -> Style {
    let (units, granted) = (u128::from(units), u128::from(granted));
    if units * 20 < granted {
        look.bad()
    } else if units * 4 < granted {
        look.warning()
    } else {
        look.good()
    }
}

fn left_of(item: &Item, with_granted: bool, look: Look) -> String {
    match (item.left, item.granted) {
        (Units::Limited(units), Units::Limited(granted)) if with_granted => {
            format!("{} / {}", grouped(units), grouped(granted))
        }
        (Units::Limited(units), _) => grouped(units),
        (Units::Unlimited, _) => look.endless().to_owned(),
    }
}

/// What will become of the item, in a word.
fn outlook(app: &App, item: &Item, forecast: Forecast, base: Style, look: Look) -> (String, Style) {
    if item.is_retired {
        return ("retired".to_owned(), QUIET);
    }
    if item.left == Units::Limited(0) {
        return ("sold out".to_owned(), look.bad());
    }
    if item.weight == 0 {
        return ("not drawn".to_owned(), QUIET);
    }
    if !app.is_drawing() {
        let word = app.state.as_ref().map_or("-", |state| state.status.name());
        return (word.to_owned(), look.warning());
    }
    let style = if forecast.is_near() { look.warning() } else { base };
    (forecast.text(), style)
}
