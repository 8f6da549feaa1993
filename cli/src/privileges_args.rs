//! The options of the server's user, group, umask, working directory and CPUs.

use crate::cpus;
use nix::unistd::{Gid, Group as GroupEntry, Uid, User as UserEntry};
use std::path::PathBuf;
use tine_common::privileges::{Affinity, Group, Privileges, User};
use tine_common::units::parse_yes_or_no;

#[derive(clap::Args, Debug)]
pub struct PrivilegesArgs {
    /// Run as this user, by name or number, once everything is bound; needs root
    #[arg(long, value_name = "USER", env = "TINE_USER", hide_env = true, value_parser = user, help_heading = "Privileges")]
    user: Option<User>,
    /// Run as this group [default: the user's]
    #[arg(
        long,
        value_name = "GROUP",
        env = "TINE_GROUP",
        hide_env = true,
        value_parser = group,
        help_heading = "Privileges"
    )]
    group: Option<Group>,
    /// Umask of files and Unix sockets, such as 027 or 117 [default: inherited]
    #[arg(
        long,
        value_name = "OCTAL",
        env = "TINE_UMASK",
        hide_env = true,
        value_parser = umask,
        help_heading = "Privileges"
    )]
    umask: Option<u32>,
    /// Change to this directory first; other relative paths start there
    #[arg(long, value_name = "DIR", env = "TINE_CHDIR", hide_env = true, help_heading = "Privileges")]
    chdir: Option<PathBuf>,
    /// Do not warn when an app runs as root
    #[arg(long, env = "TINE_ALLOW_ROOT", hide_env = true, value_parser = parse_yes_or_no, help_heading = "Privileges")]
    allow_root: bool,
    /// Pin each worker to a CPU of its own: auto, off, or a list of CPUs such as 0-3,8
    #[arg(long, value_name = "CPUS", default_value = "off", env = "TINE_CPU_AFFINITY", hide_env = true,
          value_parser = cpus::parse, help_heading = "Processes")]
    cpu_affinity: Affinity,
}

impl PrivilegesArgs {
    pub fn config(self) -> Privileges {
        Privileges {
            user: self.user,
            group: self.group,
            umask: self.umask,
            // Entered more than once.
            directory: self.chdir.map(|directory| std::path::absolute(&directory).unwrap_or(directory)),
            allow_root: self.allow_root,
            affinity: self.cpu_affinity,
        }
    }
}

/// A name takes precedence over a number, as in chown(1).
fn user(text: &str) -> Result<User, String> {
    let system = |e: nix::Error| format!("the users of this system cannot be read: {e}");
    let number = number(text).map(Uid::from_raw);
    let entry = match (UserEntry::from_name(text).map_err(system)?, number) {
        (None, Some(uid)) => UserEntry::from_uid(uid).map_err(system)?,
        (entry, _) => entry,
    };
    match (entry, number) {
        (Some(entry), _) => Ok(User { uid: entry.uid.as_raw(), name: Some(entry.name), gid: Some(entry.gid.as_raw()) }),
        (None, Some(uid)) => Ok(User { uid: uid.as_raw(), name: None, gid: None }),
        (None, None) => Err("there is no such user; give one of /etc/passwd, or a number".to_string()),
    }
}

fn group(text: &str) -> Result<Group, String> {
    let system = |e: nix::Error| format!("the groups of this system cannot be read: {e}");
    let number = number(text).map(Gid::from_raw);
    let entry = match (GroupEntry::from_name(text).map_err(system)?, number) {
        (None, Some(gid)) => GroupEntry::from_gid(gid).map_err(system)?,
        (entry, _) => entry,
    };
    match (entry, number) {
        (Some(entry), _) => Ok(Group { gid: entry.gid.as_raw(), name: Some(entry.name) }),
        (None, Some(gid)) => Ok(Group { gid: gid.as_raw(), name: None }),
        (None, None) => Err("there is no such group; give one of /etc/group, or a number".to_string()),
    }
}

/// A user or group number. The largest is excluded: it means "no change" to setresuid(2).
fn number(text: &str) -> Option<u32> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&number| is_digits && number != u32::MAX)
}

fn umask(text: &str) -> Result<u32, String> {
    let is_octal = (1..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let bits = u32::from_str_radix(text, 8).ok().filter(|&bits| is_octal && bits <= 0o777);
    bits.ok_or_else(|| "give up to three octal digits, such as 027".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let root = User { uid: 0, name: Some("root".to_string()), gid: Some(0) };
        assert_eq!((user("root"), user("0")), (Ok(root.clone()), Ok(root)));
        assert_eq!(user("4242424"), Ok(User { uid: 4242424, name: None, gid: None }));
        assert_eq!(group("0"), Ok(Group { gid: 0, name: Some("root".to_string()) }));
        assert_eq!(group("4242424"), Ok(Group { gid: 4242424, name: None }));
        for text in ["", "no such user", "-1", "+1", "4294967295", "4294967296", "1x"] {
            assert!(user(text).is_err() && group(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn umasks_are_octal() {
        for (text, expected) in [
            ("0", Some(0)),
            ("027", Some(0o27)),
            ("0027", Some(0o27)),
            ("777", Some(0o777)),
            ("1777", None),
            ("00027", None),
            ("8", None),
            ("0o27", None),
            ("-1", None),
            ("", None),
            ("u=rwx", None),
        ] {
            assert_eq!(umask(text).ok(), expected, "{text:?}");
        }
    }
}
