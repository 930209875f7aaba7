//! Loads an echo server and tells what that costs it.
//!
//! `load --pid PID --url ws://127.0.0.1:PORT/echo [--connections N] [--payload BYTES] [--depth N]
//! [--seconds S]` keeps `depth` binary messages in flight on each connection and checks every echo.
//! `load --pid PID --url .. --idle N` opens connections, lets them be, and tells the server's memory.
//! With a `tcp://` URL there is no protocol, just the same number of bytes.
//!
//! It uses no WebSocket library: frames are masked once before the start, replies compared byte by byte.

use std::{
    error::Error,
    fs,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use rustix::event::epoll;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse()?;
    if options.idle > 0 { idle(&options) } else { load(&options) }
}

struct Options {
    pid: u32,
    url: String,
    connections: usize,
    payload: usize,
    depth: usize,
    seconds: f64,
    idle: usize,
}

impl Options {
    fn parse() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = Self {
            pid: 0,
            url: String::new(),
            connections: 100,
            payload: 20,
            depth: 1,
            seconds: 3.0,
            idle: 0,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("pid") => options.pid = parser.value()?.parse()?,
                Long("url") => options.url = parser.value()?.string()?,
                Long("connections") => options.connections = parser.value()?.parse()?,
                Long("payload") => options.payload = parser.value()?.parse()?,
                Long("depth") => options.depth = parser.value()?.parse()?,
                Long("seconds") => options.seconds = parser.value()?.parse()?,
                Long("idle") => options.idle = parser.value()?.parse()?,
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}

/// One connection of the generator.
struct Peer {
    stream: TcpStream,
    /// How much of the expected bytes of the reply in progress has come.
    matched: usize,
    in_flight: usize,
}

fn load(options: &Options) -> Result<(), Box<dyn Error>> {
    let (request, reply) = exchange(options);
    let batch = request.repeat(options.depth);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut peers = Vec::new();
    for index in 0..options.connections {
        let stream = open(&options.url)?;
        stream.set_nonblocking(true)?;
        epoll::add(&epoll, &stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
        peers.push(Peer { stream, matched: 0, in_flight: 0 });
    }
    for peer in &mut peers {
        write_all(&mut peer.stream, &batch)?;
        peer.in_flight = options.depth;
    }

    let warm_up = Duration::from_secs_f64(options.seconds / 5.0);
    let started = Instant::now();
    let (mut measured_from, mut cpu_from, mut messages) = (None, 0.0, 0_u64);
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let elapsed = started.elapsed();
        if measured_from.is_none() && elapsed >= warm_up {
            (measured_from, cpu_from, messages) = (Some(Instant::now()), cpu_seconds(options.pid)?, 0);
        }
        if elapsed.as_secs_f64() >= options.seconds * 1.2 {
            break;
        }
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let peer = &mut peers[usize::try_from(event.data.u64())?];
            let read = match peer.stream.read(&mut buffer) {
                Ok(0) => return Err("the server closed".into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            };
            let answered = check(&buffer[..read], &reply, &mut peer.matched)?;
            peer.in_flight -= answered;
            messages += answered as u64;
            if peer.in_flight == 0 {
                write_all(&mut peer.stream, &batch)?;
                peer.in_flight = options.depth;
            }
        }
    }
    let wall = measured_from.map_or(0.0, |from| from.elapsed().as_secs_f64());
    let cpu = cpu_seconds(options.pid)? - cpu_from;
    println!(
        "{:.0} messages/s, {:.3} us of server CPU per message, {:.0} round trips per CPU second",
        messages as f64 / wall,
        cpu / messages as f64 * 1e6,
        messages as f64 / cpu,
    );
    Ok(())
}

fn idle(options: &Options) -> Result<(), Box<dyn Error>> {
    let (request, reply) = exchange(options);
    // What the first connections cost once is not theirs.
    let mut warm: Vec<_> = (0..32).map(|_| open(&options.url)).collect::<Result<_, _>>()?;
    for stream in &mut warm {
        echo_once(stream, &request, &reply)?;
    }
    let before = resident(options.pid)?;
    let mut streams = Vec::new();
    for _ in 0..options.idle {
        let mut stream = open(&options.url)?;
        // Every connection has been used once.
        echo_once(&mut stream, &request, &reply)?;
        streams.push(stream);
    }
    let after = resident(options.pid)?;
    println!(
        "{} idle connections: {} bytes resident each ({} KiB before, {} KiB after)",
        options.idle,
        after.saturating_sub(before) / options.idle,
        before >> 10,
        after >> 10,
    );
    Ok(())
}

fn echo_once(stream: &mut TcpStream, request: &[u8], reply: &[u8]) -> io::Result<()> {
    stream.write_all(request)?;
    let mut received = vec![0; reply.len()];
    stream.read_exact(&mut received)?;
    if received == reply { Ok(()) } else { Err(io::Error::other("the echo differs")) }
}

/// What is sent for each message, and what has to come back.
fn exchange(options: &Options) -> (Vec<u8>, Vec<u8>) {
    let payload: Vec<u8> = (0..options.payload).map(|at| (at % 251) as u8).collect();
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let masked = payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]);
    let mut request = header(options.payload, 0x80);
    request.extend_from_slice(&key);
    request.extend(masked);
    let mut reply = header(options.payload, 0);
    reply.extend_from_slice(&payload);
    if options.url.starts_with("tcp://") { (request.clone(), request) } else { (request, reply) }
}

fn header(len: usize, mask: u8) -> Vec<u8> {
    match len {
        0..=125 => vec![0x82, mask | len as u8],
        126..=0xFFFF => [&[0x82, mask | 126][..], &(len as u16).to_be_bytes()].concat(),
        _ => [&[0x82, mask | 127][..], &(len as u64).to_be_bytes()].concat(),
    }
}

/// Compares what came with what must come, over and over, and counts the whole replies.
fn check(mut received: &[u8], reply: &[u8], matched: &mut usize) -> Result<usize, Box<dyn Error>> {
    let mut whole = 0;
    while !received.is_empty() {
        let expected = &reply[*matched..];
        let len = expected.len().min(received.len());
        if received[..len] != expected[..len] {
            return Err("the echo differs".into());
        }
        received = &received[len..];
        *matched += len;
        if *matched == reply.len() {
            *matched = 0;
            whole += 1;
        }
    }
    Ok(whole)
}

fn open(url: &str) -> Result<TcpStream, Box<dyn Error>> {
    let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    if scheme == "tcp" {
        return Ok(stream);
    }
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(format!("the server answered {}", String::from_utf8_lossy(&head)).into());
    }
    Ok(stream)
}

/// Writes all, waiting for the server to read if need be; it never has to wait for this end to read,
/// because what is in flight fits into the sockets' buffers.
fn write_all(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The user and system time of a process so far.
fn cpu_seconds(pid: u32) -> Result<f64, Box<dyn Error>> {
    // Nanoseconds on a processor, of each thread; finer than the ticks in `stat`.
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += schedstat.split(' ').next().ok_or("no time in schedstat")?.parse::<u64>()?;
    }
    Ok(nanos as f64 / 1e9)
}

/// The resident memory of a process, in bytes.
fn resident(pid: u32) -> Result<usize, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kib: usize = line.split_whitespace().nth(1).ok_or("no VmRSS")?.parse()?;
    Ok(kib << 10)
}
