//! What the system knows of the server.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use nix::{
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Result;

/// The user and system time of a process so far.
///
/// Its CPU clock counts nanoseconds, with those of threads that have ended. `/proc/PID/stat` counts them in
/// ticks of 10 ms, `schedstat` of each thread forgets those that have ended, and a control group would
/// have to be made for each server. A thread that runs meanwhile is counted up to the last tick of the
/// scheduler, a few milliseconds in each measurement at worst.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let gone = |error| format!("process {pid}: {error}");
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid)?)).map_err(gone)?;
    Ok(Duration::from(clock_gettime(clock).map_err(gone)?))
}

/// How long this process has waited so far for others to leave it a processor, with one thread.
pub(crate) fn waiting_time() -> Result<Duration> {
    let schedstat = fs::read_to_string("/proc/self/schedstat")?;
    let nanos = schedstat.split_whitespace().nth(1).ok_or("no waiting time in schedstat")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// In bytes.
pub(crate) struct Memory {
    pub(crate) resident: usize,
    pub(crate) peak: usize,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
            kib.map(|kib| kib << 10).ok_or_else(|| format!("process {pid} has no {name}"))
        };
        Ok(Self { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
    }
}

/// How much of the resident memory is stacks of threads; `None` where one may not look.
///
/// The mappings are not named after what they are for. A stack is what the stack pointer of a thread points
/// into, and that is told for those that wait in the kernel.
pub(crate) fn stacks(pid: u32) -> Option<usize> {
    let mappings = mappings(&fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?);
    let mut found = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let pointer = stack_pointer(&task.ok()?.path())?;
        let (start, mapping) = mappings.range(..=pointer).next_back()?;
        if pointer < mapping.end {
            found.insert(*start, mapping.resident);
        }
    }
    Some(found.values().sum())
}

/// `nr arg0 .. arg5 sp pc` for a thread in a system call, `running` otherwise.
fn stack_pointer(task: &std::path::Path) -> Option<u64> {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        let line = fs::read_to_string(task.join("syscall")).ok()?;
        if let Some(pointer) = line.split_whitespace().rev().nth(1) {
            return u64::from_str_radix(pointer.strip_prefix("0x")?, 16).ok();
        }
        if Instant::now() > deadline {
            return None;
        }
    }
}

struct Mapping {
    end: u64,
    resident: usize,
}

/// By their first address.
fn mappings(smaps: &str) -> BTreeMap<u64, Mapping> {
    let mut mappings = BTreeMap::new();
    let mut last = None;
    for line in smaps.lines() {
        let Some((word, rest)) = line.split_once(' ') else { continue };
        if word == "Rss:" {
            let kib = rest.trim().trim_end_matches(" kB").parse::<usize>().unwrap_or_default();
            if let Some(mapping) = last.and_then(|start| mappings.get_mut(&start)) {
                let Mapping { resident, .. } = mapping;
                *resident = kib << 10;
            }
        } else if let Some((start, end)) = word.split_once('-')
            && let (Ok(start), Ok(end)) = (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16))
        {
            mappings.insert(start, Mapping { end, resident: 0 });
            last = Some(start);
        }
    }
    mappings
}

/// As many descriptors as this process may have, for as many connections.
pub(crate) fn allow_descriptors() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

#[cfg(test)]
mod tests {
    use std::{process, sync::mpsc, thread};

    use super::*;

    #[test]
    fn time_of_threads_that_have_ended_is_counted() {
        let before = cpu_time(process::id()).unwrap();
        let worked = thread::spawn(|| {
            let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
            while Duration::from(clock_gettime(clock).unwrap()) < Duration::from_millis(20) {}
        });
        worked.join().unwrap();
        assert!(cpu_time(process::id()).unwrap() - before >= Duration::from_millis(20));
    }

    #[test]
    fn stacks_are_found_by_what_threads_point_into() {
        let before = stacks(process::id());
        let (end, ended) = mpsc::channel::<()>();
        let (used, ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            let deep = std::hint::black_box([1_u8; 256 << 10]);
            used.send(()).unwrap();
            let _ = ended.recv();
            std::hint::black_box(deep);
        });
        ready.recv().unwrap();
        // Where a process may not look at its own threads there is nothing to be seen.
        if let (Some(before), Some(after)) = (before, stacks(process::id())) {
            assert!(after >= before + (128 << 10), "{before} {after}");
        }
        drop(end);
        thread.join().unwrap();
    }
}
