//! One attack on one server.

use std::{
    thread,
    time::{Duration, Instant},
};

use ws_benches::{
    process::{self, Memory},
    server::Server,
};

use crate::{
    Result,
    attacker::Attacker,
    attacks::Attack,
    servers::{Certificate, Kind, Needs},
};

/// Maximum time in which a server has to be done with an attack.
const PATIENCE: Duration = Duration::from_secs(30);

/// The cost of an attack.
pub(crate) struct Cost {
    /// Bytes of the attacker in the first run.
    pub(crate) bytes: u64,
    /// Nanoseconds of CPU time for each byte: the median of the runs.
    pub(crate) cpu: f64,
    /// Growth of the resident memory in bytes, at its maximum.
    pub(crate) memory: usize,
    /// Number of descriptors at the end of the attack.
    pub(crate) descriptors: usize,
}

/// Measures an attack. Returns `None` if the server has no part that the attack needs.
pub(crate) fn measure(
    kind: Kind,
    attack: &Attack,
    certificate: &Certificate,
    runs: usize,
) -> Result<Option<Cost>> {
    if !kind.has(attack.needs) {
        return Ok(None);
    }
    let server = kind.start(attack.needs, certificate)?;
    let address = server.address();
    if attack.needs != Needs::Tls {
        Attacker::new(address, Needs::Nothing).expect_echo()?;
    }
    settle(&server)?;
    let descriptors = process::descriptors(server.pid())?;
    process::forget_peak(server.pid())?;
    let before = Memory::of(server.pid())?;
    let mut attacker = Attacker::new(address, attack.needs);
    (attack.run)(&mut attacker)?;
    settle(&server)?;
    let mut cost = Cost {
        bytes: attacker.bytes,
        cpu: 0.0,
        memory: Memory::of(server.pid())?.peak.saturating_sub(before.resident),
        descriptors: process::descriptors(server.pid())?.saturating_sub(descriptors),
    };
    drop(attacker);
    let mut cpu = Vec::new();
    for _ in 0..runs {
        settle(&server)?;
        let before = process::cpu_time(server.pid())?;
        let mut attacker = Attacker::new(address, attack.needs);
        (attack.run)(&mut attacker)?;
        settle(&server)?;
        let used = process::cpu_time(server.pid())?.saturating_sub(before);
        cpu.push(used.as_secs_f64() * 1e9 / attacker.bytes as f64);
    }
    cpu.sort_by(f64::total_cmp);
    cost.cpu = cpu[cpu.len() / 2];
    Ok(Some(cost))
}

/// Waits until the server has nothing more to do.
fn settle(server: &Server) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = process::cpu_time(server.pid())?;
    while Instant::now() < deadline {
        // No event marks the end of the work of another process. Its clock is exact to a few milliseconds.
        thread::sleep(Duration::from_millis(60));
        let now = process::cpu_time(server.pid())?;
        if now - before < Duration::from_millis(1) {
            break;
        }
        before = now;
    }
    Ok(())
}
