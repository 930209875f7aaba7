use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    sync::Arc,
    time::Instant,
};

use bytes::Buf;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use ws_core::{
    Config, Connection, Event, HandshakeConfig, HandshakeError, OriginPolicy, Timestamp,
    server::{Accept, Handshake},
};

const LISTENER: Token = Token(0);

struct Peer {
    socket: TcpStream,
    handshake: Handshake,
    connection: Option<Connection>,
}

fn main() -> io::Result<()> {
    let mut listener = TcpListener::bind("127.0.0.1:9173".parse().expect("an address"))?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (config, epoch) = (Arc::new(Config::default()), Instant::now());
    let now = || Timestamp::from(epoch.elapsed());
    let (mut events, mut buffer) = (Events::with_capacity(256), vec![0; 64 * 1024]);
    let (mut peers, mut next) = (HashMap::<Token, Peer>::new(), 1);
    loop {
        // Wait for the sockets, but not beyond the next deadline.
        let due = peers.values().filter_map(|peer| peer.poll_timeout(now())).min();
        let wait = due.map(|due| due.saturating_duration_since(now()));
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        // `accept` is called until it would block, because mio reports each change once.
        while let Ok((mut socket, _)) = listener.accept() {
            let token = Token(next);
            next += 1;
            poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
            let handshake = Handshake::new(&HandshakeConfig::default(), now());
            peers.insert(token, Peer { socket, handshake, connection: None });
        }
        let ready = events.iter().map(|event| event.token());
        let late = peers.iter().filter(|(_, peer)| peer.poll_timeout(now()).is_some_and(|due| due <= now()));
        for token in ready.chain(late.map(|(token, _)| *token)).collect::<Vec<_>>() {
            let Some(peer) = peers.get_mut(&token) else { continue };
            if peer.turn(&mut buffer, &config, now()).is_none() {
                peers.remove(&token);
            }
        }
    }
}

impl Peer {
    /// Reads and writes until the socket would block. Returns `None` at the end of the connection.
    fn turn(&mut self, buffer: &mut [u8], config: &Arc<Config>, now: Timestamp) -> Option<()> {
        loop {
            let (mut read, mut ended) = (0, false);
            if self.connection.as_ref().is_none_or(Connection::wants_read) {
                match self.socket.read(buffer) {
                    Ok(len @ 1..) => read = len,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Ok(0) | Err(_) => ended = true,
                }
            }
            let mut input = &mut buffer[..read];
            if self.connection.is_none() {
                match self.open(&mut input, config, now) {
                    Ok(connection) => self.connection = connection,
                    Err(error) => return self.socket.write_all(&error.response().to_bytes()).err().and(None),
                }
            }
            let Some(connection) = &mut self.connection else {
                return match (ended, read) {
                    (true, _) => None,
                    (false, 0) => Some(()),
                    (false, _) => continue,
                };
            };
            // An error ends the loop. The connection has failed and queued its Close.
            while let Ok(Some(event)) = connection.receive(&mut input) {
                if let Event::Message(message) = event {
                    let _ = connection.reply(message);
                }
            }
            if ended {
                connection.receive_eof();
            }
            connection.handle_timeout(now);
            while connection.wants_write() {
                let mut output = connection.transmit();
                match self.socket.write(output.chunk()) {
                    Ok(written @ 1..) => output.advance(written),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Ok(0) | Err(_) => {
                        drop(output);
                        connection.discard_output();
                    }
                }
            }
            if connection.wants_shutdown() {
                let _ = self.socket.shutdown(Shutdown::Write);
            }
            if connection.is_finished() {
                return None;
            }
            // Nothing was read: mio reports the next input.
            if read == 0 && !connection.wants_receive() {
                return Some(());
            }
        }
    }

    fn open(
        &mut self,
        input: &mut &mut [u8],
        config: &Arc<Config>,
        now: Timestamp,
    ) -> Result<Option<Connection>, HandshakeError> {
        self.handshake.handle_timeout(now)?;
        let Some(request) = self.handshake.receive(input)? else { return Ok(None) };
        let upgrade = request.upgrade(&OriginPolicy::default())?;
        upgrade.accept(&Accept::new(), config.clone(), now).map(Some)
    }

    fn poll_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.connection {
            None => self.handshake.poll_timeout(),
            Some(connection) if connection.wants_receive() => Some(now),
            Some(connection) => connection.poll_timeout(),
        }
    }
}
