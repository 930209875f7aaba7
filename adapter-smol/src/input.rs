//! Read buffers. Each thread that reads has its own, and connections share them.

use std::{
    cell::RefCell,
    fmt, io,
    task::{Context, Poll, ready},
};

use ws_transport::ReadSize;

use crate::{socket::Socket, stream::Stream};

/// Maximum number of bytes per read.
const MAX_READ: usize = 96 << 10;
/// Maximum number of reads per turn from a stream in order to discard its input.
const DRAINED_IN_TURN: usize = 4;
/// Maximum number of buffers that a thread keeps for later reads.
const MAX_POOLED: usize = 4;

thread_local! {
    /// Buffers for reading, each `MAX_READ` bytes long.
    static FULL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    /// Buffers for decrypted input, all empty.
    static EMPTY: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Input that was read and not consumed yet. It owns a buffer only while it contains bytes.
#[derive(Default)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// `true` if there is input to receive outside of this buffer.
    has_other_input: bool,
    /// `true` if the last read filled the available space.
    pub(crate) likely_more: bool,
}

/// Omits the bytes, because they are the peer's data.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("unread", &(self.end - self.start)).finish_non_exhaustive()
    }
}

impl Input {
    /// Creates an input that contains bytes read earlier.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { start: 0, end: bytes.len(), buffer: bytes, ..Self::default() }
    }

    /// Requests another call of `consume`, because the connection itself has input.
    pub(crate) const fn receive_again(&mut self) {
        self.has_other_input = true;
    }

    /// Returns `true` if no input has arrived since the last call of `consume`.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end && !self.has_other_input
    }

    /// Returns the size in bytes of the buffer.
    pub(crate) const fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// Passes the bytes to `take` and keeps those that it leaves. If none are left, the buffer is returned to its
    /// pool.
    #[inline]
    pub(crate) fn consume<T>(&mut self, take: impl FnOnce(&mut &mut [u8]) -> T) -> T {
        self.has_other_input = false;
        let mut input = &mut self.buffer[self.start..self.end];
        let had = input.len();
        let result = take(&mut input);
        self.start += had - input.len();
        if self.is_empty() {
            self.release();
        }
        result
    }

    /// Reads once. Returns 0 at the end of the stream. All earlier bytes must have been consumed.
    pub(crate) fn poll_fill(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_fill_some(stream, &mut ReadSize::All, cx)
    }

    /// Like [`poll_fill`](Self::poll_fill), but reads at most the number of bytes that `read_size` allows.
    pub(crate) fn poll_fill_some(
        &mut self,
        stream: &mut Stream,
        read_size: &mut ReadSize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.is_empty(), "what was read before is still there");
        let Some(mut buffer) = take_from(&FULL).or_else(new_buffer) else {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        };
        let most = read_size.most(MAX_READ);
        let polled = stream.poll_read(cx, &mut buffer[..most]);
        match polled {
            Poll::Ready(Ok(read)) if read > 0 => {
                read_size.read();
                self.likely_more = read == most;
                (self.buffer, self.start, self.end) = (buffer, 0, read);
            }
            _ => give_to(&FULL, buffer),
        }
        polled
    }

    /// Reads once, directly into a message that is being assembled.
    pub(crate) fn poll_append(
        &mut self,
        socket: &Socket,
        message: &mut Vec<u8>,
        read_size: &mut ReadSize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let most = Socket::most_appended(message);
        let read = ready!(socket.poll_append(cx, message))?;
        self.likely_more = read == most;
        self.has_other_input = read > 0;
        read_size.read_in_place();
        Poll::Ready(Ok(read))
    }

    /// Like [`poll_fill`](Self::poll_fill), for an encrypted stream. The decrypted input may be empty, because the
    /// bytes may belong to an incomplete record.
    pub(crate) fn poll_fill_sealed(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        decrypt: impl FnOnce(&[u8], &mut Vec<u8>),
    ) -> Poll<io::Result<usize>> {
        let read = ready!(self.poll_fill(stream, cx))?;
        let mut plain = take_from(&EMPTY).unwrap_or_default();
        decrypt(&self.buffer[..read], &mut plain);
        self.release();
        (self.start, self.end) = (0, plain.len());
        self.buffer = plain;
        if self.is_empty() {
            self.release();
        }
        Poll::Ready(Ok(read))
    }

    /// Decrypts the unread bytes.
    pub(crate) fn decrypt_unread(&mut self, decrypt: impl FnOnce(&[u8], &mut Vec<u8>)) {
        let mut plain = Vec::new();
        decrypt(&self.buffer[self.start..self.end], &mut plain);
        self.release();
        (self.start, self.end) = (0, plain.len());
        self.buffer = plain;
    }

    /// Reads and discards input until the end of the stream. It yields after a few reads, so that a fast peer delays
    /// neither other tasks of the same thread nor a deadline.
    pub(crate) fn poll_drain(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..DRAINED_IN_TURN {
            self.consume(|input| *input = &mut []);
            if !matches!(ready!(self.poll_fill(stream, cx)), Ok(1..)) {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn release(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        (self.start, self.end) = (0, 0);
        if buffer.len() == MAX_READ {
            give_to(&FULL, buffer);
        } else if buffer.capacity() > 0 {
            buffer.clear();
            give_to(&EMPTY, buffer);
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.release();
    }
}

/// Creates a buffer for reading. Returns `None` if there is no memory for it.
fn new_buffer() -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(MAX_READ).ok()?;
    buffer.resize(MAX_READ, 0);
    Some(buffer)
}

type BufferPool = std::thread::LocalKey<RefCell<Vec<Vec<u8>>>>;

fn take_from(pool: &'static BufferPool) -> Option<Vec<u8>> {
    // A thread that is terminating has no pool.
    pool.try_with(|pool| pool.borrow_mut().pop()).ok().flatten()
}

fn give_to(pool: &'static BufferPool, buffer: Vec<u8>) {
    let _ = pool.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < MAX_POOLED && buffer.capacity() <= 2 * MAX_READ {
            pool.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::{pin::Pin, task::Waker, time::Duration};

    use futures_lite::{AsyncRead, AsyncWrite};
    use ws_core::Transmit;
    use ws_transport::Clock;

    use super::*;
    use crate::opening::{Opening, ResponseTimeouts};

    /// A peer that always has more data to send.
    struct Endless;

    impl AsyncRead for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buffer.len()))
        }
    }

    impl AsyncWrite for Endless {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_peer_that_always_has_more_to_say_is_not_listened_to_in_one_go() {
        let mut stream = Stream::Other(Box::pin(Endless));
        let mut context = Context::from_waker(Waker::noop());
        assert!(Input::default().poll_drain(&mut stream, &mut context).is_pending());
    }

    #[test]
    fn a_refusal_is_over_when_its_patience_is_though_the_peer_goes_on() {
        let opening = Opening::new(Stream::Other(Box::pin(Endless)), None, Clock::start(), None);
        let timeouts = ResponseTimeouts { close: Duration::from_millis(20), write: None };
        let mut response = Transmit::default();
        response.extend_from_slice(b"no");
        futures_lite::future::block_on(opening.respond_short(response, timeouts, || true));
    }
}
