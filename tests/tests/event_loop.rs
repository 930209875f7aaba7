//! The servers that embed the core in their own event loop, tested from the network: the example, and the fast one of the
//! benches.

use std::{io::Write as _, net::SocketAddr, path::PathBuf, process::Command, sync::LazyLock, thread};

use ws_std::{Client, CloseCode, Message, WebSocket};
use ws_tests::{Process, Raw, bench_program, bounded, programs_of, wire::Frame};

static EXAMPLE: LazyLock<PathBuf> = LazyLock::new(|| programs_of(&["ws-core"]).join("event_loop"));
static FAST: LazyLock<PathBuf> = LazyLock::new(|| bench_program("event_loop"));

struct EventLoop {
    _process: Process,
    url: String,
    /// Maximum size of a message in bytes.
    limit: usize,
}

impl EventLoop {
    fn example() -> Self {
        Self::start(Command::new(&*EXAMPLE).arg("127.0.0.1:0"), 1 << 20)
    }

    fn fast(options: &[&str]) -> Self {
        Self::start(Command::new(&*FAST).args(["--listen", "127.0.0.1:0"]).args(options), 64 << 20)
    }

    fn start(command: &mut Command, limit: usize) -> Self {
        let mut process = Process::start(command);
        let line = process.line();
        let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { _process: process, url, limit }
    }

    fn connect(&self) -> WebSocket {
        Client::new(&self.url).configure(|config| config.max_message_size = 64 << 20).connect().unwrap()
    }

    fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("ws://").trim_end_matches('/').parse().unwrap()
    }
}

/// Runs `body` with the programs built before the clock starts.
fn bounded_with_programs(body: impl FnOnce() + Send + 'static) {
    LazyLock::force(&EXAMPLE);
    LazyLock::force(&FAST);
    bounded(body);
}

/// Runs `body` for each of the servers.
fn with_each(body: fn(EventLoop)) {
    bounded_with_programs(move || {
        body(EventLoop::example());
        body(EventLoop::fast(&[]));
    });
}

#[test]
fn messages_of_every_size_and_kind_come_back_as_they_were() {
    with_each(|server| {
        let mut ws = server.connect();
        let sizes = [0, 1, 125, 126, 16_383, 16_384, 65_535, 65_536, 98_304, 1 << 20, 5 << 20];
        for size in sizes.into_iter().filter(|size| *size <= server.limit) {
            for message in [Message::from("ü".repeat(size / 2)), Message::from(vec![7; size])] {
                ws.send(message.as_borrowed()).unwrap();
                assert!(ws.receive().unwrap() == Some(message), "{size} bytes");
            }
        }
        ws.close(CloseCode::NORMAL_CLOSURE, "bye").unwrap();
        assert!(ws.close_info().unwrap().was_clean);
    });
}

#[test]
fn messages_fragments_and_pings_of_one_write_are_answered_in_order() {
    with_each(|server| {
        let mut raw = Raw::open(server.address(), "/");
        let mut bytes = Vec::new();
        for number in 0..500 {
            bytes.extend(Frame::text(&format!("message {number}")).masked().encode());
        }
        bytes.extend(Frame::text("be").unfinished().masked().encode());
        bytes.extend(Frame::new(Frame::PING, "?").masked().encode());
        bytes.extend(Frame::new(Frame::CONTINUATION, "gun").masked().encode());
        raw.write(&bytes);
        for number in 0..500 {
            assert_eq!(raw.frame(), Frame::text(&format!("message {number}")));
        }
        assert_eq!(raw.frame(), Frame::new(Frame::PONG, "?"));
        assert_eq!(raw.frame(), Frame::text("begun"));
    });
}

#[test]
fn what_a_slow_reader_asked_for_arrives_whole() {
    with_each(|server| {
        const SIZE: usize = 1 << 20;
        const MESSAGES: usize = 32;
        let mut raw = Raw::open(server.address(), "/");
        let mut writing = raw.socket().try_clone().unwrap();
        // More than the buffers of both ends hold. The rest waits in the client until it is read below.
        let asking = thread::spawn(move || {
            for number in 0..MESSAGES {
                let frame = Frame::new(Frame::BINARY, vec![number as u8; SIZE]).masked();
                writing.write_all(&frame.encode()).unwrap();
            }
        });
        for number in 0..MESSAGES {
            // On a busy machine this may take long enough for a keepalive ping.
            let frames = std::iter::from_fn(|| raw.next_frame());
            let frame = frames.into_iter().find(|frame| frame.opcode != Frame::PING).expect("an answer");
            assert!(frame == Frame::new(Frame::BINARY, vec![number as u8; SIZE]), "message {number}");
        }
        asking.join().unwrap();
    });
}

#[test]
fn all_sessions_receive_all_broadcasts_in_order() {
    bounded_with_programs(|| {
        let server = EventLoop::fast(&["--broadcast"]);
        let mut everyone: Vec<_> = (0..20).map(|_| server.connect()).collect();
        // Each client has been served once, so all are connected.
        for ws in &mut everyone {
            ws.ping(b"here").unwrap();
            ws.receive_event().unwrap();
        }
        let messages: Vec<_> = (0..50).map(|number| format!("{number}").repeat(100)).collect();
        for message in &messages {
            everyone[3].feed(&**message).unwrap();
        }
        everyone[3].flush().unwrap();
        for ws in &mut everyone {
            for message in &messages {
                assert_eq!(ws.receive().unwrap().unwrap(), **message);
            }
        }
    });
}

#[test]
fn plain_requests_are_answered_and_violations_closed() {
    with_each(|server| {
        let mut raw = Raw::connect(server.address());
        raw.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(raw.head().starts_with("HTTP/1.1 426 "));
        let mut raw = Raw::open(server.address(), "/");
        raw.write(Frame::text("unmasked").encode());
        assert_eq!(raw.frame().code_and_reason().0, 1002);
        let mut ws = server.connect();
        ws.send("others are served").unwrap();
        assert_eq!(ws.receive().unwrap().unwrap(), "others are served");
    });
}
