//! What a local process costs: its CPU time and its memory (proc_pid_stat(5), proc_pid_status(5)).

use std::fs;
use std::io;
use std::time::Duration;

/// A moment in a process's life.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// In its own code, threads included.
    pub user: Duration,
    /// In the kernel, on its behalf.
    pub system: Duration,
    /// Resident, in bytes.
    pub memory_bytes: u64,
}

impl Usage {
    /// Looks at a process.
    ///
    /// # Errors
    /// When there is none of this number, or it may not be looked at.
    pub fn of(pid: u32) -> io::Result<Usage> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        parse(&stat, &status).ok_or_else(|| io::Error::other("/proc says nothing that we know"))
    }
}

fn parse(stat: &str, status: &str) -> Option<Usage> {
    // The name, in parentheses, may hold anything; the time is in ticks of USER_HZ.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let per_second = rustix::param::clock_ticks_per_second();
    let time = |ticks: u64| Duration::from_secs_f64(ticks as f64 / per_second as f64);
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(Usage { user: time(ticks(11)?), system: time(ticks(12)?), memory_bytes: kibibytes << 10 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_fields_is_no_field() {
        let stat = "7 (a) b 9 9) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        let usage = parse(stat, "Name:\ta\nVmRSS:\t    12 kB\n").unwrap();
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(usage.user.as_secs_f64(), 250.0 / per_second);
        assert_eq!(usage.system.as_secs_f64(), 50.0 / per_second);
        assert_eq!(usage.memory_bytes, 12 << 10);
    }

    #[test]
    fn we_can_look_at_ourselves_and_at_nobody_else() {
        assert!(Usage::of(std::process::id()).unwrap().memory_bytes > 0);
        assert!(Usage::of(u32::MAX).is_err());
    }
}
