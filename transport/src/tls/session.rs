use std::io::{Read as _, Write as _};

use bytes::Buf;
use rustls::Connection;

use super::TlsError;

/// One TLS connection as a function from bytes to bytes: no I/O, no waiting.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    /// Whether the peer said that it will send nothing more.
    closed_by_peer: bool,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, closed_by_peer: false }
    }

    /// Takes received bytes and appends what they mean to `plain`. What is to be answered, such as the
    /// rest of the handshake, comes from [`take_output`](Self::take_output).
    ///
    /// # Errors
    ///
    /// The peer failed TLS. An alert that tells it why waits in the output.
    pub fn decrypt(&mut self, mut received: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsError> {
        while !received.is_empty() {
            // It reads from memory, where nothing fails; it takes nothing more after the peer's close.
            if self.connection.read_tls(&mut received).is_ok_and(|taken| taken == 0) {
                return Ok(());
            }
            let state = self.connection.process_new_packets()?;
            self.closed_by_peer |= state.peer_has_closed();
            let had = plain.len();
            plain.resize(had + state.plaintext_bytes_to_read(), 0);
            let mut filled = had;
            while filled < plain.len() {
                match self.connection.reader().read(&mut plain[filled..]) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => filled += read,
                }
            }
            plain.truncate(filled);
        }
        Ok(())
    }

    /// Takes bytes to be sent and appends what they become to `sealed`.
    pub fn encrypt(&mut self, plain: &mut impl Buf, sealed: &mut Vec<u8>) {
        while plain.has_remaining() {
            // It writes to memory. Only its own limit makes it take less than everything.
            let taken = self.connection.writer().write(plain.chunk()).unwrap_or(0);
            plain.advance(taken);
            self.take_output(sealed);
            if taken == 0 {
                return;
            }
        }
    }

    /// Appends what is to be sent to `sealed`.
    pub fn take_output(&mut self, sealed: &mut Vec<u8>) {
        while self.connection.wants_write() {
            if self.connection.write_tls(sealed).is_err() {
                return;
            }
        }
    }

    /// Whether [`take_output`](Self::take_output) has anything to give.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Says that nothing will be sent after what was encrypted: the next output ends with `close_notify`.
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// Whether the handshake goes on, so that nothing can be sent yet.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// What the end of the peer's stream means: as it should be after its `close_notify`, otherwise an
    /// error.
    ///
    /// # Errors
    ///
    /// [`TlsError::Truncated`].
    pub const fn end(&self) -> Result<(), TlsError> {
        if self.closed_by_peer { Ok(()) } else { Err(TlsError::Truncated) }
    }
}
