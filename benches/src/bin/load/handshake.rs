//! Handshakes: connections are opened and closed.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, EventData, EventFlags},
    },
    fd::OwnedFd,
};

use crate::{
    Result,
    meter::Meter,
    open::{TIMEOUT, Target},
    options::Options,
};

/// The extension that browsers offer. Only this mode offers it: the other modes expect uncompressed messages.
const EXTENSIONS: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

pub(crate) fn run(options: &Options) -> Result<()> {
    let target = &options.target;
    let request = target.request(EXTENSIONS);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut attempts = Vec::new();
    for slot in 0..options.connections {
        attempts.push(Attempt::start(target, &request, slot, &epoll)?);
    }
    let mut meter = Meter::start(options)?;
    let mut events = Vec::with_capacity(256);
    while meter.runs()? {
        events.clear();
        let timeout = Timespec::try_from(TIMEOUT)?;
        if epoll::wait(&epoll, spare_capacity(&mut events), Some(&timeout))? == 0 {
            return Err(format!("no handshake was answered for {TIMEOUT:?}").into());
        }
        for event in &events {
            let slot = event.data.u64() as usize;
            let attempt = &mut attempts[slot];
            if attempt.answered(target, &request)? {
                meter.count(1, attempt.since.elapsed());
                // Dropping the old connection resets it and removes it from the epoll.
                attempts[slot] = Attempt::start(target, &request, slot, &epoll)?;
            }
        }
    }
    meter.stop()?.print();
    Ok(())
}

struct Attempt {
    stream: TcpStream,
    since: Instant,
    head: Vec<u8>,
}

impl Attempt {
    /// Connects and sends the request. Connecting on one machine takes no time, because the kernel accepts on its own
    /// until the server's backlog is full.
    fn start(target: &Target, request: &[u8], slot: usize, epoll: &OwnedFd) -> Result<Self> {
        let since = Instant::now();
        let mut stream = target.connect()?;
        stream.write_all(request)?;
        stream.set_nonblocking(true)?;
        epoll::add(epoll, &stream, EventData::new_u64(slot as u64), EventFlags::IN)?;
        Ok(Self { stream, since, head: Vec::new() })
    }

    /// Returns `true` if the server has done its part. Without a protocol it sends the request back: only a reply
    /// proves that the server has accepted the connection.
    fn answered(&mut self, target: &Target, request: &[u8]) -> Result<bool> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err("the server closed instead of answering the handshake".into()),
            Ok(read) => self.head.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if target.raw { Ok(self.head == request) } else { target.opened(&self.head) }
    }
}
