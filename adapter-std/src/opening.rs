//! A connection while its opening handshake goes on.

use std::{sync::Arc, time::Duration};

use bytes::Buf;
use ws_core::{Connection, Timestamp, Transmit};
use ws_transport::{Clock, Deadline, Error, Patience, Wire, tls::Session};

use crate::{duplex::Duplex, read_buffer::ReadBuffer, socket::Socket};

pub(crate) struct Opening {
    socket: Arc<Socket>,
    clock: Clock,
    tls: Option<Box<Session>>,
    buffer: ReadBuffer,
}

impl Opening {
    pub(crate) fn new(socket: Arc<Socket>, clock: Clock, tls: Option<Session>) -> Self {
        Self { socket, clock, tls: tls.map(Box::new), buffer: ReadBuffer::default() }
    }

    pub(crate) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// Lets `take` have what was read; what it leaves stays for the connection.
    pub(crate) fn consume<'b, T>(&'b mut self, take: impl FnOnce(&mut &'b mut [u8]) -> T) -> T {
        self.buffer.consume(take)
    }

    /// Reads once, not longer than until `due`. `Ok(None)` means that nothing came in time, zero the end
    /// of the stream. Where TLS has something to say of its own, that is written.
    pub(crate) fn read(&mut self, due: Option<Timestamp>) -> Result<Option<usize>, Error> {
        let timeout = due.map(|due| self.clock.until(due));
        let Some(tls) = &mut self.tls else {
            return Ok(self.buffer.fill(&self.socket, ReadBuffer::LARGEST, timeout)?);
        };
        let read = self.buffer.fill_sealed(&self.socket, timeout, |sealed, plain| {
            tls.decrypt(sealed, plain).map_err(Error::Tls)
        });
        // After an error that is the alert that tells the peer about it.
        let mut output = Transmit::default();
        tls.take_output(output.block());
        let written = self.socket.write_all(&mut output, Patience::Wait);
        let read = read?;
        if read == Some(0) && !matches!(self.tls.as_ref().map(|tls| tls.is_handshaking()), Some(true)) {
            self.tls.as_ref().map_or(Ok(()), |tls| tls.end())?;
        }
        written.map_err(Error::Io)?;
        Ok(read)
    }

    pub(crate) fn write_all(&mut self, bytes: &mut impl Buf) -> Result<(), Error> {
        let written = match &mut self.tls {
            None => self.socket.write_all(bytes, Patience::Wait)?,
            Some(tls) => {
                // During the handshake it is kept, and follows with the last flight.
                let mut output = Transmit::default();
                tls.encrypt(bytes, output.block());
                tls.take_output(output.block());
                self.socket.write_all(&mut output, Patience::Wait)?
            }
        };
        if written { Ok(()) } else { Err(Error::Timeout(Deadline::Write)) }
    }

    /// Says that nothing more will be written, and waits for the peer to say so too.
    pub(crate) fn finish(mut self, patience: Duration) {
        if let Some(tls) = &mut self.tls {
            tls.close();
        }
        // Whether the peer hears it makes no difference any more.
        let _ = self.write_all(&mut &[][..]);
        self.socket.shutdown(std::net::Shutdown::Write);
        self.buffer.drain(&self.socket, std::time::Instant::now() + patience);
    }

    pub(crate) fn into_duplex(self, connection: Connection) -> Arc<Duplex> {
        Arc::new(Duplex::new(self.socket, self.clock, self.buffer, Wire::new(connection, self.tls)))
    }
}
