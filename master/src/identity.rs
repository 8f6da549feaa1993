//! The user that the server runs as once it has bound what needs the privileges of its start. The change is permanent.
//!
//! The master and every process that it forks from then on run as that user, and so does the earlier process of the
//! preflight. None of them can gain privileges by executing a program (PR_SET_NO_NEW_PRIVS): neither `sudo` nor another
//! set-user-ID program that an app is tricked into calling.

use nix::sys::prctl;
use nix::unistd::{
    Gid, Uid, User, geteuid, getgrouplist, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid,
};
use std::ffi::CString;
use std::fs;
use tine_common::privileges::Privileges;

/// The user and groups to change to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub uid: Uid,
    pub gid: Gid,
    /// All groups, including `gid`.
    groups: Vec<Gid>,
}

impl Identity {
    /// The identity to assume; `None` if none was named or the process has it already. The error is one line.
    pub fn of(privileges: &Privileges) -> Result<Option<Identity>, String> {
        let Privileges { user, group, .. } = privileges;
        let (uid, gid) = (geteuid(), nix::unistd::getegid());
        let wanted_uid = user.as_ref().map_or(uid, |user| Uid::from_raw(user.uid));
        let own_group = user.as_ref().and_then(|user| user.gid);
        let wanted_gid = group.as_ref().map(|group| group.gid).or(own_group).map_or(gid, Gid::from_raw);
        if user.is_none() && group.is_none() {
            return Ok(None);
        }
        if !uid.is_root() {
            // In an upgrade, the new master starts as the user that the old one has changed to.
            return match (wanted_uid, wanted_gid) == (uid, gid) {
                true => Ok(None),
                false => Err(refusal(privileges)),
            };
        }
        // A named user may be in more groups; a server that stays root and names a group is in that one only.
        let name = user.as_ref().and_then(|user| user.name.clone());
        let groups = match name.and_then(|name| CString::new(name).ok()) {
            Some(name) => getgrouplist(&name, wanted_gid)
                .map_err(|e| format!("the groups of {} cannot be read: {e}", name.to_string_lossy()))?,
            None => vec![wanted_gid],
        };
        Ok(Some(Identity { uid: wanted_uid, gid: wanted_gid, groups }))
    }

    /// Becomes that user, and verifies that root cannot be regained.
    pub fn assume(&self) -> Result<(), String> {
        let failed = |what: &str, e: nix::Error| format!("cannot change to user {}: {what}: {e}", self.uid);
        // In this order: a process that is no longer root may not change its groups.
        setgroups(&self.groups).map_err(|e| failed("setgroups", e))?;
        setresgid(self.gid, self.gid, self.gid).map_err(|e| failed("setresgid", e))?;
        setresuid(self.uid, self.uid, self.uid).map_err(|e| failed("setresuid", e))?;
        self.verify()?;
        // The kernel clears the dumpable flag on setresuid; without it the master could not read its workers' /proc entries.
        prctl::set_dumpable(true).map_err(|e| failed("PR_SET_DUMPABLE", e))
    }

    fn verify(&self) -> Result<(), String> {
        let failed = |e: nix::Error| format!("the change to user {} cannot be verified: {e}", self.uid);
        let (uids, gids) = (getresuid().map_err(failed)?, getresgid().map_err(failed)?);
        let mut groups = getgroups().map_err(failed)?;
        let mut wanted = self.groups.clone();
        groups.sort_by_key(|gid| gid.as_raw());
        wanted.sort_by_key(|gid| gid.as_raw());
        wanted.dedup();
        let is_user = [uids.real, uids.effective, uids.saved].iter().all(|uid| *uid == self.uid);
        let is_group = [gids.real, gids.effective, gids.saved].iter().all(|gid| *gid == self.gid);
        if !is_user || !is_group || groups != wanted {
            return Err(format!("the change to user {}, group {} is incomplete", self.uid, self.gid));
        }
        let root = Uid::from_raw(0);
        if !self.uid.is_root() && setresuid(root, root, root).is_ok() {
            return Err(format!("user {} could become root again; refusing to run as it", self.uid));
        }
        Ok(())
    }
}

fn refusal(privileges: &Privileges) -> String {
    let option = match (&privileges.user, &privileges.group) {
        (Some(user), _) => format!("--user {user}"),
        (_, Some(group)) => format!("--group {group}"),
        (None, None) => unreachable!("one of them was given"),
    };
    let own = User::from_uid(geteuid()).ok().flatten().map_or(geteuid().to_string(), |user| user.name);
    format!("{option}: only root can change its user, and this is {own}; start as root or leave the option out")
}

/// From now on neither this process nor a program that it executes can gain privileges.
pub fn renounce_privileges() -> Result<(), String> {
    prctl::set_no_new_privs().map_err(|e| format!("PR_SET_NO_NEW_PRIVS: {e}"))
}

/// Whether `identity` is the machine's root. The root of a user namespace, as in rootless containers, is not
/// (user_namespaces(7)).
pub fn is_root(identity: Option<&Identity>) -> bool {
    let uid = identity.map_or_else(geteuid, |identity| identity.uid);
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let outside = map.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        (fields.next() == Some("0")).then(|| fields.next()).flatten()
    });
    uid.is_root() && outside.is_none_or(|outside| outside == "0")
}
