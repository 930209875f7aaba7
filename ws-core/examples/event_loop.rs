//! An echo server that uses only the core: one thread, one epoll, and one read buffer for all connections.
//!
//! `cargo run --release -p ws-core --example event_loop -- [ADDRESS]`
//!
//! It follows the rules of the crate documentation. [`Peer::turn`] contains all of them. `benches/src/bin/event_loop.rs` is the
//! same server with every shortcut for speed.

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    time::Instant,
};

use bytes::Buf;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use ws_core::{
    Config, Connection, Event, HandshakeConfig, HandshakeError, OriginPolicy, Timestamp,
    server::{Accept, Handshake},
};

/// One client. Its connection exists once the opening handshake is complete.
struct Peer {
    socket: TcpStream,
    config: Arc<Config>,
    handshake: Handshake,
    connection: Option<Connection>,
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:9001"))?;
    println!("listening on ws://{}/", listener.local_addr()?);
    serve(&listener)
}

/// Serves all clients. Returns only if the operating system fails.
pub(crate) fn serve(listener: &TcpListener) -> io::Result<()> {
    let epoch = Instant::now();
    let now = || Timestamp::from(epoch.elapsed());
    let (config, mut buffer) = (Arc::<Config>::default(), vec![0; 64 << 10]);
    let (mut peers, mut next_number) = (HashMap::<u64, Peer>::new(), 0);
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, listener, EventData::new_u64(0), EventFlags::IN)?; // clients have higher numbers
    let mut events = Vec::with_capacity(256);
    loop {
        // A server with many connections keeps their deadlines in order, such as in a `BTreeSet`.
        let due = peers.values().filter_map(|peer| peer.poll_timeout(now())).min();
        let wait =
            due.and_then(|due| rustix::event::Timespec::try_from(due.saturating_duration_since(now())).ok());
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Ok((socket, _)) = listener.accept() {
            socket.set_nonblocking(true)?;
            next_number += 1;
            epoll::add(&epoll, &socket, EventData::new_u64(next_number), EventFlags::IN)?;
            let handshake = Handshake::new(&HandshakeConfig::default(), now());
            peers.insert(next_number, Peer { socket, config: config.clone(), handshake, connection: None });
        }
        let ready = events.iter().map(|event| event.data.u64());
        let late = peers.iter().filter(|(_, peer)| peer.poll_timeout(now()).is_some_and(|due| due <= now()));
        for number in ready.chain(late.map(|(&number, _)| number)).collect::<Vec<_>>() {
            let Some(peer) = peers.get_mut(&number) else { continue };
            match peer.turn(&mut buffer, now()) {
                Some(events) => epoll::modify(&epoll, &peer.socket, EventData::new_u64(number), events)?,
                None => drop(peers.remove(&number)), // closing the socket removes it from the epoll
            }
        }
    }
}

impl Peer {
    /// Reads, receives, reports the time and writes, as far as that is possible without waiting. Returns the events to
    /// wait for, or `None` at the end of the connection.
    fn turn(&mut self, buffer: &mut [u8], now: Timestamp) -> Option<EventFlags> {
        let (mut read, mut ended) = (0, false);
        if self.connection.as_ref().is_none_or(Connection::wants_read) {
            match self.socket.read(buffer) {
                Ok(len @ 1..) => read = len,
                Err(error) if is_temporary(&error) => {}
                Ok(0) | Err(_) => ended = true,
            }
        }
        let mut input = &mut buffer[..read];
        if self.connection.is_none() {
            match self.open(&mut input, now) {
                Ok(connection) => self.connection = connection,
                // A short response to a client that has just sent its request fits into the socket.
                Err(error) => return self.socket.write_all(&error.response().to_bytes()).err().and(None),
            }
        }
        let Some(connection) = &mut self.connection else { return (!ended).then_some(EventFlags::IN) };
        // An error ends the loop. The connection has then failed and queued its Close.
        while let Ok(Some(event)) = connection.receive(&mut input) {
            if let Event::Message(message) = event {
                let _ = connection.reply(message); // fails if the connection is closing
            }
        }
        if ended {
            connection.receive_eof();
        }
        // Report the time, after all received input was passed on.
        connection.handle_timeout(now);
        while connection.wants_write() {
            let mut output = connection.transmit();
            match self.socket.write(output.chunk()) {
                Ok(written @ 1..) => output.advance(written),
                Err(error) if is_temporary(&error) => break,
                Ok(0) | Err(_) => {
                    drop(output);
                    connection.discard_output();
                }
            }
        }
        if connection.wants_shutdown() {
            let _ = self.socket.shutdown(Shutdown::Write); // repeating the call changes nothing
        }
        let mut interest = EventFlags::empty();
        interest.set(EventFlags::IN, connection.wants_read());
        interest.set(EventFlags::OUT, connection.wants_write());
        (!connection.is_finished()).then_some(interest)
    }

    /// Continues the opening handshake. Returns the connection when it is complete.
    fn open(&mut self, input: &mut &mut [u8], now: Timestamp) -> Result<Option<Connection>, HandshakeError> {
        self.handshake.handle_timeout(now)?;
        let Some(request) = self.handshake.receive(input)? else { return Ok(None) };
        let upgrade = request.upgrade(&OriginPolicy::default())?;
        upgrade.accept(&Accept::new(), self.config.clone(), now).map(Some)
    }

    /// Returns the time of the next turn, if no event comes before. It is the present time if input is kept.
    fn poll_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.connection {
            None => self.handshake.poll_timeout(),
            Some(connection) if connection.wants_receive() => Some(now),
            Some(connection) => connection.poll_timeout(),
        }
    }
}

/// Returns `true` if the socket is not ready, and `false` if it is broken.
fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
