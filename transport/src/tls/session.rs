use std::io::{Read as _, Write as _};

use bytes::Buf;
use rustls::Connection;
use ws_core::Transmit;

use super::TlsError;

/// One TLS connection as a function from bytes to bytes. It does no I/O and never waits.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    /// Whether the peer sent `close_notify`: it will send nothing more.
    closed_by_peer: bool,
    /// Whether this end sent `close_notify`: it is interested in nothing more.
    closed: bool,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, closed_by_peer: false, closed: false }
    }

    /// Takes received bytes and appends the plaintext in them to `plain`. The answers of TLS itself, such as the rest of
    /// the handshake, are returned by [`take_output`](Self::take_output). After [`close`](Self::close) it drops all bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the peer failed TLS. The plaintext before the broken record is in `plain`, and an alert for
    /// the peer is in the output.
    pub fn decrypt(&mut self, mut received: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsError> {
        // A broken record would make rustls send an alert after `close_notify`, for which it panics in debug builds.
        while !received.is_empty() && !self.closed {
            // It reads from memory, where nothing fails. It takes nothing more after the peer's `close_notify`.
            if self.connection.read_tls(&mut received).is_ok_and(|taken| taken == 0) {
                return Ok(());
            }
            let processed = self.connection.process_new_packets();
            let mut len = plain.len();
            if let Ok(state) = &processed {
                self.closed_by_peer |= state.peer_has_closed();
                plain.resize(len + state.plaintext_bytes_to_read(), 0);
            } else {
                // The records before the broken one were decrypted. Their total size is not reported.
                plain.resize(len + MAX_UNREAD, 0);
            }
            while len < plain.len() {
                match self.connection.reader().read(&mut plain[len..]) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => len += read,
                }
            }
            plain.truncate(len);
            processed?;
        }
        Ok(())
    }

    /// Encrypts as much of `plain` as the session accepts, appends the records to `sealed`, and returns how much that
    /// was. During its handshake a session accepts everything, and the records follow with the last flight. A session
    /// that has failed accepts none.
    pub fn encrypt(&mut self, plain: &[u8], sealed: &mut Transmit) -> usize {
        // What is not accepted during the handshake could only be offered again behind it, and a request for a WebSocket
        // is written before. Its size is the application's choice.
        let limit = (!self.connection.is_handshaking()).then_some(MAX_PIECE);
        self.connection.set_buffer_limit(limit);
        // It writes to memory. Only its own limit makes it accept less than everything.
        let accepted = self.connection.writer().write(plain).unwrap_or(0);
        self.take_output(sealed);
        accepted
    }

    /// As [`encrypt`](Self::encrypt), until everything in `plain` was accepted, or nothing more is.
    pub fn encrypt_all(&mut self, plain: &mut impl Buf, sealed: &mut Transmit) {
        while plain.has_remaining() {
            match self.encrypt(plain.chunk(), sealed) {
                0 => return,
                accepted => plain.advance(accepted),
            }
        }
    }

    /// Appends the bytes that are to be written to `sealed`.
    pub fn take_output(&mut self, sealed: &mut Transmit) {
        while self.connection.wants_write() {
            if self.connection.write_tls(sealed).is_err() {
                return;
            }
        }
    }

    /// Returns `true` if [`take_output`](Self::take_output) has bytes.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Queues `close_notify` behind everything that was encrypted: nothing will be sent after it.
    pub fn close(&mut self) {
        self.closed = true;
        self.connection.send_close_notify();
    }

    /// Returns `true` if the peer sent `close_notify` (RFC 8446 section 6.1): its stream ends there.
    #[must_use]
    pub const fn is_closed_by_peer(&self) -> bool {
        self.closed_by_peer
    }

    /// Returns `true` during the handshake, when nothing can be sent yet.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }
}

/// The most plaintext that a session holds before it is read, in bytes: rustls takes at most one buffer of records
/// before it processes them.
const MAX_UNREAD: usize = 64 << 10;

/// How much plaintext is encrypted at once, in bytes: the default of rustls.
const MAX_PIECE: usize = 64 << 10;
