//! The clients of each address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use super::{AdmissionLimits, RefusalReason};

/// Number of entries below which the table is only swept after [`SWEEP_INTERVAL`].
const SMALL: usize = 64;
/// Maximum time between two sweeps of a table.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Entries exist only for limits that need them. An entry is removed when its address has no connection and its bucket
/// is full. Without a limited rate that happens when its last connection ends. Otherwise it happens in a sweep. Between
/// two sweeps the table at most doubles. A bucket is full after one second, so the number of entries is bounded by the
/// connections and the handshakes of the last second.
#[derive(Debug, Default)]
pub(super) struct Table {
    is_used: bool,
    max_connections: Option<usize>,
    max_rate: Option<u32>,
    entries: HashMap<IpAddr, Entry>,
    /// Number of entries at which the table is swept.
    sweep_at: usize,
    /// Time at which the table is swept. `None` before the first sweep.
    sweep_due: Option<Instant>,
}

#[derive(Debug, Default)]
struct Entry {
    connections: usize,
    /// Time at which the bucket is full: the theoretical arrival time of the generic cell rate algorithm (ITU-T I.371).
    full: Option<Instant>,
}

impl Entry {
    fn is_needed(&self, now: Instant) -> bool {
        self.connections > 0 || self.full.is_some_and(|full| now < full)
    }

    /// Takes a token for one handshake out of a bucket of `rate` tokens, which is filled at `rate` tokens per second.
    fn take_token(&mut self, rate: u32, now: Instant) -> Result<(), RefusalReason> {
        let interval = Duration::from_secs(1) / rate;
        let full = self.full.map_or(now, |full| full.max(now)) + interval;
        if full.saturating_duration_since(now) > interval * rate {
            return Err(RefusalReason::HandshakeRate);
        }
        self.full = Some(full);
        Ok(())
    }
}

impl Table {
    pub(super) fn new(limits: AdmissionLimits) -> Self {
        let (max_connections, max_rate) =
            (limits.max_connections_per_address, limits.max_handshake_rate_per_address);
        let is_used = max_connections.is_some() || max_rate.is_some();
        Self { is_used, max_connections, max_rate, ..Self::default() }
    }

    pub(super) const fn use_always(&mut self) {
        self.is_used = true;
    }

    pub(super) fn admit(&mut self, network: IpAddr, now: Instant) -> Result<(), RefusalReason> {
        if !self.is_used {
            return Ok(());
        }
        self.sweep(now);
        let entry = self.entries.entry(network).or_default();
        if self.max_connections.is_some_and(|max| entry.connections >= max) {
            return Err(RefusalReason::TooManyFromAddress);
        }
        if let Some(rate) = self.max_rate {
            entry.take_token(rate, now)?;
        }
        entry.connections += 1;
        Ok(())
    }

    pub(super) fn release(&mut self, network: IpAddr) {
        let Some(entry) = self.entries.get_mut(&network) else { return };
        entry.connections -= 1;
        if entry.connections == 0 && self.max_rate.is_none() {
            self.entries.remove(&network);
        }
    }

    pub(super) fn connections(&self, network: IpAddr) -> usize {
        self.entries.get(&network).map_or(0, |entry| entry.connections)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn sweep(&mut self, now: Instant) {
        let is_due = self.sweep_due.is_none_or(|due| due <= now);
        if !is_due && self.entries.len() < self.sweep_at {
            return;
        }
        self.entries.retain(|_, entry| entry.is_needed(now));
        self.sweep_at = self.entries.len().saturating_mul(2).max(SMALL);
        // After an attack, the memory is freed.
        self.entries.shrink_to(self.sweep_at);
        self.sweep_due = now.checked_add(SWEEP_INTERVAL);
    }
}

/// Returns the address that counts for a client: an IPv4 address, or the first address of an IPv6 network.
pub(super) fn network(address: IpAddr, ipv6_prefix: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(ipv6_prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
        address => address,
    }
}
