//! CPU time, memory and descriptors of a process as the system reports them.

use std::{
    collections::BTreeMap,
    fs,
    io::{Error, Result},
    time::{Duration, Instant},
};

use nix::{
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Returns the user and system time of a process so far.
///
/// The CPU clock of a process counts nanoseconds and includes threads that have ended. `/proc/PID/stat` counts ticks
/// of 10 ms, `schedstat` excludes ended threads, and control groups need one group per server. The clock counts a
/// running thread only up to the last tick of the scheduler, an error of at most a few milliseconds per measurement.
///
/// # Errors
///
/// Returns an error if the process has ended.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let gone = |error| Error::other(format!("process {pid}: {error}"));
    let id = i32::try_from(pid).map_err(Error::other)?;
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(id)).map_err(gone)?;
    Ok(Duration::from(clock_gettime(clock).map_err(gone)?))
}

/// Returns the time that this single-threaded process has waited for a processor.
///
/// # Errors
///
/// Returns an error if the system does not count that time.
pub fn waiting_time() -> Result<Duration> {
    let schedstat = fs::read_to_string("/proc/self/schedstat")?;
    let nanos = schedstat.split_whitespace().nth(1).and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(|| Error::other("no waiting time in schedstat"))
}

/// Memory of a process in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident memory.
    pub resident: usize,
    /// Maximum of the resident memory so far.
    pub peak: usize,
}

impl Memory {
    /// Reads the memory of a process.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
            kib.map(|kib| kib << 10).ok_or_else(|| Error::other(format!("process {pid} has no {name}")))
        };
        Ok(Self { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
    }
}

/// Makes the present resident memory of a process its maximum.
///
/// # Errors
///
/// Returns an error without the permission to do so.
pub fn forget_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// Returns the number of open descriptors of a process.
///
/// # Errors
///
/// Returns an error if the process has ended.
pub fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Returns the resident memory of thread stacks in bytes, or `None` without the permission to read it.
///
/// Mappings have no names that show their purpose. A mapping is a stack if the stack pointer of a thread points into
/// it. The kernel reports stack pointers of threads in system calls.
pub fn stacks(pid: u32) -> Option<usize> {
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

/// Returns the stack pointer of a thread in a system call. The file contains `nr arg0 .. arg5 sp pc` for such a
/// thread, and `running` otherwise.
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

/// Mappings by their first address.
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

/// Raises the limit of file descriptors to its maximum, for many connections.
///
/// # Errors
///
/// Returns an error if the system refuses it.
pub fn allow_descriptors() -> Result<()> {
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
        // Skip the check if the process may not read the data of its own threads.
        if let (Some(before), Some(after)) = (before, stacks(process::id())) {
            assert!(after >= before + (128 << 10), "{before} {after}");
        }
        drop(end);
        thread.join().unwrap();
    }
}
