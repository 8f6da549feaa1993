//! `tine top`: a running server, live in a terminal.
//!
//! Draws when there is something new: a sample of the server, a key, another size. ratatui sends only the cells that have
//! changed, so a slow connection keeps up.

mod args;
mod columns;
mod limits;
mod model;
#[cfg(test)]
mod picture;
mod sampler;
mod terminal;
mod view;
#[cfg(test)]
mod view_tests;

pub use args::TopArgs;

use crate::ctl::show;
use crate::ctl::{EXIT_FAILED, EXIT_USAGE, exit_status, find_server, why};
use crate::output::complain;
use model::{Key, Model};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use sampler::{Sample, Sampler};
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;
use terminal::{EndSignals, Screen};
use view::{Capabilities, draw};

/// How long a key, a sample or a signal may wait to be handled.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);

/// The meaning of a key press.
enum Pressed {
    Quit,
    Suspend,
    Redraw,
    Model(Key),
    Nothing,
}

pub fn run(args: TopArgs) -> ExitCode {
    let term = std::env::var("TERM").unwrap_or_default();
    if !io::stdout().is_terminal() || term.is_empty() || term == "dumb" {
        let line = "`tine top` needs a terminal that it can draw in; `tine ctl workers` prints the same";
        return complain(line, EXIT_USAGE);
    }
    let server = match find_server(args.place.wanted()) {
        Ok(server) => server,
        Err((status, line)) => return complain(&line, status),
    };
    // A server that cannot be reached at the start is reported in a line, without a screen.
    let mut sampler = Sampler::new(server.clone());
    let first = match sampler.sample() {
        Ok(status) => status,
        Err(e) => return complain(&format!("{}: {}", server.path.display(), why(&e)), exit_status(&e)),
    };
    let mut model = Model::new();
    model.on_sample(Ok(first));
    let (sender, samples) = channel();
    sampler.run(args.interval, sender);
    let ended = EndSignals::listen().and_then(|signals| Ok((signals, Screen::take()?)));
    let ended = ended.and_then(|(signals, mut screen)| watch(&mut model, &samples, &signals, &mut screen));
    match ended {
        Ok(status) => ExitCode::from(status),
        Err(e) => complain(&format!("the terminal failed: {e}"), EXIT_FAILED),
    }
}

/// Draws until the user quits; returns the exit status.
fn watch(model: &mut Model, samples: &Receiver<Sample>, signals: &EndSignals, screen: &mut Screen) -> io::Result<u8> {
    let capabilities = capabilities();
    let mut has_news = true;
    loop {
        if let Some(signal) = signals.received() {
            return Ok(128 + signal);
        }
        loop {
            match samples.try_recv() {
                Ok(sample) => model.on_sample(sample),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(io::Error::other("the sampling thread has ended")),
            }
            has_news = true;
        }
        if std::mem::take(&mut has_news) {
            screen.terminal.draw(|frame| draw(frame, model, capabilities))?;
        }
        if !event::poll(POLL_TIMEOUT)? {
            continue;
        }
        has_news = true;
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match pressed(key) {
                Pressed::Quit => return Ok(0),
                Pressed::Suspend => screen.suspend()?,
                Pressed::Redraw => screen.redraw()?,
                Pressed::Model(key) => model.on_key(key),
                Pressed::Nothing => {}
            },
            _ => {} // a new size is drawn, too
        }
    }
}

fn pressed(key: KeyEvent) -> Pressed {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Pressed::Quit,
            KeyCode::Char('z') => Pressed::Suspend,
            KeyCode::Char('l') => Pressed::Redraw,
            _ => Pressed::Nothing,
        };
    }
    Pressed::Model(match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Pressed::Quit,
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::First,
        KeyCode::End => Key::Last,
        KeyCode::Char('s') => Key::NextSort,
        KeyCode::Char('r') => Key::Reverse,
        KeyCode::Char('b') => Key::NextBar,
        _ => return Pressed::Nothing,
    })
}

/// What the terminal can do. One with UTF-8 has block characters.
fn capabilities() -> Capabilities {
    let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Capabilities { has_colours, has_blocks: show::detect_utf8() }
}
