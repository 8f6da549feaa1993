//! docs/top.svg: what `tine top` draws of a sample server with limits into a terminal of 80x27, cell by cell.
//!
//! `TINE_PICTURE=write cargo test -p tine-cli --lib picture` rewrites it; without the variable the test compares.

use super::model::{Key, Model};
use super::view::{Capabilities, draw};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;
use tine_common::gauges::{LimitState, Resource};
use tine_common::limit_status::{LimitsStatus, ResourceStatus};
use tine_common::metric::Metric;
use tine_common::status::{RequestStatus, ServerState, Status, WorkerState, WorkerStatus};
use tine_common::telemetry::LogLinear;

const CELL_WIDTH: f64 = 8.0;
const CELL_HEIGHT: f64 = 17.0;
const MARGIN: f64 = 10.0;
/// Where letters stand in their cell.
const BASELINE: f64 = 13.0;
const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d5d8df";

/// A server of 16 workers under load, one of which hangs and one of which boots.
pub fn sample() -> Model {
    sample_with(None)
}

fn sample_with(limits: Option<LimitsStatus>) -> Model {
    let mut model = Model::new();
    // A rate that rises and falls, the same every time.
    for second in 0..90u64 {
        let wave = (second as f64 / 9.0).sin() * 300.0 + (second as f64 / 2.3).sin() * 70.0;
        model.on_sample(Ok(Status { limits: limits.clone(), ..sample_status(second, wave) }));
    }
    model.on_key(Key::NextBar);
    (0..5).for_each(|_| model.on_key(Key::Down));
    model
}

fn sample_status(second: u64, wave: f64) -> Status {
    let uptime_s = 7384.0 + second as f64;
    let rate_of = |slot: u64| 260.0 + (slot * 37 % 11) as f64 * 9.0;
    let requests_of = |slot: u64| match slot {
        5 => 48_211, // hangs
        9 => 0,      // boots
        _ => (uptime_s * rate_of(slot) + wave * 4.0 * rate_of(slot) / 300.0) as u64,
    };
    let request = |target: &str, age_s, is_running| RequestStatus {
        method: "GET".to_string(),
        target: target.to_string(),
        age_s,
        is_running,
    };
    let worker = |slot: u64| {
        let busy = requests_of(slot) as f64;
        let mut worker = WorkerStatus {
            slot,
            pid: Some(48_100 + slot as u32),
            generation: 3,
            state: WorkerState::Ready,
            age_s: uptime_s - 41.0,
            beat_age_s: Some(0.01),
            connections: 62 + slot * 7 % 5,
            in_flight: 1 + slot % 3,
            requests: requests_of(slot),
            cpu_s: busy * 0.0011,
            rss_bytes: (9_700 + slot * 61) << 10,
            ..WorkerStatus::default()
        };
        match slot {
            5 => {
                worker.state = WorkerState::Hung;
                worker.beat_age_s = Some(31.5);
                worker.cpu_s = uptime_s;
                worker.in_flight = 3;
                worker.in_flight_requests = vec![
                    request("/report?year=2026&format=pdf", 31.5, true),
                    request("/search?q=tine", 31.4, false),
                    request("/health", 30.0, false),
                ];
            }
            9 => {
                worker.state = WorkerState::Booting;
                (worker.age_s, worker.pid) = (0.6, Some(48_217));
                (worker.connections, worker.in_flight, worker.cpu_s) = (0, 0, 0.4);
            }
            _ => {}
        }
        worker
    };
    let workers: Vec<WorkerStatus> = (0..16).map(worker).collect();
    let mut durations = LogLinear::default();
    (0..(uptime_s * 10.0) as u64).for_each(|i| durations.record(Duration::from_micros(900 + i * i % 7919)));
    Status {
        version: "0.1.0".to_string(),
        pid: 48_000,
        uptime_s,
        name: "docs.app:app".to_string(),
        listen: vec!["http://0.0.0.0:8080".to_string()],
        generation: 3,
        state: ServerState::Serving,
        workers_wanted: 16,
        workers_ready: 14,
        totals: [
            (Metric::Connections, workers.iter().map(|worker| worker.connections).sum()),
            (Metric::InFlight, workers.iter().map(|worker| worker.in_flight).sum()),
            (Metric::Requests, workers.iter().map(|worker| worker.requests).sum()),
            (Metric::Accepted, 20_311),
        ]
        .into(),
        memory_bytes: Some(152 << 20),
        durations,
        last_cause: Some("worker 9 (pid 48109) was killed by SIGSEGV (11) after 7343.8 s".to_string()),
        workers,
        ..Status::default()
    }
}

/// What goes with the numbers of the sample.
fn limits() -> LimitsStatus {
    let resource = |name, used, limit, window_s, state| ResourceStatus {
        name,
        used: Some(used),
        limit,
        window_s,
        state,
        warnings: 4,
        violations: 2,
    };
    let (normal, warning, violation) = (LimitState::Normal, LimitState::Warning, LimitState::Violation);
    LimitsStatus {
        resources: vec![
            resource(Resource::Concurrency, 42.0, 50.0, None, warning),
            resource(Resource::Rate, 3_912.0, 3_800.0, Some(1.0), violation),
            resource(Resource::Memory, f64::from(152 << 20), f64::from(1 << 30), None, normal),
            resource(Resource::Descriptors, 81.0, 1024.0, None, normal),
        ],
        waiting: 12,
        waited: 3_391,
        refused: [("rate".to_string(), 806)].into(),
        settings: [("concurrency", "50"), ("rate", "3800/s"), ("memory", "1G")]
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .into(),
        ..LimitsStatus::default()
    }
}

#[test]
fn the_picture_in_the_docs_is_what_is_drawn() {
    let mut terminal = Terminal::new(TestBackend::new(80, 27)).unwrap();
    let model = sample_with(Some(limits()));
    terminal.draw(|frame| draw(frame, &model, Capabilities { has_colours: true, has_blocks: true })).unwrap();
    let picture = svg(terminal.backend().buffer());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/top.svg");
    if std::env::var("TINE_PICTURE").is_ok_and(|wish| wish == "write") {
        std::fs::write(&path, &picture).unwrap();
    }
    let is_same = std::fs::read_to_string(&path).is_ok_and(|text| text == picture);
    assert!(is_same, "docs/top.svg is old; TINE_PICTURE=write cargo test -p tine-cli --lib picture writes it anew");
}

/// A buffer as SVG: its cells' backgrounds, blocks as rectangles, letters as text in runs of one style.
fn svg(buffer: &Buffer) -> String {
    let (columns, lines) = (buffer.area.width, buffer.area.height);
    let width = f64::from(columns) * CELL_WIDTH + 2.0 * MARGIN;
    let height = f64::from(lines) * CELL_HEIGHT + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"tine top\">\n<rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"13\">\n"
    );
    for line in 0..lines {
        let mut column = 0;
        while column < columns {
            let style = style_of(&buffer[(column, line)]);
            let is_same = |next: &u16| style_of(&buffer[(*next, line)]) == style;
            let end = (column..columns).take_while(is_same).last().unwrap_or(column) + 1;
            let symbols: Vec<&str> = (column..end).map(|x| buffer[(x, line)].symbol()).collect();
            run(&mut svg, column, line, &symbols, style);
            column = end;
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct CellStyle {
    foreground: &'static str,
    background: &'static str,
    is_bold: bool,
    is_dim: bool,
    is_underlined: bool,
}

fn style_of(cell: &Cell) -> CellStyle {
    let foreground = match cell.fg {
        Color::Green => "#7fc97a",
        Color::Yellow => "#e3c368",
        Color::Red => "#f0766b",
        Color::Cyan => "#6cc5d3",
        _ => FOREGROUND,
    };
    let is_reversed = cell.modifier.contains(Modifier::REVERSED);
    CellStyle {
        foreground: if is_reversed { BACKGROUND } else { foreground },
        background: if is_reversed { foreground } else { BACKGROUND },
        is_bold: cell.modifier.contains(Modifier::BOLD),
        is_dim: cell.modifier.contains(Modifier::DIM),
        is_underlined: cell.modifier.contains(Modifier::UNDERLINED),
    }
}

/// Cells of one style beside each other.
fn run(svg: &mut String, column: u16, line: u16, symbols: &[&str], style: CellStyle) {
    let (x, y) = (MARGIN + f64::from(column) * CELL_WIDTH, MARGIN + f64::from(line) * CELL_HEIGHT);
    let width = symbols.len() as f64 * CELL_WIDTH;
    let mut rect = |x: f64, y: f64, width: f64, height: f64, fill: &str| {
        writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>")
            .expect("a string takes everything");
    };
    if style.background != BACKGROUND {
        rect(x, y, width, CELL_HEIGHT, style.background);
    }
    for (i, symbol) in symbols.iter().enumerate() {
        let x = x + i as f64 * CELL_WIDTH;
        // U+2581 to U+2588 fill a cell from below, U+2589 to U+258F from the left, in eighths.
        match symbol.chars().next().map_or(0, u32::from) {
            code @ 0x2581..=0x2588 => {
                let part = CELL_HEIGHT * f64::from(code - 0x2580) / 8.0;
                rect(x, y + CELL_HEIGHT - part, CELL_WIDTH, part, style.foreground);
            }
            code @ 0x2589..=0x258f => {
                rect(x, y, CELL_WIDTH * f64::from(0x2590 - code) / 8.0, CELL_HEIGHT, style.foreground)
            }
            _ => {}
        }
    }
    let text: String = symbols.iter().map(|symbol| if symbol.is_ascii() { *symbol } else { " " }).collect();
    if text.trim().is_empty() {
        return;
    }
    let begins = text.len() - text.trim_start().len();
    let text = text.trim();
    let attributes = [
        (style.is_bold, " font-weight=\"bold\""),
        (style.is_dim, " opacity=\"0.65\""),
        (style.is_underlined, " text-decoration=\"underline\""),
    ];
    let attributes: String = attributes.into_iter().filter(|(has, _)| *has).map(|(_, text)| text).collect();
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    writeln!(
        svg,
        "<text xml:space=\"preserve\" x=\"{}\" y=\"{}\" textLength=\"{}\" fill=\"{}\"{attributes}>{escaped}</text>",
        x + begins as f64 * CELL_WIDTH,
        y + BASELINE,
        text.len() as f64 * CELL_WIDTH,
        style.foreground
    )
    .expect("a string takes everything");
}
