//! The text of an error, taken apart for people: the message, and each place in the code with the lines around it.

use super::files::CodeFiles;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Lines before and after the one that is meant.
const AROUND: usize = 4;
/// Of a file, from its beginning; what follows is not shown.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Of a line that is shown.
const LINE_BYTES_MAX: usize = 400;
/// The first frames, and those of a traceback that is shown; Lua itself leaves out more than 22.
const FRAMES_MAX: usize = 30;
const TRACEBACK: &str = "stack traceback:";

pub struct ErrorReport<'t> {
    /// One line or more, without the traceback.
    pub message: &'t str,
    /// Where the message says it is.
    pub place: Option<Place>,
    /// From the innermost call on.
    pub frames: Vec<Frame<'t>>,
}

pub struct Frame<'t> {
    /// As in the traceback: `app.lua:12: in function 'handle'`.
    pub text: &'t str,
    pub place: Option<Place>,
}

/// A place in a file that was loaded.
pub struct Place {
    pub name: String,
    pub line: usize,
    /// The numbers of the lines and what they are. Empty: the file cannot be read any more, or has no such line.
    pub excerpt: Vec<(usize, String)>,
}

impl<'t> ErrorReport<'t> {
    pub fn of(text: &'t str, code: &CodeFiles) -> ErrorReport<'t> {
        let (message, trace) = match text.split_once(TRACEBACK) {
            Some((message, trace)) => (message, trace),
            None => (text, ""),
        };
        let message = message.trim_end();
        let frames = trace.lines().map(str::trim).filter(|line| !line.is_empty()).take(FRAMES_MAX);
        let frames = frames.map(|text| Frame { text, place: Place::at_start_of(text, code) }).collect();
        // An error of a module has its place in a line of its own, after that of `require`.
        let place = message.lines().rev().find_map(|line| Place::at_start_of(line.trim_start(), code));
        ErrorReport { message, place, frames }
    }
}

impl Place {
    /// Of `app.lua:12: ...`.
    fn at_start_of(text: &str, code: &CodeFiles) -> Option<Place> {
        // A name may have colons, too.
        text.match_indices(':').take(8).find_map(|(at, _)| {
            let line = text[at + 1..].split(|c: char| !c.is_ascii_digit()).next()?;
            let line: usize = line.parse().ok().filter(|line| *line > 0)?;
            let path = code.named(&text[..at])?;
            let name = text[..at].strip_prefix("./").unwrap_or(&text[..at]);
            Some(Place { name: name.to_string(), line, excerpt: excerpt(path, line) })
        })
    }
}

fn excerpt(path: &Path, line: usize) -> Vec<(usize, String)> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let lines = BufReader::new(file.take(FILE_BYTES_MAX)).split(b'\n').map_while(Result::ok);
    let shown =
        lines.enumerate().map(|(at, bytes)| (at + 1, bytes)).take(line + AROUND).skip(line.saturating_sub(AROUND + 1));
    let shown: Vec<(usize, String)> =
        shown.map(|(at, bytes)| (at, text_of(&bytes[..bytes.len().min(LINE_BYTES_MAX)]))).collect();
    // What is missing at the end of a file is said to be after its last line.
    if shown.last().is_some_and(|(last, _)| last + 1 >= line) { shown } else { Vec::new() }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().replace('\t', "    ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn code() -> CodeFiles {
        CodeFiles(vec![std::path::absolute("src/lua/load.lua").expect("a path"), PathBuf::from("/no/such/file.lua")])
    }

    #[test]
    fn a_text_is_taken_apart() {
        let text = "src/lua/load.lua:4: bad\nthing\nstack traceback:\n\t[C]: in function 'error'\n\t./src/lua/load.lua:1: in \
                    function 'f'\n\t...rc/lua/load.lua:2: in function <x>\n\t/no/such/file.lua:1: in main chunk";
        let code = code();
        let report = ErrorReport::of(text, &code);
        assert_eq!(report.message, "src/lua/load.lua:4: bad\nthing");
        let place = report.place.expect("a place");
        assert_eq!((place.name.as_str(), place.line, place.excerpt.len()), ("src/lua/load.lua", 4, 8));
        assert_eq!(place.excerpt[3], (4, "local module_name, file, wanted = ...".to_string()));
        let places =
            report.frames.iter().map(|frame| frame.place.as_ref().map(|place| (place.line, place.excerpt.len())));
        assert_eq!(places.collect::<Vec<_>>(), [None, Some((1, 5)), Some((2, 6)), Some((1, 0))]);
    }

    #[test]
    fn only_lines_of_code_are_shown() {
        let code = code();
        for text in
            ["/etc/passwd:1: x", "Cargo.toml:1: x", "x", "", ":1:", "src/lua/load.lua:0: x", "src/lua/load.lua:x"]
        {
            assert!(ErrorReport::of(text, &code).place.is_none(), "{text}");
        }
        let beyond = ErrorReport::of("src/lua/load.lua:99999: x", &code).place.expect("a place");
        assert!(beyond.excerpt.is_empty());
    }

    #[test]
    fn a_modules_error_is_at_its_own_place() {
        let text = "error loading module 'x' from file './x.lua':\n\t./src/lua/load.lua:9: '=' expected near 'x'";
        assert_eq!(ErrorReport::of(text, &code()).place.map(|place| place.line), Some(9));
    }
}
