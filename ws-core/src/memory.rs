//! One memory limit for many connections.

use alloc::sync::Arc;
use core::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Counts the memory of many connections against one limit.
///
/// The limits of [`Config`](crate::Config) bound the memory of one connection. A budget bounds the sum: a peer with
/// thousands of connections can begin a large message on each of them. The owner of the connections sets the
/// [`MemoryShare`] of each one to its [`input_memory`](crate::Connection::input_memory) and
/// [`buffered`](crate::Connection::buffered) bytes. While the budget [is exceeded](Self::excess), the owner ends the
/// connection with the largest share, for example with 1013 (Try Again Later).
///
/// Bytes count in steps of 16 KiB, and a connection with less than one step does not count. So a connection with small
/// messages never touches the counter that all connections share. `ws-std` and `ws-smol` do all of this for their
/// servers.
///
/// ```
/// use std::sync::Arc;
/// use ws_core::{CloseCode, Config, Connection, MemoryBudget, MemoryShare, Timestamp};
///
/// let budget = Arc::new(MemoryBudget::new(1 << 20));
/// let mut connections: Vec<_> = (0..10)
///     .map(|_| (Connection::server(Arc::new(Config::default()), Timestamp::ZERO), MemoryShare::new(budget.clone())))
///     .collect();
/// // The header and the first 150,000 bytes of a masked message of 1,000,000 bytes.
/// let begun = [&[0x82, 0xFF, 0, 0, 0, 0, 0, 0x0F, 0x42, 0x40, 0, 0, 0, 0][..], &[7; 150_000]].concat();
/// for (connection, share) in &mut connections {
///     assert_eq!(connection.receive(&mut &mut begun.clone()[..])?, None);
///     share.set(connection.input_memory() + connection.buffered());
/// }
/// while budget.excess() > 0 {
///     let (largest, share) = connections.iter_mut().max_by_key(|(_, share)| share.bytes()).unwrap();
///     largest.fail(CloseCode::TRY_AGAIN_LATER, "the server is short of memory")?;
///     share.set(largest.input_memory() + largest.buffered());
/// }
/// assert!(budget.used() <= budget.limit());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MemoryBudget {
    limit: AtomicUsize,
    used: AtomicUsize,
}

impl MemoryBudget {
    /// Size in bytes of the steps in which memory is counted.
    pub const STEP: usize = 16 << 10;
    /// Default limit in bytes of the servers of `ws-std` and `ws-smol`: 256 MiB.
    pub const DEFAULT_LIMIT: usize = 256 << 20;

    /// Creates a budget of this number of bytes. `usize::MAX` means no limit.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit: AtomicUsize::new(limit), used: AtomicUsize::new(0) }
    }

    /// Returns the limit in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Changes the limit, for example while connections are open. The new limit takes effect when a share next grows.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// Returns the sum of all shares in bytes.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Returns the number of bytes beyond the limit.
    #[must_use]
    pub fn excess(&self) -> usize {
        self.used().saturating_sub(self.limit())
    }
}

impl Default for MemoryBudget {
    /// Creates a budget with the [default limit](Self::DEFAULT_LIMIT).
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}

/// The part of a [`MemoryBudget`] that one connection uses. Dropping it returns the memory to the budget.
pub struct MemoryShare {
    budget: Arc<MemoryBudget>,
    /// A multiple of the step.
    bytes: AtomicUsize,
}

impl MemoryShare {
    /// Creates an empty share.
    #[must_use]
    pub const fn new(budget: Arc<MemoryBudget>) -> Self {
        Self { budget, bytes: AtomicUsize::new(0) }
    }

    /// Sets the memory of the connection in bytes. Returns `true` if the share has grown. Only the owner of the
    /// connection calls it, and other threads may read the share meanwhile.
    pub fn set(&self, bytes: usize) -> bool {
        let steps = if bytes < MemoryBudget::STEP { 0 } else { bytes.div_ceil(MemoryBudget::STEP) };
        let bytes = steps.saturating_mul(MemoryBudget::STEP);
        // Only the owner changes it.
        let before = self.bytes();
        if bytes == before {
            return false;
        }
        self.bytes.store(bytes, Relaxed);
        // In an atomic of the standard library, the sum wraps around and does not panic.
        if bytes > before {
            self.budget.used.fetch_add(bytes.wrapping_sub(before), Relaxed);
        } else {
            self.budget.used.fetch_sub(before.wrapping_sub(bytes), Relaxed);
        }
        bytes > before
    }

    /// Returns the share in bytes, a multiple of [`MemoryBudget::STEP`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Returns the budget.
    #[must_use]
    pub const fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl fmt::Debug for MemoryShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryShare({} bytes)", self.bytes())
    }
}
