//! `--limit-store`: the store through which servers share their limits, and how its address is written.
//!
//! It may have a password: so neither `Debug` nor `Display` shows one, and a text that is wrong is kept as what is wrong about
//! it, which [`LimitStore::check`] tells, as the command line's parser would repeat the text.

use crate::percent::decode;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::str::FromStr;

const PORT: u16 = 6379;
const KEY_BYTES_MAX: usize = 512;
/// A file with an address is a line.
const FILE_BYTES_MAX: u64 = 4096;
const AS_IN: &str =
    "write it as redis://HOST:PORT/KEY, as redis+unix:///PATH?key=KEY, or as file:PATH of a file that has it";
const SCHEMES: [&str; 2] = ["redis", "valkey"];
const TLS_SCHEMES: [&str; 2] = ["rediss", "valkeys"];
const UNIX_SCHEMES: [&str; 3] = ["redis+unix", "valkey+unix", "unix"];

/// Where servers share their limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LimitStore {
    /// They are not shared.
    #[default]
    Nowhere,
    /// At this address.
    At(StoreUrl),
    /// The address is in this file.
    In(PathBuf),
    /// What is wrong, in one line.
    Wrong(String),
}

/// `redis://USER:PASSWORD@HOST:PORT/KEY?db=N`, or `redis+unix:///PATH?key=KEY&db=N&user=USER&pass=PASSWORD`, which redis-rs has, too,
/// except for the key.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    /// The name to log in by; `None`: Redis's default user.
    pub user: Option<String>,
    /// `None`: it asks for none.
    pub password: Option<String>,
    /// Where it listens.
    pub at: StoreAt,
    /// The number of the database.
    pub db: i64,
    /// What the servers that share their limits have in common.
    pub key: String,
}

/// Where a store listens.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum StoreAt {
    /// On a port.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port, never 0.
        port: u16,
    },
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for LimitStore {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<LimitStore, Self::Err> {
        Ok(match text.strip_prefix("file:") {
            _ if text == "none" => LimitStore::Nowhere,
            Some("") => LimitStore::Wrong(format!("it names no file; {AS_IN}")),
            Some(path) => LimitStore::In(PathBuf::from(path)),
            None => text.parse().map_or_else(LimitStore::Wrong, LimitStore::At),
        })
    }
}

impl LimitStore {
    /// Whether the address was understood; the error is one line.
    pub fn check(&self) -> Result<(), String> {
        match self {
            LimitStore::Wrong(why) => Err(format!("--limit-store: {why}")),
            LimitStore::Nowhere | LimitStore::At(_) | LimitStore::In(_) => Ok(()),
        }
    }

    /// The text that was given has a password in it.
    pub fn has_password(&self) -> bool {
        matches!(self, LimitStore::At(url) if url.password.is_some())
    }

    /// The address, read from its file if it is in one; `None`: there is no store.
    pub fn url(&self) -> Result<Option<StoreUrl>, String> {
        self.check()?;
        match self {
            LimitStore::At(url) => Ok(Some(url.clone())),
            LimitStore::In(path) => {
                let read = read_line(path).and_then(|text| text.parse());
                read.map(Some).map_err(|why| format!("--limit-store file:{}: {why}", path.display()))
            }
            LimitStore::Nowhere | LimitStore::Wrong(_) => Ok(None),
        }
    }
}

fn read_line(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|e| format!("it cannot be read: {e}"))?;
    if !length.is_file() || length.len() > FILE_BYTES_MAX {
        return Err(format!("it has to be a file of one line, of {FILE_BYTES_MAX} bytes at most"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("it cannot be read: {e}"))?;
    Ok(text.trim().to_string())
}

impl StoreUrl {
    /// A number that is another one for another place in a store, whoever logs in there; never 0.
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.at, self.db, &self.key).hash(&mut hasher);
        hasher.finish() | 1
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    /// The error does not repeat the text.
    fn from_str(text: &str) -> Result<StoreUrl, String> {
        let (scheme, rest) = text.split_once(':').ok_or_else(|| wrong("it is not an address"))?;
        if UNIX_SCHEMES.contains(&scheme) {
            return of_unix_socket(rest.strip_prefix("//").unwrap_or(rest));
        }
        let rest = rest.strip_prefix("//").ok_or_else(|| wrong("it is not an address"))?;
        if TLS_SCHEMES.contains(&scheme) {
            return Err(format!("{scheme}:// is the protocol over TLS, which is not supported; use redis://"));
        }
        if !SCHEMES.contains(&scheme) {
            return Err(wrong("its scheme is not redis://"));
        }
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, key) = rest.split_once('/').ok_or_else(|| wrong("it has no KEY"))?;
        let (login, place) = authority.rsplit_once('@').map_or((None, authority), |(login, at)| (Some(login), at));
        let db = match query.map(|query| query.strip_prefix("db=").unwrap_or_default()) {
            None => 0,
            Some(db) => database(db).ok_or_else(|| {
                wrong("after ? there can be the number of a database, as in ?db=2; write ? as %3F elsewhere")
            })?,
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or(("", login))) {
            Some((user, password)) => (Some(plain(user)?).filter(|user| !user.is_empty()), Some(plain(password)?)),
            None => (None, None),
        };
        let (host, port) = host_and_port(place).ok_or_else(|| wrong("its HOST:PORT is not an address"))?;
        Ok(StoreUrl { user, password, at: StoreAt::Tcp { host, port }, db, key: checked_key(plain(key)?)? })
    }
}

fn wrong(why: &str) -> String {
    format!("{why}; {AS_IN}")
}

/// A part of an address, decoded.
fn plain(text: &str) -> Result<String, String> {
    let bytes = decode(text).ok().map(|bytes| bytes.into_owned());
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| wrong("a % in it encodes no text"))
}

fn database(text: &str) -> Option<i64> {
    text.parse().ok().filter(|db| (0..1 << 31).contains(db))
}

fn checked_key(key: String) -> Result<String, String> {
    let is_key = (1..=KEY_BYTES_MAX).contains(&key.len()) && !key.chars().any(|c| c.is_control() || c.is_whitespace());
    if is_key { Ok(key) } else { Err(wrong("its KEY has to have 1 to 512 bytes, without spaces")) }
}

/// What follows `redis+unix://`: there is no place for a key or a login but in the query.
fn of_unix_socket(rest: &str) -> Result<StoreUrl, String> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = plain(path)?;
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        return Err(wrong("its path is not the absolute path of a socket"));
    }
    let mut url = StoreUrl { user: None, password: None, at: StoreAt::Unix(path.into()), db: 0, key: String::new() };
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("key", key)) => url.key = plain(key)?,
            Some(("db", db)) => url.db = database(db).ok_or_else(|| wrong("its db is not the number of a database"))?,
            Some(("user", user)) => url.user = Some(plain(user)?).filter(|user| !user.is_empty()),
            Some(("pass", password)) => url.password = Some(plain(password)?),
            _ => return Err(wrong("after ? there can be key, db, user and pass")),
        }
    }
    url.key = checked_key(url.key)?;
    Ok(url)
}

/// The port may be left out; an IPv6 address is in brackets.
fn host_and_port(place: &str) -> Option<(String, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, (!port.is_empty()).then(|| port.strip_prefix(':')).map_or(Some(None), |port| port.map(Some))?)
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    let port = port.map_or(Some(PORT), |port| port.parse().ok().filter(|&port| port > 0))?;
    is_host.then(|| (host.to_string(), port))
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoreUrl { user, password, at, db, key } = self;
        let user = user.as_deref().unwrap_or_default();
        match at {
            StoreAt::Tcp { host, port } => {
                let login = if password.is_some() { format!("{user}:***@") } else { String::new() };
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                write!(f, "redis://{login}{host}:{port}/{key}")?;
                if *db == 0 { Ok(()) } else { write!(f, "?db={db}") }
            }
            StoreAt::Unix(path) => {
                write!(f, "redis+unix://{}?key={key}", path.display())?;
                if *db != 0 {
                    write!(f, "&db={db}")?;
                }
                if !user.is_empty() {
                    write!(f, "&user={user}")?;
                }
                if password.is_some() { f.write_str("&pass=***") } else { Ok(()) }
            }
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for LimitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitStore::Nowhere => f.write_str("none"),
            LimitStore::At(url) => url.fmt(f),
            LimitStore::In(path) => write!(f, "file:{}", path.display()),
            LimitStore::Wrong(_) => f.write_str("wrong"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown_without_its_password() {
        for (text, shown, login) in [
            ("redis://store/limits", "redis://store:6379/limits", None),
            ("valkey://10.0.0.1:7000/a/b?db=3", "redis://10.0.0.1:7000/a/b?db=3", None),
            ("redis://[::1]/k", "redis://[::1]:6379/k", None),
            ("redis://[::1]:7/k", "redis://[::1]:7/k", None),
            ("redis://:s3cr%40t@store/k", "redis://:***@store:6379/k", Some((None, "s3cr@t"))),
            ("redis://s3cret@store/k", "redis://:***@store:6379/k", Some((None, "s3cret"))),
            ("redis://me:s3:c/ret@store/k", "", None),
            ("redis://me:s3:cret@store/k", "redis://me:***@store:6379/k", Some((Some("me"), "s3:cret"))),
            ("redis+unix:///run/r.sock?key=k", "redis+unix:///run/r.sock?key=k", None),
            ("unix:/run/r%20x?key=a%26b&db=3", "redis+unix:///run/r x?key=a&b&db=3", None),
            (
                "valkey+unix:///r?user=me&pass=s3%26cret&key=k",
                "redis+unix:///r?key=k&user=me&pass=***",
                Some((Some("me"), "s3&cret")),
            ),
            ("unix:///r?pass=s3cret&key=k", "redis+unix:///r?key=k&pass=***", Some((None, "s3cret"))),
        ] {
            let Ok(url) = text.parse::<StoreUrl>() else {
                assert_eq!(shown, "", "{text}");
                continue;
            };
            assert_eq!((url.to_string().as_str(), format!("{url:?}").as_str()), (shown, shown));
            let of = |login: Option<(Option<&str>, &str)>| {
                login.map(|(user, pass)| (user.map(str::to_string), pass.to_string()))
            };
            assert_eq!(url.password.clone().map(|password| (url.user.clone(), password)), of(login), "{text}");
        }
    }

    #[test]
    fn a_wrong_address_is_explained_and_not_repeated() {
        for (text, hint) in [
            ("", "not an address"),
            ("s3cret", "not an address"),
            ("http://s3cret@store/k", "scheme"),
            ("rediss://:s3cret@store/k", "TLS"),
            ("redis://s3cret@store", "KEY"),
            ("redis://s3cret@store/", "KEY"),
            ("redis://s3cret@store/a b", "KEY"),
            ("redis://s3cret@/k", "HOST:PORT"),
            ("redis://s3cret@st ore/k", "HOST:PORT"),
            ("redis://s3cret@store:0/k", "HOST:PORT"),
            ("redis://s3cret@store:99999/k", "HOST:PORT"),
            ("redis://[::1/k", "HOST:PORT"),
            ("redis://[::1]6379/k", "HOST:PORT"),
            ("redis://s3cret%4@store/k", "%"),
            ("redis://s3cret@store/k?db=x", "?db=2"),
            ("redis://s3cret@store/k?timeout=3", "?db=2"),
            ("file:", "no file"),
            ("redis+unix:///s3cret", "KEY"),
            ("redis+unix:///run/?key=k", "absolute path"),
            ("redis+unix://s3cret/run/redis?key=k", "absolute path"),
            ("redis+unix://:s3cret@/run/redis?key=k", "absolute path"),
            ("unix:s3cret?key=k", "absolute path"),
            ("unix:/r%00?key=k", "absolute path"),
            ("unix:/r?key=s3+cret&db=-1", "db"),
            ("unix:/r?key=k&password=s3cret", "user and pass"),
            ("unix:/r?key=k&pass=s3cret%4", "%"),
        ] {
            let store: LimitStore = text.parse().expect("never wrong by itself");
            let line = store.check().expect_err(text);
            assert!(line.starts_with("--limit-store: ") && line.contains(hint), "{text}: {line}");
            assert!(!format!("{line} {store} {store:?}").contains("s3cret"), "{text}: {line}");
        }
        assert_eq!("none".parse(), Ok(LimitStore::Nowhere));
    }
}
