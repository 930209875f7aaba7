//! The order in which a client connects to the addresses of a host (RFC 8305, "Happy Eyeballs").

use alloc::{collections::VecDeque, vec::Vec};
use core::{net::SocketAddr, time::Duration};

use crate::Timestamp;

/// Decides when a client begins to connect to each address of a host, so that an address that never answers delays the
/// others only a little (RFC 8305, "Happy Eyeballs").
///
/// The addresses alternate between IPv6 and IPv4, beginning with the family of the first one (section 4). The first
/// attempt begins at once. Each further attempt begins when the delay has passed since the latest one, or as soon as an
/// attempt fails (section 5). The first attempt that succeeds wins, and the driver drops the others.
///
/// ```
/// use core::time::Duration;
/// use ws_core::{AddressRace, Timestamp};
///
/// let addresses = ["[2001:db8::1]:443", "[2001:db8::2]:443", "192.0.2.1:443"];
/// let addresses = addresses.map(|address| address.parse().unwrap());
/// let mut race = AddressRace::new(addresses, AddressRace::DEFAULT_DELAY);
/// let start = Timestamp::ZERO;
/// assert_eq!(race.next_attempt(start), Some(addresses[0]));
/// assert_eq!(race.next_attempt(start), None); // an attempt is running
/// let later = start + Duration::from_millis(250);
/// assert_eq!(race.poll_timeout(), Some(later));
/// assert_eq!(race.next_attempt(later), Some(addresses[2])); // the other family
/// race.attempt_failed();
/// assert_eq!(race.next_attempt(later), Some(addresses[1])); // at once
/// ```
#[derive(Clone, Debug)]
pub struct AddressRace {
    waiting: VecDeque<SocketAddr>,
    running: usize,
    delay: Duration,
    /// Time of the next attempt. `None`: at once.
    next: Option<Timestamp>,
}

impl AddressRace {
    /// Default delay between two attempts: 250 milliseconds (RFC 8305 section 5).
    pub const DEFAULT_DELAY: Duration = Duration::from_millis(250);
    /// Minimum delay between two attempts: 10 milliseconds (RFC 8305 section 5). A shorter one counts as 10 milliseconds.
    pub const MIN_DELAY: Duration = Duration::from_millis(10);
    /// Maximum number of addresses. Further addresses are ignored, because a name server determines their number.
    pub const MAX_ADDRESSES: usize = 64;

    /// Creates a race between these addresses, in the order of preference of the resolver. Repeated addresses count once.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>, delay: Duration) -> Self {
        Self { waiting: interleaved(addresses), running: 0, delay: delay.max(Self::MIN_DELAY), next: None }
    }

    /// Returns the address of an attempt that has to begin now. Call it until it returns `None`.
    pub fn next_attempt(&mut self, now: Timestamp) -> Option<SocketAddr> {
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        let address = self.waiting.pop_front()?;
        self.running = self.running.saturating_add(1);
        self.next = Some(now + self.delay);
        Some(address)
    }

    /// Reports that an attempt has failed. The next one begins at once.
    pub const fn attempt_failed(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.next = None;
    }

    /// Returns the time of the next attempt. `None` if no address waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.waiting.is_empty() { None } else { Some(self.next.unwrap_or(Timestamp::ZERO)) }
    }

    /// Returns `true` if no attempt is running and no address waits: the host cannot be reached.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }
}

/// Returns the addresses without repetitions, alternating between the families for as long as there are both.
fn interleaved(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut unique: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if unique.len() == AddressRace::MAX_ADDRESSES {
            break;
        }
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let begins_with_ipv6 = unique.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        unique.into_iter().partition(|address| address.is_ipv6() == begins_with_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = VecDeque::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}
