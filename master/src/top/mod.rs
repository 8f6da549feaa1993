//! `tine top`: a running server, live in a terminal.
//!
//! Draws when there is something new: a look at the server, a key, another size. ratatui sends only the cells that changed,
//! so that a slow line keeps up.

mod args;
mod columns;
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
use crate::ctl::{EXIT_FAILED, EXIT_USAGE, find_server, why};
use crate::start::complain;
use model::{Key, Model};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use sampler::{Look, Sampler};
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;
use terminal::{Screen, Wishes};
use view::{Looks, draw};

/// How long a key, a look or a signal may wait to be seen.
const NAP: Duration = Duration::from_millis(50);

/// What a key press asks of the program.
enum Pressed {
    Leave,
    Suspend,
    Redraw,
    Model(Key),
    Nothing,
}

pub fn run(args: TopArgs) -> ExitCode {
    let term = std::env::var("TERM").unwrap_or_default();
    if !io::stdout().is_terminal() || term.is_empty() || term == "dumb" {
        let line =
            "`tine top` draws in a terminal, and this is none that it can draw in; `tine ctl workers` prints the same";
        return complain(line, EXIT_USAGE);
    }
    let server = match find_server(args.place.wanted()) {
        Ok(server) => server,
        Err((status, line)) => return complain(&line, status),
    };
    // Who cannot be reached at all is told in a line, not in a screen.
    let mut sampler = Sampler::new(server.clone());
    let first = match sampler.look() {
        Ok(status) => status,
        Err(e) => return complain(&format!("{}: {}", server.path.display(), why(&e)), e.exit_status()),
    };
    let mut model = Model::new();
    model.on_look(Ok(first));
    let (sender, looks) = channel();
    sampler.run(args.interval, sender);
    let ended = Wishes::listen().and_then(|wishes| Ok((wishes, Screen::take()?)));
    let ended = ended.and_then(|(wishes, mut screen)| watch(&mut model, &looks, &wishes, &mut screen));
    match ended {
        Ok(status) => ExitCode::from(status),
        Err(e) => complain(&format!("the terminal failed: {e}"), EXIT_FAILED),
    }
}

/// Draws until the user leaves; the exit status.
fn watch(model: &mut Model, looks: &Receiver<Look>, wishes: &Wishes, screen: &mut Screen) -> io::Result<u8> {
    let terminal_looks = terminal_looks();
    let mut has_news = true;
    loop {
        if let Some(signal) = wishes.heard() {
            return Ok(128 + signal);
        }
        loop {
            match looks.try_recv() {
                Ok(look) => model.on_look(look),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(io::Error::other("the thread that looks is gone")),
            }
            has_news = true;
        }
        if std::mem::take(&mut has_news) {
            screen.terminal.draw(|frame| draw(frame, model, terminal_looks))?;
        }
        if !event::poll(NAP)? {
            continue;
        }
        has_news = true;
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match pressed(key) {
                Pressed::Leave => return Ok(0),
                Pressed::Suspend => screen.suspend()?,
                Pressed::Redraw => screen.redraw()?,
                Pressed::Model(key) => model.on_key(key),
                Pressed::Nothing => {}
            },
            _ => {} // another size is drawn, too
        }
    }
}

fn pressed(key: KeyEvent) -> Pressed {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Pressed::Leave,
            KeyCode::Char('z') => Pressed::Suspend,
            KeyCode::Char('l') => Pressed::Redraw,
            _ => Pressed::Nothing,
        };
    }
    Pressed::Model(match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Pressed::Leave,
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

/// A terminal that shows UTF-8 has block characters.
fn terminal_looks() -> Looks {
    let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Looks { has_colours, has_blocks: show::detect_utf8() }
}
