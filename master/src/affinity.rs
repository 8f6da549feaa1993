//! `--cpu-affinity`: which CPUs there are, and a worker's place on its own.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tine_common::privileges::Affinity;

/// `auto`, `off`, or a list such as `0-3,8`.
pub fn parse(text: &str) -> Result<Affinity, String> {
    // The default asks the kernel nothing, which may not know the call (ENOSYS).
    if text == "off" {
        return Ok(Affinity::Off);
    }
    let allowed = allowed()?;
    match text {
        "auto" => Ok(Affinity::Auto(allowed)),
        _ => {
            let cpus = list(text).ok_or("give auto, off, or CPUs such as 0-3,8")?;
            match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
                None => Ok(Affinity::Listed(cpus)),
                Some(cpu) => {
                    let allowed: Vec<String> = allowed.iter().map(usize::to_string).collect();
                    Err(format!("CPU {cpu} may not be used by this process; give some of {}", allowed.join(",")))
                }
            }
        }
    }
}

/// Binds this process to the CPU of its slot. One that has gone meanwhile is no reason not to serve.
pub fn pin(affinity: &Affinity, slot: usize) {
    let Some(cpu) = affinity.cpu(slot) else { return };
    let mut set = CpuSet::new();
    if let Err(e) = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)) {
        log::warn!("--cpu-affinity: CPU {cpu} cannot be had, any will do: {e}");
    }
}

/// Those that this process may use: what its cgroup and whoever started it have left it.
fn allowed() -> Result<Vec<usize>, String> {
    let set =
        sched_getaffinity(Pid::from_raw(0)).map_err(|e| format!("the CPUs of this process cannot be told: {e}"))?;
    Ok((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect())
}

/// In the order in which they were given. `None`: that is no list, or one of nothing.
fn list(text: &str) -> Option<Vec<usize>> {
    let number = |text: &str| -> Option<usize> {
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|&cpu| is_digits && cpu < CpuSet::count())
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        (first <= last).then(|| cpus.extend(first..=last))?;
    }
    // Two workers on one CPU would have to be meant.
    let is_once = |(at, cpu): (usize, &usize)| !cpus[..at].contains(cpu);
    cpus.iter().enumerate().all(is_once).then_some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        for (text, expected) in [
            ("0", Some(&[0][..])),
            ("0-3,8", Some(&[0, 1, 2, 3, 8])),
            ("8,0-1", Some(&[8, 0, 1])),
            ("1-1", Some(&[1])),
            ("", None),
            (",", None),
            ("1,", None),
            ("3-1", None),
            ("1-", None),
            ("-1", None),
            ("+1", None),
            ("1-2-3", None),
            ("0,0", None),
            ("0-4,2", None),
            ("1024", None),
            ("99999999999999999999", None),
            ("all", None),
        ] {
            assert_eq!(list(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn only_cpus_that_may_be_used() {
        let allowed = allowed().expect("some CPUs");
        assert_eq!(parse("auto"), Ok(Affinity::Auto(allowed.clone())));
        assert_eq!(parse(&allowed[0].to_string()), Ok(Affinity::Listed(vec![allowed[0]])));
        assert_eq!(parse("off"), Ok(Affinity::Off));
        let missing = (0..1024).find(|cpu| !allowed.contains(cpu)).expect("a machine with fewer");
        assert!(parse(&missing.to_string()).is_err_and(|line| line.contains("may not be used")));
    }
}
