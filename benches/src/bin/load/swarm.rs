//! Many connections on one epoll, which all send and expect the same bytes.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, Event, EventData, EventFlags},
    },
    fd::OwnedFd,
    io::Errno,
};

use crate::{Result, open::Target, wire};

pub(crate) struct Swarm {
    epoll: OwnedFd,
    peers: Vec<Peer>,
    batch: Vec<u8>,
    reply: Vec<u8>,
    events: Vec<Event>,
    buffer: Vec<u8>,
}

struct Peer {
    stream: TcpStream,
    /// Received bytes of the current reply.
    matched: usize,
    /// Bytes of the batch that are not written yet.
    unwritten: usize,
    /// `true` while the epoll watches the socket for writability.
    blocked: bool,
}

impl Swarm {
    pub(crate) fn open(target: &Target, connections: usize, batch: Vec<u8>, reply: Vec<u8>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut peers = Vec::with_capacity(connections);
        for index in 0..connections {
            let stream = target.open().map_err(|error| format!("connection {index}: {error}"))?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN)?;
            peers.push(Peer { stream, matched: 0, unwritten: 0, blocked: false });
        }
        Ok(Self { epoll, peers, batch, reply, events: Vec::with_capacity(256), buffer: vec![0; 256 << 10] })
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Starts to send the batch on a connection that has nothing else to send. [`Self::turn`] writes the rest when
    /// the socket is writable.
    pub(crate) fn send(&mut self, index: usize) -> Result<()> {
        let peer = &mut self.peers[index];
        peer.unwritten = self.batch.len();
        peer.write(index, &self.batch, &self.epoll)
    }

    /// Waits for events and calls a function for each connection with the number of complete replies. Returns `false`
    /// if no event occurs within the timeout.
    pub(crate) fn turn(
        &mut self,
        timeout: Duration,
        mut arrived: impl FnMut(usize, usize) -> Then,
    ) -> Result<bool> {
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&Timespec::try_from(timeout)?))
        {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            let index = event.data.u64() as usize;
            let peer = &mut self.peers[index];
            // Read before writing: a server that echoes before it has read everything waits for us to read.
            let replies = peer.read(&mut self.buffer, &self.reply).map_err(|error| about(index, &*error))?;
            if peer.unwritten > 0 {
                peer.write(index, &self.batch, &self.epoll)?;
            }
            if replies > 0 && matches!(arrived(index, replies), Then::Send) {
                peer.unwritten = self.batch.len();
                peer.write(index, &self.batch, &self.epoll)?;
            }
        }
        Ok(true)
    }

    /// Returns the state of the connections for an error message.
    pub(crate) fn state(&self) -> String {
        let begun = self.peers.iter().filter(|peer| peer.matched > 0).count();
        let unwritten = self.peers.iter().filter(|peer| peer.unwritten > 0).count();
        format!("{begun} replies are cut short, {unwritten} connections take no more of what is sent")
    }
}

/// The next step of a connection after its replies have arrived.
pub(crate) enum Then {
    Send,
    Wait,
}

impl Peer {
    /// Reads once. A level-triggered event follows if more bytes are available.
    fn read(&mut self, buffer: &mut [u8], reply: &[u8]) -> Result<usize> {
        match self.stream.read(buffer) {
            Ok(0) => Err("the server closed".into()),
            Ok(read) => wire::check(&buffer[..read], reply, &mut self.matched),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes as much as the socket accepts, and watches it for writability while bytes are left.
    fn write(&mut self, index: usize, batch: &[u8], epoll: &OwnedFd) -> Result<()> {
        while self.unwritten > 0 {
            match self.stream.write(&batch[batch.len() - self.unwritten..]) {
                Ok(written) => self.unwritten -= written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(about(index, &error).into()),
            }
        }
        let blocked = self.unwritten > 0;
        if self.blocked != blocked {
            self.blocked = blocked;
            let interest = if blocked { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(epoll, &self.stream, EventData::new_u64(index as u64), interest)?;
        }
        Ok(())
    }
}

fn about(index: usize, error: &dyn std::fmt::Display) -> String {
    format!("connection {index}: {error}")
}
