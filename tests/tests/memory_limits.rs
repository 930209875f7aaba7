//! Servers with little address space, besieged by clients that each begin a message of about 1 MiB. `SIEGE_CONNECTIONS`
//! sets the number of clients, for example 4000, and then the memory limit of the server is the default.

use std::{
    env,
    net::SocketAddr,
    process::Command,
    sync::Mutex,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use ws_tests::{
    Process, Raw, besieging,
    either::Adapter,
    eventually, siege,
    wire::{self, Frame},
    with_both_adapters,
};

with_both_adapters! {
    a_server_survives_plain_messages_that_never_end
    a_server_survives_compressed_messages_that_never_end
    a_server_with_little_address_space_survives_many_connections
}

const MIB: usize = 1 << 20;
/// Size of the address space of a thread: its stack, and the data of the C library.
const THREAD: usize = 2 * MIB + (64 << 10);
/// Resident memory of a thread that has served a connection, in a build without optimization.
const TOUCHED: usize = 64 << 10;
/// Memory for everything except messages: code, handshakes, codecs and buffers.
const BASE: usize = 192 * MIB;
/// Maximum time of an echo of the polite client.
const LATENCY: Duration = siege::LATENCY;

/// A server in a process of its own.
struct Limited {
    process: Process,
    address: SocketAddr,
}

/// Memory of a server in bytes, and the number of connections that it has closed.
#[derive(Debug)]
struct Figures {
    counted: usize,
    resident: usize,
    evicted: u64,
}

impl Limited {
    fn start(adapter: Adapter, budget: &str, space: usize) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limited_server"));
        // The C library would reserve 64 MiB of address space for each of several arenas.
        command.env("MALLOC_ARENA_MAX", "1");
        Self::start_with(&mut command, adapter, budget, space)
    }

    fn start_with(command: &mut Command, adapter: Adapter, budget: &str, space: usize) -> Self {
        command.arg(if adapter == Adapter::Std { "std" } else { "smol" }).arg(budget).arg(space.to_string());
        let mut process = Process::start(command);
        let address = process.line().parse().unwrap();
        Self { process, address }
    }

    fn figures(&mut self) -> Figures {
        self.process.write_line("");
        let line = self.process.line();
        let figures = line.split(' ').map(|figure| figure.parse().unwrap()).collect::<Vec<usize>>();
        Figures { counted: figures[0], resident: figures[1], evicted: figures[2] as u64 }
    }
}

fn a_server_survives_plain_messages_that_never_end(adapter: Adapter) {
    besiege(adapter, &besieging::begun_plain(), |address| Raw::open(address, "/"));
}

fn a_server_survives_compressed_messages_that_never_end(adapter: Adapter) {
    besiege(adapter, &besieging::begun_compressed(), besieging::open_compressed);
}

/// Returns the next frame except for keepalive pings, which this answers.
fn answer(raw: &mut Raw) -> Frame {
    loop {
        let frame = raw.frame();
        if frame.opcode != Frame::PING {
            return frame;
        }
        raw.send(Frame::new(Frame::PONG, frame.payload));
    }
}

fn a_server_with_little_address_space_survives_many_connections(adapter: Adapter) {
    for space in (20..60).step_by(5) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limited_server"));
        let mut server = Limited::start_with(&mut command, adapter, "-", space * MIB);
        let raws = [(); 100].map(|()| {
            let raw = Raw::connect(server.address);
            // The server may have refused the connection.
            let _ = raw.try_write("GET / HTTP/1.1\r");
            raw
        });
        assert_eq!(server.figures().evicted, 0);
        drop(raws);
        eventually("it serves again", || {
            let mut raw = Raw::connect(server.address);
            let asked = raw.try_write(wire::request("/", &[]));
            asked.is_ok() && raw.try_head().is_ok_and(|head| head.starts_with("HTTP/1.1 101 "))
        });
    }
}

fn besiege(adapter: Adapter, begun: &[u8], open: impl Fn(SocketAddr) -> Raw) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock();
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).unwrap();
    let asked = env::var("SIEGE_CONNECTIONS").ok().map(|clients| clients.parse().unwrap());
    let clients = asked.unwrap_or(256);
    let budget = if asked.is_some() { 256 * MIB } else { 32 * MIB };
    let threads = if adapter == Adapter::Std { clients + 8 } else { 8 };
    let space = BASE + budget + threads * THREAD;
    let mut server = Limited::start(adapter, &budget.to_string(), space);
    let mut polite = Raw::open(server.address, "/");
    let (mut longest, mut most, mut largest) = (Duration::ZERO, 0, 0);
    let mut raws = Vec::new();
    for number in 0..clients {
        let raw = open(server.address);
        // The server may close the connection meanwhile.
        let _ = raw.try_write(begun);
        raws.push(raw);
        if number % 8 == 0 || number + 1 == clients {
            let asked = Instant::now();
            polite.send(Frame::text("still here"));
            assert_eq!(answer(&mut polite), Frame::text("still here"));
            longest = longest.max(asked.elapsed());
            let figures = server.figures();
            (most, largest) = (most.max(figures.counted), largest.max(figures.resident));
        }
    }
    eventually("the limit is kept", || server.figures().counted <= budget);
    let figures = server.figures();
    println!(
        "{adapter:?}, {clients} clients, {} bytes each: at most {} MiB counted of {} MiB, {} MiB resident, the longest \
         echo {longest:?}, {figures:?}",
        begun.len(),
        most >> 20,
        budget >> 20,
        largest >> 20,
    );
    assert!(figures.evicted as usize >= clients - budget / (900 << 10) - 1, "{figures:?}");
    // Each thread may grow by one turn before the server ends connections.
    assert!(most <= budget + budget / 8, "{most}");
    assert!(largest < budget + BASE + threads * TOUCHED, "{largest}");
    assert!(longest < LATENCY, "{longest:?}");
}
