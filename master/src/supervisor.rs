//! Whether the parent process would survive a handover to a new master: a supervisor that watches only the process that it
//! has started sees that process exit, and does not see that another one serves.

use nix::unistd::getppid;
use std::fs;

/// These exit with the process that they have started, and the container with them.
const INITS: [&str; 6] = ["tini", "tini-static", "docker-init", "dumb-init", "catatonit", "podman-init"];
/// These start the program again, beside the one that has taken over.
const SUPERVISORS: [&str; 6] = ["supervisord", "runsv", "s6-supervise", "supervise", "circusd", "perpd"];
/// As process 1, these run a container's script, which ends with its last command: this process.
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ash", "busybox"];

/// Why an upgrade would end the service or start it twice, with a hint; `None` if it would not.
pub fn why_not_to_hand_over() -> Option<String> {
    let parent = getppid().as_raw();
    let name = fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok();
    // An adopted orphan comes after the process that it waits for.
    let own = std::process::id().to_string();
    let is_first = children.is_none_or(|children| children.split_whitespace().next() == Some(&own));
    judge(parent, name.trim_end(), is_first)
}

fn judge(parent: i32, name: &str, is_first: bool) -> Option<String> {
    let is_one_of = |names: &[&str]| names.contains(&name);
    if is_one_of(&SUPERVISORS) {
        return Some(format!(
            "its parent, {name} (process {parent}), would start a second server when this process ends; restart it there"
        ));
    }
    if is_first && (is_one_of(&INITS) || parent == 1 && is_one_of(&SHELLS)) {
        return Some(format!(
            "its parent, {name} (process {parent}), ends with this process, and all others with it; replace the container"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn parents_that_would_end_the_service_or_start_it_twice() {
        for (parent, name, is_first, words) in [
            (1, "tini", true, Some("tini (process 1), ends with this process, and all others with it; replace")),
            (7, "docker-init", true, Some("replace the container")),
            (1, "tini", false, None), // an adopted orphan
            (12, "runsv", true, Some("runsv (process 12), would start a second server")),
            (12, "supervisord", false, Some("restart it there")),
            (1, "sh", true, Some("replace the container")),
            (1, "sh", false, None),
            (12, "bash", true, None), // a terminal
            (1, "systemd", true, None),
            (1, "init", true, None),
            (0, "", true, None), // of another namespace
        ] {
            match (judge(parent, name, is_first), words) {
                (None, None) => {}
                (Some(why), Some(words)) => assert!(why.contains(words), "{name}: {why}"),
                (found, _) => panic!("{parent} {name} {is_first}: {found:?}"),
            }
        }
    }
}
