use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::{fmt, mem};

use bytes::{Buf, Bytes};

/// A queue of bytes to be written: small frames one after another in one block, and large shared payloads by
/// reference between them.
///
/// A driver that must not hold the connection while it writes owns a `Transmit` and fills it with
/// [`Connection::take_transmit`](crate::Connection::take_transmit). Bytes are appended at the end and read from the
/// front with [`Buf`]. With the feature `std` it implements [`std::io::Write`], so that a TLS library can append its
/// records.
///
/// Unlike other implementations of [`Buf`], advancing too far empties the queue and does not panic.
///
/// ```
/// use bytes::{Buf, Bytes};
/// use ws_core::Transmit;
///
/// let mut output = Transmit::default();
/// output.extend_from_slice(b"header");
/// output.push(Bytes::from_static(b"a large payload, kept by reference"));
/// output.advance(3);
/// assert_eq!(output.chunk(), b"der");
/// ```
#[derive(Default)]
pub struct Transmit {
    /// Copied bytes. Those before `read` are already read.
    copied: Vec<u8>,
    read: usize,
    /// Created for the first shared payload.
    shared: Option<Box<SharedQueue>>,
}

/// Shared payloads, oldest first.
#[derive(Default)]
struct SharedQueue {
    payloads: VecDeque<SharedPayload>,
    /// Number of bytes in `payloads`.
    len: usize,
}

/// A payload that is next when `copied` has been read up to `at`.
struct SharedPayload {
    at: usize,
    payload: Bytes,
}

impl Transmit {
    /// Maximum number of bytes that are copied to free the memory around them.
    const MAX_MOVED: usize = 512;
    /// Maximum size in bytes of the block that a busy connection keeps between writes.
    const MAX_REUSED: usize = 128 << 10;

    #[inline]
    pub(crate) fn len(&self) -> usize {
        let shared = self.shared.as_ref().map_or(0, |shared| shared.len);
        // The bytes before `read` were copied before, so this cannot underflow.
        self.copied.len().wrapping_sub(self.read).wrapping_add(shared)
    }

    /// Returns the number of bytes in memory that only this queue refers to. A driver counts them for a
    /// [`MemoryBudget`](crate::MemoryBudget). The time is proportional to the number of large payloads.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use ws_core::Transmit;
    ///
    /// let page = Bytes::from(vec![b'x'; 100_000]);
    /// let mut output = Transmit::default();
    /// output.extend_from_slice(b"head");
    /// output.push(page.clone());
    /// assert_eq!(output.unshared_len(), 4);
    /// drop(page);
    /// assert_eq!(output.unshared_len(), 100_004);
    /// ```
    #[must_use]
    pub fn unshared_len(&self) -> usize {
        let payloads = self.shared.iter().flat_map(|shared| &shared.payloads);
        let unshared =
            payloads.filter(|shared| shared.payload.is_unique()).map(|shared| shared.payload.len());
        unshared.fold(self.copied.len().saturating_sub(self.read), usize::saturating_add)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.read == self.copied.len() && self.shared.as_ref().is_none_or(|shared| shared.payloads.is_empty())
    }

    #[inline]
    pub(crate) fn owns_memory(&self) -> bool {
        self.copied.capacity() > 0 || self.shared.is_some()
    }

    /// Appends a copy of these bytes.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.block().extend_from_slice(bytes);
    }

    /// Appends these bytes by reference, without a copy.
    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            let shared = self.shared.get_or_insert_default();
            shared.len = shared.len.saturating_add(bytes.len());
            shared.payloads.push_back(SharedPayload { at: self.copied.len(), payload: bytes });
        }
    }

    /// Returns the capacity of the block of copied bytes, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.copied.capacity()
    }

    /// Returns the block at the end of the queue. It must only grow, because the positions of shared payloads refer
    /// to it.
    #[inline]
    pub(crate) fn block(&mut self) -> &mut Vec<u8> {
        if self.read > 0 && self.read >= self.copied.len() / 2 {
            self.compact();
        }
        &mut self.copied
    }

    /// Frees memory that is not in use. If the queue is empty, that is all memory.
    pub fn shrink_to_fit(&mut self) {
        self.compact();
        let len = self.copied.len();
        if len <= Self::MAX_MOVED && self.copied.capacity() / 2 >= len {
            self.copied = self.copied.as_slice().to_vec();
        }
        self.shared.take_if(|shared| shared.payloads.is_empty());
    }

    /// Moves all bytes to the end of `into`. If `into` is empty, the two are swapped.
    pub fn drain_into(&mut self, into: &mut Self) {
        if into.is_empty() {
            mem::swap(self, into);
            self.reset();
            return;
        }
        while !self.is_empty() {
            let run = self.copied_run();
            if run > 0 {
                into.block().extend_from_slice(self.chunk());
                self.advance(run);
            } else if let Some(front) = self.front() {
                let payload = front.payload.clone();
                self.advance(payload.len());
                into.push(payload);
            }
        }
        self.reset();
    }

    /// Advances by `count` bytes, or to the end. Returns the number of bytes by which it advanced.
    #[inline]
    pub(crate) fn skip(&mut self, count: usize) -> usize {
        if self.shared.is_some() {
            return self.advance_through_shared(count);
        }
        let left = self.copied.len().wrapping_sub(self.read);
        if count < left {
            self.read = self.read.wrapping_add(count);
            return count;
        }
        self.reset();
        left
    }

    /// Drops the bytes that were read. It is called only when they are at least half of the block, so that on average
    /// each byte is moved at most once.
    #[inline(never)]
    fn compact(&mut self) {
        let gone = mem::take(&mut self.read).min(self.copied.len());
        self.copied.drain(..gone);
        for shared in self.shared.iter_mut().flat_map(|shared| &mut shared.payloads) {
            shared.at = shared.at.saturating_sub(gone);
        }
    }

    /// Makes the empty block ready for reuse, and frees a large one.
    #[inline]
    fn reset(&mut self) {
        self.copied.clear();
        self.read = 0;
        if self.copied.capacity() > Self::MAX_REUSED {
            self.copied = Vec::new();
        }
    }

    /// Returns the first shared payload.
    #[inline]
    fn front(&self) -> Option<&SharedPayload> {
        self.shared.as_ref().and_then(|shared| shared.payloads.front())
    }

    /// Returns the number of copied bytes before the next shared payload.
    #[inline]
    fn copied_run(&self) -> usize {
        let end = self.front().map_or(self.copied.len(), |shared| shared.at);
        end.saturating_sub(self.read)
    }

    #[inline(never)]
    fn advance_through_shared(&mut self, mut count: usize) -> usize {
        let before = self.len();
        loop {
            let step = self.copied_run().min(count);
            self.read = self.read.saturating_add(step);
            count = count.saturating_sub(step);
            if count == 0 {
                break;
            }
            let Some(shared) = &mut self.shared else { break };
            let Some(front) = shared.payloads.front_mut() else { break };
            let step = front.payload.len().min(count);
            front.payload.advance(step);
            shared.len = shared.len.saturating_sub(step);
            count = count.saturating_sub(step);
            if front.payload.is_empty() {
                shared.payloads.pop_front();
            }
        }
        let skipped = before.saturating_sub(self.len());
        if self.is_empty() {
            self.reset();
        }
        skipped
    }
}

/// Omits the bytes, because they may contain cookies and credentials.
impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit")
            .field("remaining", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl Buf for Transmit {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn has_remaining(&self) -> bool {
        !self.is_empty()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        if self.shared.is_none() {
            return self.copied.get(self.read..).unwrap_or_default();
        }
        match (self.copied_run(), self.front()) {
            (0, Some(shared)) => &shared.payload,
            (run, _) => self.copied.get(self.read..self.read.saturating_add(run)).unwrap_or_default(),
        }
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.skip(count);
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut read = self.read;
        let mut slots = slices.iter_mut();
        let mut put = |bytes: &'a [u8]| {
            if bytes.is_empty() {
                return true;
            }
            let Some(slot) = slots.next() else { return false };
            *slot = std::io::IoSlice::new(bytes);
            filled = usize::saturating_add(filled, 1);
            true
        };
        for shared in self.shared.iter().flat_map(|shared| &shared.payloads) {
            if !put(self.copied.get(read..shared.at).unwrap_or_default()) || !put(&shared.payload) {
                return filled;
            }
            read = shared.at;
        }
        put(self.copied.get(read..).unwrap_or_default());
        filled
    }
}

/// Appends bytes. It never fails.
#[cfg(feature = "std")]
impl std::io::Write for Transmit {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
