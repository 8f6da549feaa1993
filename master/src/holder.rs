//! Which processes listen on an address that is in use, from /proc: to name them in a message, and to tell a server that is
//! stopping from one that serves.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tine_common::config::Address;

/// The titles of a master and its workers (`process::set_title`).
const MASTER: &str = "tine: master";
const WORKER: &str = "tine: worker ";
const ADMIN: &str = "tine: admin";
/// TCP_LISTEN in /proc/net/tcp.
const LISTENS: &str = "0A";
/// __SO_ACCEPTCON, set for a listening Unix socket in /proc/net/unix.
const ACCEPTS: u32 = 0x10000;
/// Processes named in a message.
const NAMED_MAX: usize = 8;

/// The processes that listen, as far as visible: those of other users are hidden except from root.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Holders {
    all: Vec<Holder>,
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
        let inodes = match address {
            Address::Tcp(tcp) => {
                let tables = [table("tcp"), table("tcp6")].concat();
                tcp_listeners(&String::from_utf8_lossy(&tables), *tcp)
            }
            Address::Unix(path) => unix_listeners(&table("unix"), path),
        };
        let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
        if links.is_empty() {
            return Holders::default();
        }
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let all = pids.filter(|&pid| has_descriptor(pid, &links)).map(|pid| Holder {
            pid,
            name: name_of(pid),
            has_master: parent_of(pid).is_some_and(|parent| name_of(parent) == MASTER),
        });
        Holders { all: all.collect() }
    }

    /// Only workers, or what is left of `--admin`: their master has released the address or has died, and they will soon exit.
    pub fn are_leaving(&self) -> bool {
        !self.all.is_empty() && self.all.iter().all(|holder| is_workers(&holder.name))
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What to do about them.
    pub fn advice(&self) -> &'static str {
        if self.are_leaving() { "wait for them, kill them" } else { "stop it" }
    }

    /// What listens there.
    pub fn describe(&self) -> String {
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

    /// ` (process 123, nginx)`, if that is visible.
    fn which(&self) -> String {
        // The master, if there is one, otherwise the lowest ID.
        match self.all.iter().min_by_key(|holder| (is_workers(&holder.name), holder.pid)) {
            Some(Holder { pid, name, .. }) => format!(" (process {pid}, {name})"),
            None => String::new(),
        }
    }
}

fn is_workers(title: &str) -> bool {
    title.starts_with(WORKER) || title == ADMIN
}

/// The inodes of the listening sockets that conflict with an address: same port, and the same address or any (proc_net(5)).
fn tcp_listeners(tables: &str, wanted: SocketAddr) -> Vec<u64> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        let found = SocketAddr::new(address_of(address)?, u16::from_str_radix(port, 16).ok()?);
        let is_met = found.port() == wanted.port()
            && (found.ip() == wanted.ip() || found.ip().is_unspecified() || wanted.ip().is_unspecified());
        (fields.get(3) == Some(&LISTENS) && is_met).then_some(())?;
        fields.get(9)?.parse().ok()
    };
    tables.lines().filter_map(row).collect()
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
    fn rows_that_listen_on_that_port_and_address_are_found() {
        let tables = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0
   2: 0200007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0
   3: 00000000:0051 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0 100 0 0 10 0
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 15 1
";
        for (address, expected) in [
            ("127.0.0.1:8080", &[11][..]),
            ("127.0.0.2:8080", &[13]),
            ("127.0.0.3:8080", &[]),
            ("0.0.0.0:8080", &[11, 13, 15]),
            ("127.0.0.1:81", &[14]),
            ("[::1]:8080", &[15]),
        ] {
            // The tables are in the order of the machine's bytes.
            if cfg!(target_endian = "little") {
                assert_eq!(tcp_listeners(tables, address.parse().unwrap()), expected, "{address}");
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
