//! The user that the server becomes once it has bound, its working directory and its CPUs.

use std::fmt;
use std::path::PathBuf;

/// What the server may do, and where, once it has bound.
#[derive(Debug, Clone, Default)]
pub struct Privileges {
    /// The user to become; `None`: the one that it was started as.
    pub user: Option<User>,
    /// The group; `None`: the user's own.
    pub group: Option<Group>,
    /// The umask of files and Unix sockets.
    pub umask: Option<u32>,
    /// The directory that relative paths begin at.
    pub directory: Option<PathBuf>,
    /// Do not warn when an app runs as root.
    pub allow_root: bool,
    /// The CPUs of the workers.
    pub affinity: Affinity,
}

/// A user of the system's tables, or a number that they do not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The number.
    pub uid: u32,
    /// The name; `None`: the tables have none.
    pub name: Option<String>,
    /// The user's own group.
    pub gid: Option<u32>,
}

/// A group of the system's tables, or a number that they do not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The number.
    pub gid: u32,
    /// The name; `None`: the tables have none.
    pub name: Option<String>,
}

/// Which CPUs the workers are bound to, one each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Affinity {
    /// None: the scheduler decides.
    #[default]
    Off,
    /// All CPUs that the process may use.
    Auto(Vec<usize>),
    /// These CPUs, in this order.
    Listed(Vec<usize>),
}

impl Affinity {
    /// The CPU of the workers of an index.
    pub fn cpu(&self, worker: usize) -> Option<usize> {
        match self {
            Affinity::Off => None,
            Affinity::Auto(cpus) | Affinity::Listed(cpus) => cpus.get(worker % cpus.len().max(1)).copied(),
        }
    }
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, cpus) = match self {
            Affinity::Off => return f.write_str("off"),
            Affinity::Auto(cpus) => ("auto: ", cpus),
            Affinity::Listed(cpus) => ("", cpus),
        };
        let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
        write!(f, "{word}{}", cpus.join(","))
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.name, self.uid)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.name, self.gid)
    }
}

fn show(f: &mut fmt::Formatter<'_>, name: &Option<String>, number: u32) -> fmt::Result {
    match name {
        Some(name) => write!(f, "{name} ({number})"),
        None => write!(f, "{number}"),
    }
}

impl Privileges {
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.user {
            Some(user) if user.gid.is_none() && self.group.is_none() => {
                Err(format!("--user {user} is not a user of this system and has no group; give one by --group"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn describe(&self) -> Vec<(&'static str, String)> {
        fn or_own(one: Option<impl fmt::Display>) -> String {
            one.map_or("as started".to_string(), |one| one.to_string())
        }
        vec![
            ("user", or_own(self.user.as_ref())),
            ("group", or_own(self.group.as_ref())),
            ("umask", or_own(self.umask.map(|umask| format!("{umask:03o}")))),
            ("chdir", or_own(self.directory.as_ref().map(|directory| directory.display()))),
            ("allow-root", if self.allow_root { "on" } else { "off" }.to_string()),
            ("cpu-affinity", self.affinity.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_take_the_cpus_in_turn() {
        let listed = Affinity::Listed(vec![0, 2, 5]);
        let cpus: Vec<_> = (0..5).map(|worker| listed.cpu(worker)).collect();
        assert_eq!(cpus, [Some(0), Some(2), Some(5), Some(0), Some(2)]);
        assert_eq!(Affinity::Off.cpu(0), None);
        assert_eq!(Affinity::Auto(Vec::new()).cpu(3), None);
        assert_eq!(Affinity::Auto(vec![0, 1]).to_string(), "auto: 0,1");
    }

    #[test]
    fn a_user_without_a_group_needs_one() {
        let unknown = User { uid: 4242, name: None, gid: None };
        let mut privileges = Privileges { user: Some(unknown), ..Privileges::default() };
        assert!(privileges.check().is_err_and(|line| line.contains("--user 4242") && line.contains("--group")));
        privileges.group = Some(Group { gid: 7, name: None });
        assert_eq!(privileges.check(), Ok(()));
    }
}
