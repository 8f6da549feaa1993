//! A program in a terminal of its own: a pseudo-terminal whose other end the test holds.

use super::{eventually, send_signal};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};

const COLUMNS: usize = 80;
const LINES: usize = 24;

pub struct InTerminal {
    child: Child,
    ours: File,
    /// The program's end, kept open so that its settings can be read after the program has exited.
    theirs: OwnedFd,
    said: Arc<Mutex<Vec<u8>>>,
}

impl InTerminal {
    /// Starts the program in a terminal of 80x24.
    pub fn start(command: &mut Command) -> InTerminal {
        let size = Winsize { ws_row: LINES as u16, ws_col: COLUMNS as u16, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a pseudo-terminal");
        let end = || pty.slave.try_clone().expect("a descriptor");
        let child = command.stdin(end()).stdout(end()).stderr(end()).env("TERM", "xterm-256color").spawn();
        let child = child.expect("the program starts");
        let ours = File::from(pty.master);
        let said = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, heard) = (ours.try_clone().expect("a descriptor"), said.clone());
        // Exits with the test program at the latest: read fails once no process holds the other end.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                heard.lock().expect("no thread panics while it holds the lock").extend_from_slice(&bytes[..count]);
            }
        });
        InTerminal { child, ours, theirs: pty.slave, said }
    }

    /// All that the program has written.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("no thread panics while it holds the lock")).into_owned()
    }

    /// What the terminal displays.
    pub fn screen(&self) -> String {
        screen(&self.said())
    }

    #[track_caller]
    pub fn wait_shown(&self, text: &str) {
        eventually(&format!("the terminal shows {text:?}"), || self.screen().contains(text).then_some(()));
    }

    pub fn press(&mut self, keys: &[u8]) {
        self.ours.write_all(keys).expect("the terminal takes keys");
    }

    /// Sets another size. The kernel notifies the program, but only if the terminal is its controlling terminal.
    pub fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let mut stty = Command::new("stty");
        let stty = stty.args(["rows", &lines, "cols", &columns]).stdin(self.theirs.try_clone().expect("a descriptor"));
        assert!(stty.status().expect("stty runs").success());
        self.signal(Signal::SIGWINCH);
    }

    pub fn signal(&self, signal: Signal) {
        send_signal(self.child.id() as i32, signal);
    }

    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        eventually("the program ends", || self.child.try_wait().expect("the program is a child"))
    }

    /// Whether the terminal waits for whole lines and echoes what is typed, as it does for a shell.
    pub fn is_cooked(&self) -> bool {
        let settings = tcgetattr(&self.theirs).expect("the terminal's settings");
        settings.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        // It has usually exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a terminal of 80x24 after `text` was written to it, as far as the program uses it: printing, moving the
/// cursor, clearing the screen. Other sequences change no cell.
fn screen(text: &str) -> String {
    let mut cells = vec![vec![' '; COLUMNS]; LINES];
    let (mut line, mut column) = (0, 0);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\x1b' => {
                let Some(parameters) = rest.strip_prefix('[') else { continue };
                let Some(end) = parameters.find(|c: char| c.is_ascii_alphabetic()) else { break };
                let numbers: Vec<usize> = parameters[..end].split(';').map(|n| n.parse().unwrap_or(1)).collect();
                match parameters.as_bytes()[end] {
                    b'H' => (line, column) = (numbers[0] - 1, numbers.get(1).map_or(0, |column| column - 1)),
                    b'J' => cells.iter_mut().for_each(|line| line.fill(' ')),
                    _ => {}
                }
                rest = &parameters[end + 1..];
            }
            '\r' => column = 0,
            '\n' => line += 1,
            c => {
                if let Some(cell) = cells.get_mut(line).and_then(|cells| cells.get_mut(column)) {
                    *cell = c;
                }
                column += 1;
            }
        }
    }
    cells.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_string() + "\n").collect()
}
