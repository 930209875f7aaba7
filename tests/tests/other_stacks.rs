//! The example programs on tokio, hyper and axum, with foreign peers.

use std::{path::PathBuf, process::Command, sync::LazyLock};

use rustix::process::Signal;
use ws_std::{CloseCode, connect};
use ws_tests::{
    Language, Peer, Process, Raw, Terms, bounded, example_programs,
    wire::{self, Frame},
};

static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(example_programs);

/// Same as [`bounded`], with the programs built before the clock starts.
fn bounded_with_programs(body: impl FnOnce() + Send + 'static) {
    LazyLock::force(&PROGRAMS);
    bounded(body);
}

struct Server {
    process: Process,
    /// Address such as `127.0.0.1:40001`.
    address: String,
}

impl Server {
    /// Starts a program, given with further arguments if it has any.
    fn start(program: &str) -> Self {
        let mut words = program.split(' ');
        let mut command = Command::new(PROGRAMS.join(words.next().unwrap()));
        let mut process = Process::start(command.args(["--listen", "127.0.0.1:0"]).args(words));
        let line = process.line();
        let address = line.strip_prefix("listening on ws://").and_then(|line| line.strip_suffix('/'));
        let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { process, address }
    }

    fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    fn raw(&self) -> Raw {
        Raw::connect(self.address.parse().unwrap())
    }

    /// Sends SIGINT, and asserts that the program ends without an error.
    fn interrupt_and_finish(self) {
        self.process.signal(Signal::INT);
        let (status, _, stderr) = self.process.finish();
        assert!(status.success(), "{status}: {stderr:?}");
    }
}

const ECHO_SERVERS: [&str; 4] = ["tokio_server", "tokio_ws_smol", "tokio_ws_smol --spawn", "hyper_server"];

/// Exchanges messages of all kinds with an echo server, and closes.
fn assert_echoes(peer: &mut Peer) {
    peer.wait_open();
    peer.send("Gr\u{fc}\u{df}e");
    assert_eq!(peer.receive(), "Gr\u{fc}\u{df}e");
    let large: Vec<_> = (0..1 << 20).map(|at| at as u8).collect();
    peer.send(&large);
    assert_eq!(peer.receive(), large[..]);
    peer.send_fragments(&["a".into(), "b".into(), "c".into()]);
    assert_eq!(peer.receive(), "abc");
    peer.ping(b"ping");
    assert_eq!(peer.close(1000, "bye").0, 1000);
}

#[test]
fn foreign_clients_talk_to_the_echo_servers() {
    bounded_with_programs(|| {
        for program in ECHO_SERVERS {
            let server = Server::start(program);
            for language in [Language::Python, Language::Node] {
                assert_echoes(&mut Peer::client(language, &server.url("/"), &Terms::default()));
            }
        }
    });
}

#[test]
fn a_foreign_client_opens_websockets_over_http_2() {
    bounded_with_programs(|| {
        let server = Server::start("hyper_server");
        let terms = Terms { http2: true, ..Terms::default() };
        assert_echoes(&mut Peer::client(Language::Node, &server.url("/chat?x=1"), &terms));
        let mut peer = Peer::client(
            Language::Node,
            &server.url("/"),
            &Terms { header: Some("origin: https://evil.example"), ..terms },
        );
        let (status, body) = peer.wait_refused();
        assert_eq!(status, 403);
        assert!(body.contains("evil.example"), "{body}");
    });
}

#[test]
fn the_servers_refuse_what_rfc_6455_forbids() {
    bounded_with_programs(|| {
        for (program, path) in
            ECHO_SERVERS.map(|program| (program, "/")).into_iter().chain([("axum_server", "/rooms/red")])
        {
            let server = Server::start(program);
            let answer = |request: &str| {
                let mut raw = server.raw();
                raw.write(request);
                raw.head()
            };
            let head = answer(&wire::request(path, &["Origin: https://evil.example"]));
            assert!(head.starts_with("HTTP/1.1 403 "), "{program}: {head}");
            let head = answer(&wire::request(path, &["Sec-WebSocket-Version: 13"]));
            assert!(head.starts_with("HTTP/1.1 400 "), "{program}: {head}");
            let head = answer(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert!(head.starts_with("HTTP/1.1 426 "), "{program}: {head}");
            assert_eq!(wire::header(&head, "Upgrade"), Some("websocket"), "{program}: {head}");
        }
    });
}

#[test]
fn messages_that_come_with_the_request_are_answered() {
    bounded_with_programs(|| {
        for program in ECHO_SERVERS {
            let server = Server::start(program);
            let mut raw = server.raw();
            let hasty =
                [Frame::text("one"), Frame::text("two")].map(|frame| frame.masked().encode()).concat();
            raw.write([wire::request("/", &[]).as_bytes(), &hasty].concat());
            raw.head();
            assert_eq!([raw.frame(), raw.frame()], [Frame::text("one"), Frame::text("two")], "{program}");
        }
    });
}

#[test]
fn a_message_that_comes_byte_by_byte_is_echoed() {
    bounded_with_programs(|| {
        for program in ECHO_SERVERS {
            let server = Server::start(program);
            let mut raw = Raw::open(server.address.parse().unwrap(), "/");
            for byte in Frame::text("byte by byte").masked().encode() {
                raw.write([byte]);
            }
            assert_eq!(raw.frame(), Frame::text("byte by byte"), "{program}");
            raw.write(Frame::text("no mask").encode());
            assert_eq!(raw.frame().code_and_reason().0, 1002, "{program}");
        }
    });
}

#[test]
fn the_axum_service_has_state_extractors_and_a_graceful_shutdown() {
    bounded_with_programs(|| {
        let server = Server::start("axum_server");
        for (visitor, language) in [(1, Language::Python), (2, Language::Node)] {
            let mut peer = Peer::client(language, &server.url("/rooms/red"), &Terms::default());
            peer.wait_open();
            assert_eq!(peer.receive(), *format!("visitor {visitor}"));
            peer.send("hello");
            assert_eq!(peer.receive(), "red: hello");
            assert_eq!(peer.close(1000, "").0, 1000);
        }
        let mut peer = Peer::client(Language::Python, &server.url("/rooms/blue"), &Terms::default());
        peer.wait_open();
        assert_eq!(peer.receive(), "visitor 3");
        server.process.signal(Signal::INT);
        assert_eq!(peer.wait_closed(), (1001, "stop".to_owned()));
        server.interrupt_and_finish();
    });
}

#[test]
fn the_servers_on_tokio_close_with_1001_when_they_are_interrupted() {
    bounded_with_programs(|| {
        for program in ["tokio_server", "tokio_ws_smol", "tokio_ws_smol --spawn"] {
            let server = Server::start(program);
            let clients: Vec<_> = (0..3)
                .map(|_| {
                    let mut ws = connect(&server.url("/")).unwrap();
                    ws.send("hello").unwrap();
                    assert_eq!(ws.receive().unwrap().unwrap(), "hello");
                    ws
                })
                .collect();
            server.process.signal(Signal::INT);
            for mut ws in clients {
                assert_eq!(ws.receive().unwrap(), None);
                assert_eq!(ws.close_info().unwrap().code, CloseCode::GOING_AWAY, "{program}");
            }
            let (status, _, stderr) = server.process.finish();
            assert!(status.success(), "{program}: {status}: {stderr:?}");
        }
    });
}

#[test]
fn the_client_on_tokio_talks_to_foreign_servers() {
    bounded_with_programs(|| {
        for language in [Language::Python, Language::Node] {
            let mut peer = Peer::server(language, &Terms::default());
            let mut client = Process::start(Command::new(PROGRAMS.join("tokio_client")).arg(peer.url("/")));
            peer.wait_open();
            assert_eq!(peer.receive(), "Hello, WebSocket!");
            peer.send("Hello, tokio!");
            assert_eq!(client.line(), "received: Hello, tokio!");
            assert_eq!(peer.wait_closed(), (1000, "bye".to_owned()));
            assert!(client.finish().0.success(), "{language:?}");
        }
    });
}
