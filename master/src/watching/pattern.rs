//! The patterns of `--reload-include` and `--reload-exclude`, as in .gitignore: `*`, `?` and `[a-z]` stand for characters other
//! than a slash, `**` for directories. One without a slash matches a name wherever it is, one with a slash the whole path below
//! the directory that is watched.

use glob::MatchOptions;
use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::str::FromStr;

const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    given: String,
    pattern: glob::Pattern,
    is_of_name: bool,
}

impl FromStr for Pattern {
    /// What would be right.
    type Err = String;

    fn from_str(given: &str) -> Result<Pattern, String> {
        let text = given.strip_prefix("./").unwrap_or(given).trim_end_matches('/');
        if given.starts_with('/') {
            return Err("give a pattern that begins at the watched directory, without a slash: '*.html', 'views/**'"
                .to_string());
        }
        if text.is_empty() {
            return Err("give a pattern such as '*.html'".to_string());
        }
        let pattern = glob::Pattern::new(text).map_err(|error| {
            let right =
                if error.msg.contains("recursive") { "'views/**/*.html'" } else { "'[abc]', or '[[]' for a bracket" };
            format!("{} at character {}; give {right}", error.msg, error.pos + 1)
        })?;
        Ok(Pattern { given: given.to_string(), pattern, is_of_name: !text.contains('/') })
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(&self.given)
    }
}

impl Pattern {
    /// `path` is relative to the directory that is watched.
    pub fn matches(&self, path: &Path) -> bool {
        let subject = match self.is_of_name {
            true => path.file_name().unwrap_or_default(),
            false => path.as_os_str(),
        };
        self.pattern.matches_with(&subject.to_string_lossy(), OPTIONS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn patterns_match_as_in_gitignore() {
        for (text, path, expected) in [
            ("*.html", "a.html", true),
            ("*.html", "deep/er/a.html", true),
            ("*.html", "a.htm", false),
            ("*.html", "a.HTML", false),
            ("*.html", "a.html/b", false),
            ("*", "any/thing", true),
            ("node_modules", "web/node_modules", true),
            ("./views/*.html", "views/a.html", true),
            ("views/*.html", "views/b/a.html", false),
            ("views/?/a.html", "views///a.html", false),
            ("views/[!x]/a.html", "views///a.html", false),
            ("views/**", "views/b/a.html", true),
            ("views/**", "view/b/a.html", false),
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
            ("[a-c].lua", "b.lua", true),
            ("[a-c].lua", "d.lua", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
        ] {
            assert_eq!(pattern(text).matches(Path::new(path)), expected, "{text} {path}");
        }
    }

    #[test]
    fn names_may_be_any_bytes() {
        assert!(pattern("caf?.lua").matches(Path::new(OsStr::from_bytes(b"views/caf\xe9.lua"))));
        assert!(pattern("caf?.lua").matches(Path::new("views/café.lua")));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_what_would_be_right() {
        for (text, right) in [
            ("", "such as '*.html'"),
            ("./", "such as '*.html'"),
            ("/views", "without a slash"),
            ("views/**.html", "'views/**/*.html'"),
            ("***", "'views/**/*.html'"),
            ("[a", "'[abc]'"),
        ] {
            let why = text.parse::<Pattern>().expect_err(text);
            assert!(why.contains(right), "{text}: {why}");
        }
    }

    /// No pattern takes long.
    #[test]
    fn stars_do_not_multiply() {
        assert!(!pattern(&("*a".repeat(100) + "z")).matches(Path::new(&"a".repeat(255))));
    }
}
