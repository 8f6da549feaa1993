//! The value of `--cpu-affinity`.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use tine_common::privileges::Affinity;

/// `auto`, `off`, or a list such as `0-3,8`.
pub fn parse(text: &str) -> Result<Affinity, String> {
    // The default makes no system call, as the kernel may not have it (ENOSYS).
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
                    Err(format!("CPU {cpu} is not available to this process; choose from {}", allowed.join(",")))
                }
            }
        }
    }
}

/// The CPUs that this process may use, as its cgroup and its parent allow.
fn allowed() -> Result<Vec<usize>, String> {
    let set =
        sched_getaffinity(Pid::from_raw(0)).map_err(|e| format!("the CPUs of this process cannot be read: {e}"))?;
    Ok((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect())
}

/// The CPUs in the given order; `None` for anything that is not a list or is empty.
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
    // A CPU listed twice is more likely a mistake than intended.
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
        assert!(parse(&missing.to_string()).is_err_and(|line| line.contains("not available")));
    }
}
