//! The patterns of `--reload-include` and `--reload-exclude`, as in .gitignore: `*` and `?` stand for characters other than a
//! slash, `**` for any. One without a slash matches a name wherever it is, one with a slash the whole path below the
//! directory that is watched.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

#[derive(Debug, Clone)]
pub struct Pattern {
    text: Vec<u8>,
    is_of_name: bool,
}

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        let text = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
        Pattern { text: text.as_bytes().to_vec(), is_of_name: !text.contains('/') }
    }

    /// `path` is relative to the directory that is watched.
    pub fn matches(&self, path: &Path) -> bool {
        let subject = match self.is_of_name {
            true => path.file_name().unwrap_or_default(),
            false => path.as_os_str(),
        };
        matches(&self.text, subject.as_bytes())
    }
}

/// Goes back to the last star only, so that the time is bounded by the product of both lengths; only `**`, which may come
/// before, has a second place to go back to.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let (mut star, mut double) = (None, None);
    loop {
        if pattern[p..].starts_with(b"**") {
            // `**/` stands for whole directories, also for none.
            let is_of_directories = pattern[p..].starts_with(b"**/") && begins_name(text, t);
            p += if is_of_directories { 3 } else { 2 };
            (double, star) = (Some((p, t, is_of_directories)), None);
            continue;
        }
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                p += 1;
                star = Some((p, t));
                continue;
            }
            (None, None) => return true,
            (Some(b'?'), Some(other)) if *other != b'/' => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            (Some(byte), Some(other)) if byte == other => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            _ => {}
        }
        // A star takes one byte more.
        match (&mut star, &mut double) {
            (Some((after, from)), _) if text.get(*from).is_some_and(|byte| *byte != b'/') => {
                *from += 1;
                (p, t) = (*after, *from);
            }
            (_, Some((after, from, is_of_directories))) if *from < text.len() => {
                *from += 1;
                while *is_of_directories && *from < text.len() && !begins_name(text, *from) {
                    *from += 1;
                }
                star = None;
                (p, t) = (*after, *from);
            }
            _ => return false,
        }
    }
}

/// Whether a name of the path begins here.
fn begins_name(path: &[u8], at: usize) -> bool {
    at == 0 || path[at - 1] == b'/'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_gitignore() {
        for (pattern, path, expected) in [
            ("*.html", "a.html", true),
            ("*.html", "deep/er/a.html", true),
            ("*.html", "a.htm", false),
            ("*.html", "a.html/b", false),
            ("*", "any/thing", true),
            ("node_modules", "web/node_modules", true),
            ("./views/*.html", "views/a.html", true),
            ("views/*.html", "views/b/a.html", false),
            ("views/**.html", "views/b/a.html", true),
            ("views/**/a.html", "views/a.html", true),
            ("views/**/a.html", "views/b/c/a.html", true),
            ("views/**/a.html", "views/ba.html", false),
            ("views/**/a.html", "views/b/ca.html", false),
            ("views/**/*.html", "views/b/ca.html", true),
            ("**/*.lua", "a.lua", true),
            ("**/*.lua", "x/y/a.lua", true),
            ("views/", "views", true),
            ("?.lua", "a.lua", true),
            ("?.lua", "ab.lua", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("**a/*b", "xa/ya/zb", true),
            ("", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(Path::new(path)), expected, "{pattern} {path}");
        }
    }

    /// No pattern takes long.
    #[test]
    fn stars_do_not_multiply() {
        let (pattern, path) = ("*a".repeat(100) + "**b/".repeat(20).as_str() + "z", "a".repeat(2000));
        assert!(!Pattern::new(&pattern).matches(Path::new(&path)));
    }
}
