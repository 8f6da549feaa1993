//! The terminal: taken at the start, restored however the program ends.
//!
//! Restored when [`Screen`] is dropped, which also happens after an error and after a signal of [`EndSignals`], and by the
//! panic hook. Only KILL leaves it as it is; `reset` helps then.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{execute, style};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::io::{self, Stdout, stdout};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub struct Screen {
    pub terminal: ratatui::Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    pub fn take() -> io::Result<Screen> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
        enter().inspect_err(|_| restore())?;
        end_with_terminal();
        let terminal = ratatui::Terminal::new(CrosstermBackend::new(stdout())).inspect_err(|_| restore())?;
        Ok(Screen { terminal })
    }

    /// Restores the terminal, stops this process as Ctrl-Z does, and takes the terminal again when it continues.
    pub fn suspend(&mut self) -> io::Result<()> {
        restore();
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTSTP)?;
        enter()?;
        self.redraw()
    }

    /// Makes the next drawing send every cell. `Terminal::clear` would ask the terminal for its cursor position, and wait.
    pub fn redraw(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether there is something to restore. Doing it twice would move the cursor back over what was printed in between, such as
/// the message of a panic.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

fn enter() -> io::Result<()> {
    IS_TAKEN.store(true, Ordering::Relaxed);
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen)
}

/// Ends the program once the terminal is gone. crossterm reads without end then, and no signal gets it out of that.
fn end_with_terminal() {
    std::thread::spawn(|| {
        let stdout = stdout();
        let mut terminal = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        // What is always reported: it has hung up.
        while poll(&mut terminal, PollTimeout::NONE) == Err(Errno::EINTR) {}
        std::process::exit(128 + SIGHUP)
    });
}

/// Ignores errors: they mean that the terminal has gone.
fn restore() {
    if !IS_TAKEN.swap(false, Ordering::Relaxed) {
        return;
    }
    let _ = execute!(stdout(), style::ResetColor, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// The signals that end the program.
pub struct EndSignals(Arc<AtomicUsize>);

impl EndSignals {
    pub fn listen() -> io::Result<EndSignals> {
        let received = Arc::new(AtomicUsize::new(0));
        for signal in [SIGTERM, SIGHUP, SIGINT, SIGQUIT] {
            signal_hook::flag::register_usize(signal, received.clone(), signal as usize)?;
        }
        Ok(EndSignals(received))
    }

    /// The signal that was received, if any.
    pub fn received(&self) -> Option<u8> {
        Some(self.0.load(Ordering::Relaxed) as u8).filter(|&signal| signal != 0)
    }
}
