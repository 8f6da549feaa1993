//! The memory that processes of one program hold together, from /proc/PID/smaps_rollup (proc(5)).
//!
//! A shared page counts once. Private memory is the sum of Pss_Anon: what a worker still shares with the master since the
//! fork is divided among the processes that share it. The program, its libraries and the scoreboard are the same in all
//! processes: they count as the most that one process has of them. They do not count as in Pss, which would change whenever
//! an unrelated process that uses the same libraries comes or goes.
//!
//! A process that hides its memory, as one with keys of TLS does, lets only root read that file. Another user reads
//! /proc/PID/status, where what is shared since the fork counts in full in each process: too much rather than too little.

use std::fs;
use std::io::ErrorKind;

/// The memory of one process, in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Resident {
    /// Proportional shares of what it allocated.
    own: u64,
    /// All other memory, shared or not.
    mapped: u64,
}

/// Bytes of these processes together; processes that have just exited are skipped. `None` if the kernel reports none.
///
/// The kernel walks the page tables of each: 0.05 to 0.1 ms for a small process, 10 ms for one of a gigabyte.
pub fn together(pids: impl Iterator<Item = u32>) -> Option<u64> {
    sum(pids.filter_map(of))
}

fn of(pid: u32) -> Option<Resident> {
    match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
        Ok(rollup) => parse(&rollup),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            parse_status(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
        }
        Err(_) => None,
    }
}

/// Resident bytes of one process, shared or not (VmRSS of proc_pid_status(5)).
pub fn alone(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    bytes(&status, "VmRSS")
}

/// CPU seconds, user and system, of a process with one thread (the first field of /proc/PID/schedstat, in ns).
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let schedstat = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let ns: u64 = schedstat.split(' ').next()?.parse().ok()?;
    Some(ns as f64 / 1e9)
}

/// The value of a line `Name:  123 kB`.
fn bytes(text: &str, name: &str) -> Option<u64> {
    let value =
        |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
    text.lines().find_map(value).map(|kib| kib * 1024)
}

fn sum(all: impl Iterator<Item = Resident>) -> Option<u64> {
    let add = |(own, mapped): (u64, u64), one: Resident| (own + one.own, mapped.max(one.mapped));
    all.fold(None, |sum, one| Some(add(sum.unwrap_or_default(), one))).map(|(own, mapped)| own + mapped)
}

fn parse(rollup: &str) -> Option<Resident> {
    let mapped = bytes(rollup, "Rss")?.saturating_sub(bytes(rollup, "Anonymous")?);
    Some(Resident { own: bytes(rollup, "Pss_Anon")?, mapped })
}

fn parse_status(status: &str) -> Option<Resident> {
    Some(Resident { own: bytes(status, "RssAnon")?, mapped: bytes(status, "RssFile")? + bytes(status, "RssShmem")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLLUP: &str = "55fb3d877000-7fffc6570000 ---p 00000000 00:00 0                          [rollup]\n\
        Rss:                1736 kB\nPss:                 463 kB\nPss_Dirty:           112 kB\n\
        Pss_Anon:            100 kB\nPss_File:            351 kB\nPss_Shmem:             0 kB\n\
        Anonymous:           112 kB\nKSM:                   0 kB\n";

    #[test]
    fn a_rollup_is_split_in_own_and_mapped() {
        assert_eq!(parse(ROLLUP), Some(Resident { own: 100 << 10, mapped: 1624 << 10 }));
        // A process that has just died has an empty one; kernels before 5.4 have no Pss_Anon.
        for text in ["", "Rss: 10 kB\nAnonymous: 2 kB\n", "Rss: 10\nPss_Anon: 2 kB\nAnonymous: 2 kB\n"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_process_that_hides_its_memory_counts_by_its_status() {
        let status =
            "Name:\ttine\nVmRSS:\t   10240 kB\nRssAnon:\t    1200 kB\nRssFile:\t    9000 kB\nRssShmem:\t      40 kB\n";
        assert_eq!(parse_status(status), Some(Resident { own: 1200 << 10, mapped: 9040 << 10 }));
        assert_eq!(parse_status("Name:\tzombie\n"), None);
    }

    #[test]
    fn what_all_have_mapped_counts_once() {
        let one = |own, mapped| Resident { own, mapped };
        assert_eq!(sum([one(5, 70), one(7, 100), one(1, 90)].into_iter()), Some(113));
        assert_eq!(sum(std::iter::empty()), None);
    }

    #[test]
    fn this_process_holds_something() {
        let before = together([std::process::id()].into_iter()).expect("the kernel reports it");
        assert!(alone(std::process::id()).is_some_and(|bytes| bytes > 1 << 20));
        assert!(cpu_seconds(std::process::id()).is_some_and(|seconds| seconds > 0.0));
        // More than the tests that run beside it give back meanwhile.
        let held = std::hint::black_box(vec![1_u8; 256 << 20]);
        let mut after = 0;
        let has_grown = (0..500).any(|_| {
            after = together([std::process::id(), u32::MAX].into_iter()).expect("the kernel reports it");
            let has_grown = after.saturating_sub(before) > 32 << 20;
            if !has_grown {
                // Processes that other tests fork share it, as long as they live.
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            has_grown
        });
        assert!(has_grown, "{before} and, with {} more, {after}", held.len());
    }
}
