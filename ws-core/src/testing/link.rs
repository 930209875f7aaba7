use core::{fmt, time::Duration};
use std::collections::VecDeque;

use crate::Timestamp;

/// One direction of the network of a [`Pair`](super::Pair), from one end to the other. By default it is perfect: it
/// accepts all bytes, and they arrive at once and in the same pieces as they were written.
#[derive(Default)]
pub struct Link {
    delay: Duration,
    /// Bandwidth in bytes per second.
    bandwidth: Option<u64>,
    /// Number of bytes that the link holds before it refuses more.
    capacity: Option<usize>,
    /// Time at which the last written byte has left.
    busy_until: Timestamp,
    pieces: Option<Box<dyn Iterator<Item = usize> + Send>>,
    loss: Option<(u64, Loss)>,
    /// Number of bytes that have arrived.
    delivered: u64,
    under_way: VecDeque<(Timestamp, Vec<u8>)>,
    /// Time at which the end of the sender's stream arrives, if it has ended.
    pub(super) ends_at: Option<Timestamp>,
    /// `true` if the end of the stream was reported to the receiver.
    pub(super) end_delivered: bool,
}

/// The way in which a connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The end of the stream is reported to both ends.
    Reset,
    /// No end receives a report.
    Silence,
}

impl Link {
    /// Sets the transit time of bytes that are written from now on.
    pub fn delay(&mut self, delay: Duration) -> &mut Self {
        self.delay = delay;
        self
    }

    /// Limits the bandwidth, in bytes per second. Zero counts as one.
    pub fn bandwidth(&mut self, bytes_per_second: u64) -> &mut Self {
        self.bandwidth = Some(bytes_per_second.max(1));
        self
    }

    /// Limits the number of bytes that the link holds, like the buffers of sockets. A full link refuses more bytes
    /// until some are read.
    pub fn capacity(&mut self, bytes: usize) -> &mut Self {
        self.capacity = Some(bytes);
        self
    }

    /// Delays all bytes that have not arrived until `until`.
    pub fn pause_until(&mut self, until: Timestamp) -> &mut Self {
        self.busy_until = self.busy_until.max(until);
        for (arrival, _) in &mut self.under_way {
            *arrival = until.max(*arrival);
        }
        self.ends_at = self.ends_at.map(|at| at.max(until));
        self
    }

    /// Returns the number of bytes that the link accepts now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(self.under_way()))
    }

    /// Splits arriving bytes into reads of these sizes. A size of zero counts as one. When the sizes are used up,
    /// splitting ends. `[1].into_iter().cycle()` never ends.
    pub fn pieces<I>(&mut self, sizes: I) -> &mut Self
    where
        I: IntoIterator<Item = usize>,
        I::IntoIter: Send + 'static,
    {
        self.pieces = Some(Box::new(sizes.into_iter()));
        self
    }

    /// Loses the connection in both directions once this number of bytes has arrived by this link. Bytes in transit
    /// are dropped, and the end of the stream is reported to both ends.
    pub fn reset_after(&mut self, bytes: u64) -> &mut Self {
        self.loss = Some((bytes, Loss::Reset));
        self
    }

    /// Stops this link silently once this number of bytes has arrived by it. After that no more bytes arrive, not
    /// even the end of the stream, and neither end receives a report. The other direction continues to work.
    pub fn silence_after(&mut self, bytes: u64) -> &mut Self {
        self.loss = Some((bytes, Loss::Silence));
        self
    }

    /// Returns the number of bytes that have arrived by this link.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Returns the number of bytes in transit.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Returns the way in which the connection was lost, if it was.
    pub(super) fn lost(&self) -> Option<Loss> {
        self.loss.filter(|(bytes, _)| self.delivered >= *bytes).map(|(_, loss)| loss)
    }

    /// Returns `true` if the connection was lost in this way.
    pub(super) fn loss_is(&self, loss: Loss) -> bool {
        self.lost() == Some(loss)
    }

    pub(super) fn push(&mut self, now: Timestamp, bytes: &[u8]) {
        /// Maximum size in bytes of the segments in which bytes arrive if the bandwidth is limited.
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

    /// Ends the sender's stream behind the bytes in transit.
    pub(super) fn end(&mut self, now: Timestamp) {
        self.ends_at = Some(self.arrival(now));
    }

    pub(super) fn drop_all(&mut self) {
        self.under_way.clear();
    }

    /// Returns the next read of at most `most` bytes, if bytes have arrived.
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

    /// Returns `true` if the end of the stream and all bytes before it have arrived.
    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        self.under_way.is_empty() && self.ends_at.is_some_and(|at| at <= now)
    }

    /// Returns the time of the next arrival.
    pub(super) fn next_arrival(&self, now: Timestamp) -> Option<Timestamp> {
        if self.lost().is_some() {
            return None;
        }
        let bytes = self.under_way.iter().map(|(at, _)| *at).find(|at| *at > now);
        let end = self.ends_at.filter(|at| *at > now && !self.end_delivered);
        bytes.into_iter().chain(end).min()
    }

    /// Returns the arrival time of bytes that are written now. Bytes never overtake each other, even if the delay
    /// becomes shorter.
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
