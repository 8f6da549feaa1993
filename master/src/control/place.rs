//! The path of the control socket: the one that was given, or one in a runtime directory, named after the port.
//!
//! Both ends use the same list of directories: a server takes the first that it can use, `tine ctl` and `tine top` search all
//! of them. A directory counts only if no other user than its owner and root can create files there, so that another user's
//! socket is not taken for a server's.

use super::talk::{Talk, TalkError};
use super::{Claim, Control, identity};
use crate::command::Command;
use crate::holder::Holders;
use crate::unix_socket::is_live_of;
use nix::unistd::geteuid;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tine_common::config::{Address, ControlAt};
use tine_common::status::ServerState;

/// What a default socket's name ends with. Not `.sock`: the server's own Unix sockets may lie in the same directory.
const SUFFIX: &str = ".ctl";
/// Prefix of the directories of servers that root has started as other users; the user's number follows.
const OF_USERS: &str = "/run/tine-";
/// How long to wait for the server at the path to report whether it is draining.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(500);
/// Servers named in the error if there are several.
const NAMED_MAX: usize = 8;

/// Which server a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The only one that is running.
    Only,
    Port(u16),
    At(PathBuf),
}

/// A server's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    /// The user that the server must run as, if the directory belongs to a user: a link there may lead to another user's
    /// server.
    pub owner: Option<u32>,
}

/// Why no server was found.
#[derive(Debug, PartialEq, Eq)]
pub enum NotFound {
    /// No server is running.
    NoServer(String),
    /// Several are running, and none was named.
    Several(String),
}

/// Opens the socket. A default socket that cannot be opened is a warning; one with a given path is an error of one line.
pub fn open(at: &ControlAt, first: Option<&Address>, claim: Claim) -> Result<Option<Control>, String> {
    match (at, first) {
        (ControlAt::Nowhere, _) | (ControlAt::Auto, None) => Ok(None),
        (ControlAt::Path(path), _) => {
            open_or_replace(path, claim).map(Some).map_err(|line| format!("--control {line}"))
        }
        (ControlAt::Auto, Some(first)) => {
            match open_default(&directories(variable, geteuid().as_raw()), first, claim) {
                Ok(control) => Ok(Some(control)),
                Err(line) => {
                    log::warn!("no control socket, `tine ctl` cannot reach this server: {line} by --control");
                    Ok(None)
                }
            }
        }
    }
}

fn open_default(directories: &[Directory], first: &Address, claim: Claim) -> Result<Control, String> {
    let mut why = None;
    for directory in directories {
        // The error is that of the first directory, which was meant; the others are fallbacks.
        let opened = directory.make().and_then(|()| open_or_replace(&directory.path.join(name_of(first)), claim));
        match opened {
            Ok(control) => return Ok(control),
            Err(line) => why.get_or_insert(line),
        };
    }
    Err(why.unwrap_or_else(|| "there is not a directory for it; give a path".to_string()))
}

/// A server that drains has released its address; its path may be taken, too.
fn open_or_replace(path: &Path, claim: Claim) -> Result<Control, String> {
    Control::open(path, claim).or_else(|line| match is_leaving(path) {
        true => Control::open(path, Claim::TakeOver),
        false => Err(line),
    })
}

/// Whether the server at the path reports that it is draining.
fn is_leaving(path: &Path) -> bool {
    let ask = || -> Result<bool, TalkError> {
        let answer = Talk::open(path, Some(QUESTION_TIMEOUT))?.ask(Command::Status, |_| {})?;
        Ok(answer.line.status.is_some_and(|status| status.state == ServerState::Draining))
    };
    ask().unwrap_or(false)
}

/// Called as root: creates the directory for the default socket of a server that continues as this user. Of all directories
/// that such a server can use, root's `tine ctl` can trust only one that root has created.
pub fn make_directory_for(uid: u32, gid: u32) -> Result<(), String> {
    let directory = Directory { path: of_user(uid), is_given: false };
    let shown = directory.path.display();
    match DirBuilder::new().mode(0o700).create(&directory.path) {
        // Only root can have put another in its place.
        Ok(()) => lchown(&directory.path, Some(uid), Some(gid)).map_err(|e| format!("{shown}: {e}")),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => directory.check(uid),
        Err(e) => Err(format!("{shown} cannot be created: {e}")),
    }
}

/// Finds the server.
pub fn find(wanted: &Wanted) -> Result<Found, NotFound> {
    find_in(wanted, &all_directories(variable, geteuid().as_raw()), geteuid().as_raw())
}

fn find_in(wanted: &Wanted, directories: &[Directory], uid: u32) -> Result<Found, NotFound> {
    if let Wanted::At(path) = wanted {
        return Ok(Found { path: path.clone(), owner: None });
    }
    let mut live = Vec::new();
    for directory in directories.iter().filter(|directory| directory.check(uid).is_ok()) {
        let owner = fs::metadata(&directory.path).ok().map(|found| found.uid()).filter(|&owner| owner != 0);
        let entries = fs::read_dir(&directory.path).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_meant = |path: &PathBuf| is_named_right(path, wanted) && identity(path).is_some();
        let mut paths: Vec<PathBuf> = entries.filter(is_meant).collect();
        paths.sort();
        let found = paths.into_iter().map(|path| Found { path, owner });
        live.extend(found.filter(|found| is_live_of(&found.path, found.owner).unwrap_or(false)));
    }
    live.dedup();
    let searched =
        || directories.iter().map(|directory| directory.path.display().to_string()).collect::<Vec<_>>().join(", ");
    match (live.len(), wanted) {
        (1, _) => Ok(live.remove(0)),
        (0, Wanted::Port(port)) => Err(NotFound::NoServer(none_on(*port, &searched()))),
        (0, _) => Err(NotFound::NoServer(format!(
            "no server found in {}; start one, or give its socket with --control PATH; one with --workers 0 has none",
            searched()
        ))),
        (count, _) => {
            let named: Vec<String> =
                live.iter().take(NAMED_MAX).map(|found| found.path.display().to_string()).collect();
            let more = if count > NAMED_MAX { ", ..." } else { "" };
            Err(NotFound::Several(format!(
                "{count} servers are running; choose one with --control PORT or --control PATH: {}{more}",
                named.join(", ")
            )))
        }
    }
}

/// What listens there may be a server that has no control socket.
fn none_on(port: u16, searched: &str) -> String {
    match Holders::of(&Address::Tcp((Ipv4Addr::UNSPECIFIED, port).into())).listener() {
        Some(listener) => format!(
            "{listener} listens on port {port}, but no control socket for it is in {searched}: give that with --control PATH; a \
             server with --workers 0 or --control none has none and only takes signals"
        ),
        None => {
            format!("no server on port {port} found in {searched}; start one, or give its socket with --control PATH")
        }
    }
}

fn is_named_right(path: &Path, wanted: &Wanted) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match wanted {
        Wanted::Port(port) => name == format!("{port}{SUFFIX}"),
        _ => name.ends_with(SUFFIX) && !name.starts_with('.'),
    }
}

/// `8080.ctl`; of a Unix socket `/run/web.sock`, `web.ctl`.
fn name_of(first: &Address) -> String {
    match first {
        Address::Tcp(tcp) => format!("{}{SUFFIX}", tcp.port()),
        Address::Unix(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            format!("{}{SUFFIX}", name.strip_suffix(".sock").unwrap_or(&name))
        }
    }
}

/// A directory for default sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directory {
    path: PathBuf,
    /// The service manager has created it and vouches for it; the path may be a link.
    is_given: bool,
}

/// The directories for a server of this user, the preferred one first.
fn directories(variable: impl Fn(&str) -> Option<OsString>, uid: u32) -> Vec<Directory> {
    let absolute = |text: OsString| Some(PathBuf::from(text)).filter(|path| path.is_absolute());
    // Several are separated by colons (systemd.exec(5)).
    let first_of = |text: OsString| OsString::from(text.to_string_lossy().split(':').next().unwrap_or_default());
    let given = variable("RUNTIME_DIRECTORY").map(first_of).and_then(absolute);
    let given = given.map(|path| Directory { path, is_given: true });
    let own = variable("XDG_RUNTIME_DIR").and_then(absolute).map(|path| path.join("tine"));
    let of_root = (uid == 0).then(|| PathBuf::from("/run/tine"));
    // Created by root for a server that it started as this user.
    let of_user = (uid != 0).then(|| of_user(uid));
    let last = Some(PathBuf::from(format!("/tmp/tine-{uid}")));
    let made = [own, of_root, of_user, last].into_iter().flatten().map(|path| Directory { path, is_given: false });
    given.into_iter().chain(made).collect()
}

/// The directory that root creates for a server that it starts as this user.
fn of_user(uid: u32) -> PathBuf {
    PathBuf::from(format!("{OF_USERS}{uid}"))
}

/// All directories of that kind.
fn of_users() -> Vec<PathBuf> {
    let (directory, prefix) = OF_USERS.rsplit_once('/').unwrap_or_default();
    let is_of_user = |name: &str| name.strip_prefix(prefix).is_some_and(|uid| uid.parse::<u32>().is_ok());
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_of_user)).map(|entry| entry.path()).collect()
}

/// The directories that a client searches: also that of a service, and for root those of other users. Only root can create
/// a directory there, whoever owns it afterwards.
fn all_directories(variable: impl Fn(&str) -> Option<OsString>, uid: u32) -> Vec<Directory> {
    let mut directories = directories(variable, uid);
    let of_service = Directory { path: PathBuf::from("/run/tine"), is_given: true };
    match directories.iter_mut().find(|directory| directory.path == of_service.path) {
        Some(directory) => *directory = of_service,
        None => directories.push(of_service),
    }
    if uid == 0 {
        directories.extend(of_users().into_iter().map(|path| Directory { path, is_given: true }));
    }
    directories
}

impl Directory {
    /// Creates the directory if it does not exist, and checks its owner and mode.
    fn make(&self) -> Result<(), String> {
        let shown = self.path.display();
        if !self.is_given {
            match DirBuilder::new().mode(0o700).create(&self.path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(format!("{shown} cannot be created: {e}; give a path"));
                }
                _ => {}
            }
        }
        self.check(geteuid().as_raw())
    }

    fn check(&self, uid: u32) -> Result<(), String> {
        let shown = self.path.display();
        let found = if self.is_given { fs::metadata(&self.path) } else { fs::symlink_metadata(&self.path) };
        let found = found.map_err(|e| format!("{shown}: {e}; give a path"))?;
        if !found.is_dir() {
            return Err(format!("{shown} is not a directory; remove it or give a path"));
        }
        // The service manager's directory may belong to the service's user; root may control that server.
        let may_be_others = self.is_given && uid == 0;
        if ![0, uid].contains(&found.uid()) && !may_be_others {
            return Err(format!("{shown} belongs to user {}; remove it or give a path", found.uid()));
        }
        if found.mode() & 0o022 != 0 {
            return Err(format!("other users may write to {shown}; remove that permission or give a path"));
        }
        Ok(())
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("tine-place-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        DirBuilder::new().mode(0o700).create(&directory).expect("a directory");
        directory
    }

    #[test]
    fn directories_in_their_order() {
        for (runtime, xdg, uid, expected) in [
            (None, None, 0, &["/run/tine", "/tmp/tine-0"][..]),
            (None, None, 1000, &["/run/tine-1000", "/tmp/tine-1000"]),
            (None, Some("/run/user/1000"), 1000, &["/run/user/1000/tine", "/run/tine-1000", "/tmp/tine-1000"]),
            (Some("/run/web:/run/other"), None, 33, &["/run/web", "/run/tine-33", "/tmp/tine-33"]),
            (Some("/run/web"), Some("/run/user/0"), 0, &["/run/web", "/run/user/0/tine", "/run/tine", "/tmp/tine-0"]),
            (Some(""), Some("relative"), 7, &["/run/tine-7", "/tmp/tine-7"]),
        ] {
            let variable = |name: &str| match name {
                "RUNTIME_DIRECTORY" => runtime.map(OsString::from),
                "XDG_RUNTIME_DIR" => xdg.map(OsString::from),
                _ => None,
            };
            let found: Vec<_> = directories(variable, uid).into_iter().map(|directory| directory.path).collect();
            assert_eq!(found, expected.iter().map(PathBuf::from).collect::<Vec<_>>());
            let all = all_directories(variable, uid);
            let of_service: Vec<_> = all.iter().filter(|directory| directory.path == Path::new("/run/tine")).collect();
            assert_eq!(of_service, [&Directory { path: "/run/tine".into(), is_given: true }]);
        }
    }

    #[test]
    fn a_socket_is_named_after_the_first_address() {
        for (address, expected) in [
            ("127.0.0.1:8080", "8080.ctl"),
            ("[::1]:443", "443.ctl"),
            ("unix:/run/web.sock", "web.ctl"),
            ("unix:/run/web", "web.ctl"),
            ("unix:web.socket", "web.socket.ctl"),
        ] {
            assert_eq!(name_of(&address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_directory_that_others_could_write_to_is_not_taken() {
        let scratch = directory("unsafe");
        let of = |path: PathBuf| Directory { path, is_given: false };
        let made = of(scratch.join("new"));
        made.make().unwrap();
        assert_eq!(fs::metadata(&made.path).unwrap().permissions().mode() & 0o777, 0o700);
        made.make().expect("a second server finds it");
        fs::set_permissions(&made.path, Permissions::from_mode(0o770)).unwrap();
        assert!(made.make().unwrap_err().contains("other users may write"));
        fs::set_permissions(&made.path, Permissions::from_mode(0o755)).unwrap();
        made.make().unwrap();
        let own = geteuid().as_raw();
        assert!(made.check(own + 1).is_err() || geteuid().is_root(), "another user's");
        if geteuid().is_root() {
            let of_another = |is_given| {
                let path = scratch.join("of another");
                fs::create_dir_all(&path).and_then(|()| std::os::unix::fs::chown(&path, Some(1234), None)).unwrap();
                Directory { path, is_given }.check(0)
            };
            assert!(of_another(false).unwrap_err().contains("belongs to user 1234"));
            of_another(true).expect("root asks a service of another user's");
        }
        let link = of(scratch.join("link"));
        symlink(&made.path, &link.path).unwrap();
        assert!(link.make().unwrap_err().contains("is not a directory"));
        Directory { is_given: true, ..link }.make().expect("the service manager may use links");
        assert!(of(scratch.join("no/such")).make().unwrap_err().contains("cannot be created"));
        fs::remove_dir_all(&scratch).unwrap();
    }

    #[test]
    fn the_first_directory_that_can_be_had_is_taken() {
        let scratch = directory("first");
        let directories =
            ["no/such", "second", "third"].map(|name| Directory { path: scratch.join(name), is_given: false });
        let address = "127.0.0.1:8080".parse().unwrap();
        let control = open_default(&directories, &address, Claim::Free).expect("it is opened");
        assert_eq!(control.path(), scratch.join("second/8080.ctl"));
        let line = open_default(&directories[..1], &address, Claim::Free).err().expect("no directory");
        assert!(line.contains("no/such") && line.ends_with("give a path"), "{line}");
        fs::remove_dir_all(&scratch).unwrap();
    }

    #[test]
    fn a_client_finds_the_only_server_or_is_asked_which() {
        let scratch = directory("find");
        let uid = geteuid().as_raw();
        let directories = [Directory { path: scratch.clone(), is_given: false }];
        let find = |wanted: &Wanted| find_in(wanted, &directories, uid);
        drop(UnixListener::bind(scratch.join("8079.ctl")).unwrap()); // a server that was killed
        let Err(NotFound::NoServer(line)) = find(&Wanted::Only) else { panic!("no server is running") };
        assert!(line.contains(scratch.to_str().unwrap()) && line.contains("--control PATH"), "{line}");
        let _web = UnixListener::bind(scratch.join("web.sock")).unwrap(); // serves HTTP
        let _first = UnixListener::bind(scratch.join("8080.ctl")).unwrap();
        // A link to a socket elsewhere does not count.
        symlink(scratch.join("8080.ctl"), scratch.join("8090.ctl")).unwrap();
        let found = |name: &str| {
            let owner = (uid != 0).then_some(uid);
            Ok(Found { path: scratch.join(name), owner })
        };
        assert_eq!(find(&Wanted::Only), found("8080.ctl"));
        let _second = UnixListener::bind(scratch.join("8081.ctl")).unwrap();
        let Err(NotFound::Several(line)) = find(&Wanted::Only) else { panic!("there are two") };
        assert!(line.contains("2 servers") && line.contains("8080.ctl") && line.contains("8081.ctl"), "{line}");
        assert_eq!(find(&Wanted::Port(8081)), found("8081.ctl"));
        assert!(matches!(find(&Wanted::Port(8082)), Err(NotFound::NoServer(line)) if line.contains("port 8082")));
        assert_eq!(find(&Wanted::At("/x".into())), Ok(Found { path: "/x".into(), owner: None }));
        if uid == 0 {
            // In a user's directory only that user's servers count.
            std::os::unix::fs::chown(&scratch, Some(1234), None).unwrap();
            let of_user = [Directory { path: scratch.clone(), is_given: true }];
            assert!(matches!(find_in(&Wanted::Port(8081), &of_user, 0), Err(NotFound::NoServer(_))));
        }
        fs::set_permissions(&scratch, Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(find(&Wanted::Only), Err(NotFound::NoServer(_))), "others may have put them there");
        fs::remove_dir_all(&scratch).unwrap();
    }
}
