//! Whether the kernel's OOM killer ended a worker. All that it leaves is a SIGKILL and a counter of the control group.

use std::fs;
use std::path::PathBuf;

/// The counter of the server's own control group, which may not be readable.
pub struct OomKills {
    file: Option<PathBuf>,
    seen: u64,
}

impl OomKills {
    /// The counter of this process's control group.
    pub fn new() -> OomKills {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        OomKills::counted_in(files(&groups))
    }

    /// From the first of these files that has a counter.
    fn counted_in(files: Vec<PathBuf>) -> OomKills {
        let counted = files.into_iter().find_map(|file| Some((count(&fs::read_to_string(&file).ok()?)?, file)));
        match counted {
            Some((seen, file)) => OomKills { file: Some(file), seen },
            None => OomKills { file: None, seen: 0 },
        }
    }

    /// Called after a death by a SIGKILL that the master did not send: whether the counter has grown since the last call. Of
    /// several deaths at a time each accounts for one.
    pub fn explains_a_death(&mut self) -> bool {
        let text = self.file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let now = text.and_then(|text| count(&text)).unwrap_or(self.seen);
        let is_more = now > self.seen;
        self.seen += u64::from(is_more);
        is_more
    }
}

/// Where the counter may be, from the lines of /proc/PID/cgroup (cgroups(7)): for version 2 and version 1 of control groups;
/// below the group's own path or, in a container that does not see it, at the top.
fn files(groups: &str) -> Vec<PathBuf> {
    let of_group = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (top, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.events"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.oom_control"),
            _ => return None,
        };
        Some([format!("{top}{path}/{name}"), format!("{top}/{name}")])
    };
    groups.lines().filter_map(of_group).flatten().map(PathBuf::from).collect()
}

/// The number of the line `oom_kill 3`.
fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_where_the_kernel_keeps_it() {
        let v2 = ["/sys/fs/cgroup/system.slice/tine.service/memory.events", "/sys/fs/cgroup/memory.events"];
        let v1 = ["/sys/fs/cgroup/memory/a/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control"];
        for (groups, expected) in
            [("0::/system.slice/tine.service\n", &v2[..]), ("9:name=systemd:/\n4:memory:/a\n1:cpu:/\n", &v1), ("", &[])]
        {
            assert_eq!(files(groups), expected.iter().map(PathBuf::from).collect::<Vec<_>>());
        }
        assert_eq!(count("low 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 0\n"), Some(3));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 12\n"), Some(12));
        assert_eq!(count("oom_kill_disable 0\n"), None);
    }

    #[test]
    fn each_kill_explains_one_death() {
        let directory = std::env::temp_dir().join(format!("tine-oom-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let file = directory.join("memory.events");
        fs::write(&file, "oom_kill 4\n").expect("a file");
        let mut kills = OomKills::counted_in(vec![directory.join("none"), file.clone()]);
        assert!(!kills.explains_a_death(), "those before do not count");
        fs::write(&file, "oom_kill 6\n").expect("a file");
        assert_eq!([(); 3].map(|()| kills.explains_a_death()), [true, true, false]);
        fs::remove_dir_all(&directory).expect("the directory");
        assert!(!kills.explains_a_death());
        assert!(!OomKills::counted_in(vec![]).explains_a_death());
    }
}
