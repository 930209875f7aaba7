//! Clients that keep the server busy. One thread writes for all of them, so that they take little from the polite ones.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ws_benches::{
    frames::{frame, zeros},
    server::open,
};

use crate::Result;

/// Sessions that receive what is broadcast.
const AUDIENCE: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Inflate,
    Large,
    Chain,
    Blocks,
    Plain,
    Tiny,
    Broadcast,
    Control,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Inflate,
        Self::Large,
        Self::Chain,
        Self::Blocks,
        Self::Plain,
        Self::Tiny,
        Self::Broadcast,
        Self::Control,
    ];

    pub(crate) fn parse(name: &str) -> Result<Self, &'static str> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or("there is no such kind")
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Inflate => "inflate",
            Self::Large => "large",
            Self::Chain => "chain",
            Self::Blocks => "blocks",
            Self::Plain => "plain",
            Self::Tiny => "tiny",
            Self::Broadcast => "broadcast",
            Self::Control => "control",
        }
    }

    /// Frames that are written again and again.
    fn frames(self) -> Vec<u8> {
        match self {
            Self::Inflate => frame(0xC2, &zeros(1 << 20)).repeat(64),
            Self::Large => frame(0xC2, &zeros(64 << 20)),
            Self::Chain => frame(0xC2, &[0x03, 0x00].repeat(32 << 10)),
            Self::Blocks => frame(0xC2, &[0x4B, 0x04, 0x00].repeat(21 << 10)),
            Self::Plain => frame(0x82, &vec![0; 64 << 20]),
            Self::Tiny | Self::Broadcast => frame(0x82, &[7]).repeat(10_000),
            Self::Control => frame(0x8A, &[]).repeat(10_000),
        }
    }
}

pub(crate) struct Running {
    is_over: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    began: Instant,
    thread: JoinHandle<()>,
}

impl Running {
    /// Stops, and returns how many bytes were written in a second.
    pub(crate) fn stop(self) -> f64 {
        let written = self.written.load(Relaxed) as f64 / self.began.elapsed().as_secs_f64();
        self.is_over.store(true, Relaxed);
        let _ = self.thread.join();
        written
    }
}

pub(crate) fn start(address: &str, kind: Kind, count: usize) -> Result<Running> {
    let path = if kind == Kind::Broadcast { "/broadcast" } else { "/sink" };
    let busy = (0..count).map(|_| open(address, path)).collect::<Result<Vec<_>, _>>()?;
    let audience = if kind == Kind::Broadcast { AUDIENCE } else { 0 };
    let audience = (0..audience).map(|_| open(address, "/audience")).collect::<Result<Vec<_>, _>>()?;
    for socket in busy.iter().chain(&audience) {
        socket.set_nonblocking(true)?;
    }
    let (is_over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let frames = kind.frames();
    let thread = thread::spawn({
        let (is_over, written) = (is_over.clone(), written.clone());
        move || write_all(&busy, &audience, &frames, &is_over, &written)
    });
    // Warm-up: the kernel's buffers fill, and the load becomes steady. No event marks that moment.
    thread::sleep(Duration::from_millis(500));
    written.store(0, Relaxed);
    Ok(Running { is_over, written, began: Instant::now(), thread })
}

fn write_all(
    busy: &[TcpStream],
    audience: &[TcpStream],
    frames: &[u8],
    is_over: &AtomicBool,
    written: &AtomicU64,
) {
    let mut positions = vec![0; busy.len()];
    let mut buffer = vec![0; 64 << 10];
    while !is_over.load(Relaxed) {
        let mut polled: Vec<_> = busy.iter().map(|socket| PollFd::new(socket, PollFlags::OUT)).collect();
        polled.extend(audience.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let _ = poll(&mut polled, Some(&wait));
        let ready: Vec<_> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        for ((mut socket, position), _) in
            busy.iter().zip(&mut positions).zip(&ready).filter(|(_, is_ready)| **is_ready)
        {
            let end = frames.len().min(*position + (256 << 10));
            match socket.write(&frames[*position..end]) {
                Ok(len) => {
                    *position = (*position + len) % frames.len();
                    written.fetch_add(len as u64, Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    eprintln!("a busy client has lost its connection: {error}");
                    return;
                }
            }
        }
        for (mut socket, _) in audience.iter().zip(&ready[busy.len()..]).filter(|(_, is_ready)| **is_ready) {
            let _ = socket.read(&mut buffer);
        }
    }
}
