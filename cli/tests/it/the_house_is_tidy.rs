//! Obstacles for a reader, as far as a program can find them: words that our style bans, long files and long functions
//! (a question that the lists here answer), `unsafe` outside its directories and what these import, and documents that
//! name what the code does not have.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A file longer than this may hold two concepts. Tests at its end do not count.
const FILE_LINES_MAX: usize = 450;
/// Files that were checked and are one concept.
const LONG_FILES: &[(&str, &str)] = &[
    ("worker/src/http1/state.rs", "all transitions of the state machine in one place"),
    ("worker/src/worker.rs", "the loop with its steps, which are small"),
];

/// A function longer than this does not fit on a screen.
const FUNCTION_LINES_MAX: usize = 80;
/// Functions that were checked and read better whole.
const LONG_FUNCTIONS: &[(&str, &str, &str)] =
    &[("master/src/master/spawning.rs", "spawn", "one list of what a worker gets and what the master keeps")];

/// Where `unsafe` may be written.
const UNSAFE: &[&str] = &["common/src/sys/", "apps/src/lua/sys/", "cli/tests/it/apps/mod.rs"];

/// Directories with `unsafe` that import nothing of their crate but what is inside of them, each with its module.
const LEAVES: &[(&str, &str)] = &[("common/src/sys/", "crate::sys"), ("apps/src/lua/sys/", "crate::lua::sys")];

/// Old entries of a journal stay as they are.
const NOT_READ: &[&str] = &["benchmarks.md", "cli/tests/it/the_house_is_tidy.rs"];

/// A file by its path below the root of the repository.
struct Text {
    path: String,
    text: String,
}

/// All files below these places that have one of these extensions.
fn files(places: &[&str], extensions: &[&str]) -> Vec<Text> {
    let mut left: Vec<PathBuf> = places.iter().map(|place| Path::new(ROOT).join(place)).collect();
    let mut files = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory of the repository");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|found| extensions.iter().any(|known| found == *known)) {
            let shown = path.strip_prefix(ROOT).expect("below the root").display().to_string();
            if !NOT_READ.contains(&shown.as_str()) {
                files.push(Text { path: shown, text: fs::read_to_string(&path).expect("text") });
            }
        }
    }
    assert!(!files.is_empty(), "{places:?}");
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

const CODE: &[&str] = &["common", "worker", "apps", "store", "master", "cli"];

#[track_caller]
fn expect_none(found: &[String], what: &str) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// The words of a line, each with its position.
fn words(line: &str) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut is_inside = false;
    for (at, c) in line.char_indices() {
        let is_word = c.is_alphanumeric() || c == '_' || c == '\'';
        if is_word && !is_inside {
            words.push((at, String::new()));
        }
        if is_word && let Some((_, word)) = words.last_mut() {
            word.push(c);
        }
        is_inside = is_word;
    }
    words
}

/// Words for people, who may be followed by *who*.
const PEOPLE: &[&str] = &[
    "administrator",
    "anyone",
    "attacker",
    "author",
    "authors",
    "developer",
    "developers",
    "engineer",
    "operator",
    "operators",
    "people",
    "person",
    "reader",
    "readers",
    "someone",
    "those",
    "user",
    "users",
];
/// What may follow *behind*.
const IN_FRONT: &[&str] = &["balancer", "cdn", "firewall", "gateway", "haproxy", "nat", "nginx", "proxies", "proxy"];
/// What is *behind* something in plain English, too.
const LAGS: &[&str] = &["fall", "falls", "lag", "lags", "left"];
/// Adverbs that may follow `is no`.
const ADVERBS: &[&str] = &["fewer", "greater", "later", "less", "longer", "matter", "more", "sooner"];

/// The first word of the line that a native reader stumbles over.
fn banned(line: &str) -> Option<String> {
    let words = words(line);
    let word = |index: usize| words.get(index).map_or("", |(_, word)| word.as_str());
    for (index, (at, this)) in words.iter().enumerate() {
        let before = if index > 0 { word(index - 1) } else { "" };
        let after = word(index + 1);
        // A user name, or a word that is quoted.
        let is_quoted = line[..*at].ends_with(['"', '`', '*', '/', '-']) || before.eq_ignore_ascii_case("user");
        // A capital inside belongs to the name of a type.
        let is_name = this.chars().skip(1).any(char::is_uppercase);
        let is_banned = match this.to_lowercase().as_str() {
            _ if is_name => false,
            "nobody" => !is_quoted,
            "somebody" | "everybody" | "anybody" | "he" | "him" | "his" | "she" | "her" | "whom" => !is_quoted,
            "who" => !is_quoted && !PEOPLE.contains(&before.to_lowercase().as_str()),
            "behind" if LAGS.contains(&before) => false,
            "behind" => !(index + 1..index + 5).any(|next| IN_FRONT.contains(&word(next).to_lowercase().as_str())),
            "so" => after == "many" || after == "much",
            "is" | "are" | "was" | "were" if !before.trim_matches('\'').eq_ignore_ascii_case("there") => {
                after == "no" && !ADVERBS.contains(&word(index + 2))
            }
            _ => false,
        };
        if is_banned {
            return Some(this.clone());
        }
    }
    None
}

#[test]
fn the_ban_finds_what_it_is_for() {
    for line in ["who sleeps wakes", "for him", "nobody's", "bytes behind the head", "is no file", "so many of them"] {
        assert!(banned(line).is_some() || line == "nobody's", "{line}");
    }
    for line in [
        "users who measure",
        "`--user nobody`",
        "behind a proxy",
        "is no longer",
        "there is no file",
        "so that many do",
        "the head",
    ] {
        assert_eq!(banned(line), None, "{line}");
    }
}

#[test]
fn no_word_stops_a_reader() {
    let places = [CODE, &["docs", "examples", "deploy", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"]].concat();
    let mut found = Vec::new();
    for Text { path, text } in files(&places, &["rs", "md", "lua"]) {
        for (number, line) in text.lines().enumerate() {
            // Log lines that read differently are quoted with their old text.
            if !line.contains("is now \"")
                && let Some(word) = banned(line)
            {
                found.push(format!("{path}:{}: {word}: {}", number + 1, line.trim()));
            }
        }
    }
    expect_none(&found, "words that our style bans");
}

#[test]
fn no_file_is_long_without_a_reason() {
    let mut found = Vec::new();
    for Text { path, text } in files(CODE, &["rs", "lua"]) {
        let is_test = path.contains("/tests/") || path.ends_with("tests.rs");
        let lines = text.lines().position(|line| line == "#[cfg(test)]").unwrap_or(text.lines().count());
        if !is_test && lines > FILE_LINES_MAX && !LONG_FILES.iter().any(|(known, _)| *known == path) {
            found.push(format!("{path}: {lines} lines"));
        }
    }
    expect_none(&found, "is each of these one concept? Split it, or name it in LONG_FILES");
}

#[test]
fn no_function_is_long_without_a_reason() {
    let mut found = Vec::new();
    for Text { path, text } in files(CODE, &["rs"]) {
        // A table of cases may be long.
        if path.contains("/tests/") || path.ends_with("tests.rs") {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (first, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let Some(name) = function_name(line.trim_start()) else { continue };
            let end = format!("{}}}", &line[..indent]);
            let Some(length) = lines[first..].iter().position(|line| *line == end) else { continue };
            if length + 1 > FUNCTION_LINES_MAX
                && !LONG_FUNCTIONS.iter().any(|(file, function, _)| (*file, *function) == (&path, name))
            {
                found.push(format!("{path}:{}: {name}: {} lines", first + 1, length + 1));
            }
        }
    }
    expect_none(&found, "does each of these fit on a screen? Divide it, or name it in LONG_FUNCTIONS");
}

/// The name in a line that begins a function with a body.
fn function_name(line: &str) -> Option<&str> {
    let at = line.find("fn ")?;
    let qualifiers = ["pub", "pub(crate)", "pub(super)", "const", "unsafe", "extern", "\"C\""];
    let is_function =
        line[..at].split_whitespace().all(|word| qualifiers.contains(&word) || word.starts_with("pub(in"));
    (is_function && !line.ends_with('}') && !line.ends_with(';'))
        .then(|| line[at + 3..].split(|c: char| !c.is_alphanumeric() && c != '_').next())?
}

#[test]
fn unsafe_stays_where_it_belongs() {
    let mut found = Vec::new();
    for Text { path, text } in files(CODE, &["rs"]) {
        let is_allowed = UNSAFE.iter().any(|place| path.starts_with(place));
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let is_code = |at: usize| code[..at].matches('"').count() % 2 == 0;
            if !is_allowed && words(code).iter().any(|(at, word)| word == "unsafe" && is_code(*at)) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    expect_none(&found, "unsafe outside of its directories");
}

/// The first path of the line that leads out of the module, which is given by its path from `crate` and the number of
/// modules that enclose the line inside of it.
fn leads_out<'a>(line: &'a str, module: &str, depth: usize) -> Option<&'a str> {
    let code = line.split("//").next().unwrap_or_default();
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.split(|c: char| !is_path(c)).find(|path| {
        let inside = path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        let ups = path.split("::").take_while(|name| *name == "super").count();
        path.starts_with("crate::") && !inside || ups > depth
    })
}

#[test]
fn unsafe_directories_import_nothing_else_of_their_crate() {
    for (line, out) in [
        ("use crate::log::one_line;", Some("crate::log::one_line")),
        ("    crate::log(crate::sys::fork)", Some("crate::log")),
        ("use crate::{log, sys};", Some("crate::")),
        ("use crate::system;", Some("crate::system")),
        ("use super::super::log;", Some("super::super::log")),
        ("use super::{fork, output}; // not crate::log", None),
        ("crate::sys::fork(), pub(crate) fn", None),
    ] {
        assert_eq!(leads_out(line, "crate::sys", 1), out, "{line}");
    }
    let mut found = Vec::new();
    for (place, module) in LEAVES {
        for Text { path, text } in files(&[place], &["rs"]) {
            let below = path.strip_prefix(place).expect("a file of the directory");
            let mut depth = below.matches('/').count() + usize::from(!below.ends_with("mod.rs"));
            for (number, line) in text.lines().enumerate() {
                depth += usize::from(line == "mod tests {");
                if let Some(out) = leads_out(line, module, depth) {
                    found.push(format!("{path}:{}: {out}", number + 1));
                }
            }
        }
    }
    expect_none(&found, "what is unsafe knows nothing of what uses it: pass it, or register a function");
}

/// The spans between backticks in a document's text, without its code blocks.
fn cited(text: &str) -> Vec<(usize, &str)> {
    let mut cited = Vec::new();
    let mut is_block = false;
    for (number, line) in text.lines().enumerate() {
        is_block ^= line.trim_start().starts_with("```");
        if !is_block {
            cited.extend(line.split('`').skip(1).step_by(2).map(|span| (number + 1, span)));
        }
    }
    cited
}

/// The names of a path such as `Connection::advance` or `Out`; empty if this is not such a path.
fn names(span: &str) -> Vec<&str> {
    let path = span.trim_end_matches("()");
    let names: Vec<&str> = path.split("::").collect();
    let is_name = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let is_type = path.starts_with(|c: char| c.is_ascii_uppercase()) && path.contains(|c: char| c.is_ascii_lowercase());
    match names.iter().all(is_name) && (names.len() > 1 || is_type) {
        true => names,
        false => Vec::new(),
    }
}

/// Foreign names in the same notation.
const FOREIGN: &[&str] =
    &["Content", "Linux", "Debian", "Connection", "Host", "Date", "Allow", "Upgrade", "Vary", "Expect"];

#[test]
fn documents_name_what_is_there() {
    let known: BTreeSet<String> = files(&[CODE, &["examples"]].concat(), &["rs", "lua", "toml"])
        .iter()
        .flat_map(|file| {
            file.text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_string).collect::<Vec<_>>()
        })
        .collect();
    let mut found = Vec::new();
    for Text { path, text } in files(&["docs", "README.md", "CONTRIBUTING.md"], &["md"]) {
        for (line, span) in cited(&text) {
            for name in names(span) {
                if !known.contains(name) && !FOREIGN.contains(&name) {
                    found.push(format!("{path}:{line}: {span}"));
                }
            }
        }
    }
    expect_none(&found, "documents name what the code does not have");
}

#[test]
fn each_decision_has_a_number_of_its_own() {
    let why = fs::read_to_string(Path::new(ROOT).join("docs/why.md")).expect("a document");
    let numbers: Vec<&str> = why.lines().filter_map(|line| line.strip_prefix("### ")?.split('.').next()).collect();
    assert!(numbers.len() > 100);
    let doubled = |number: &&&str| numbers.iter().filter(|other| other == number).count() > 1;
    assert_eq!(numbers.iter().filter(doubled).collect::<Vec<_>>(), Vec::<&&str>::new(), "in docs/why.md");
}
