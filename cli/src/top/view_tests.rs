//! What `tine top` draws, by ratatui's own terminal for tests.

use super::model::{Key, Model};
use super::picture::sample;
use super::view::{Capabilities, draw};
use crate::ctl::limits::tests::limits;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use tine_common::status::{Status, WorkerState, WorkerStatus};

const CAPABILITIES: Capabilities = Capabilities { has_colours: true, has_blocks: true };

fn buffer(model: &Model, width: u16, height: u16, capabilities: Capabilities) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, capabilities)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines_of(buffer: &Buffer) -> Vec<String> {
    let line = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_string();
    (0..buffer.area.height).map(line).collect()
}

fn lines(model: &Model, width: u16, height: u16) -> Vec<String> {
    lines_of(&buffer(model, width, height, CAPABILITIES))
}

#[test]
fn everything_is_there_at_80x24() {
    let lines = lines(&sample(), 80, 24);
    let text = lines.join("\n");
    assert_eq!(lines[1], "workers 14/16  connections 957  in flight 30  refused 0  cut 0  generation 3", "{text}");
    assert!(lines[0].starts_with("tine 0.1.0  docs.app:app  http://0.0.0.0:8080"), "{text}");
    assert!(lines[0].ends_with("serving, up 2h04m"), "{text}");
    assert!(lines[2].starts_with("answered ") && lines[2].contains("requests/s "), "{text}");
    assert!(lines[3].starts_with("last death: worker 9"), "{text}");
    assert!(lines[4].starts_with("requests/s, up to ") && lines[4].contains("CPU of all workers, up to "), "{text}");
    assert!(lines[5].contains('\u{2588}') || lines[6].contains('\u{2588}'), "{text}");
    assert_eq!(lines[7], "SLOT     PID GEN STATE      AGE  CONNS FLIGHT  REQ/S  CPU   RSS req/s");
    assert!(lines.iter().any(|line| line.starts_with("   5   48105   3 hung ")), "{text}");
    assert_eq!(lines[18], "worker 5: 3 in flight, no sign of life for 31s", "{text}");
    assert_eq!(lines[19], "     *    31s  GET /report?year=2026&format=pdf");
    assert_eq!(lines[23], "q quit  up/down worker  s sort: slot  r reverse  b bars: req/s");
}

/// The sample server with limits.
fn limited() -> Model {
    let mut model = sample();
    let status = model.status.clone().expect("there is one");
    model.on_sample(Ok(Status { limits: Some(limits()), uptime_s: status.uptime_s + 1.0, ..status }));
    model
}

#[test]
fn limits_are_shown_as_bars_with_their_state_in_words() {
    let lines = lines(&limited(), 80, 24);
    let text = lines.join("\n");
    for expected in [
        "concurrency 82 of 100, warning   \u{2588}\u{2588}\u{2588}\u{2588}\u{2589}   rate 2000 of 2000/min, violation \u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}",
        "client-rate 100 of 100/min by the busiest of 34 clients, 2 at the limit",
        "5 requests wait, 640 waited, 146 refused (client_rate 12, rate 134)",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}\n{text}");
    }
    assert!(text.contains("memory 256M of 1G") && text.contains("cpu - of 200%"), "{text}");
    assert_eq!(lines[23], "q quit  up/down worker  s sort: slot  r reverse  b bars: req/s", "{text}");
}

#[test]
fn nothing_breaks_at_any_size() {
    nothing_breaks(&sample());
    nothing_breaks(&limited());
}

fn nothing_breaks(model: &Model) {
    for width in (1..40).chain([60, 79, 80, 81, 200]) {
        for height in (1..26).chain([60]) {
            let lines = lines(model, width, height);
            if width >= 24 && height >= 6 {
                assert!(lines.iter().any(|line| line.contains("SLOT")), "{width}x{height}: {lines:?}");
                assert!(
                    lines.iter().any(|line| line.contains(" hung ")),
                    "the selected worker at {width}x{height}: {lines:?}"
                );
                assert!(lines.last().unwrap().starts_with("q quit"), "{width}x{height}: {lines:?}");
            } else {
                assert!(lines[0].starts_with('t'), "{lines:?}");
            }
        }
    }
}

#[test]
fn the_chosen_worker_is_in_sight_and_marked() {
    let mut model = sample();
    for (key, slot) in [(Key::Last, 15), (Key::First, 0), (Key::PageDown, 10), (Key::Up, 9)] {
        model.on_key(key);
        for height in [24, 14, 6] {
            let buffer = buffer(&model, 80, height, CAPABILITIES);
            let is_marked = |y: &u16| buffer[(0, *y)].modifier.contains(Modifier::REVERSED);
            let marked: Vec<u16> = (0..height).filter(is_marked).collect();
            assert_eq!(marked.len(), 1, "{height}");
            let line = &lines_of(&buffer)[usize::from(marked[0])];
            assert!(line.trim_start().starts_with(&format!("{slot} ")), "{line}");
            let bar = buffer[(79, marked[0])].modifier;
            assert!(!bar.contains(Modifier::REVERSED), "an empty bar would look full");
        }
    }
}

#[test]
fn a_server_that_is_gone_is_told_and_what_was_known_stays() {
    let mut model = sample();
    model.on_sample(Err("no server listens there any more".to_string()));
    let lines = lines(&model, 80, 24);
    assert_eq!(lines[0], "no server listens there any more; trying again");
    assert!(lines.iter().any(|line| line.contains("48105")));
    let mut unreachable = Model::new();
    unreachable.on_sample(Err("no server".to_string()));
    assert_eq!(lines_of(&buffer(&unreachable, 80, 24, CAPABILITIES))[0], "no server");
}

#[test]
fn a_plain_terminal_gets_ascii_and_no_colour() {
    let buffer = buffer(&sample(), 80, 24, Capabilities { has_colours: false, has_blocks: false });
    for cell in &buffer.content {
        assert!(cell.symbol().is_ascii() && cell.fg == Color::Reset && cell.bg == Color::Reset, "{cell:?}");
    }
    let lines = lines_of(&buffer);
    assert!(lines[5].contains('#') || lines[6].contains('#'), "{lines:?}");
    assert!(lines[8].ends_with('#'), "a bar: {}", lines[8]);
}

#[test]
fn the_longest_of_everything_fits() {
    let worker = WorkerStatus {
        slot: 1023,
        pid: Some(4_194_304),
        generation: 12_345,
        state: WorkerState::Leaving,
        age_s: 1e12,
        connections: u64::MAX,
        in_flight: u64::MAX,
        requests: u64::MAX,
        rss_bytes: u64::MAX,
        ..WorkerStatus::default()
    };
    let waiting = WorkerStatus { state: WorkerState::Waiting, starts_in_s: Some(29.5), ..WorkerStatus::default() };
    let mut model = Model::new();
    model.on_sample(Ok(Status {
        name: "\u{1b}[2J".repeat(100),
        reload: Some("x".repeat(200)),
        workers: vec![worker, waiting],
        ..Status::default()
    }));
    let lines = lines(&model, 80, 24);
    assert!(!lines.join("").contains('\u{1b}'), "what others wrote steers no terminal");
    assert!(lines.iter().any(|line| line.contains("1023 4194304 12~ leaving")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(" waiting   -29s ")), "{lines:?}");
}
