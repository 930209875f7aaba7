use std::io::{Read as _, Write as _};

use bytes::Buf;
use rustls::Connection;
use ws_core::Transmit;

use super::TlsError;

/// One TLS connection as a function from bytes to bytes, over the network or over another session. It does no I/O and never
/// waits.
#[derive(Debug)]
pub struct TlsSession {
    connection: Connection,
    /// The session between this one and the network, for TLS within TLS.
    outer: Option<Box<Self>>,
    /// `true` if the peer sent `close_notify` and will send nothing more.
    closed_by_peer: bool,
    /// `true` if this end sent `close_notify` and accepts no more input.
    closed: bool,
}

impl TlsSession {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, outer: None, closed_by_peer: false, closed: false }
    }

    /// Sends and receives the records of this session through another one, such as TLS to a server through TLS to a proxy. The
    /// handshake of `outer` has to be complete.
    #[must_use]
    pub fn over(self, outer: Box<Self>) -> Self {
        Self { outer: Some(outer), ..self }
    }

    /// Decrypts received bytes and appends their plaintext to `plain`. [`take_output`](Self::take_output) returns the
    /// answers of TLS itself, such as the rest of the handshake. After [`close`](Self::close) all bytes are dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if the peer caused a TLS error. In that case `plain` contains the plaintext before the broken
    /// record, and the output contains an alert for the peer.
    pub fn decrypt(&mut self, received: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsError> {
        let Some(outer) = &mut self.outer else { return self.decrypt_records(received, plain) };
        let mut records = Vec::new();
        let decrypted = outer.decrypt(received, &mut records);
        self.decrypt_records(&records, plain)?;
        decrypted
    }

    fn decrypt_records(&mut self, mut received: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsError> {
        // A broken record would make rustls send an alert after `close_notify`, for which it panics in debug builds.
        while !received.is_empty() && !self.closed {
            // Reading from memory never fails. The connection accepts no more bytes after the peer's `close_notify`.
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

    /// Encrypts as much of `plain` as the session accepts and appends the records to `sealed`. Returns the number of
    /// accepted bytes. During its handshake a session accepts all bytes, and the records follow with the last flight.
    /// A session that has failed accepts none.
    pub fn encrypt(&mut self, plain: &[u8], sealed: &mut Transmit) -> usize {
        // Bytes that are not accepted during the handshake could be offered again only after it. A request for a
        // WebSocket is written before, and the application determines its size.
        let limit = (!self.connection.is_handshaking()).then_some(MAX_PIECE);
        self.connection.set_buffer_limit(limit);
        // Writing to memory never fails. Only the limit makes the writer accept fewer bytes.
        let accepted = self.connection.writer().write(plain).unwrap_or(0);
        self.take_output(sealed);
        accepted
    }

    /// Works as [`encrypt`](Self::encrypt), until all of `plain` is accepted or the session accepts no more.
    pub fn encrypt_all(&mut self, plain: &mut impl Buf, sealed: &mut Transmit) {
        while plain.has_remaining() {
            match self.encrypt(plain.chunk(), sealed) {
                0 => return,
                accepted => plain.advance(accepted),
            }
        }
    }

    /// Appends the bytes to be written to `sealed`.
    pub fn take_output(&mut self, sealed: &mut Transmit) {
        match &mut self.outer {
            None => take_records(&mut self.connection, sealed),
            Some(outer) => {
                let mut records = Transmit::default();
                take_records(&mut self.connection, &mut records);
                // If the outer session has failed, it accepts no more, and the records can never leave.
                outer.encrypt_all(&mut records, sealed);
                outer.take_output(sealed);
            }
        }
    }

    /// Returns `true` if [`take_output`](Self::take_output) has bytes.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write() || self.outer.as_ref().is_some_and(|outer| outer.wants_write())
    }

    /// Queues `close_notify` behind all encrypted data. No data is sent after it.
    pub fn close(&mut self) {
        self.closed = true;
        self.connection.send_close_notify();
        if let Some(outer) = &mut self.outer {
            let mut records = Transmit::default();
            take_records(&mut self.connection, &mut records);
            outer.connection.set_buffer_limit(None);
            while records.has_remaining() {
                match outer.connection.writer().write(records.chunk()) {
                    Ok(accepted) if accepted > 0 => records.advance(accepted),
                    _ => break,
                }
            }
            outer.close();
        }
    }

    /// Returns `true` if the peer sent `close_notify` (RFC 8446 section 6.1), which ends its stream.
    #[must_use]
    pub fn is_closed_by_peer(&self) -> bool {
        self.closed_by_peer || self.outer.as_ref().is_some_and(|outer| outer.is_closed_by_peer())
    }

    /// Returns the certificates that the peer presented, each in DER. The first one is the peer's own. Empty if it
    /// presented none, or if the handshake is not complete.
    #[must_use]
    pub fn peer_certificates(&self) -> Vec<Vec<u8>> {
        self.connection.peer_certificates().unwrap_or_default().iter().map(|der| der.to_vec()).collect()
    }

    /// Returns `true` during the handshake, when no data can be sent yet.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }
}

/// Moves the records of a TLS connection into `sealed`.
fn take_records(connection: &mut Connection, sealed: &mut Transmit) {
    while connection.wants_write() {
        // Writing to memory never fails.
        if connection.write_tls(sealed).is_err() {
            return;
        }
    }
}

/// Maximum plaintext in bytes that a session holds before it is read. rustls takes at most one buffer of records
/// before it processes them.
const MAX_UNREAD: usize = 64 << 10;

/// Maximum plaintext in bytes that is encrypted at once. It is the default of rustls.
const MAX_PIECE: usize = 64 << 10;
