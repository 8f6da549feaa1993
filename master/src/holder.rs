//! What has an address that is in use, from /proc: to name the processes that listen there in a message, and to tell a server that is
//! stopping from one that serves, and both from a client whose connection the system has given that port.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tine_common::config::Address;

/// The titles of a master and its workers (`process::set_title`).
const MASTER: &str = "tine: master";
const WORKER: &str = "tine: worker ";
const ADMIN: &str = "tine: admin";
/// TCP_LISTEN and TCP_TIME_WAIT in /proc/net/tcp.
const LISTENS: &str = "0A";
const TIME_WAIT: &str = "06";
/// __SO_ACCEPTCON, set for a listening Unix socket in /proc/net/unix.
const ACCEPTS: u32 = 0x10000;
/// Processes named in a message.
const NAMED_MAX: usize = 8;

/// The processes that have an address, as far as visible: those of other users are hidden except from root.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Holders {
    hold: Hold,
    all: Vec<Holder>,
}

/// How they have it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// They listen.
    #[default]
    Listener,
    /// It is their end of a connection.
    Connection,
    /// It was an end of a connection, which the kernel remembers for a minute.
    Remnant,
}

#[derive(Debug, PartialEq, Eq)]
struct Holder {
    pid: u32,
    name: String,
    /// Its parent is a master.
    has_master: bool,
}

impl Holders {
    pub fn of(address: &Address) -> Holders {
        let table = |name: &str| fs::read(format!("/proc/self/net/{name}")).unwrap_or_default();
        let (hold, inodes) = match address {
            Address::Tcp(tcp) => {
                let tables = [table("tcp"), table("tcp6")].concat();
                tcp_sockets(&String::from_utf8_lossy(&tables), *tcp)
            }
            Address::Unix(path) => (Hold::Listener, unix_listeners(&table("unix"), path)),
        };
        let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
        if links.is_empty() {
            return Holders { hold, all: Vec::new() };
        }
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let all = pids.filter(|&pid| has_descriptor(pid, &links)).map(|pid| Holder {
            pid,
            name: name_of(pid),
            has_master: parent_of(pid).is_some_and(|parent| name_of(parent) == MASTER),
        });
        Holders { hold, all: all.collect() }
    }

    /// Only workers, or what is left of `--admin`: their master has released the address or has died, and they will soon exit.
    pub fn are_leaving(&self) -> bool {
        self.hold == Hold::Listener && !self.all.is_empty() && self.all.iter().all(|holder| is_workers(&holder.name))
    }

    /// Whether any of them listens.
    pub fn are_listeners(&self) -> bool {
        self.hold == Hold::Listener && !self.all.is_empty()
    }

    /// What to do about them.
    pub fn advice(&self) -> &'static str {
        match self.hold {
            Hold::Listener if self.are_leaving() => "wait for them, kill them",
            Hold::Listener => "stop it",
            Hold::Connection => "wait for its end",
            Hold::Remnant => "wait for a minute",
        }
    }

    /// ` (the system gives ports from 32768 to 60999 to clients)`, if a client has this one (ip-sysctl's ip_local_port_range).
    pub fn note(&self) -> String {
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            [first, last] if self.hold != Hold::Listener => {
                format!(" (the system gives ports from {first} to {last} to clients)")
            }
            _ => String::new(),
        }
    }

    /// What has the address.
    pub fn describe(&self) -> String {
        match self.hold {
            Hold::Listener => {}
            Hold::Connection => {
                return format!("no program listens there, but it is an end of a connection{}", self.which());
            }
            Hold::Remnant => {
                return "no program listens there, but it was an end of a connection, which the kernel keeps"
                    .to_string();
            }
        }
        let named = self.all.iter().take(NAMED_MAX).map(|holder| holder.pid.to_string()).collect::<Vec<_>>().join(", ");
        let more = if self.all.len() > NAMED_MAX { ", …" } else { "" };
        let processes = if self.all.len() == 1 { "process" } else { "processes" };
        if !self.are_leaving() {
            return format!("another program listens there{}", self.which());
        }
        let whose = match self.all.iter().any(|holder| holder.has_master) {
            true => "workers of a stopping server",
            false => "workers whose master has died",
        };
        format!("{whose} still listen there while they finish ({processes} {named}{more})")
    }

    /// `process 123 (nginx)`: what listens, if that is visible.
    pub fn listener(&self) -> Option<String> {
        let Holder { pid, name, .. } = self.first().filter(|_| self.hold == Hold::Listener)?;
        Some(format!("process {pid} ({name})"))
    }

    /// ` (process 123, nginx)`, if that is visible.
    fn which(&self) -> String {
        self.first().map_or(String::new(), |Holder { pid, name, .. }| format!(" (process {pid}, {name})"))
    }

    /// The master, if there is one, otherwise the lowest ID.
    fn first(&self) -> Option<&Holder> {
        self.all.iter().min_by_key(|holder| (is_workers(&holder.name), holder.pid))
    }
}

fn is_workers(title: &str) -> bool {
    title.starts_with(WORKER) || title == ADMIN
}

/// The inodes of the sockets that conflict with an address: same port, and the same address or any (proc_net(5)). Those that
/// listen, if there are any.
fn tcp_sockets(tables: &str, wanted: SocketAddr) -> (Hold, Vec<u64>) {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        let found = SocketAddr::new(address_of(address)?, u16::from_str_radix(port, 16).ok()?);
        let is_met = found.port() == wanted.port()
            && (found.ip() == wanted.ip() || found.ip().is_unspecified() || wanted.ip().is_unspecified());
        let hold = match *fields.get(3)? {
            LISTENS => Hold::Listener,
            TIME_WAIT => Hold::Remnant,
            _ => Hold::Connection,
        };
        is_met.then_some((hold, fields.get(9)?.parse().ok()?))
    };
    let all: Vec<(Hold, u64)> = tables.lines().filter_map(row).collect();
    let [listeners, connections, remnants] = [Hold::Listener, Hold::Connection, Hold::Remnant]
        .map(|hold| (hold, all.iter().filter(|one| one.0 == hold).map(|one| one.1).collect::<Vec<u64>>()));
    let found = [listeners, connections, remnants].into_iter().find(|(_, inodes)| !inodes.is_empty());
    // Without a row: a socket that is bound and does not listen, or /proc is not to be read.
    found.unwrap_or_default()
}

/// Parses an address in words of 32 bits, each in the machine's byte order.
fn address_of(text: &str) -> Option<IpAddr> {
    let words = text.as_bytes().chunks(8).map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<u8> = words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    v4.or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)))).ok()
}

fn unix_listeners(table: &[u8], wanted: &Path) -> Vec<u64> {
    let row = |line: &[u8]| {
        // The path is the last field, and may contain spaces.
        let mut fields = line.splitn(8, |&byte| byte == b' ').collect::<Vec<_>>().into_iter();
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let flags = u32::from_str_radix(&text(fields.nth(3)?), 16).ok()?;
        // Numbers are padded with spaces.
        let rest = line.split(|&byte| byte == b' ').filter(|field| !field.is_empty()).nth(6)?;
        let is_at_path = line.ends_with(&[b" ", wanted.as_os_str().as_bytes()].concat());
        (flags & ACCEPTS != 0 && is_at_path).then(|| text(rest).parse().ok())?
    };
    table.split(|&byte| byte == b'\n').filter_map(row).collect()
}

fn has_descriptor(pid: u32, links: &[String]) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
}

fn name_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_string()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which ends with the last parenthesis: state, parent (proc_pid_stat(5)).
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    #[test]
    fn rows_of_that_port_and_address_are_found_those_that_listen_first() {
        let tables = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0
   2: 0200007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0
   3: 00000000:0051 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0 100 0 0 10 0
   4: 0100007F:0052 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 16 1 0 100 0 0 10 0
   5: 0100007F:0052 0100007F:1F91 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   6: 0100007F:0053 0100007F:1F90 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 15 1
";
        for (address, hold, expected) in [
            ("127.0.0.1:8080", Hold::Listener, &[11][..]),
            ("127.0.0.2:8080", Hold::Listener, &[13]),
            ("127.0.0.3:8080", Hold::Listener, &[]),
            ("0.0.0.0:8080", Hold::Listener, &[11, 13, 15]),
            ("127.0.0.1:81", Hold::Listener, &[14]),
            ("127.0.0.1:82", Hold::Connection, &[16]),
            ("0.0.0.0:83", Hold::Remnant, &[0]),
            ("[::1]:8080", Hold::Listener, &[15]),
        ] {
            // The tables are in the order of the machine's bytes.
            if cfg!(target_endian = "little") {
                assert_eq!(tcp_sockets(tables, address.parse().unwrap()), (hold, expected.to_vec()), "{address}");
            }
        }
    }

    #[test]
    fn rows_that_listen_at_that_path_are_found() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01    21 /run/web
0000000000000000: 00000003 00000000 00000000 0001 03 22222 /run/web
0000000000000000: 00000002 00000000 00010000 0001 01 23333 /run/web.sock
0000000000000000: 00000002 00000000 00010000 0001 01 24 /run/my web
0000000000000000: 00000002 00000000 00010000 0001 01 25
";
        for (path, expected) in [("/run/web", &[21][..]), ("/run/web.sock", &[23333]), ("/run/my web", &[24])] {
            assert_eq!(unix_listeners(table, Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn this_process_is_found() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let path = std::env::temp_dir().join(format!("tine-holder-{}", std::process::id()));
        let _unix = UnixListener::bind(&path).unwrap();
        for address in [Address::Tcp(tcp.local_addr().unwrap()), Address::Unix(path.clone())] {
            let holders = Holders::of(&address);
            let pids: Vec<u32> = holders.all.iter().map(|holder| holder.pid).collect();
            assert_eq!(pids, [std::process::id()], "{address}");
            assert!(!holders.are_leaving());
            assert!(holders.which().contains(&format!("process {}, ", std::process::id())), "{}", holders.which());
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn workers_alone_are_leaving() {
        let of = |names: &[(&str, bool)]| Holders {
            hold: Hold::Listener,
            all: (11..)
                .zip(names)
                .map(|(pid, &(name, has_master))| Holder { pid, name: name.to_string(), has_master })
                .collect(),
        };
        for (names, is_leaving, words) in [
            (&[][..], false, "another program listens there"),
            (&[("nginx", false)], false, "another program listens there (process 11, nginx)"),
            (&[("tine: worker 0", true), ("tine: master", false)], false, "another program listens there"),
            (&[("tine: worker 0", true)], true, "workers of a stopping server still listen there while"),
            (
                &[("tine: worker 0", false), ("tine: worker 1", false)],
                true,
                "workers whose master has died still listen there while they finish (processes 11, 12)",
            ),
        ] {
            let holders = of(names);
            assert_eq!(holders.are_leaving(), is_leaving, "{names:?}");
            assert!(holders.describe().contains(words), "{}", holders.describe());
        }
        let server = of(&[("tine: worker 0", true), ("tine: master", false)]);
        assert_eq!(server.which(), " (process 12, tine: master)");
    }
}
