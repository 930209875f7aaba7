//! CPU cost of a broadcast from one thread: `ws-smol` beside raw writes of the same bytes and `tokio-tungstenite`
//! with a clone for each peer.
//!
//! `cargo bench -p ws-benches --bench broadcast -- [--subscribers N] [--payload BYTES] [--rounds N]`
//!
//! All candidates run in the same thread, in turns. Another thread reads for all subscribers and reports when each
//! has received everything. Only then does the next round begin. The result is the CPU time of the sending thread.

use std::{
    error::Error,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use rustix::{
    event::epoll,
    time::{ClockId, clock_gettime},
};
use tokio::sync::mpsc as tokio_mpsc;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use ws_smol::{Callbacks, Server, Sessions};

/// Number of broadcasts in each timed batch.
const BATCH: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse()?;
    let mut contestants: Vec<Box<dyn Contestant>> = vec![
        Box::new(Raw::start(&options)?),
        Box::new(Ours::start(&options)?),
        Box::new(Theirs::start(&options)?),
    ];
    for contestant in &mut contestants {
        contestant.batch();
    }
    let before = resident();
    let mut costs = vec![Vec::new(); contestants.len()];
    for _ in 0..options.rounds {
        for (contestant, costs) in contestants.iter_mut().zip(&mut costs) {
            let began = thread_time();
            contestant.batch();
            let deliveries = BATCH * options.subscribers;
            costs.push((thread_time() - began).as_nanos() as f64 / deliveries as f64 / 1000.0);
        }
    }
    let grown = resident().saturating_sub(before);
    let medians = costs.iter_mut().map(|costs| median(costs)).collect::<Vec<_>>();
    println!(
        "{} subscribers, {} B, CPU of the sending thread per delivery (median of {}):",
        options.subscribers, options.payload, options.rounds
    );
    for (contestant, &cost) in contestants.iter().zip(&medians) {
        let ratio = medians[0] / cost;
        println!("{:<18} {cost:6.3} us  {ratio:5.2} of raw's deliveries per CPU second", contestant.name());
    }
    println!("memory grew by {} KiB over {} broadcasts", grown >> 10, options.rounds * BATCH * 3);
    Ok(())
}

/// A broadcaster with its subscribers.
trait Contestant {
    fn name(&self) -> &'static str;

    /// Sends [`BATCH`] messages, each after the one before has reached all subscribers.
    fn batch(&mut self);
}

struct Options {
    subscribers: usize,
    payload: usize,
    rounds: usize,
}

impl Options {
    fn parse() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = Self { subscribers: 1000, payload: 1024, rounds: 15 };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("subscribers") => options.subscribers = parser.value()?.parse()?,
                Long("payload") => options.payload = parser.value()?.parse()?,
                Long("rounds") => options.rounds = parser.value()?.parse()?,
                Long("bench") => {}
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }

    /// Returns a server's frame with this payload.
    fn frame(&self) -> Vec<u8> {
        let mut frame = vec![0x82];
        match self.payload {
            short @ 0..=125 => frame.push(short as u8),
            medium @ 126..=0xFFFF => {
                frame.push(126);
                frame.extend((medium as u16).to_be_bytes());
            }
            long => {
                frame.push(127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + self.payload, 7);
        frame
    }
}

/// The lower bound: the frame is written to each socket.
struct Raw {
    sockets: Vec<TcpStream>,
    frame: Vec<u8>,
    readers: Readers,
}

impl Raw {
    fn start(options: &Options) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (mut sockets, mut clients) = (Vec::new(), Vec::new());
        for _ in 0..options.subscribers {
            clients.push(TcpStream::connect(listener.local_addr()?)?);
            let (socket, _) = listener.accept()?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            sockets.push(socket);
        }
        let frame = options.frame();
        Ok(Self { sockets, readers: Readers::start(clients, frame.len()), frame })
    }
}

impl Contestant for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn batch(&mut self) {
        for _ in 0..BATCH {
            for socket in &mut self.sockets {
                socket.write_all(&self.frame).expect("room in the socket");
            }
            self.readers.wait();
        }
    }
}

/// A broadcast to sessions of `ws-smol`.
struct Ours {
    executor: smol::LocalExecutor<'static>,
    sessions: Sessions,
    payload: Vec<u8>,
    readers: Readers,
}

impl Ours {
    fn start(options: &Options) -> Result<Self, Box<dyn Error>> {
        let sessions = Sessions::new();
        let server = Server::new().mount("/", Callbacks::new().sessions(&sessions));
        let server = server.configure(|config| config.keepalive = None);
        let listener = server.listen_options(|options| options.backlog = 4096).bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let executor = smol::LocalExecutor::new();
        executor.spawn(async move { listener.serve().await.expect("a server") }).detach();
        let clients = open_all(address, options.subscribers);
        smol::block_on(executor.run(async {
            while sessions.len() < options.subscribers {
                smol::Timer::after(Duration::from_millis(1)).await;
            }
        }));
        let readers = Readers::start(clients.join().expect("clients"), options.frame().len());
        Ok(Self { executor, sessions, payload: vec![7; options.payload], readers })
    }
}

impl Contestant for Ours {
    fn name(&self) -> &'static str {
        "ws-smol"
    }

    fn batch(&mut self) {
        let Self { executor, sessions, payload, readers } = self;
        smol::block_on(executor.run(async {
            for _ in 0..BATCH {
                sessions.broadcast(&**payload);
                readers.done.recv_async().await;
            }
        }));
    }
}

/// `tokio-tungstenite` as chat servers use it: a queue and a task for each peer, a clone for each queue.
struct Theirs {
    runtime: tokio::runtime::Runtime,
    peers: Vec<tokio_mpsc::UnboundedSender<Message>>,
    payload: Bytes,
    readers: Readers,
}

impl Theirs {
    fn start(options: &Options) -> Result<Self, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (peers, clients) = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let clients = open_all(listener.local_addr()?, options.subscribers);
            let mut peers = Vec::new();
            for _ in 0..options.subscribers {
                let (socket, _) = listener.accept().await?;
                socket.set_nodelay(true)?;
                let ws = tokio_tungstenite::accept_async(socket).await?;
                let (mut sink, mut stream) = ws.split();
                let (peer, mut messages) = tokio_mpsc::unbounded_channel();
                tokio::spawn(async move {
                    while let Some(message) = messages.recv().await {
                        sink.send(message).await.expect("room in the socket");
                    }
                });
                tokio::spawn(async move { while stream.next().await.is_some() {} });
                peers.push(peer);
            }
            Ok::<_, Box<dyn Error>>((peers, clients))
        })?;
        let readers = Readers::start(clients.join().expect("clients"), options.frame().len());
        Ok(Self { runtime, peers, payload: vec![7; options.payload].into(), readers })
    }
}

impl Contestant for Theirs {
    fn name(&self) -> &'static str {
        "tokio-tungstenite"
    }

    fn batch(&mut self) {
        let Self { runtime, peers, payload, readers } = self;
        runtime.block_on(async {
            for _ in 0..BATCH {
                let message = Message::Binary(payload.clone());
                for peer in &*peers {
                    peer.send(message.clone()).expect("a task");
                }
                readers.done.recv_async().await;
            }
        });
    }
}

/// Opens WebSockets in another thread, because the server runs in this one.
fn open_all(address: SocketAddr, count: usize) -> thread::JoinHandle<Vec<TcpStream>> {
    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    thread::spawn(move || {
        let open = |_| {
            let mut client = TcpStream::connect(address).expect("a server");
            client.write_all(REQUEST.as_bytes()).expect("a server");
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                client.read_exact(&mut byte).expect("a response");
                head.push(byte[0]);
            }
            client
        };
        (0..count).map(open).collect()
    })
}

/// A thread that reads for all subscribers.
struct Readers {
    done: Done,
}

/// A notification that all subscribers have received everything.
struct Done(smol::channel::Receiver<()>);

impl Done {
    async fn recv_async(&self) {
        self.0.recv().await.expect("a reader");
    }
}

impl Readers {
    fn start(clients: Vec<TcpStream>, frame: usize) -> Self {
        let (sender, receiver) = smol::channel::unbounded();
        let expected = clients.len() * frame;
        thread::spawn(move || {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
            for (index, client) in clients.iter().enumerate() {
                client.set_nonblocking(true).expect("a socket");
                let data = epoll::EventData::new_u64(index as u64);
                epoll::add(&epoll, client, data, epoll::EventFlags::IN).expect("epoll");
            }
            let mut buffer = vec![0; 64 << 10];
            let mut events = Vec::with_capacity(1024);
            let mut left = expected;
            loop {
                events.clear();
                epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None).expect("epoll");
                for event in &events {
                    match (&clients[event.data.u64() as usize]).read(&mut buffer) {
                        Ok(0) => return,
                        Ok(read) => left -= read,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                if left == 0 {
                    left = expected;
                    if sender.send_blocking(()).is_err() {
                        return;
                    }
                }
            }
        });
        Self { done: Done(receiver) }
    }

    fn wait(&self) {
        self.done.0.recv_blocking().expect("a reader");
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns the resident memory of the process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
