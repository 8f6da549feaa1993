//! What processes use of the CPUs and of their descriptors, from /proc (proc_pid_stat(5), proc_pid_fd(5)).

use nix::unistd::{SysconfVar, sysconf};
use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

/// Clock ticks of a second, if the system does not say.
const TICKS_PER_SECOND: f64 = 100.0;

/// The CPU time of one process so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuTime {
    pub pid: u32,
    /// When it was started, in ticks since the boot: process IDs are used again.
    started: u64,
    /// User and system time of all of its threads, without its children.
    ticks: u64,
}

impl CpuTime {
    /// `None`: there is no such process any more.
    pub fn of(pid: u32) -> Option<CpuTime> {
        CpuTime::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Fields are counted from 1 in proc_pid_stat(5); the second, the name, may have spaces and parentheses in it.
    fn parse(pid: u32, stat: &str) -> Option<CpuTime> {
        const FIRST: usize = 3;
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - FIRST)?.parse::<u64>().ok();
        Some(CpuTime { pid, started: field(22)?, ticks: field(14)? + field(15)? })
    }
}

/// The CPU percentage of several processes together: 100 is one CPU.
#[derive(Debug)]
pub struct CpuMeter {
    ticks_per_second: f64,
    /// When the last sample was, and what it was.
    last: Option<(Instant, Ticks)>,
}

/// The ticks of each process, by its ID and start.
type Ticks = BTreeMap<(u32, u64), u64>;

impl CpuMeter {
    pub fn new() -> CpuMeter {
        let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
        CpuMeter { ticks_per_second: ticks.map_or(TICKS_PER_SECOND, |ticks| ticks as f64), last: None }
    }

    /// What these processes have used since the last sample; 0 at the first. A process that is new has used all of its time
    /// since. What one used that has died meanwhile is not counted: it is less than an interval's time.
    pub fn sample(&mut self, processes: impl Iterator<Item = CpuTime>, now: Instant) -> f64 {
        let ticks: Ticks = processes.map(|one| ((one.pid, one.started), one.ticks)).collect();
        let Some((at, before)) = self.last.replace((now, ticks)) else { return 0.0 };
        let seconds = now.saturating_duration_since(at).as_secs_f64();
        let Some((_, ticks)) = &self.last else { return 0.0 };
        let used = |(process, &ticks): (&_, &u64)| ticks.saturating_sub(before.get(process).copied().unwrap_or(0));
        let used: u64 = ticks.iter().map(used).sum();
        // Two samples in one tick have nothing to say.
        if seconds < 1.0 / self.ticks_per_second { 0.0 } else { 100.0 * used as f64 / self.ticks_per_second / seconds }
    }
}

/// The descriptors that a process has open; `None`: it cannot be seen.
pub fn descriptors(pid: u32) -> Option<u64> {
    let path = format!("/proc/{pid}/fd");
    // Since Linux 6.2 the size of the directory is their number; before, it is 0.
    match fs::metadata(&path).ok()?.len() {
        0 => Some(fs::read_dir(&path).ok()?.count() as u64),
        count => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_fields_are_found_whatever_the_name_is() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 70 30 900 900 20 0 1 0 4711 100 200";
        for name in ["tine", "tine: worker 3", "a) S 1 2 (b", ")"] {
            let stat = format!("17 ({name}) {rest}\n");
            assert_eq!(CpuTime::parse(17, &stat), Some(CpuTime { pid: 17, started: 4711, ticks: 100 }), "{stat}");
        }
        for stat in ["", "17 (tine", "17 (tine)", "17 (tine) S 1 2", &format!("17 (tine) {}", rest.replace("70", "x"))]
        {
            assert_eq!(CpuTime::parse(17, stat), None, "{stat}");
        }
    }

    #[test]
    fn percentages_are_of_one_cpu_and_never_negative() {
        let start = Instant::now();
        let mut meter = CpuMeter { ticks_per_second: 100.0, last: None };
        for (at_ms, processes, expected) in [
            // Nothing is known of the time before the first sample.
            (0, vec![(1, 1, 500), (2, 5, 900)], 0.0),
            (1000, vec![(1, 1, 510), (2, 5, 930)], 40.0),
            (3000, vec![(1, 1, 710), (2, 5, 1130)], 200.0),
            // One has died, with 1130 ticks.
            (4000, vec![(1, 1, 720)], 10.0),
            // A new one has its process ID.
            (5000, vec![(1, 1, 720), (2, 9, 50)], 50.0),
            (5000, vec![(1, 1, 730), (2, 9, 50)], 0.0),
            (6000, vec![(1, 1, 730), (2, 9, 50)], 0.0),
        ] {
            let processes = processes.into_iter().map(|(pid, started, ticks)| CpuTime { pid, started, ticks });
            assert_eq!(meter.sample(processes, start + Duration::from_millis(at_ms)), expected, "at {at_ms} ms");
        }
    }

    #[test]
    fn this_process_uses_something() {
        let pid = std::process::id();
        let (mut meter, start) = (CpuMeter::new(), Instant::now());
        meter.sample(CpuTime::of(pid).into_iter(), start);
        let before = meter.last.as_ref().unwrap().1.values().sum::<u64>();
        // Several threads, or a late count of the kernel's, may use three ticks in less than one.
        while CpuTime::of(pid).expect("it lives").ticks < before + 3 || start.elapsed() < Duration::from_millis(50) {}
        let percent = meter.sample(CpuTime::of(pid).into_iter(), Instant::now());
        assert!(percent > 0.0, "{percent}");
        let before = descriptors(pid).expect("it may see itself");
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").expect("there are some left")).collect();
        let after = descriptors(pid).expect("it may see itself");
        // Other tests run in this process and have files of their own.
        assert!(after > before + 25, "{before} and, with {} more, {after}", files.len());
        assert_eq!(descriptors(u32::MAX), None);
    }
}
