//! CPU time of a process, from /proc/PID/stat (proc_pid_stat(5)).

use std::fs;

/// The unit of the times in /proc: a hundredth of a second on every machine that Rust is built for (time(7), USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time so far, in seconds; `None`: the process is gone.
pub fn seconds(pid: u32) -> Option<f64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name, field 2, may hold spaces and parentheses: what is behind its end counts. There `utime` and `stime` are the 12th
/// and the 13th.
fn parse(stat: &str) -> Option<f64> {
    let fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11).take(2);
    let ticks: Vec<u64> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
    (ticks.len() == 2).then(|| ticks.iter().sum::<u64>() as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "17 (tine: worker) 1) S 1 17 17 0 -1 4194560 100 0 0 0 1234 66 0 0 20 0 1 0 5000 1000 200\n";
        assert_eq!(parse(stat), Some(13.0));
        for stat in ["", "17 (x) S 1 17", "17 (x) S 1 17 17 0 -1 4194560 100 0 0 0 many 66 0"] {
            assert_eq!(parse(stat), None, "{stat}");
        }
        assert!(seconds(std::process::id()).is_some_and(|seconds| seconds >= 0.0));
        assert_eq!(seconds(0), None);
    }
}
