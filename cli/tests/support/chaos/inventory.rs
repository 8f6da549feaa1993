//! What processes hold: descriptors by kind, shared mappings; and which processes exist that should not.

use crate::support::masters::children_of;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// What one process holds, to compare before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings {
    /// How many descriptors of each kind: `socket`, `pipe`, `anon_inode:[eventpoll]`, or a file's path.
    descriptors: BTreeMap<String, usize>,
    shared_mappings: usize,
}

impl Holdings {
    pub fn of(pid: i32) -> Holdings {
        let mut descriptors = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let target = target.to_string_lossy();
            // Sockets and pipes ("socket:[4711]", "pipe:[4712]") are counted by kind; each file by its path.
            let kind = target.split(":[").next().filter(|kind| !kind.contains('/')).unwrap_or(&target);
            *descriptors.entry(kind.to_string()).or_default() += 1;
        }
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        let is_shared = |line: &&str| line.split(' ').nth(1).is_some_and(|rights| rights.ends_with('s'));
        Holdings { descriptors, shared_mappings: maps.lines().filter(is_shared).count() }
    }
}

/// Every process of the group, with its state and its parent, zombies included.
pub fn processes(group: i32) -> Vec<(i32, char, i32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let stat = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name: state, parent, group (proc_pid_stat(5)).
        let mut fields = stat.rsplit(')').next()?.split_whitespace();
        let (state, parent) = (fields.next()?.chars().next()?, fields.next()?.parse().ok()?);
        (fields.next()?.parse::<i32>().ok()? == group).then_some((pid, state, parent))
    };
    pids.filter_map(stat).collect()
}

impl Holdings {
    /// The differences, as `kind: before -> now`.
    pub fn difference(before: &Holdings, now: &Holdings) -> Vec<String> {
        let kinds: BTreeSet<&String> = before.descriptors.keys().chain(now.descriptors.keys()).collect();
        let counts = |kind: &String| [before, now].map(|one| one.descriptors.get(kind).copied().unwrap_or(0));
        let differs = kinds.into_iter().map(|kind| (kind.as_str(), counts(kind)));
        let mappings = ("shared mappings", [before.shared_mappings, now.shared_mappings]);
        let differs = differs.chain([mappings]).filter(|(_, [before, now])| before != now);
        differs.map(|(kind, [before, now])| format!("{kind}: {before} -> {now}")).collect()
    }
}

/// The processes beside a master and its workers, zombies among them. The first master is the test's own child, and
/// stays a zombie until the test ends.
pub fn strangers(group: i32, master: i32) -> Vec<(i32, char, i32)> {
    let family = children_of(master);
    let is_strange = |&(pid, state, _): &(i32, char, i32)| {
        let is_first = pid == group && state == 'Z';
        !is_first && (state == 'Z' || pid != master && !family.contains(&pid))
    };
    processes(group).into_iter().filter(is_strange).collect()
}
