//! The names of the tabs.
use ratatui::text::{Line, Span};

use super::paint::Painter;
use crate::app::App;
use crate::layout::Areas;
use crate::look::{CHOSEN, QUIET};

pub(super) fn draw(painter: &mut Painter<'_, '_>, areas: Areas, app: &App) {
    for (number, (tab, place)) in areas.tab_places().enumerate() {
        let text = format!(" {} {} ", number + 1, tab.name());
        let style = if tab == app.tab { CHOSEN } else { QUIET };
        painter.line(place, 0, Line::from(Span::styled(text, style)));
    }
}
