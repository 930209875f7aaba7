use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::mem;

use bytes::{Buf, Bytes};

/// Bytes on their way to the network, in order: small frames back to back in one block, large shared
/// payloads by reference between them.
///
/// This is what [`Connection::transmit`](crate::Connection::transmit) shows. A driver that must not hold
/// the connection while it writes owns one of these and fills it by
/// [`Connection::take_transmit`](crate::Connection::take_transmit).
///
/// Unlike other implementations of [`Buf`], advancing too far empties it and does not panic.
#[derive(Debug, Default)]
pub struct Transmit {
    /// Encoded bytes; those before `read` are gone already.
    copied: Vec<u8>,
    read: usize,
    /// Made for the first one.
    shared: Option<Box<SharedQueue>>,
    /// Where in `copied` the latest pong ends.
    pong_end: usize,
}

/// Payloads by reference.
#[derive(Debug, Default)]
struct SharedQueue {
    payloads: VecDeque<Shared>,
    /// How many bytes they have left.
    len: usize,
}

/// A payload that goes out when `copied` has been read up to `at`.
#[derive(Debug)]
struct Shared {
    at: usize,
    payload: Bytes,
}

impl Transmit {
    /// How many bytes are copied to give back the memory around them.
    const MOVED: usize = 512;
    /// The largest block that a busy connection keeps from one write to the next.
    const REUSED: usize = 128 << 10;

    #[inline]
    pub(crate) fn len(&self) -> usize {
        let shared = self.shared.as_ref().map_or(0, |shared| shared.len);
        self.copied.len().saturating_sub(self.read).saturating_add(shared)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.read == self.copied.len() && self.shared.as_ref().is_none_or(|shared| shared.payloads.is_empty())
    }

    #[inline]
    pub(crate) fn owns_memory(&self) -> bool {
        self.copied.capacity() > 0 || self.shared.is_some()
    }

    /// The block to append bytes to. A driver that puts TLS below the protocol fills one of its own with
    /// ciphertext.
    #[inline]
    pub fn block(&mut self) -> &mut Vec<u8> {
        if self.read > 0 && self.read >= self.copied.len() / 2 {
            self.compact();
        }
        &mut self.copied
    }

    /// Appends a payload by reference.
    pub(crate) fn push_shared(&mut self, payload: Bytes) {
        if !payload.is_empty() {
            let shared = self.shared.get_or_insert_default();
            shared.len = shared.len.saturating_add(payload.len());
            shared.payloads.push_back(Shared { at: self.copied.len(), payload });
        }
    }

    /// Notes that the bytes appended last were a pong.
    pub(crate) fn mark_pong(&mut self) {
        self.pong_end = self.copied.len();
    }

    /// Whether the pong noted last is still here.
    #[inline]
    pub(crate) fn holds_pong(&self) -> bool {
        self.read < self.pong_end
    }

    /// Gives back the memory that is not in use.
    pub(crate) fn release(&mut self) {
        self.compact();
        let len = self.copied.len();
        if len <= Self::MOVED && self.copied.capacity() / 2 >= len {
            self.copied = self.copied.as_slice().to_vec();
        }
        self.shared.take_if(|shared| shared.payloads.is_empty());
    }

    /// Moves everything to the end of `into`, by swapping if that is empty.
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
                into.push_shared(payload);
            }
        }
        self.reset();
    }

    /// Drops the bytes that are gone. Called only when they are at least half, so that no byte is moved
    /// more than once on average.
    #[inline(never)]
    fn compact(&mut self) {
        let gone = mem::take(&mut self.read).min(self.copied.len());
        self.copied.drain(..gone);
        self.pong_end = self.pong_end.saturating_sub(gone);
        for shared in self.shared.iter_mut().flat_map(|shared| &mut shared.payloads) {
            shared.at = shared.at.saturating_sub(gone);
        }
    }

    /// Makes the block ready for reuse once it is empty; a large one is given back.
    #[inline]
    fn reset(&mut self) {
        self.copied.clear();
        self.read = 0;
        self.pong_end = 0;
        if self.copied.capacity() > Self::REUSED {
            self.copied = Vec::new();
        }
    }

    /// The shared payload that goes out first.
    #[inline]
    fn front(&self) -> Option<&Shared> {
        self.shared.as_ref().and_then(|shared| shared.payloads.front())
    }

    /// How many encoded bytes there are before the next shared payload.
    #[inline]
    fn copied_run(&self) -> usize {
        let end = self.front().map_or(self.copied.len(), |shared| shared.at);
        end.saturating_sub(self.read)
    }

    #[inline(never)]
    fn advance_through_shared(&mut self, mut count: usize) {
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
        if self.is_empty() {
            self.reset();
        }
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
        if self.shared.is_some() {
            return self.advance_through_shared(count);
        }
        let read = self.read.saturating_add(count);
        if read < self.copied.len() {
            self.read = read;
        } else {
            self.reset();
        }
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
