use std::{
    fmt, io,
    time::{Duration, Instant},
};

use crate::socket::{ReadTimeout, Socket};

/// Bytes that were read from the socket and are not consumed yet.
#[derive(Default)]
pub(crate) struct ReadBuffer {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Buffer for ciphertext. Empty without TLS.
    sealed: Vec<u8>,
    timeout: ReadTimeout,
    /// `true` if there is something to receive outside of this buffer.
    has_other_input: bool,
    /// `true` if all available bytes of a large message were read directly into the message, and more are to come.
    pub(crate) awaits_rest: bool,
}

impl ReadBuffer {
    pub(crate) const MIN_LEN: usize = 2 << 10;
    pub(crate) const MAX_LEN: usize = 96 << 10;

    /// Reads at most `most` bytes. `Ok(None)` means that no bytes arrived in time. `Ok(Some(0))` means that the stream
    /// has ended.
    pub(crate) fn fill(
        &mut self,
        socket: &Socket,
        most: usize,
        timeout: Option<Duration>,
    ) -> io::Result<Option<usize>> {
        debug_assert!(self.is_empty(), "what was read before is still there");
        let read = read_into(&mut self.buffer, most, socket, timeout, &mut self.timeout)?;
        self.awaits_rest = false;
        (self.start, self.end) = (0, read.unwrap_or(0));
        Ok(read)
    }

    /// Reads available bytes directly into a message. `Ok(None)` means that none are available.
    pub(crate) fn append(&mut self, socket: &Socket, message: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let read = socket.read_now(message)?;
        self.awaits_rest = message.len() < message.capacity();
        self.has_other_input = read.is_some_and(|read| read > 0);
        Ok(read)
    }

    /// Like [`fill`](Self::fill), for a stream that has to be decrypted.
    pub(crate) fn fill_sealed(
        &mut self,
        socket: &Socket,
        timeout: Option<Duration>,
        decrypt: impl FnOnce(&[u8], &mut Vec<u8>),
    ) -> io::Result<Option<usize>> {
        debug_assert!(self.is_empty(), "what was read before is still there");
        let read = read_into(&mut self.sealed, Self::MAX_LEN, socket, timeout, &mut self.timeout)?;
        self.buffer.clear();
        decrypt(&self.sealed[..read.unwrap_or(0)], &mut self.buffer);
        (self.start, self.end) = (0, self.buffer.len());
        Ok(read)
    }

    /// Decrypts the unread bytes.
    pub(crate) fn decrypt_unread(&mut self, decrypt: impl FnOnce(&[u8], &mut Vec<u8>)) {
        let sealed = self.buffer[self.start..self.end].to_vec();
        self.buffer.clear();
        decrypt(&sealed, &mut self.buffer);
        (self.start, self.end) = (0, self.buffer.len());
    }

    /// Passes the unread bytes to `take`. Bytes that `take` does not consume are kept.
    #[inline]
    pub(crate) fn consume<'b, T>(&'b mut self, take: impl FnOnce(&mut &'b mut [u8]) -> T) -> T {
        self.has_other_input = false;
        let mut input = &mut self.buffer[self.start..self.end];
        let had = input.len();
        let result = take(&mut input);
        self.start += had - input.len();
        result
    }

    /// Requests another receive, because the connection itself contains input.
    pub(crate) const fn receive_again(&mut self) {
        self.has_other_input = true;
    }

    /// Reads and drops all bytes until the stream ends.
    pub(crate) fn drain(&mut self, socket: &Socket, deadline: Option<Instant>) {
        loop {
            self.consume(|input| *input = &mut []);
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO)
                || matches!(self.fill(socket, Self::MAX_LEN, left), Ok(Some(0)) | Err(_))
            {
                return;
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end && !self.has_other_input
    }

    /// Frees the memory of the buffers after a large read.
    pub(crate) fn release(&mut self) {
        if self.is_empty() && self.buffer.len().max(self.sealed.len()) > Self::MIN_LEN {
            (self.buffer, self.sealed) = (Vec::new(), Vec::new());
            (self.start, self.end) = (0, 0);
        }
    }
}

/// The output does not contain the bytes of the peer.
impl fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBuffer").field("unread", &(self.end - self.start)).finish_non_exhaustive()
    }
}

/// Reads once into a buffer. The buffer grows when the peer fills it, because such a peer probably sends more.
fn read_into(
    buffer: &mut Vec<u8>,
    most: usize,
    socket: &Socket,
    timeout: Option<Duration>,
    current: &mut ReadTimeout,
) -> io::Result<Option<usize>> {
    if buffer.len() < ReadBuffer::MIN_LEN {
        buffer.resize(ReadBuffer::MIN_LEN, 0);
    }
    let most = most.min(buffer.len());
    let read = socket.read(&mut buffer[..most], timeout, current)?;
    if read == Some(buffer.len()) && buffer.len() < ReadBuffer::MAX_LEN {
        buffer.resize((buffer.len() * 4).min(ReadBuffer::MAX_LEN), 0);
    }
    Ok(read)
}
