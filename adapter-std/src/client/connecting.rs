//! Carries out the steps of a client that connects: lookups, attempts, and bytes.

use std::{io, net::SocketAddr, os::fd::AsFd as _, path::Path, time::Duration};

use bytes::Buf as _;
use rustix::event::PollFlags;
use ws_core::Timestamp;
use ws_transport::{
    ClientOpening, ClientSettings, Clock, ConnectStep, Connector, Error, Lookup, Opened, begin_connect,
    connect_unix,
};

use super::cancel::Waits;
use crate::socket::Socket;

/// A connection with a complete opening handshake.
pub(super) type Open = (Opened, Socket, Clock);

/// Connects to the host of the URL, and follows redirects.
pub(super) fn connect(settings: ClientSettings, waits: &Waits) -> Result<Open, Error> {
    let mut connector = Connector::new(settings)?;
    loop {
        let socket = connect_socket(&mut connector, waits)?;
        let span = connector.span(socket.addresses().peer);
        match span.in_scope(|| exchange(connector.open()?, &socket, connector.clock(), waits)) {
            Ok(opened) => return Ok((opened, socket, connector.clock())),
            Err(error) => connector.redirect(error).inspect_err(|_| span.failed())?,
        }
    }
}

/// Connects to a Unix-domain socket.
pub(super) fn connect_path(settings: ClientSettings, path: &Path, waits: &Waits) -> Result<Open, Error> {
    let connector = Connector::over_stream(settings)?;
    let (clock, deadline) = (connector.clock(), connector.connect_deadline());
    let is_over = || waits.is_cancelled() || deadline.is_some_and(|deadline| deadline <= clock.now());
    match connect_unix(path, is_over)? {
        Some(socket) => open_over(&connector, Socket::new(socket, None)?, waits),
        None if waits.is_cancelled() => Err(Error::Cancelled),
        None => Err(connector.late()),
    }
}

/// Opens the WebSocket on a stream of the application.
pub(super) fn connect_over(settings: ClientSettings, socket: Socket, waits: &Waits) -> Result<Open, Error> {
    open_over(&Connector::over_stream(settings)?, socket, waits)
}

/// Opens the WebSocket on a stream, in the span of the connection.
fn open_over(connector: &Connector, socket: Socket, waits: &Waits) -> Result<Open, Error> {
    let (span, clock) = (connector.span(socket.addresses().peer), connector.clock());
    let opened = span.in_scope(|| exchange(connector.open()?, &socket, clock, waits));
    Ok((opened.inspect_err(|_| span.failed())?, socket, clock))
}

/// Resolves the host and connects to the first of its addresses that answers.
fn connect_socket(connector: &mut Connector, waits: &Waits) -> Result<Socket, Error> {
    let clock = connector.clock();
    let mut attempts: Vec<(SocketAddr, socket2::Socket)> = Vec::new();
    loop {
        match connector.next_step()? {
            ConnectStep::Resolve(lookup, until) => {
                let addresses = resolve(lookup, clock, until, waits)?;
                connector.resolved(addresses)?;
            }
            ConnectStep::Connect(address) => match begin(connector, address) {
                Ok(socket) => attempts.push((address, socket)),
                Err(error) => connector.attempt_failed(address, &error),
            },
            ConnectStep::Wait(until) => {
                let fds = attempts.iter().map(|(_, socket)| (socket.as_fd(), PollFlags::OUT));
                let ready = waits.wait(fds, left(clock, until))?;
                let mut failed = Vec::new();
                for at in ready {
                    let (address, socket) = &attempts[at];
                    match socket.take_error().and_then(|error| error.map_or(Ok(()), Err)) {
                        Ok(()) => {
                            let (address, socket) = attempts.swap_remove(at);
                            return connected(socket, address);
                        }
                        Err(error) => {
                            connector.attempt_failed(*address, &error);
                            failed.push(at);
                        }
                    }
                }
                // From the last one, so that removing an attempt does not move the others.
                failed.into_iter().rev().for_each(|at| drop(attempts.remove(at)));
            }
        }
    }
}

fn begin(connector: &Connector, address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = connector.socket(address)?;
    begin_connect(&socket, &address.into())?;
    Ok(socket)
}

fn connected(socket: socket2::Socket, address: SocketAddr) -> Result<Socket, Error> {
    // The server may have disconnected already. Some addresses, such as 0.0.0.0, connect to another address.
    let peer = socket.peer_addr().ok().and_then(|peer| peer.as_socket());
    Ok(Socket::new(socket, peer.or(Some(address)))?)
}

/// Resolves a name. Returns `None` if it takes longer than until this time.
fn resolve(
    lookup: Lookup,
    clock: Clock,
    until: Option<Timestamp>,
    waits: &Waits,
) -> Result<Option<io::Result<Vec<SocketAddr>>>, Error> {
    let running = lookup.start()?;
    loop {
        let left = left(clock, until);
        if !waits.wait([(running.as_fd(), PollFlags::IN)], left)?.is_empty() {
            return Ok(Some(running.finish()));
        }
        if left == Some(Duration::ZERO) {
            return Ok(None);
        }
    }
}

/// Moves bytes until the WebSocket is open.
fn exchange(
    mut opening: ClientOpening,
    socket: &Socket,
    clock: Clock,
    waits: &Waits,
) -> Result<Opened, Error> {
    let mut buffer = Vec::with_capacity(16 << 10);
    let mut failed = None;
    loop {
        if failed.is_none() {
            failed = write(&mut opening, socket).err();
        }
        buffer.clear();
        match socket.read_now(&mut buffer) {
            Ok(Some(0)) => return Err(opening.receive_eof()),
            Ok(Some(_)) => match opening.receive(&buffer, clock.now()) {
                Ok(Some(opened)) => return Ok(opened),
                Ok(None) => {
                    // A server that always has more to send does not prevent the end.
                    opening.handle_timeout(clock.now())?;
                    if waits.is_cancelled() {
                        return Err(Error::Cancelled);
                    }
                    continue;
                }
                Err(error) => {
                    // It may be an alert of TLS.
                    let _ = write(&mut opening, socket);
                    return Err(error);
                }
            },
            Ok(None) => {}
            Err(error) => return Err(opening.fail(error)),
        }
        // A server that refuses may not wait for the whole request. So its response counts before the failed write.
        if let Some(failed) = failed {
            return Err(opening.fail(failed));
        }
        opening.handle_timeout(clock.now())?;
        let wants_write = opening.transmit().has_remaining();
        let events = if wants_write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        waits.wait([(socket.as_fd(), events)], left(clock, opening.poll_timeout()))?;
    }
}

/// Writes what the socket accepts at once.
fn write(opening: &mut ClientOpening, socket: &Socket) -> io::Result<()> {
    let output = opening.transmit();
    while output.has_remaining() {
        match socket.write(&*output)? {
            Some(written) => output.advance(written),
            None => break,
        }
    }
    Ok(())
}

pub(super) fn left(clock: Clock, until: Option<Timestamp>) -> Option<Duration> {
    until.map(|until| clock.until(until))
}
