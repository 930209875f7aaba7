//! The spare file descriptor of a listener.

use std::{
    io::{self, IoSlice},
    mem,
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use socket2::Socket;

use crate::write_now;

/// Maximum number of reads that drop the input of a refused client.
const READS: usize = 4;

/// A file descriptor that a listener keeps for a shortage. When `accept` fails because the process has no other
/// descriptor, the listener accepts a client with the spare one, and refuses it.
///
/// The descriptor of a refused client becomes the spare one. So its socket is closed when the next client is accepted,
/// and not while its response is on the way, when a reset could overtake the response.
#[derive(Debug)]
pub struct SpareDescriptor(Spare);

#[derive(Debug)]
enum Spare {
    /// Another thread has taken the descriptor.
    Missing,
    /// An unused descriptor.
    Idle {
        _descriptor: OwnedFd,
    },
    Refused(Socket),
}

impl Default for SpareDescriptor {
    fn default() -> Self {
        Self::new()
    }
}

impl SpareDescriptor {
    /// Takes a descriptor. If there is none, the next [`accept`](Self::accept) tries it again.
    #[must_use]
    pub fn new() -> Self {
        // Any descriptor is suitable. This one needs no file.
        let idle = UnixDatagram::unbound().map(|socket| Spare::Idle { _descriptor: socket.into() });
        Self(idle.unwrap_or(Spare::Missing))
    }

    /// Accepts a client with the spare descriptor. Pass the client to [`refuse`](Self::refuse).
    ///
    /// # Errors
    ///
    /// Returns the error of `accept`. The shortage continues, or no client waits. In both cases the spare descriptor is
    /// taken again if possible.
    pub fn accept<T>(&mut self, accept: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.release();
        let accepted = accept();
        if accepted.is_err() {
            *self = Self::new();
        }
        accepted
    }

    /// Sends the response, if there is one, and ends the stream. The descriptor of the client becomes the spare one.
    pub fn refuse(&mut self, client: Socket, response: &[u8]) {
        answer_and_end(&client, response);
        self.0 = Spare::Refused(client);
    }

    /// Closes the socket of the last refused client, and takes an unused descriptor in its place. Call it when the
    /// shortage is over.
    pub fn renew(&mut self) {
        if !matches!(self.0, Spare::Idle { .. }) {
            self.release();
            *self = Self::new();
        }
    }

    fn release(&mut self) {
        if let Spare::Refused(client) = mem::replace(&mut self.0, Spare::Missing) {
            drop_input(&client);
        }
    }
}

/// Sends a response to a client that has just connected, and ends the connection without waiting for the client to read
/// the response. Use it for a refused client that must not cost anything more, and drop its socket.
pub fn dismiss(client: &Socket, response: &[u8]) {
    answer_and_end(client, response);
    drop_input(client);
}

/// Sends a response, and ends this direction of the stream.
fn answer_and_end(client: &Socket, response: &[u8]) {
    // If the client has disconnected, it needs no response. The socket buffer is empty, so the response fits.
    let _ = write_now(client, &[IoSlice::new(response)]);
    let _ = client.shutdown(Shutdown::Write);
}

/// Drops the input that has arrived. Closing a socket with unread input resets the stream.
fn drop_input(client: &Socket) {
    let mut input = [0; 4096];
    let mut reads = 0;
    while reads < READS && recv(client, &mut input, RecvFlags::DONTWAIT).is_ok_and(|(len, _)| len > 0) {
        reads += 1;
    }
}

/// Returns `true` if `accept` failed because the process or the system has no file descriptor left.
#[must_use]
pub fn is_descriptor_shortage(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
