//! An echo server on the core alone: one thread, one epoll, one read buffer for all connections.
//!
//! `cargo run --release -p ws-core --example event_loop -- [ADDRESS]`
//!
//! It shows what embedding takes: [`Peer::read`] and [`Peer::write`] move bytes, [`Loop`] knows when. Ten
//! thousand idle connections cost little more than their entries in a table.

use std::{
    collections::BTreeSet,
    env,
    io::{self, ErrorKind, IoSlice, Read as _, Write as _},
    mem,
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::Instant,
};

use bytes::Buf as _;
use rustix::event::{
    Timespec,
    epoll::{self, EventData, EventFlags},
};
use ws_core::{
    Config, Connection, Event, Timestamp,
    server::{Accept, Handshake},
};

/// What events of the listener say they are about; those of connections say which.
const LISTENER: u64 = u64::MAX;

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    println!("listening on ws://{}/", listener.local_addr()?);
    Loop::new(listener)?.run()
}

struct Loop {
    epoll: rustix::fd::OwnedFd,
    listener: TcpListener,
    config: Arc<Config>,
    /// By the number that their events carry. `None` is a place for the next.
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    /// When to look at which peer again, at the latest. A peer is here at most once, and not taken out when
    /// its time moves on: that is seen when the time has come.
    timers: BTreeSet<(Timestamp, usize)>,
    epoch: Instant,
}

/// One client.
struct Peer {
    stream: TcpStream,
    phase: Phase,
    /// What was read and waits for the answers before it to leave; mostly nothing.
    rest: Vec<u8>,
    /// Its entry among the timers.
    timer: Option<Timestamp>,
    /// What its socket is watched for.
    interest: EventFlags,
}

enum Phase {
    Opening(Box<Handshake>),
    Open(Box<Connection>),
}

impl Loop {
    fn new(listener: TcpListener) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let (peers, free, timers) = (Vec::new(), Vec::new(), BTreeSet::new());
        Ok(Self { epoll, listener, config: Arc::default(), peers, free, timers, epoch: Instant::now() })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(1024);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let next = self.timers.first().map(|&(due, _)| due.saturating_duration_since(self.now()));
            let timeout = next.and_then(|wait| Timespec::try_from(wait).ok());
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let now = self.now();
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept(now),
                    number => self.turn(number as usize, Some(&mut buffer), now),
                }
            }
            while let Some((_, number)) = self.timers.first().copied().filter(|&(due, _)| due <= now) {
                self.timers.pop_first();
                if let Some(peer) = &mut self.peers[number] {
                    peer.timer = None;
                }
                self.turn(number, None, now);
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from(self.epoch.elapsed())
    }

    fn accept(&mut self, now: Timestamp) {
        while let Ok((stream, _)) = self.listener.accept() {
            let number = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            let interest = EventFlags::IN;
            let watched = stream.set_nonblocking(true).is_ok()
                && stream.set_nodelay(true).is_ok()
                && epoll::add(&self.epoll, &stream, EventData::new_u64(number as u64), interest).is_ok();
            let phase = Phase::Opening(Box::new(Handshake::new(self.config.clone(), now)));
            self.peers[number] =
                watched.then_some(Peer { stream, phase, rest: Vec::new(), timer: None, interest });
            self.turn(number, None, now);
        }
    }

    /// Lets a peer read, if there may be something, and write, and sees when it wants to do so again.
    fn turn(&mut self, number: usize, buffer: Option<&mut Vec<u8>>, now: Timestamp) {
        let Some(peer) = &mut self.peers[number] else { return };
        let Ok(Some(wanted)) = peer.turn(buffer, &self.config, now) else {
            // Closing the socket takes it out of the epoll too.
            self.peers[number] = None;
            self.free.push(number);
            return;
        };
        if wanted != peer.interest {
            peer.interest = wanted;
            let _ = epoll::modify(&self.epoll, &peer.stream, EventData::new_u64(number as u64), wanted);
        }
        // Left alone while it is early enough.
        if let Some(due) = peer.poll_timeout()
            && peer.timer.is_none_or(|timer| due < timer)
        {
            if let Some(timer) = peer.timer.replace(due) {
                self.timers.remove(&(timer, number));
            }
            self.timers.insert((due, number));
        }
    }
}

impl Peer {
    /// Reads once, if there is a buffer to read into, and writes what there is to say. Gives what to watch
    /// the socket for; `None` at the end of the connection.
    fn turn(
        &mut self,
        buffer: Option<&mut Vec<u8>>,
        config: &Arc<Config>,
        now: Timestamp,
    ) -> io::Result<Option<EventFlags>> {
        if let Some(buffer) = buffer {
            self.read(buffer, config, now)?;
        }
        let Phase::Open(connection) = &mut self.phase else {
            let Phase::Opening(handshake) = &mut self.phase else { return Ok(None) };
            return Ok(handshake.handle_timeout(now).is_ok().then_some(EventFlags::IN));
        };
        connection.handle_timeout(now);
        let mut flushed = write(&mut self.stream, connection)?;
        while flushed && !self.rest.is_empty() && connection.wants_read() {
            let mut rest = mem::take(&mut self.rest);
            self.rest = echo(connection, &mut rest).to_vec();
            flushed = write(&mut self.stream, connection)?;
        }
        if connection.is_finished() {
            return Ok(None);
        }
        let mut wanted = EventFlags::empty();
        wanted.set(EventFlags::IN, connection.wants_read() && self.rest.is_empty());
        wanted.set(EventFlags::OUT, !flushed);
        Ok(Some(wanted))
    }

    fn read(&mut self, buffer: &mut [u8], config: &Arc<Config>, now: Timestamp) -> io::Result<()> {
        let read = match self.stream.read(buffer) {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut input = &mut buffer[..read];
        if let Phase::Opening(handshake) = &mut self.phase {
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let request = match handshake.receive(&mut input) {
                Ok(None) => return Ok(()),
                Ok(Some(request)) => request,
                Err(error) => return self.refuse(&error.response().to_bytes()),
            };
            let upgrade = request.upgrade(&config.origin);
            match upgrade.and_then(|upgrade| upgrade.accept(&Accept::new(), config.clone(), now)) {
                Ok(connection) => self.phase = Phase::Open(Box::new(connection)),
                Err(error) => return self.refuse(&error.response().to_bytes()),
            }
        }
        let Phase::Open(connection) = &mut self.phase else { return Ok(()) };
        if read == 0 {
            connection.receive_eof();
        }
        self.rest = echo(connection, input).to_vec();
        Ok(())
    }

    /// Answers a request that opens no WebSocket, and ends.
    fn refuse(&mut self, response: &[u8]) -> io::Result<()> {
        let _ = self.stream.write(response)?;
        Err(ErrorKind::ConnectionRefused.into())
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Opening(handshake) => handshake.poll_timeout(),
            Phase::Open(connection) => connection.poll_timeout(),
        }
    }
}

/// Answers what came, until too much waits to be written. Gives what it left.
fn echo<'i>(connection: &mut Connection, mut input: &'i mut [u8]) -> &'i [u8] {
    while connection.wants_read() {
        match connection.receive(&mut input) {
            Ok(Some(Event::Message(message))) => {
                // It fails when the connection closes, as `turn` will see.
                let _ = connection.send(message);
            }
            Ok(Some(_)) => {}
            // After an error there is nothing more to receive, but a Close to be written.
            Ok(None) | Err(_) => return &[],
        }
    }
    input
}

/// Writes as much as the socket takes, all frames at once; tells whether that was everything.
fn write(stream: &mut TcpStream, connection: &mut Connection) -> io::Result<bool> {
    while connection.wants_write() {
        let mut output = connection.transmit();
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = output.chunks_vectored(&mut slices);
        match stream.write_vectored(&slices[..filled]) {
            Ok(written) => output.advance(written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
