//! Data of the kernel about this process and its sockets.

use std::{
    fs,
    net::{SocketAddr, SocketAddrV4},
    time::Duration,
};

/// Returns the number of open file descriptors, including the one that this call uses.
pub fn file_descriptors() -> usize {
    entries("/proc/self/fd")
}

/// Returns the number of threads.
pub fn threads() -> usize {
    entries("/proc/self/task")
}

/// Returns the peak of the resident memory since the start, or since [`forget_peak`], in bytes.
pub fn peak_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kib << 10
}

/// Returns the processor time that this process has used, in user and system mode.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("a time that is not negative")
}

/// Resets [`peak_memory`] to the present resident memory.
pub fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("/proc/self/clear_refs");
}

/// Returns the number of unread bytes in the socket `here` that is connected to `there`, accepted or not. Returns
/// `None` if there is no such socket.
pub fn unread(here: SocketAddr, there: SocketAddr) -> Option<usize> {
    let (SocketAddr::V4(here), SocketAddr::V4(there)) = (here, there) else { panic!("not IPv4") };
    let (here, there) = (hex(here), hex(there));
    let table = fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    table.lines().find_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let found = columns.next()? == here && columns.next()? == there;
        let (_, unread) = columns.nth(1)?.split_once(':')?;
        found.then(|| usize::from_str_radix(unread, 16).expect("a size"))
    })
}

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).expect(folder).count()
}

/// Formats an address as in `/proc/net/tcp`: the address as a number in native byte order, the port in the usual
/// order.
fn hex(address: SocketAddrV4) -> String {
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}
