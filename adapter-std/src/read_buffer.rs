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
    /// Size in bytes of both buffers if one of them is larger than the smallest, and otherwise zero.
    memory: u32,
    /// `true` if `memory` has changed since the last call of [`changed_memory`](Self::changed_memory).
    has_changed: bool,
    /// `true` if all available bytes of a large message were read directly into the message, and more are to come.
    pub(crate) awaits_rest: bool,
}

impl ReadBuffer {
    pub(crate) const MIN_LEN: usize = 2 << 10;
    pub(crate) const MAX_LEN: usize = 96 << 10;
    /// Maximum pause of the peer for which a large buffer is kept. Later reads of a connection whose peer sends all the time
    /// need no other timeout, so that this costs such a connection nothing.
    pub(crate) const MAX_IDLE: Duration = Duration::from_millis(100);

    /// Creates a buffer that contains bytes read earlier.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let mut created = Self { start: 0, end: bytes.len(), buffer: bytes, ..Self::default() };
        created.note_size();
        created
    }

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
        if read == Some(self.buffer.len()) {
            self.enlarge();
        }
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
        if read == Some(self.sealed.len()) {
            grow(&mut self.sealed);
        }
        self.buffer.clear();
        decrypt(&self.sealed[..read.unwrap_or(0)], &mut self.buffer);
        (self.start, self.end) = (0, self.buffer.len());
        self.note_size();
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

    /// Returns `true` if a buffer is larger than the smallest.
    pub(crate) const fn is_large(&self) -> bool {
        self.memory > 0
    }

    /// Returns the size in bytes of large buffers, if it has changed since the last call.
    #[inline]
    pub(crate) fn changed_memory(&mut self) -> Option<usize> {
        if !self.has_changed {
            return None;
        }
        self.has_changed = false;
        Some(self.memory as usize)
    }

    /// Enlarges the buffer, because the peer has filled it and probably sends more.
    #[cold]
    fn enlarge(&mut self) {
        grow(&mut self.buffer);
        self.note_size();
    }

    #[cold]
    fn note_size(&mut self) {
        let (buffer, sealed) = (self.buffer.capacity(), self.sealed.capacity());
        let is_large = buffer > Self::MIN_LEN || sealed > Self::MIN_LEN;
        let memory = if is_large { u32::try_from(buffer + sealed).unwrap_or(u32::MAX) } else { 0 };
        self.has_changed |= memory != self.memory;
        self.memory = memory;
    }

    /// Frees the memory of the buffers after a large read.
    pub(crate) fn release(&mut self) {
        if self.is_empty() && self.is_large() {
            (self.buffer, self.sealed) = (Vec::new(), Vec::new());
            (self.start, self.end) = (0, 0);
            self.note_size();
        }
    }
}

/// The output does not contain the bytes of the peer.
impl fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBuffer").field("unread", &(self.end - self.start)).finish_non_exhaustive()
    }
}

/// Reads once into a buffer.
fn read_into(
    buffer: &mut Vec<u8>,
    most: usize,
    socket: &Socket,
    timeout: Option<Duration>,
    current: &mut ReadTimeout,
) -> io::Result<Option<usize>> {
    if buffer.is_empty() && !grow(buffer) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let most = most.min(buffer.len());
    socket.read(&mut buffer[..most], timeout, current)
}

/// Enlarges a buffer, unless it has the largest size. Without memory it stays as it is, and the result is `false`.
fn grow(buffer: &mut Vec<u8>) -> bool {
    let len = (buffer.len() * 4).clamp(ReadBuffer::MIN_LEN, ReadBuffer::MAX_LEN);
    let has_memory = buffer.try_reserve_exact(len.saturating_sub(buffer.len())).is_ok();
    if has_memory && len > buffer.len() {
        buffer.resize(len, 0);
    }
    has_memory
}
