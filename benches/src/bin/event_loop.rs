//! A fast server that uses only the core: one thread, one epoll, one read buffer and one write buffer for all connections.
//!
//! `cargo run --release -p ws-benches --bin event_loop -- [--listen ADDRESS] [--broadcast]`
//!
//! It echoes every message or, with `--broadcast`, sends it to all clients. It follows the same rules as the example
//! `event_loop` of `ws-core`, and uses the optional shortcuts for speed. [`Peer`] moves the bytes
//! of one connection, and [`Loop`] decides when. An idle connection is an entry in a table and an entry among the
//! timers, 256 bytes together.

use std::{
    collections::BTreeSet,
    env,
    io::{self, ErrorKind, IoSlice, Write as _},
    mem,
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    time::Instant,
};

use bytes::Buf as _;
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, EventData, EventFlags},
    },
    fd::OwnedFd,
    net::{RecvFlags, SocketFlags, accept_with, recv, sockopt},
};
use ws_core::{
    Config, Connection, Event, HandshakeConfig, Message, OriginPolicy, PreparedMessage, Timestamp, Transmit,
    server::{Accept, Handshake},
};

/// Event data of the listener. The event data of a connection is its number.
const LISTENER: u64 = u64::MAX;
/// Minimum size in bytes of a message for which a separate write costs less than a copy.
const LARGE: usize = 16 << 10;
/// Number of unwritten bytes at which a peer misses broadcast messages. Its input is then not read until it has read
/// its replies.
const BACKLOG: usize = 1 << 20;

fn main() -> io::Result<()> {
    let (mut address, mut broadcast) = (String::from("127.0.0.1:9001"), false);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (&*argument, arguments.len()) {
            ("--listen", 1..) => address = arguments.next().unwrap_or_default(),
            ("--broadcast", _) => broadcast = true,
            _ => return Err(io::Error::other("usage: event_loop [--listen ADDRESS] [--broadcast]")),
        }
    }
    let listener = TcpListener::bind(address)?;
    println!("listening on ws://{}/", listener.local_addr()?);
    serve(listener, broadcast)
}

/// Serves all clients that connect. Returns only if the epoll fails.
pub(crate) fn serve(listener: TcpListener, broadcast: bool) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    // Connections inherit this option.
    sockopt::set_tcp_nodelay(&listener, true)?;
    Loop::new(listener, broadcast)?.run()
}

struct Loop {
    epoll: OwnedFd,
    listener: TcpListener,
    /// Peers by the number in their event data. `None` is a free entry.
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    /// Time and number of the peers that are due. A peer has at most one entry. The entry stays when its time
    /// moves on, which is noticed when the entry is due.
    timers: BTreeSet<(Timestamp, usize)>,
    shared: Shared,
    epoch: Instant,
}

/// Memory shared by all connections. It is lent to the connection that is served.
struct Shared {
    config: Arc<Config>,
    read_buffer: Vec<u8>,
    write_buffer: Transmit,
    /// Received messages to broadcast, if `--broadcast` is set.
    broadcast: Option<Vec<PreparedMessage>>,
}

/// One client.
struct Peer {
    stream: TcpStream,
    phase: Phase,
    /// Time of its entry among the timers.
    timer: Option<Timestamp>,
    /// Events for which its socket is watched.
    interest: EventFlags,
}

/// Result of a read.
struct Read {
    /// Number of bytes in the buffer.
    buffered: usize,
    ended: bool,
}

enum Phase {
    Opening(Box<Handshake>),
    Open(Connection),
}

impl Loop {
    fn new(listener: TcpListener, broadcast: bool) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let mut config = Config::default();
        config.max_message_size = 64 << 20;
        config.max_fragments = usize::MAX;
        config.write_buffer_size = BACKLOG;
        let shared = Shared {
            config: Arc::new(config),
            read_buffer: vec![0; 96 << 10],
            write_buffer: Transmit::default(),
            broadcast: broadcast.then(Vec::new),
        };
        let (peers, free, timers, epoch) = (Vec::new(), Vec::new(), BTreeSet::new(), Instant::now());
        Ok(Self { epoll, listener, peers, free, timers, shared, epoch })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(1024);
        loop {
            let next = self.timers.first().map(|&(due, _)| due.saturating_duration_since(self.now()));
            let timeout = next.and_then(|wait| Timespec::try_from(wait).ok());
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let now = self.now();
            for event in &events {
                let flags = event.flags;
                match event.data.u64() {
                    LISTENER => self.accept(now),
                    number if flags == EventFlags::OUT => self.turn(number as usize, now, |_, _, _| Ok(())),
                    // Reading reports the end of the stream and errors.
                    number => self.turn(number as usize, now, Peer::receive),
                }
            }
            while let Some((_, number)) = self.timers.first().copied().filter(|&(due, _)| due <= now) {
                self.timers.pop_first();
                if let Some(peer) = &mut self.peers[number] {
                    peer.timer = None;
                }
                self.turn(number, now, |_, _, _| Ok(()));
            }
            for message in self.shared.broadcast.as_mut().map(mem::take).unwrap_or_default() {
                for number in 0..self.peers.len() {
                    self.turn(number, now, |peer, _, _| peer.send(&message));
                }
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from(self.epoch.elapsed())
    }

    fn accept(&mut self, now: Timestamp) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        while let Ok(stream) = accept_with(&self.listener, flags).map(TcpStream::from) {
            let number = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            let interest = EventFlags::IN;
            let data = EventData::new_u64(number as u64);
            let watched = epoll::add(&self.epoll, &stream, data, interest).is_ok();
            let phase = Phase::Opening(Box::new(Handshake::new(&HandshakeConfig::default(), now)));
            self.peers[number] = watched.then_some(Peer { stream, phase, timer: None, interest });
            self.turn(number, now, |_, _, _| Ok(()));
        }
    }

    /// Lets a peer run `work` and write. Then schedules its next turn.
    fn turn(
        &mut self,
        number: usize,
        now: Timestamp,
        act: impl FnOnce(&mut Peer, &mut Shared, Timestamp) -> io::Result<()>,
    ) {
        let Some(peer) = &mut self.peers[number] else { return };
        if let Phase::Open(connection) = &mut peer.phase {
            connection.lend_transmit(&mut self.shared.write_buffer);
        }
        let acted = act(peer, &mut self.shared, now).and_then(|()| peer.write(&mut self.shared, now));
        if let Phase::Open(connection) = &mut peer.phase {
            connection.reclaim_transmit(&mut self.shared.write_buffer);
        }
        let Ok(Some(wanted)) = acted else {
            // Closing the socket also removes it from the epoll.
            self.peers[number] = None;
            self.free.push(number);
            return;
        };
        if wanted != peer.interest {
            peer.interest = wanted;
            let _ = epoll::modify(&self.epoll, &peer.stream, EventData::new_u64(number as u64), wanted);
        }
        // An entry that is early enough is left unchanged.
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
    /// Reads once and answers the received messages.
    fn receive(&mut self, shared: &mut Shared, now: Timestamp) -> io::Result<()> {
        if matches!(&self.phase, Phase::Open(connection) if !connection.wants_read()) {
            return Ok(());
        }
        let read = match (self.read(&mut shared.read_buffer), &self.phase) {
            (Ok(read), _) => read,
            (Err(error), _) if is_retried(&error) => return Ok(()),
            (Err(error), Phase::Opening(_)) => return Err(error),
            // The peer has reset the connection and sends nothing more.
            (Err(_), Phase::Open(_)) => Read { buffered: 0, ended: true },
        };
        let mut input = &mut shared.read_buffer[..read.buffered];
        if let Phase::Opening(handshake) = &mut self.phase {
            if read.ended {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let config = &shared.config;
            let opened = match handshake.receive(&mut input) {
                Ok(None) => return Ok(()),
                Ok(Some(request)) => request
                    .upgrade(&OriginPolicy::default())
                    .and_then(|upgrade| upgrade.accept(&Accept::new(), config.clone(), now)),
                Err(error) => Err(error),
            };
            match opened {
                Ok(connection) => self.phase = Phase::Open(connection),
                Err(error) => {
                    let _ = self.stream.write(&error.response().to_bytes())?;
                    return Err(ErrorKind::ConnectionRefused.into());
                }
            }
        }
        let Phase::Open(connection) = &mut self.phase else { return Ok(()) };
        if read.ended {
            connection.receive_eof();
        }
        answer_all(&mut self.stream, connection, &mut input, &mut shared.broadcast);
        Ok(())
    }

    /// Reads once. A large message is read directly into the memory where it is assembled.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Read> {
        if let Phase::Open(connection) = &mut self.phase {
            let read = connection
                .receive_in_place(|payload| recv(&self.stream, spare_capacity(payload), RecvFlags::empty()));
            if let Some(read) = read {
                return Ok(Read { buffered: 0, ended: read?.1 == 0 });
            }
        }
        let (read, _) = recv(&self.stream, buffer, RecvFlags::empty())?;
        Ok(Read { buffered: read, ended: read == 0 })
    }

    /// Sends a message of a broadcast, unless too much output already waits.
    fn send(&mut self, message: &PreparedMessage) -> io::Result<()> {
        if let Phase::Open(connection) = &mut self.phase {
            // It fails if the peer does not read or is about to leave.
            let _ = connection.send_prepared(message);
        }
        Ok(())
    }

    /// Writes as much as the socket accepts, all frames at once. Returns the events for which the socket has to be
    /// watched, or `None` at the end of the connection.
    fn write(&mut self, shared: &mut Shared, now: Timestamp) -> io::Result<Option<EventFlags>> {
        let connection = match &mut self.phase {
            Phase::Opening(handshake) => {
                return Ok(handshake.handle_timeout(now).is_ok().then_some(EventFlags::IN));
            }
            Phase::Open(connection) => connection,
        };
        connection.handle_timeout(now);
        write_out(&mut self.stream, connection, now);
        if connection.wants_receive() {
            catch_up(&mut self.stream, connection, &mut shared.broadcast, now);
        }
        if connection.wants_shutdown() {
            // Repeating the call changes nothing, and a flag for it would take a word for each idle connection.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        let mut interest = EventFlags::empty();
        interest.set(EventFlags::IN, connection.wants_read());
        interest.set(EventFlags::OUT, connection.wants_write());
        Ok((!connection.is_finished()).then_some(interest))
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Opening(handshake) => handshake.poll_timeout(),
            Phase::Open(connection) => connection.poll_timeout(),
        }
    }
}

/// Receives the rest of the input, which was paused until replies were written.
#[cold]
#[inline(never)]
fn catch_up(
    stream: &mut TcpStream,
    connection: &mut Connection,
    broadcast: &mut Option<Vec<PreparedMessage>>,
    now: Timestamp,
) {
    while connection.wants_receive() {
        answer_all(stream, connection, &mut &mut [][..], broadcast);
        write_out(stream, connection, now);
    }
}

/// Receives all messages, and answers or collects them.
#[inline(always)]
fn answer_all(
    stream: &mut TcpStream,
    connection: &mut Connection,
    input: &mut &mut [u8],
    broadcast: &mut Option<Vec<PreparedMessage>>,
) {
    // After an error there is nothing more to receive, but a Close has to be written.
    while let Ok(Some(event)) = connection.receive(input) {
        match (event, &mut *broadcast) {
            (Event::Message(message), Some(broadcast)) => broadcast.push(PreparedMessage::new(message)),
            (Event::Message(message), None) => answer(stream, connection, message),
            _ => {}
        }
    }
}

/// Writes until the socket accepts no more.
#[inline(always)]
fn write_out(stream: &mut TcpStream, connection: &mut Connection, now: Timestamp) {
    while connection.wants_write() {
        let mut output = connection.transmit();
        let mut slices = [IoSlice::new(&[]); 16];
        let written = match output.chunks_vectored(&mut slices) {
            // The kernel handles one slice faster than a list of one slice.
            1 => stream.write(&slices[0]),
            filled => stream.write_vectored(&slices[..filled]),
        };
        match written {
            Ok(written) => output.advance(written),
            Err(error) if is_retried(&error) => {
                drop(output);
                // The deadline of the rest starts here. Otherwise `poll_timeout` would request this call at once.
                return connection.handle_timeout(now);
            }
            Err(_) => {
                drop(output);
                connection.discard_output();
            }
        }
    }
}

/// Sends a message. A large message is written from its own memory, up to the amount that the socket accepts.
fn answer(stream: &mut TcpStream, connection: &mut Connection, message: Message<'_>) {
    let header = if message.len() < LARGE { None } else { connection.frame_header(&message) };
    // It fails when the connection closes, and `Peer::write` then finds that out.
    let _ = if let Some(header) = header {
        let slices = [IoSlice::new(&header), IoSlice::new(message.as_bytes())];
        // If this write fails, the next one fails too.
        let written = stream.write_vectored(&slices).unwrap_or(0);
        connection.sent_directly(message, written)
    } else {
        connection.reply(message)
    };
}

/// Returns `true` if the socket is not ready, and `false` if it is broken.
fn is_retried(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
