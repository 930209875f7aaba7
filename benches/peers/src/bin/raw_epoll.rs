//! The lower bound for all servers: one thread and one epoll echo bytes, or broadcast units of a fixed size, without
//! a protocol.
//!
//! `raw_epoll [--listen ADDR] [--broadcast --unit BYTES]`

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, Event, EventData, EventFlags},
    io::retry_on_intr,
};
use ws_bench_peers::{Error, Options};

/// Token of the listener's events. Events of clients carry the client's index.
const LISTENER: EventData = EventData::new_u64(u64::MAX);

fn main() -> Result<(), Error> {
    let options = Options::parse(&["broadcast", "unit"])?;
    if options.broadcast && options.unit == 0 {
        return Err("--broadcast needs --unit".into());
    }
    let listener = options.bind("tcp")?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, LISTENER, EventFlags::IN)?;
    let unit = options.broadcast.then_some(options.unit);
    let mut server = Server { epoll, listener, unit, clients: Vec::new(), buffer: vec![0; 64 << 10] };
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        // A tracer interrupts the wait.
        retry_on_intr(|| epoll::wait(&server.epoll, spare_capacity(&mut events), None))?;
        for &Event { flags, data } in &events {
            if data == LISTENER {
                server.accept()?;
            } else if server.handle(data.u64() as usize, flags).is_none() {
                server.clients[data.u64() as usize] = None;
            }
        }
    }
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    /// Size of a message in bytes when broadcasting.
    unit: Option<usize>,
    clients: Vec<Option<Client>>,
    /// The read buffer of all clients.
    buffer: Vec<u8>,
}

struct Client {
    index: usize,
    stream: TcpStream,
    /// The start of an incomplete unit.
    partial: Vec<u8>,
    /// Bytes that the socket has not accepted yet.
    left: Vec<u8>,
}

impl Server {
    fn accept(&mut self) -> Result<(), Error> {
        let Ok((stream, _)) = self.listener.accept() else { return Ok(()) };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let free = self.clients.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        epoll::add(&self.epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN)?;
        self.clients[index] = Some(Client { index, stream, partial: Vec::new(), left: Vec::new() });
        Ok(())
    }

    /// Performs at most one read and one write per message. Returns `None` if the client is gone.
    fn handle(&mut self, index: usize, flags: EventFlags) -> Option<()> {
        let Self { epoll, clients, buffer, unit, .. } = self;
        let client = clients[index].as_mut()?;
        if flags.contains(EventFlags::OUT) {
            client.write_left(epoll)?;
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Some(());
        }
        // Stop reading from a client that does not read its echoes, which bounds the unwritten bytes.
        if unit.is_none() && !client.left.is_empty() {
            return (!flags.intersects(EventFlags::HUP | EventFlags::ERR)).then_some(());
        }
        let read = match client.stream.read(buffer) {
            Ok(0) => return None,
            Ok(read) => read,
            Err(error) => return (error.kind() == ErrorKind::WouldBlock).then_some(()),
        };
        let Some(unit) = *unit else { return client.write(epoll, &buffer[..read], EventFlags::OUT) };
        let mut partial = std::mem::take(&mut client.partial);
        partial.extend(&buffer[..read]);
        let mut units = partial.chunks_exact(unit);
        for unit in &mut units {
            for place in &mut *clients {
                let Some(client) = place else { continue };
                if client.write(epoll, unit, EventFlags::IN | EventFlags::OUT).is_none() {
                    *place = None;
                }
            }
        }
        let whole = partial.len() - units.remainder().len();
        partial.drain(..whole);
        clients[index].as_mut()?.partial = partial;
        Some(())
    }
}

impl Client {
    /// Writes `bytes`, and registers `interest` if some are left over.
    fn write(&mut self, epoll: &OwnedFd, bytes: &[u8], interest: EventFlags) -> Option<()> {
        if !self.left.is_empty() {
            self.left.extend(bytes);
            return Some(());
        }
        let written = taken(self.stream.write(bytes))?;
        if written < bytes.len() {
            self.left.extend(&bytes[written..]);
            epoll::modify(epoll, &self.stream, EventData::new_u64(self.index as u64), interest).ok()?;
        }
        Some(())
    }

    fn write_left(&mut self, epoll: &OwnedFd) -> Option<()> {
        let written = taken(self.stream.write(&self.left))?;
        self.left.drain(..written);
        if self.left.is_empty() {
            epoll::modify(epoll, &self.stream, EventData::new_u64(self.index as u64), EventFlags::IN).ok()?;
        }
        Some(())
    }
}

/// Returns the number of bytes that the socket accepted, or `None` if it failed.
fn taken(written: std::io::Result<usize>) -> Option<usize> {
    match written {
        Ok(written) => Some(written),
        Err(error) => (error.kind() == ErrorKind::WouldBlock).then_some(0),
    }
}
