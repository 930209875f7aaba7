//! Output for a driver: the bytes to write, and reports of written bytes.

use bytes::Buf;

use super::{Connection, outgoing::OutputQueue};
use crate::{Side, Timestamp, Transmit};

/// Output for the driver.
///
/// A byte is *written* when the transport has accepted it: when `write` of a socket has returned or, for a stream
/// that buffers, when `flush` has returned. Until then it counts for [`buffered`](Self::buffered) and all deadlines.
/// A driver writes in one of two ways, and may mix them:
///
/// - Write from [`transmit`](Self::transmit) and [`advance`](Buf::advance) it by the number of bytes written.
/// - Take output with [`take_transmit`](Self::take_transmit) or [`take_with`](Self::take_with), and report the
///   written bytes with [`written`](Self::written). This is for drivers that must not hold the connection while they
///   write, that encrypt, or whose system calls complete later.
impl Connection {
    /// Returns the bytes to be written, oldest first. Call [`advance`](Buf::advance) with the number of bytes that were
    /// written. With the feature `std`, [`chunks_vectored`](Buf::chunks_vectored) fills slices for a vectored write.
    #[inline]
    pub fn transmit(&mut self) -> impl Buf + '_ {
        self.outgoing.flush_pong();
        Output(&mut self.outgoing)
    }

    /// Moves all bytes to be written to the end of `into`. They are in flight until [`written`](Self::written)
    /// reports them.
    pub fn take_transmit(&mut self, into: &mut Transmit) {
        self.outgoing.flush_pong();
        let taken = self.outgoing.queue.len();
        self.outgoing.queue.drain_into(into);
        self.outgoing.in_flight = self.outgoing.in_flight.saturating_add(taken);
    }

    /// Passes the bytes to be written to `take`, piece by piece, until `take` takes none or `limit` bytes are taken.
    /// This is for a driver that encrypts its output. `take` returns the number of bytes that it took from the front
    /// of a piece. They are in flight until [`written`](Self::written) reports them. Returns the number of bytes
    /// taken.
    pub fn take_with(&mut self, limit: usize, mut take: impl FnMut(&[u8]) -> usize) -> usize {
        self.outgoing.flush_pong();
        let queue = &mut self.outgoing.queue;
        let mut total = 0_usize;
        while total < limit && queue.has_remaining() {
            let piece = queue.chunk();
            let piece = piece.get(..limit.saturating_sub(total)).unwrap_or(piece);
            let taken = take(piece).min(piece.len());
            if taken == 0 {
                break;
            }
            queue.advance(taken);
            total = total.saturating_add(taken);
        }
        self.outgoing.in_flight = self.outgoing.in_flight.saturating_add(total);
        total
    }

    /// Reports that the next `count` bytes in flight were written. Report each piece as soon as the transport has
    /// accepted it, because the connection uses these reports to distinguish a slow peer from a dead one.
    #[inline]
    pub fn written(&mut self, count: usize) {
        let count = count.min(self.outgoing.in_flight);
        self.outgoing.in_flight = self.outgoing.in_flight.saturating_sub(count);
        self.outgoing.record_written(count);
    }

    /// Reports that a buffering transport has accepted bytes, when the driver cannot yet determine which bytes were
    /// written. It counts as progress if the transport had refused bytes before.
    #[inline]
    pub const fn note_progress(&mut self) {
        self.outgoing.accepted = true;
    }

    /// Reports that the transport accepts no more bytes because its writing direction is broken. All output that is
    /// not written is dropped, including bytes in flight, and no more output is queued. The peer's last messages can
    /// still be received until the stream ends or [`close_timeout`](crate::Config::close_timeout) has passed.
    pub fn discard_output(&mut self) {
        if !self.is_finished() {
            self.begin_closing(Side::Remote).broken = true;
        }
        self.drop_output();
    }

    /// Returns `true` if queued output was dropped before it was written: the transport failed, or the peer did not accept
    /// it in time. A driver that promises delivery to the transport reports an error then.
    ///
    /// ```
    /// use ws_core::{Config, Connection, Timestamp};
    ///
    /// let mut server = Connection::server(Config::default().into(), Timestamp::ZERO);
    /// server.send("hello")?;
    /// server.discard_output();
    /// assert!(server.has_lost_output());
    /// # Ok::<(), ws_core::SendError>(())
    /// ```
    #[must_use]
    pub fn has_lost_output(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.has_lost_output)
    }

    /// Returns `true` if [`transmit`](Self::transmit) has bytes.
    #[must_use]
    #[inline]
    pub fn wants_write(&self) -> bool {
        self.outgoing.wants_write()
    }

    /// Returns the number of bytes that are queued or in flight, and not written.
    #[must_use]
    #[inline]
    pub fn buffered(&self) -> usize {
        self.outgoing.unwritten()
    }

    /// Returns the number of bytes that have been queued since the connection was created. Once
    /// [`total_written`](Self::total_written) has reached this number, all output that is queued now is written.
    #[must_use]
    #[inline]
    pub fn total_queued(&self) -> u64 {
        self.outgoing.end()
    }

    /// Returns the number of bytes that have been written since the connection was created.
    #[must_use]
    #[inline]
    pub const fn total_written(&self) -> u64 {
        self.outgoing.written
    }

    /// Returns the time at which [`handle_output_timeout`](Self::handle_output_timeout) has to be called, if output
    /// waits or the connection is closing. That is at once if the transport has accepted a part of the output since
    /// the time was last reported, because the deadline of the rest starts at that time.
    #[must_use]
    #[inline]
    pub fn poll_output_timeout(&self) -> Option<Timestamp> {
        match &self.closing {
            Some(closing) => {
                closing.deadline(self.phase(), self.now, &self.outgoing, self.config.close_timeout)
            }
            None if self.outgoing.unwritten() == 0 => None,
            // Each pause is counted from a time that was reported after the bytes before it were accepted.
            None if self.outgoing.accepted => Some(self.now),
            None => {
                let since = self.outgoing.refused_since().unwrap_or(self.now);
                self.config.write_timeout.map(|timeout| since + timeout)
            }
        }
    }
}

/// Return value of [`Connection::transmit`]: the queue and its account.
struct Output<'c>(&'c mut OutputQueue);

impl Buf for Output<'_> {
    #[inline]
    fn remaining(&self) -> usize {
        self.0.queue.remaining()
    }

    #[inline]
    fn has_remaining(&self) -> bool {
        self.0.queue.has_remaining()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self.0.queue.chunk()
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        let count = self.0.queue.skip(count);
        self.0.record_written(count);
    }

    #[cfg(feature = "std")]
    #[inline]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        self.0.queue.chunks_vectored(slices)
    }
}
