//! Read buffers: one for each thread that reads, not for each connection.

use std::{
    cell::RefCell,
    io,
    task::{Context, Poll, ready},
};

use ws_transport::Error;

use crate::stream::Stream;

/// How much one read takes at most.
const SIZE: usize = 64 << 10;
/// How many buffers a thread keeps for reads to come.
const KEPT: usize = 4;

thread_local! {
    /// Buffers to read into, `SIZE` long.
    static FULL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    /// Buffers to decrypt into, empty.
    static EMPTY: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// What has been read and not been looked at. It owns a buffer only while there is any.
#[derive(Debug, Default)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Whether the last read found as much as it could take.
    pub(crate) likely_more: bool,
}

impl Input {
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Lets `take` have the bytes; what it leaves stays. The buffer goes back when nothing does.
    pub(crate) fn consume<T>(&mut self, take: impl FnOnce(&mut &mut [u8]) -> T) -> T {
        let mut input = &mut self.buffer[self.start..self.end];
        let had = input.len();
        let result = take(&mut input);
        self.start += had - input.len();
        if self.is_empty() {
            self.release();
        }
        result
    }

    /// Reads once; zero is the end of the stream. Bytes that are not used up yet must not be there.
    pub(crate) fn poll_fill(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        debug_assert!(self.is_empty(), "what was read before is still there");
        let mut buffer = take_from(&FULL).unwrap_or_else(|| vec![0; SIZE]);
        let polled = stream.poll_read(cx, &mut buffer);
        match polled {
            Poll::Ready(Ok(read)) if read > 0 => {
                self.likely_more = read == buffer.len();
                (self.buffer, self.start, self.end) = (buffer, 0, read);
            }
            _ => give_to(&FULL, buffer),
        }
        polled
    }

    /// As [`poll_fill`](Self::poll_fill), for a stream that has to be decrypted. What was read may mean
    /// nothing yet, and leave the input empty.
    pub(crate) fn poll_fill_sealed(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        decrypt: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<(), Error>,
    ) -> Poll<Result<usize, Error>> {
        let read = ready!(self.poll_fill(stream, cx))?;
        let mut plain = take_from(&EMPTY).unwrap_or_default();
        let decrypted = decrypt(&self.buffer[..read], &mut plain);
        self.release();
        (self.start, self.end) = (0, plain.len());
        self.buffer = plain;
        if self.is_empty() {
            self.release();
        }
        Poll::Ready(decrypted.map(|()| read))
    }

    fn release(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        (self.start, self.end) = (0, 0);
        if buffer.len() == SIZE {
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

type Pool = std::thread::LocalKey<RefCell<Vec<Vec<u8>>>>;

fn take_from(pool: &'static Pool) -> Option<Vec<u8>> {
    // A thread that ends has none.
    pool.try_with(|pool| pool.borrow_mut().pop()).ok().flatten()
}

fn give_to(pool: &'static Pool, buffer: Vec<u8>) {
    let _ = pool.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < KEPT && buffer.capacity() <= 2 * SIZE {
            pool.push(buffer);
        }
    });
}
