//! Draws a [`Model`]: the server, two histories, the workers, what the selected one has in flight, the keys.
//!
//! What does not fit is left out, the least important first. Nothing is shown by colour alone.

use super::columns::Column;
use super::limits;
use super::model::{Bar, Model, Row, Sort, share};
use crate::ctl::show::{age, bytes, count, duration, fit, percent, rate};
use crate::ctl::tables;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::bar;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, RenderDirection, Sparkline};
use tine_common::metric::Metric;
use tine_common::status::{Status, WorkerState};

/// Below this, nothing useful fits.
const COLUMNS_MIN: u16 = 24;
const LINES_MIN: u16 = 6;
/// From this many lines on there is room for a worker's requests, and for the histories.
const LINES_WITH_REQUESTS: u16 = 14;
const LINES_WITH_HISTORY: u16 = 20;
/// From this many lines on, more requests are shown.
const LINES_WITH_MORE: u16 = 36;

/// What the terminal can do.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    pub has_colours: bool,
    /// Block characters; else `#` and the like.
    pub has_blocks: bool,
}

pub fn draw(frame: &mut Frame<'_>, model: &Model, capabilities: Capabilities) {
    let area = frame.area();
    if area.width < COLUMNS_MIN || area.height < LINES_MIN {
        frame.render_widget(Paragraph::new("too small"), area);
        return;
    }
    let Some(status) = &model.status else {
        let text = model.trouble.clone().unwrap_or_else(|| "asking the server".to_string());
        frame.render_widget(Paragraph::new(fit(&text, area.width.into())), area);
        return;
    };
    let rows = model.rows();
    let selected = model.selected_row(&rows);
    let columns = usize::from(area.width);
    let head = head(status, model, columns, capabilities);
    // The same number of lines for every worker, so that the table does not jump when another one is selected.
    let requests_lines = match area.height {
        ..LINES_WITH_REQUESTS => 0,
        LINES_WITH_REQUESTS..LINES_WITH_MORE => 5,
        LINES_WITH_MORE.. => 10,
    };
    let requests = rows.get(selected).map(|row| requests(row, requests_lines, columns)).unwrap_or_default();
    let limits = status.limits.as_ref().filter(|_| requests_lines > 0);
    let limits = limits.map(|limits| limits::lines(limits, columns, capabilities)).unwrap_or_default();
    let history_lines = if area.height >= LINES_WITH_HISTORY { 3 } else { 0 };
    let lines = |count: usize| Constraint::Length(count as u16);
    let [head_area, limits_area, history_area, table_area, requests_area, keys_area] = Layout::vertical([
        lines(head.len()),
        lines(limits.len()),
        lines(history_lines),
        Constraint::Min(2),
        lines(requests_lines),
        lines(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(head), head_area);
    frame.render_widget(Paragraph::new(limits), limits_area);
    if history_lines > 0 {
        histories(frame, history_area, model, capabilities);
    }
    let height = usize::from(table_area.height);
    frame.render_widget(Paragraph::new(table(&rows, selected, model, columns, height, capabilities)), table_area);
    frame.render_widget(Paragraph::new(requests), requests_area);
    frame.render_widget(Paragraph::new(keys(model, columns)), keys_area);
}

/// The server in three lines, and one more for a reload or a death.
fn head(status: &Status, model: &Model, columns: usize, capabilities: Capabilities) -> Vec<Line<'static>> {
    let right = match &model.trouble {
        Some(_) => String::new(),
        None => format!(" {}, up {}", status.state, age(status.uptime_s)),
    };
    let left = match &model.trouble {
        Some(why) => format!("{why}; trying again"),
        None => format!("tine {}  {}  {}", status.version, status.name, status.listen.join("  ")),
    };
    let room = columns.saturating_sub(right.len());
    let style = match model.trouble {
        Some(_) => coloured(Style::new().add_modifier(Modifier::REVERSED), Color::Red, capabilities),
        None => Style::new().add_modifier(Modifier::BOLD),
    };
    let mut lines = vec![Line::styled(format!("{:<room$}{right}", fit(&left, room)), style)];
    let plain = |text: String| Line::raw(fit(&text, columns));
    let unknown = || "-".to_string();
    lines.push(plain(format!(
        "workers {}/{}  connections {}  in flight {}  refused {}  cut {}  {}",
        status.workers_ready,
        status.workers_wanted,
        count(status.totals[Metric::Connections]),
        count(status.totals[Metric::InFlight]),
        count(status.totals[Metric::Refused]),
        count(status.totals[Metric::Cut]),
        tables::generations(status),
    )));
    lines.push(plain(format!(
        "answered {}  requests/s {}  p50 {}  p99 {}  CPU {}  memory {}",
        count(status.totals[Metric::Requests]),
        model.rates.requests_per_s.map_or_else(unknown, rate),
        model.quantiles.map_or_else(unknown, |(p50, _)| duration(p50.as_secs_f64())),
        model.quantiles.map_or_else(unknown, |(_, p99)| duration(p99.as_secs_f64())),
        model.rates.cpu_percent.map_or_else(unknown, percent),
        status.memory_bytes.map_or_else(unknown, bytes),
    )));
    let death = status.last_cause.as_ref().map(|cause| tables::cause_with_age(cause, status.last_cause_age_s));
    let known = [("reload", &status.reload), ("last death", &death)];
    let known = known.into_iter().filter_map(|(what, text)| Some(format!("{what}: {}", text.as_ref()?)));
    let known = known.collect::<Vec<_>>().join("  ");
    if !known.is_empty() {
        lines.push(plain(known));
    }
    lines
}

fn histories(frame: &mut Frame<'_>, area: Rect, model: &Model, capabilities: Capabilities) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2).areas(area);
    let largest = |history: &std::collections::VecDeque<u64>, area: Rect| {
        history.iter().take(area.width.into()).copied().max().unwrap_or(0)
    };
    let (rate_max, cpu_max) = (largest(&model.rate_history, left), largest(&model.cpu_history, right));
    let half = |frame: &mut Frame<'_>, area: Rect, title: String, history: Vec<u64>, largest: u64, colour: Color| {
        let [title_area, bars] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        let title = Line::styled(fit(&title, area.width.into()), Style::new().add_modifier(Modifier::DIM));
        frame.render_widget(title, title_area);
        let bars_shown = Sparkline::default()
            .data(history)
            .max(largest.max(1))
            .direction(RenderDirection::RightToLeft)
            .bar_set(if capabilities.has_blocks { bar::NINE_LEVELS } else { ASCII_BARS })
            .style(coloured(Style::new(), colour, capabilities));
        frame.render_widget(bars_shown, bars);
    };
    let data = |history: &std::collections::VecDeque<u64>| history.iter().copied().collect::<Vec<_>>();
    let title = format!("requests/s, up to {}", rate(rate_max as f64));
    half(frame, left, title, data(&model.rate_history), rate_max, Color::Cyan);
    let title = format!("CPU of all workers, up to {}", percent(cpu_max as f64));
    half(frame, right, title, data(&model.cpu_history), cpu_max, Color::Yellow);
}

const ASCII_BARS: bar::Set<'_> = bar::Set {
    full: "#",
    seven_eighths: "#",
    three_quarters: "=",
    five_eighths: "=",
    half: "-",
    three_eighths: "-",
    one_quarter: ".",
    one_eighth: ".",
    empty: " ",
};

/// The titles and as many rows as fit around the selected one.
fn table(
    rows: &[Row<'_>],
    selected: usize,
    model: &Model,
    columns: usize,
    height: usize,
    capabilities: Capabilities,
) -> Vec<Line<'static>> {
    let (shown, bar_columns) = Column::fitting(columns);
    let pad = |column: Column, text: &str| match (column.width(), column.is_word()) {
        (width, true) => format!("{:<width$} ", fit(text, width)),
        (width, false) => format!("{:>width$} ", fit(text, width)),
    };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut titles: Vec<Span<'static>> = Vec::new();
    for &column in &shown {
        let is_sorted = column.sort() == Some(model.sort);
        let style = if is_sorted { bold.add_modifier(Modifier::UNDERLINED) } else { bold };
        let text = pad(column, column.title());
        // The space around a title is not underlined with it.
        let (before, after) = (text.len() - text.trim_start().len(), text.len() - text.trim_end().len());
        titles.push(Span::styled(" ".repeat(before), bold));
        titles.push(Span::styled(text.trim().to_string(), style));
        titles.push(Span::styled(" ".repeat(after), bold));
    }
    if bar_columns.is_some() {
        titles.push(Span::styled(bar_title(model.bar), bold));
    }
    let room = height.saturating_sub(1);
    let first = selected.saturating_sub(room / 2).min(rows.len().saturating_sub(room));
    let mut lines = vec![Line::from(titles)];
    for (i, row) in rows.iter().enumerate().skip(first).take(room) {
        let mark = if i == selected { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        let mut spans: Vec<Span<'static>> = Vec::new();
        for &column in &shown {
            let style = match column {
                Column::State => state_style(row.worker.state, capabilities),
                _ => Style::new(),
            };
            spans.push(Span::styled(pad(column, &column.text(row)), style.patch(mark)));
        }
        // The bar is not marked: an empty one would look full.
        if let Some(width) = bar_columns {
            let style = coloured(Style::new(), Color::Green, capabilities);
            spans.push(Span::styled(bar_of(share(row, rows, model.bar), width, capabilities), style));
        }
        lines.push(Line::from(spans));
    }
    lines
}

fn bar_title(bar: Bar) -> &'static str {
    match bar {
        Bar::Connections => "connections",
        Bar::Rate => "req/s",
        Bar::Cpu => "CPU",
    }
}

/// A bar of at most this many columns; in eighths of a column, if there are characters for them.
pub(super) fn bar_of(share: f64, columns: usize, capabilities: Capabilities) -> String {
    const EIGHTHS: [&str; 8] = ["", "\u{258f}", "\u{258e}", "\u{258d}", "\u{258c}", "\u{258b}", "\u{258a}", "\u{2589}"];
    let eighths = (share * columns as f64 * 8.0).round() as usize;
    // Anything above zero is visible.
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    match capabilities.has_blocks {
        true => "\u{2588}".repeat(eighths / 8) + EIGHTHS[eighths % 8],
        false => "#".repeat(eighths.div_ceil(8)),
    }
}

/// The requests in flight of the selected worker: a title, a line for each, and a last one with the number of the others.
fn requests(row: &Row<'_>, lines_max: usize, columns: usize) -> Vec<Line<'static>> {
    let worker = row.worker;
    let mut title = format!("worker {}: {} in flight", worker.slot, count(worker.in_flight));
    if worker.is_elected {
        title.push_str(", elected");
    }
    if let Some(beat_age_s) = worker.beat_age_s.filter(|_| worker.state == WorkerState::Hung) {
        title.push_str(&format!(", no sign of life for {}", age(beat_age_s)));
    }
    let mut lines = vec![Line::styled(fit(&title, columns), Style::new().add_modifier(Modifier::BOLD))];
    let known = worker.in_flight_requests.len() as u64 + worker.in_flight_not_shown;
    let room = lines_max.saturating_sub(1);
    let shown = if known > room as u64 { room.saturating_sub(1) } else { room };
    let shown = shown.min(worker.in_flight_requests.len());
    lines.extend(worker.in_flight_requests[..shown].iter().map(|one| Line::raw(tables::request(one, columns))));
    let more = known - shown as u64;
    if more > 0 {
        lines.push(Line::raw(format!("       and {} more", count(more))));
    }
    lines
}

fn keys(model: &Model, columns: usize) -> Line<'static> {
    let sorted = Column::of_sort(model.sort).title().to_lowercase();
    let order = if model.is_reversed { ", reversed" } else { "" };
    let text = format!("q quit  up/down worker  s sort: {sorted}{order}  r reverse  b bars: {}", bar_title(model.bar));
    Line::styled(fit(&text, columns), Style::new().add_modifier(Modifier::DIM))
}

fn state_style(state: WorkerState, capabilities: Capabilities) -> Style {
    match state {
        WorkerState::Ready => coloured(Style::new(), Color::Green, capabilities),
        WorkerState::Hung => coloured(Style::new().add_modifier(Modifier::BOLD), Color::Red, capabilities),
        _ => coloured(Style::new(), Color::Yellow, capabilities),
    }
}

pub(super) fn coloured(style: Style, colour: Color, capabilities: Capabilities) -> Style {
    if capabilities.has_colours { style.fg(colour) } else { style }
}

impl Column {
    fn of_sort(sort: Sort) -> Column {
        use Column::*;
        let all = [Slot, State, Age, Connections, InFlight, Rate, Cpu, Rss];
        all.into_iter().find(|column| column.sort() == Some(sort)).unwrap_or(Slot)
    }
}
