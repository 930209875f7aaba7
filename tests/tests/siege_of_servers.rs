//! Servers under attack: memory is bounded, no descriptor leaks, and another client is not affected.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use ws_std::{Config, HandshakeConfig};
use ws_tests::{
    PATIENCE, Raw, Transport, bounded,
    either::{Adapter, Pairing, Route, Running},
    eventually, let_pass,
    siege::{alone, besiege},
    tls::RawTls,
    wire::{self, Frame},
};

const ADAPTERS: [Adapter; 2] = [Adapter::Std, Adapter::Smol];
/// Maximum memory of a connection beside its received bytes: the stack of a thread, buffers for reading and writing,
/// and a TLS session with its own buffers.
const CONNECTION: usize = 256 << 10;
/// Timeout of handshakes that an attack delays.
const SHORT: Duration = Duration::from_millis(300);

/// Attacks a server of each adapter, with and without TLS. The memory limit allows for this number of simultaneous
/// connections.
fn attack(connections: usize, configure: fn(&mut Config), attack: impl Fn(&Target) + Copy + Send + 'static) {
    attack_with(connections, configure, |_| {}, attack);
}

/// As [`attack`], with other limits of the opening handshake.
fn attack_with(
    connections: usize,
    configure: fn(&mut Config),
    limit: fn(&mut HandshakeConfig),
    attack: impl Fn(&Target) + Copy + Send + 'static,
) {
    let _alone = alone();
    bounded(move || {
        for server in ADAPTERS {
            for secure in [false, true] {
                let transport = if secure { Transport::Tls } else { Transport::Plain };
                let pairing = Pairing { client: Adapter::Std, server, transport };
                let prepare = || {
                    let route = Route::echo(server).configure(configure);
                    let server = pairing.serve(route).configure(configure).configure_handshake(limit).start();
                    let mut witness = pairing.client(&server, "/").connect().expect("a connection");
                    let ask = move || {
                        witness.send("still there?").expect("a connection");
                        assert_eq!(witness.message(), "still there?");
                    };
                    (Target { server, secure }, ask)
                };
                besiege(connections * CONNECTION, prepare, attack);
            }
        }
    });
}

struct Target {
    server: Running,
    secure: bool,
}

/// The attacker's end of a connection.
enum Line {
    Plain(Raw),
    Tls(Box<RawTls>),
}

impl Target {
    fn connect(&self) -> Line {
        match self.secure {
            false => Line::Plain(Raw::connect(self.server.address())),
            true => Line::Tls(Box::new(RawTls::connect(self.server.address(), &[]))),
        }
    }

    fn open(&self) -> Line {
        match self.secure {
            false => Line::Plain(Raw::open(self.server.address(), "/")),
            true => Line::Tls(Box::new(RawTls::open(self.server.address()))),
        }
    }

    /// Waits until only the witness is connected.
    fn is_left_alone(&self) {
        eventually("all connections have ended", || self.server.handle().connections() == 1);
    }
}

impl Line {
    fn write(&mut self, bytes: impl AsRef<[u8]>) {
        match self {
            Self::Plain(raw) => raw.write(bytes),
            Self::Tls(raw) => raw.write(bytes),
        }
    }

    fn send(&mut self, frame: Frame) {
        self.write(frame.masked().encode());
    }

    fn frame(&mut self) -> Frame {
        match self {
            Self::Plain(raw) => raw.frame(),
            Self::Tls(raw) => raw.frame().expect("a frame"),
        }
    }

    fn head(&mut self) -> String {
        match self {
            Self::Plain(raw) => raw.head(),
            Self::Tls(raw) => raw.head(),
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(raw) => raw.socket(),
            Self::Tls(raw) => raw.socket(),
        }
    }

    /// Writes below TLS until the other end is gone.
    fn flood(&self, bytes: &[u8]) {
        while self.socket().write_all(bytes).is_ok() {}
    }

    /// Waits for the end of the stream, with or without a reset.
    fn is_ended(&self) {
        let mut buffer = [0; 1000];
        while matches!(self.socket().read(&mut buffer), Ok(1..)) {}
    }
}

#[test]
fn long_or_endless_heads_use_bounded_memory() {
    attack(
        60,
        |_| {},
        |target| {
            let fields = "X-Field: 0123456789\r\n".repeat(60);
            let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n{fields}", "x".repeat(14_000));
            let waiting: Vec<_> = (0..30)
                .map(|_| {
                    let mut line = target.connect();
                    line.write(&long);
                    line
                })
                .collect();
            for head in ["GET /", "GET / HTTP/1.1\r\nX: ", "GET / HTTP/1.1\r\n"] {
                let filling =
                    if head.ends_with('\n') { "X-Many: x\r\n".repeat(200) } else { "x".repeat(2000) };
                let mut line = target.connect();
                line.write(head);
                for _ in 0..20 {
                    line.write(&filling);
                }
                let answer = line.head();
                assert!(
                    answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 414 "),
                    "{answer}"
                );
            }
            drop(waiting);
            target.is_left_alone();
        },
    );
}

#[test]
fn handshakes_that_drip_end_when_their_time_is_up() {
    let configure = |config: &mut Config| config.close_timeout = SHORT;
    let limit = |limits: &mut HandshakeConfig| limits.open_timeout = Some(SHORT);
    attack_with(60, configure, limit, |target| {
        let began = Instant::now();
        let mut lines: Vec<_> = (0..40).map(|_| target.connect()).collect();
        // Half of the TLS clients complete the TLS handshake and then send slowly.
        if target.secure {
            lines.iter_mut().step_by(2).for_each(|line| line.write("G"));
        }
        let drip = |lines: &[Line]| {
            // Below TLS: the start of a record, or of a request.
            let byte = if target.secure { 0x16 } else { b'G' };
            lines.iter().filter(|line| (&mut line.socket()).write_all(&[byte]).is_ok()).count()
        };
        while drip(&lines) > 0 {
            assert!(began.elapsed() < 10 * SHORT + PATIENCE / 2, "they go on for {:?}", began.elapsed());
            let_pass(SHORT / 10);
        }
        lines.iter().for_each(Line::is_ended);
        target.is_left_alone();
    });
}

#[test]
fn slow_frames_use_memory_only_for_received_bytes() {
    attack(
        45,
        |_| {},
        |target| {
            let mut lines: Vec<_> = (0..40).map(|_| target.open()).collect();
            let claim = Frame::new(Frame::BINARY, vec![7; 1 << 20]).masked().encode();
            for at in 0..100 {
                lines.iter_mut().for_each(|line| line.write(&claim[at..=at]));
            }
            drop(lines);
            target.is_left_alone();
        },
    );
}

#[test]
fn messages_that_stop_are_given_up_with_1008() {
    attack(
        30,
        |config| config.stall_timeout = Some(SHORT),
        |target| {
            let mut lines: Vec<_> = (0..20).map(|_| target.open()).collect();
            lines.iter_mut().for_each(|line| line.send(Frame::text("to be conti").unfinished()));
            for line in &mut lines {
                assert_eq!(line.frame().code_and_reason().0, 1008);
            }
            drop(lines);
            target.is_left_alone();
        },
    );
}

#[test]
fn pings_of_clients_that_do_not_read_cost_no_memory() {
    attack(
        10,
        |_| {},
        |target| {
            let pings = Frame::new(Frame::PING, [7; 125]).masked().encode().repeat(100);
            let mut lines: Vec<_> = (0..4).map(|_| target.open()).collect();
            // Far more than the buffers of both sockets hold. The server reads all of them.
            for _ in 0..400 {
                lines.iter_mut().for_each(|line| line.write(&pings));
            }
            drop(lines);
            target.is_left_alone();
        },
    );
}

#[test]
fn ten_thousand_empty_fragments_cost_nothing_until_they_are_too_many() {
    attack(
        5,
        |config| config.max_fragments = 10_000,
        |target| {
            let mut line = target.open();
            line.send(Frame::new(Frame::BINARY, "").unfinished());
            let fragments = Frame::new(Frame::CONTINUATION, "").unfinished().masked().encode().repeat(100);
            (0..100).for_each(|_| line.write(&fragments));
            assert_eq!(line.frame().code_and_reason().0, 1008);
            drop(line);
            target.is_left_alone();
        },
    );
}

#[test]
fn claimed_exabytes_use_memory_only_for_received_bytes() {
    attack(
        45,
        |config| config.max_message_size = usize::MAX,
        |target| {
            let header = [0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
            let claim = [&header[..], &[0; 10_000]].concat();
            let mut lines: Vec<_> = (0..40).map(|_| target.open()).collect();
            lines.iter_mut().for_each(|line| line.write(&claim));
            // The connections still work, except for the message that has no end.
            lines.iter_mut().for_each(|line| line.write([0; 100]));
            drop(lines);
            target.is_left_alone();
        },
    );
}

#[test]
fn readers_that_stop_use_memory_only_for_their_buffers() {
    attack(
        12,
        |_| {},
        |target| {
            let ask = Frame::new(Frame::BINARY, vec![7; 4000]).masked().encode();
            let lines: Vec<_> = (0..8)
                .map(|_| {
                    let Line::Plain(raw) = target.open() else { return target.open() };
                    raw.socket().set_write_timeout(Some(SHORT / 3)).expect("SO_SNDTIMEO");
                    // Write until the socket accepts no more, because the server cannot send its replies.
                    while raw.socket().write_all(&ask).is_ok() {}
                    Line::Plain(raw)
                })
                .collect();
            drop(lines);
            target.is_left_alone();
        },
    );
}

#[test]
fn resets_at_every_stage_leave_nothing_behind() {
    attack(
        30,
        |_| {},
        |target| {
            for number in 0..60 {
                let line = match number % 3 {
                    0 => target.connect(),
                    stage => {
                        let mut line = if stage == 1 { target.connect() } else { target.open() };
                        let begun = if stage == 1 {
                            wire::request("/", &[]).into_bytes()
                        } else {
                            Frame::new(Frame::BINARY, vec![0; 10_000]).masked().encode()
                        };
                        line.write(&begun[..begun.len() * number / 60]);
                        line
                    }
                };
                let socket = socket2::SockRef::from(line.socket());
                socket.set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
            }
            target.is_left_alone();
        },
    );
}

#[test]
fn what_is_no_tls_is_ended_and_leaves_nothing_behind() {
    attack(
        20,
        |_| {},
        |target| {
            if !target.secure {
                return;
            }
            let request = wire::request("/", &[]);
            // A record of the maximum size, a client hello that claims to be larger than all records, an empty
            // record, and a repeated warning.
            let records: [&[u8]; 4] = [
                &[&[0x16, 3, 1, 0x40, 0][..], &[1; 0x4000]].concat(),
                &[&[0x16, 3, 1, 0x40, 0, 1, 0xFF, 0xFF, 0xFF][..], &[0; 0x3FFC]].concat(),
                &[0x17, 3, 3, 0, 0],
                &[0x15, 3, 1, 0, 2, 1, 90],
            ];
            for garbage in [request.as_bytes(), &[0; 1000], &[0xFF; 1000]].into_iter().chain(records) {
                let line = target.connect();
                line.flood(garbage);
                line.is_ended();
            }
            target.is_left_alone();
        },
    );
}

#[test]
fn a_flood_behind_the_end_keeps_nobody_waiting() {
    let configure = |config: &mut Config| config.close_timeout = SHORT;
    attack(20, configure, |target| {
        let flood = vec![0; 256 << 10];
        thread::scope(|scope| {
            for number in 0..4 {
                let flood = &flood;
                scope.spawn(move || {
                    let mut line = if number < 2 { target.open() } else { target.connect() };
                    match number {
                        0 => line.send(Frame::close(1000, "")),
                        1 => line.send(Frame::new(3, "")),
                        _ => line.write("GET / HTTP/1.1\r\n\r\n"),
                    }
                    line.flood(flood);
                });
            }
        });
        target.is_left_alone();
    });
}
