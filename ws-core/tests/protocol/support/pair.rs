//! Two endpoints joined by a wire that loses nothing, under virtual time.

use std::sync::Arc;

use bytes::Buf;
use ws_core::{Config, Connection, Event, ProtocolError, Role, Timestamp};

use super::{ROLES, SEED, receive};

/// One end, what is on its way to it, and what it has seen.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) connection: Connection,
    /// What was written for it and has not arrived.
    inbound: Vec<u8>,
    /// Whether the other end has dropped the stream, and whether this one knows.
    hung_up: bool,
    heard_hang_up: bool,
    pub(crate) events: Vec<Event<'static>>,
    pub(crate) error: Option<ProtocolError>,
    /// All bytes that this end has written.
    pub(crate) output: Vec<u8>,
}

impl End {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            inbound: Vec::new(),
            hung_up: false,
            heard_hang_up: false,
            events: Vec::new(),
            error: None,
            output: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Pair {
    client: End,
    server: End,
    pub(crate) now: Timestamp,
}

impl Pair {
    pub(crate) fn new(client: Arc<Config>, server: Arc<Config>, seed: [u8; 32]) -> Self {
        Self {
            client: End::new(Connection::client(client, seed, Timestamp::ZERO)),
            server: End::new(Connection::server(server, Timestamp::ZERO)),
            now: Timestamp::ZERO,
        }
    }

    pub(crate) fn alike(config: &Arc<Config>) -> Self {
        Self::new(config.clone(), config.clone(), SEED)
    }

    pub(crate) fn end(&mut self, role: Role) -> &mut End {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    fn ends(&mut self, role: Role) -> (&mut End, &mut End) {
        match role {
            Role::Client => (&mut self.client, &mut self.server),
            Role::Server => (&mut self.server, &mut self.client),
        }
    }

    /// Writes at most `most` bytes that wait at this end, which drops the stream once it is finished. Tells
    /// whether anything happened.
    pub(crate) fn write(&mut self, role: Role, most: usize) -> bool {
        let (from, to) = self.ends(role);
        let mut buffer = from.connection.transmit();
        let most = buffer.remaining().min(most);
        let bytes = buffer.copy_to_bytes(most);
        drop(buffer);
        from.output.extend_from_slice(&bytes);
        to.inbound.extend_from_slice(&bytes);
        let hangs_up = from.connection.is_finished() && !to.hung_up;
        to.hung_up |= hangs_up;
        most > 0 || hangs_up
    }

    /// Lets at most `most` of the bytes on their way arrive, and then perhaps the end of the stream.
    /// Tells whether anything happened.
    pub(crate) fn read(&mut self, role: Role, most: usize) -> bool {
        let (to, _) = self.ends(role);
        if !to.connection.wants_read() {
            return false;
        }
        let most = most.min(to.inbound.len());
        let bytes: Vec<u8> = to.inbound.drain(..most).collect();
        let received = receive(&mut to.connection, &bytes);
        to.events.extend(received.events);
        to.error = to.error.or(received.error);
        let ends = to.inbound.is_empty() && to.hung_up && !to.heard_hang_up;
        if ends {
            to.heard_hang_up = true;
            to.connection.receive_eof();
        }
        most > 0 || ends
    }

    pub(crate) fn tell_time(&mut self, role: Role) {
        let now = self.now;
        self.end(role).connection.handle_timeout(now);
    }

    /// Moves bytes, and tells the time, until nothing moves any more.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut moved = false;
            for role in ROLES {
                moved |= self.read(role, usize::MAX);
                self.tell_time(role);
                moved |= self.write(role, usize::MAX);
            }
            if !moved {
                break;
            }
        }
    }

    /// The next time that one of the ends has asked for.
    pub(crate) fn next_timeout(&self) -> Option<Timestamp> {
        let ends = [&self.client, &self.server];
        ends.into_iter().filter_map(|end| end.connection.poll_timeout()).min()
    }
}
