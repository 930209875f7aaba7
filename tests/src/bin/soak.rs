//! Soak test: loads an echo server for a long time with clients of all kinds, and reports lost messages and leaks.
//!
//! `soak SERVER [--minutes N] [--workers N] [--seed N]` starts the server program twice, once with TLS, both with
//! compression. Workers connect with either adapter, with and without TLS and compression. They send messages of all
//! sizes, with several in flight, and check every echo. They leave with a Close, without a Close, or with a reset in
//! the middle of a frame. A few never leave.
//!
//! Every ten seconds it prints the counts of the workers and the memory, descriptors and threads of the servers. It
//! fails if an echo was wrong, if an orderly end was not clean, if descriptors are left open, or if memory grows in
//! the second half by more than 1 MiB in ten minutes.

use std::{
    env,
    error::Error,
    fs,
    path::PathBuf,
    process::{Command, exit},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use ws_std::{CloseCode, Deflate, Message};
use ws_tests::{
    Folder, Process, Raw,
    certificates::Authority,
    either::{Adapter, Client, WebSocket},
    eventually,
    wire::Frame,
};

/// Time between two lines of figures.
const LOOK: Duration = Duration::from_secs(10);
/// Pause of a worker after each batch, so that the machine stays usable.
const REST: Duration = Duration::from_millis(5);
/// Maximum growth of a server's memory in ten minutes, in KiB.
const MAX_GROWTH: f64 = 1024.0;

fn main() {
    match Options::parse().map_err(Into::into).and_then(|options| soak(&options)) {
        Ok(true) => {}
        Ok(false) => exit(1),
        Err(error) => {
            eprintln!("soak: {error}");
            exit(1);
        }
    }
}

struct Options {
    server: PathBuf,
    minutes: f64,
    workers: u64,
    seed: u64,
}

impl Options {
    fn parse() -> Result<Self, &'static str> {
        const USAGE: &str = "usage: soak SERVER [--minutes N] [--workers N] [--seed N]";
        let mut arguments = env::args().skip(1);
        let server = arguments.next().ok_or(USAGE)?.into();
        let mut options = Self { server, minutes: 20.0, workers: 16, seed: 1 };
        while let Some(name) = arguments.next() {
            let value: f64 = arguments.next().and_then(|value| value.parse().ok()).ok_or(USAGE)?;
            match &*name {
                "--minutes" => options.minutes = value,
                "--workers" => options.workers = value as u64,
                "--seed" => options.seed = value as u64,
                _ => return Err(USAGE),
            }
        }
        Ok(options)
    }
}

/// Counts of all actions so far.
#[derive(Default)]
struct Done {
    messages: AtomicU64,
    bytes: AtomicU64,
    connections: AtomicU64,
    errors: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// A server under load.
struct Server {
    _process: Process,
    pid: u32,
    url: String,
    /// Resident memory over time: seconds and KiB.
    memory: Vec<(f64, f64)>,
}

fn soak(options: &Options) -> Result<bool, Box<dyn Error>> {
    let certificates = Folder::new();
    let mut servers = [Server::start(options, None)?, Server::start(options, Some(&certificates))?];
    let descriptors = servers.each_ref().map(|server| count(server.pid, "fd"));
    let done = Done::default();
    let began = Instant::now();
    let end = began + Duration::from_secs_f64(options.minutes * 60.0);
    thread::scope(|scope| {
        for number in 0..options.workers {
            let urls = servers.each_ref().map(|server| server.url.clone());
            let random = Random(options.seed << 32 | (number + 1));
            let done = &done;
            scope.spawn(move || Worker { urls, random, done, stays: number < 4 }.work());
        }
        while Instant::now() < end && done.errors().is_empty() {
            // The loop samples figures over time. It does not wait for an event.
            thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
            for server in &mut servers {
                server.memory.push((began.elapsed().as_secs_f64(), resident(server.pid)));
            }
            report(&done, began, &servers);
        }
        done.over.store(true, Relaxed);
    });
    for (server, before) in servers.iter().zip(descriptors) {
        eventually("the server has closed what it accepted", || count(server.pid, "fd") <= before);
    }
    Ok(verdict(&done, &servers))
}

fn report(done: &Done, began: Instant, servers: &[Server]) {
    let figure = |server: &Server| {
        let (memory, pid) = (resident(server.pid), server.pid);
        format!("{memory:.0} KiB, {} fds, {} threads", count(pid, "fd"), count(pid, "task"))
    };
    println!(
        "{:5.0} s  {} messages, {} MiB, {} connections; plain: {}; TLS: {}",
        began.elapsed().as_secs_f64(),
        done.messages.load(Relaxed),
        done.bytes.load(Relaxed) >> 20,
        done.connections.load(Relaxed),
        figure(&servers[0]),
        figure(&servers[1]),
    );
}

fn verdict(done: &Done, servers: &[Server]) -> bool {
    let errors = done.errors();
    for error in errors.iter().take(10) {
        println!("error: {error}");
    }
    let mut flat = true;
    for server in servers {
        let slope = slope(&server.memory[server.memory.len() / 2..]) * 600.0;
        println!("{}: memory grew by {slope:.0} KiB in ten minutes of the second half", server.url);
        flat &= slope < MAX_GROWTH;
    }
    let lost = errors.len();
    println!(
        "{} messages over {} connections, {lost} errors, all descriptors back",
        done.messages.load(Relaxed),
        done.connections.load(Relaxed)
    );
    lost == 0 && flat
}

impl Server {
    fn start(options: &Options, certificates: Option<&Folder>) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(&options.server);
        command.args(["--listen", "127.0.0.1:0", "--deflate"]);
        // With an arena for each thread, the memory of the allocator grows in steps that have other causes.
        command.env("MALLOC_ARENA_MAX", "1");
        if let Some(folder) = certificates {
            let identity = Authority::shared().server();
            fs::write(folder.file("chain.pem"), identity.chain)?;
            fs::write(folder.file("key.pem"), identity.key)?;
            command.arg("--tls-cert").arg(folder.file("chain.pem"));
            command.arg("--tls-key").arg(folder.file("key.pem"));
        }
        let mut process = Process::start(&mut command);
        let line = process.line();
        let url = line.strip_prefix("listening on ").ok_or_else(|| format!("the server said: {line}"))?;
        Ok(Self { pid: process.id(), _process: process, url: url.to_owned(), memory: Vec::new() })
    }
}

struct Worker<'d> {
    /// URLs of the plain server and of the server with TLS.
    urls: [String; 2],
    random: Random,
    done: &'d Done,
    /// `true` if the worker keeps one connection for the whole run.
    stays: bool,
}

impl Worker<'_> {
    fn work(mut self) {
        while !self.done.over.load(Relaxed) {
            if let Err(error) = self.visit() {
                self.done.errors().push(error.to_string());
            }
        }
    }

    /// Runs one connection from its opening to its end.
    fn visit(&mut self) -> Result<(), Box<dyn Error>> {
        self.done.connections.fetch_add(1, Relaxed);
        if self.random.below(20) == 0 {
            return self.visit_rudely();
        }
        let url = &self.urls[self.random.below(2)];
        let adapter = [Adapter::Std, Adapter::Smol][self.random.below(2)];
        let compresses = self.random.below(2) == 0;
        let client = Client::new(adapter, url).tls(Authority::shared().trusted());
        let mut ws = client
            .configure(|config| {
                config.max_message_size = 4 << 20;
                config.deflate = compresses.then(Deflate::default);
            })
            .read_timeout(Duration::from_secs(30))
            .connect()?;
        let batches = if self.stays { usize::MAX } else { self.random.below(20) };
        for _ in 0..batches {
            self.exchange(&mut ws)?;
            if self.done.over.load(Relaxed) {
                break;
            }
            // The load is steady and below the maximum.
            thread::sleep(REST);
        }
        if self.random.below(4) > 0 {
            ws.close(CloseCode::NORMAL_CLOSURE, "bye")?;
            if !ws.close_info().was_clean {
                return Err(format!("the end was not was_clean: {}", ws.close_info()).into());
            }
        }
        Ok(())
    }

    /// Sends several messages at once and checks their echoes.
    fn exchange(&mut self, ws: &mut WebSocket) -> Result<(), Box<dyn Error>> {
        let messages = (0..=self.random.below(8)).map(|_| self.random.message()).collect::<Vec<_>>();
        for message in &messages {
            ws.feed(message.as_borrowed())?;
        }
        for message in &messages {
            match ws.receive()? {
                Some(echo) if echo == *message => {}
                other => return Err(format!("instead of {message:?} came {other:?}").into()),
            }
            self.done.messages.fetch_add(1, Relaxed);
            self.done.bytes.fetch_add(message.len() as u64, Relaxed);
        }
        Ok(())
    }

    /// Disconnects in the middle of a frame or of the handshake.
    fn visit_rudely(&mut self) -> Result<(), Box<dyn Error>> {
        let address = self.urls[0].trim_start_matches("ws://").trim_end_matches('/').parse()?;
        let frame = Frame::text("cut off in the middle").masked().encode();
        let cut = self.random.below(frame.len());
        match self.random.below(3) {
            0 => Raw::connect(address).write("GET / HTTP/1.1\r\nHost: a"),
            1 => Raw::open(address, "/").write(&frame[..cut]),
            _ => {
                let raw = Raw::open(address, "/");
                raw.write(&frame[..cut]);
                raw.reset();
            }
        }
        Ok(())
    }
}

impl Done {
    fn errors(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.errors.lock().expect("no worker panics with it")
    }
}

/// Pseudo-random numbers (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 16) % end as u64) as usize
    }

    /// Returns a random message: mostly small, rarely large, text or binary, repetitive or not.
    fn message(&mut self) -> Message<'static> {
        let magnitude = [4, 7, 7, 10, 10, 12, 14, 16, 20][self.below(9)];
        let len = self.below(1 << magnitude);
        let start = self.below(251);
        match self.below(3) {
            0 => Message::from(
                (0..len).map(|at| char::from(b' ' + ((at * start) % 95) as u8)).collect::<String>(),
            ),
            1 => Message::from(vec![start as u8; len]),
            _ => Message::from((0..len).map(|_| self.next() as u8).collect::<Vec<_>>()),
        }
    }
}

/// Returns the number of entries in this folder of a process below `/proc`.
fn count(pid: u32, what: &str) -> usize {
    fs::read_dir(format!("/proc/{pid}/{what}")).map_or(0, Iterator::count)
}

/// Returns the resident memory of a process in KiB.
fn resident(pid: u32) -> f64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4.0
}

/// Returns the slope of the line of best fit through these points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let over = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>();
    let under = points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>();
    if under > 0.0 { over / under } else { 0.0 }
}
