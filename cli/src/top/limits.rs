//! The limits of the whole server: how much of each is used, as a bar and in words, and what was held back.

use super::view::{Capabilities, bar_of, coloured};
use crate::ctl::limits;
use crate::ctl::show::{fit, width};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use tine_common::gauges::LimitState;
use tine_common::limit_status::{LimitsStatus, ResourceStatus};

/// Columns of the words about one limit, and the fewest of its bar.
const WORDS_COLUMNS: usize = 33;
const BAR_COLUMNS_MIN: usize = 4;
const GAP: usize = 2;

/// As many limits in a line as fit, then a line for each limit of clients and one about requests that were held back; none if nothing is limited.
pub fn lines(limits: &LimitsStatus, columns: usize, capabilities: Capabilities) -> Vec<Line<'static>> {
    if !limits.is_any() {
        return Vec::new();
    }
    let cells = (columns + GAP) / (WORDS_COLUMNS + BAR_COLUMNS_MIN + GAP);
    let cell_columns = (columns + GAP).checked_div(cells).map_or(columns, |with_gap| with_gap - GAP);
    let rows = limits.resources.chunks(cells.max(1)).map(|row| {
        let cells = row.iter().enumerate().flat_map(|(i, resource)| {
            let gap = Span::raw(" ".repeat(if i == 0 { 0 } else { GAP }));
            std::iter::once(gap).chain(cell(resource, limits, cell_columns, capabilities))
        });
        Line::from(cells.collect::<Vec<_>>())
    });
    let of_clients = limits.clients.iter().map(|clients| limits.line_of(clients));
    let in_words = of_clients.chain([limits.held_back()]).map(|text| Line::raw(fit(&text, columns)));
    rows.chain(in_words).collect()
}

fn cell(
    resource: &ResourceStatus,
    limits: &LimitsStatus,
    columns: usize,
    capabilities: Capabilities,
) -> [Span<'static>; 3] {
    let style = match resource.state {
        LimitState::Normal => coloured(Style::new(), Color::Green, capabilities),
        LimitState::Warning => coloured(Style::new(), Color::Yellow, capabilities),
        LimitState::Violation => coloured(Style::new().add_modifier(Modifier::BOLD), Color::Red, capabilities),
    };
    let words = fit(&limits::line(resource, limits), WORDS_COLUMNS.min(columns));
    let rest = columns.saturating_sub(WORDS_COLUMNS);
    let bar = bar_of(resource.share(), rest, capabilities);
    let padding = |taken: usize, room: usize| " ".repeat(room.saturating_sub(taken));
    let after_words = padding(width(&words), WORDS_COLUMNS.min(columns));
    let after_bar = padding(width(&bar), rest);
    [Span::styled(words + &after_words, style), Span::styled(bar, style), Span::raw(after_bar)]
}
