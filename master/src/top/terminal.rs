//! The terminal: taken at the start, given back however the program ends.
//!
//! Given back by [`Screen`]'s end, which comes also with an error and with a signal that [`Wishes`] has heard, and by the
//! panic hook. Only KILL leaves it as it is; `reset` helps then.

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{execute, style};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::io::{self, Stdout, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub struct Screen {
    pub terminal: ratatui::Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    pub fn take() -> io::Result<Screen> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        enter().inspect_err(|_| give_back())?;
        let terminal = ratatui::Terminal::new(CrosstermBackend::new(stdout())).inspect_err(|_| give_back())?;
        Ok(Screen { terminal })
    }

    /// Gives the terminal back, stops this process as Ctrl-Z does, and takes the terminal again when it goes on.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTSTP)?;
        enter()?;
        self.redraw()
    }

    /// Lets the next drawing send all of it. `Terminal::clear` would ask the terminal where its cursor is, and wait.
    pub fn redraw(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether there is something to give back: a second time would put the cursor where it was at the first, over what was said
/// in between, such as why a panic came.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

fn enter() -> io::Result<()> {
    IS_TAKEN.store(true, Ordering::Relaxed);
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen)
}

/// Each step by itself: the terminal may have gone, and then nothing of it matters.
fn give_back() {
    if !IS_TAKEN.swap(false, Ordering::Relaxed) {
        return;
    }
    let _ = execute!(stdout(), style::ResetColor, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// The signals that end the program.
pub struct Wishes(Arc<AtomicUsize>);

impl Wishes {
    pub fn listen() -> io::Result<Wishes> {
        let heard = Arc::new(AtomicUsize::new(0));
        for signal in [SIGTERM, SIGHUP, SIGINT, SIGQUIT] {
            signal_hook::flag::register_usize(signal, heard.clone(), signal as usize)?;
        }
        Ok(Wishes(heard))
    }

    /// The signal that came, if one did.
    pub fn heard(&self) -> Option<u8> {
        Some(self.0.load(Ordering::Relaxed) as u8).filter(|&signal| signal != 0)
    }
}
