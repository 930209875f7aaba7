use core::{fmt, time::Duration};
use std::collections::VecDeque;

use crate::Timestamp;

/// One direction of a [`Pair`](super::Pair)'s network: from one end to the other. By default it is perfect: it accepts
/// all bytes, and they arrive at once and as they were written.
#[derive(Default)]
pub struct Link {
    delay: Duration,
    /// Bytes per second.
    bandwidth: Option<u64>,
    /// Number of bytes that it holds before it refuses more.
    capacity: Option<usize>,
    /// When the last byte that was written has left.
    busy_until: Timestamp,
    pieces: Option<Box<dyn Iterator<Item = usize> + Send>>,
    loss: Option<(u64, Loss)>,
    /// How many bytes have arrived.
    delivered: u64,
    under_way: VecDeque<(Timestamp, Vec<u8>)>,
    /// When the sender's end of the stream arrives, if it has ended.
    pub(super) ends_at: Option<Timestamp>,
    /// Whether the receiver was told so.
    pub(super) end_told: bool,
}

/// How a connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Both ends are told that the stream has ended.
    Reset,
    /// Nobody is told anything.
    Silence,
}

impl Link {
    /// How long bytes that are written from now on are on their way.
    pub fn delay(&mut self, delay: Duration) -> &mut Self {
        self.delay = delay;
        self
    }

    /// Limits how many bytes per second pass. Zero counts as one.
    pub fn bandwidth(&mut self, bytes_per_second: u64) -> &mut Self {
        self.bandwidth = Some(bytes_per_second.max(1));
        self
    }

    /// Limits how many bytes the link holds, like the buffers of sockets. It refuses more until some were read.
    pub fn capacity(&mut self, bytes: usize) -> &mut Self {
        self.capacity = Some(bytes);
        self
    }

    /// Holds back everything that has not arrived until `until`.
    pub fn pause_until(&mut self, until: Timestamp) -> &mut Self {
        self.busy_until = self.busy_until.max(until);
        for (arrival, _) in &mut self.under_way {
            *arrival = until.max(*arrival);
        }
        self.ends_at = self.ends_at.map(|at| at.max(until));
        self
    }

    /// Returns how many bytes the link accepts now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(self.under_way()))
    }

    /// Cuts what arrives into reads of these sizes; zero counts as one. When the sizes are used up, it is not cut
    /// any more: `[1].into_iter().cycle()` never is.
    pub fn pieces<I>(&mut self, sizes: I) -> &mut Self
    where
        I: IntoIterator<Item = usize>,
        I::IntoIter: Send + 'static,
    {
        self.pieces = Some(Box::new(sizes.into_iter()));
        self
    }

    /// When so many bytes have arrived by this link, the connection is lost, both ways: what is under way is gone,
    /// and both ends are told that the stream has ended.
    pub fn reset_after(&mut self, bytes: u64) -> &mut Self {
        self.loss = Some((bytes, Loss::Reset));
        self
    }

    /// When so many bytes have arrived by this link, nothing arrives any more, not even the end of the stream, and
    /// nobody is told. The other direction goes on.
    pub fn silence_after(&mut self, bytes: u64) -> &mut Self {
        self.loss = Some((bytes, Loss::Silence));
        self
    }

    /// How many bytes have arrived by this link.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// How many bytes are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Whether and how the connection has been lost.
    pub(super) fn lost(&self) -> Option<Loss> {
        self.loss.filter(|(bytes, _)| self.delivered >= *bytes).map(|(_, loss)| loss)
    }

    pub(super) fn push(&mut self, now: Timestamp, bytes: &[u8]) {
        /// With limited bandwidth, bytes arrive in segments of at most this size.
        const SEGMENT: usize = 1460;
        let segment = self.bandwidth.map_or(usize::MAX, |_| SEGMENT);
        for piece in bytes.chunks(segment) {
            let time = self.bandwidth.map_or(Duration::ZERO, |bandwidth| {
                Duration::from_nanos((piece.len() as u64).saturating_mul(1_000_000_000) / bandwidth)
            });
            self.busy_until = self.busy_until.max(now) + time;
            self.under_way.push_back((self.arrival(now), piece.to_vec()));
        }
    }

    /// The sender's stream ends behind what is under way.
    pub(super) fn end(&mut self, now: Timestamp) {
        self.ends_at = Some(self.arrival(now));
    }

    pub(super) fn drop_all(&mut self) {
        self.under_way.clear();
    }

    /// The next read of at most `most` bytes, if anything has arrived.
    pub(super) fn read(&mut self, now: Timestamp, most: usize) -> Option<Vec<u8>> {
        let until_loss = self.loss.map_or(u64::MAX, |(bytes, _)| bytes.saturating_sub(self.delivered));
        let most = most.min(usize::try_from(until_loss).unwrap_or(usize::MAX));
        let arrived: usize =
            self.under_way.iter().take_while(|(at, _)| *at <= now).map(|(_, bytes)| bytes.len()).sum();
        if arrived.min(most) == 0 {
            return None;
        }
        let piece = self.pieces.as_mut().and_then(Iterator::next).map_or(usize::MAX, |piece| piece.max(1));
        let len = arrived.min(most).min(piece);
        let mut read = Vec::with_capacity(len);
        while read.len() < len {
            let (_, bytes) = self.under_way.front_mut().expect("so much has arrived");
            let part = bytes.len().min(len - read.len());
            read.extend(bytes.drain(..part));
            if bytes.is_empty() {
                self.under_way.pop_front();
            }
        }
        self.delivered += len as u64;
        Some(read)
    }

    /// Whether the end of the stream has arrived, and everything before it.
    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        self.under_way.is_empty() && self.ends_at.is_some_and(|at| at <= now)
    }

    /// When something arrives that has not yet.
    pub(super) fn next_arrival(&self, now: Timestamp) -> Option<Timestamp> {
        if self.lost().is_some() {
            return None;
        }
        let bytes = self.under_way.iter().map(|(at, _)| *at).find(|at| *at > now);
        let end = self.ends_at.filter(|at| *at > now && !self.end_told);
        bytes.into_iter().chain(end).min()
    }

    /// Nothing overtakes anything, should the delay become shorter.
    fn arrival(&self, now: Timestamp) -> Timestamp {
        let last = self.under_way.back().map_or(Timestamp::ZERO, |(at, _)| *at);
        last.max(self.busy_until.max(now) + self.delay)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("delay", &self.delay)
            .field("loss", &self.loss)
            .field("delivered", &self.delivered)
            .field("under_way", &self.under_way())
            .finish_non_exhaustive()
    }
}
