//! An adapter in memory. It moves bytes between a driver and a test, and executes the steps that the driver returns.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use bytes::Buf as _;
use ws_core::{Config, Connection, Event, Role, Timestamp, Transmit, testing};
use ws_transport::{
    Driver, Error, InputEnd, Step, Turn,
    tls::{ClientTls, ServerTls, TlsSession},
};

pub(crate) fn millis(millis: u64) -> Timestamp {
    Timestamp::from(Duration::from_millis(millis))
}

/// Returns the TLS sessions of a client and of a server after their handshake.
pub(crate) fn sessions() -> (TlsSession, TlsSession) {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let chain = parameters.self_signed(&key).unwrap().pem();
    let server = ServerTls::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let mut server = ServerTls::session(&server.build().unwrap()).unwrap();
    let mut client = ClientTls::new().danger_accept_any_certificate().session("localhost").unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
    }
    (client, server)
}

/// Passes the output of one session to the other.
fn pass(from: &mut TlsSession, to: &mut TlsSession) {
    let (mut sealed, mut plain) = (Transmit::default(), Vec::new());
    from.take_output(&mut sealed);
    to.decrypt(&testing::drained(&mut sealed), &mut plain).unwrap();
    assert!(plain.is_empty());
}

/// One end of a connection: a driver, the adapter's buffer, and a socket that the test controls.
pub(crate) struct End {
    pub(crate) driver: Driver,
    pub(crate) now: Timestamp,
    /// Bytes in the socket that can be read.
    pub(crate) inbox: VecDeque<u8>,
    /// The end of the input after these bytes.
    pub(crate) input_end: Option<InputEnd>,
    /// Bytes that the socket has accepted.
    pub(crate) outbox: Vec<u8>,
    /// Number of bytes that the socket still accepts.
    pub(crate) room: usize,
    pub(crate) is_broken: bool,
    pub(crate) is_shut_down: bool,
    pub(crate) looks: usize,
    pub(crate) events: Vec<Event<'static>>,
    buffer: Transmit,
}

/// The result of a turn of the adapter.
#[derive(Debug)]
pub(crate) enum Outcome {
    Waits { read: bool, until: Option<Timestamp> },
    Ended(Result<(), Error>),
}

impl End {
    pub(crate) fn new(role: Role, config: Config, tls: Option<TlsSession>) -> Self {
        let config = Arc::new(config);
        let connection = match role {
            Role::Client => Connection::client(config, testing::SEED, Timestamp::ZERO),
            Role::Server => Connection::server(config, Timestamp::ZERO),
        };
        Self::of(Driver::new(connection, tls.map(Box::new)))
    }

    /// Creates an end with an open connection.
    pub(crate) fn of(driver: Driver) -> Self {
        Self {
            driver,
            now: Timestamp::ZERO,
            inbox: VecDeque::new(),
            input_end: None,
            outbox: Vec::new(),
            room: usize::MAX,
            is_broken: false,
            is_shut_down: false,
            looks: 0,
            events: Vec::new(),
            buffer: Transmit::default(),
        }
    }

    pub(crate) fn server(config: Config) -> Self {
        Self::new(Role::Server, config, None)
    }

    /// Runs turns until only waiting is left. The only bound of a loop here is the one that fails the test: each loop has
    /// to end because the driver requests no further step.
    pub(crate) fn turn(&mut self) -> Outcome {
        for _ in 0..10_000 {
            self.read();
            match self.driver.begin_turn(self.now) {
                Ok(Turn::Write) => {}
                Ok(Turn::Look) => {
                    self.looks += 1;
                    continue;
                }
                Err(error) => {
                    self.write();
                    return Outcome::Ended(Err(error));
                }
            }
            self.write();
            match self.driver.next_step() {
                Step::Receive => self.receive(&mut []),
                Step::Write => {}
                Step::Shutdown => {
                    assert!(!self.is_shut_down, "asked for once");
                    self.is_shut_down = true;
                }
                Step::Wait { read: true, .. } if self.has_input() => {}
                Step::Wait { read, until } if until.is_none_or(|until| until > self.now) => {
                    return Outcome::Waits { read, until };
                }
                Step::Wait { .. } => {}
                Step::End(ended) => return Outcome::Ended(ended),
            }
        }
        panic!("the adapter spins: {:?}", self.driver);
    }

    fn has_input(&self) -> bool {
        !self.inbox.is_empty() || self.input_end.is_some()
    }

    fn read(&mut self) {
        while self.driver.wants_read() && self.has_input() {
            if self.inbox.is_empty() {
                self.driver.end_input(self.input_end.take().unwrap());
                return;
            }
            let mut read: Vec<u8> = self.inbox.drain(..self.inbox.len().min(96 << 10)).collect();
            if self.driver.is_secure() {
                let mut plain = Vec::new();
                self.driver.decrypt(&read, &mut plain);
                read = plain;
            }
            self.receive(&mut read);
        }
    }

    /// Receives decrypted bytes.
    pub(crate) fn receive(&mut self, mut input: &mut [u8]) {
        while let Ok(Some(event)) = self.driver.connection.receive(&mut input) {
            self.events.push(event.into_owned());
        }
    }

    /// Writes the bytes that the socket accepts.
    pub(crate) fn write(&mut self) {
        loop {
            if !self.buffer.has_remaining() {
                self.driver.take_output(&mut self.buffer);
            }
            if !self.buffer.has_remaining() {
                return;
            }
            if self.is_broken {
                self.buffer = Transmit::default();
                self.driver.fail_output();
                return;
            }
            let count = self.buffer.chunk().len().min(self.room);
            if count == 0 {
                return;
            }
            self.outbox.extend_from_slice(&self.buffer.chunk()[..count]);
            self.buffer.advance(count);
            self.room -= count;
            self.driver.written(count);
        }
    }

    /// Returns the number of bytes that the adapter has taken and not written.
    pub(crate) fn taken(&self) -> usize {
        self.buffer.remaining()
    }

    pub(crate) fn fail_to_read(&mut self, kind: io::ErrorKind) {
        self.input_end = Some(InputEnd::Failed(kind.into()));
    }
}

/// Decrypts everything that an end has written.
pub(crate) fn decrypted(session: &mut TlsSession, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    session.decrypt(bytes, &mut plain).unwrap();
    plain
}
