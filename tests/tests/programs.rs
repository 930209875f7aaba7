//! The example programs, tested from the outside.

use std::{
    path::PathBuf,
    process::Command,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use ws_std::{Client, CloseCode, Error, HandshakeError, Response, Route, Server};
use ws_tests::{
    Process, Raw, RawListener, Running, SLACK, bounded, eventually, hand_over, programs, waiting_clients,
    wire::{self, Frame},
};

static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(programs);

/// The client's timeout for opening.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Same as [`bounded`], with the programs built before the clock starts.
fn bounded_with_programs(body: impl FnOnce() + Send + 'static) {
    LazyLock::force(&PROGRAMS);
    bounded(body);
}

struct EchoServer {
    process: Process,
    /// URL such as `ws://127.0.0.1:40001`.
    url: String,
}

impl EchoServer {
    fn start(options: &[&str]) -> Self {
        let mut command = Command::new(PROGRAMS.join("echo_server"));
        let mut process = Process::start(command.args(["--listen", "127.0.0.1:0"]).args(options));
        let line = process.line();
        let url = line.strip_prefix("listening on ").and_then(|url| url.strip_suffix('/'));
        let url = url.unwrap_or_else(|| panic!("{line}")).to_owned();
        assert!(url.starts_with("ws://127.0.0.1:"), "{url}");
        Self { process, url }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn raw(&self) -> Raw {
        Raw::connect(self.url.trim_start_matches("ws://").parse().unwrap())
    }
}

fn status(client: Client) -> u16 {
    match client.connect().map(drop) {
        Err(Error::Handshake(HandshakeError::Refused(response))) => response.status(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn echo_server_echoes_on_two_paths_and_knows_no_others() {
    bounded_with_programs(|| {
        let server = EchoServer::start(&[]);
        for path in ["", "/", "/echo"] {
            let client = Client::new(&server.url(path)).header("Origin", "https://anywhere.example");
            let client = client.configure(|config| config.max_message_size = usize::MAX);
            let mut ws = client.connect().unwrap();
            ws.send("text").unwrap();
            assert_eq!(ws.receive().unwrap().unwrap(), "text");
            let large = vec![7; 2 << 20];
            ws.send(&large).unwrap();
            assert_eq!(ws.receive().unwrap().unwrap(), large[..]);
            ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        }
        for path in ["/other", "/echo/more"] {
            assert_eq!(status(Client::new(&server.url(path))), 404, "{path}");
        }
    });
}

#[test]
fn echo_server_shows_a_page_to_browsers() {
    bounded_with_programs(|| {
        let server = EchoServer::start(&[]);
        let mut raw = server.raw();
        raw.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let reply = raw.reply();
        assert_eq!(reply.status, 200);
        assert_eq!(wire::header(&reply.head, "Content-Type"), Some("text/html; charset=utf-8"));
        assert!(reply.body.starts_with("<!doctype html>"));
        assert!(reply.body.contains("new WebSocket("));
    });
}

#[test]
fn echo_server_takes_messages_up_to_its_limit() {
    bounded_with_programs(|| {
        let server = EchoServer::start(&["--max-message-size", "1000"]);
        let mut ws = ws_std::connect(&server.url("/echo")).unwrap();
        ws.send(&[1; 1000]).unwrap();
        assert_eq!(ws.receive().unwrap().unwrap().len(), 1000);
        ws.send(&[1; 1001]).unwrap();
        assert!(matches!(ws.receive(), Err(Error::Closed(_))));
        assert_eq!(ws.close_info().unwrap().code, CloseCode::MESSAGE_TOO_BIG);
    });
}

#[test]
fn echo_server_waits_for_handshakes_as_long_as_it_is_told() {
    bounded_with_programs(|| {
        let server = EchoServer::start(&["--handshake-timeout", "0.2"]);
        let began = Instant::now();
        assert_eq!(server.raw().reply().status, 408);
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(190) && took < SLACK, "{took:?}");
    });
}

fn interrupted(signal: Signal) {
    bounded_with_programs(move || {
        let server = EchoServer::start(&[]);
        let clients = waiting_clients(&server.url("/"), 3);
        server.process.signal(signal);
        for client in clients {
            let close_info = client.join().unwrap();
            assert!(close_info.was_clean, "{close_info}");
            assert_eq!(close_info.code, CloseCode::GOING_AWAY);
        }
        let (status, _, stderr) = server.process.finish();
        assert_eq!(status.code(), Some(0), "{stderr:?}");
        assert!(stderr.is_empty(), "{stderr:?}");
    });
}

#[test]
fn echo_server_says_1001_to_all_and_exits_with_0_when_it_is_interrupted() {
    interrupted(Signal::INT);
}

#[test]
fn echo_server_says_1001_to_all_and_exits_with_0_when_it_is_terminated() {
    interrupted(Signal::TERM);
}

#[test]
fn echo_server_can_be_interrupted_as_soon_as_it_says_that_it_listens() {
    bounded_with_programs(|| {
        for _ in 0..20 {
            let server = EchoServer::start(&[]);
            server.process.signal(Signal::INT);
            let (status, _, stderr) = server.process.finish();
            assert_eq!(status.code(), Some(0), "{status}, {stderr:?}");
        }
    });
}

#[test]
fn echo_server_does_not_wait_for_ever_for_clients_that_do_not_answer() {
    bounded_with_programs(|| {
        let server = EchoServer::start(&[]);
        let mut raw = server.raw();
        raw.write(wire::request("/", &[]));
        raw.head();
        let began = Instant::now();
        server.process.signal(Signal::INT);
        let (status, ..) = server.process.finish();
        assert_eq!(status.code(), Some(0));
        // The closing handshakes have five seconds.
        assert!(began.elapsed() < Duration::from_secs(5) + SLACK, "{:?}", began.elapsed());
        assert_eq!(raw.frame().code_and_reason().0, 1001);
    });
}

/// Runs a program that must fail, and returns its error message of one line.
fn complaint(program: &str, arguments: &[&str]) -> String {
    let process = Process::start(Command::new(PROGRAMS.join(program)).args(arguments));
    let (status, stdout, stderr) = process.finish();
    assert_eq!(status.code(), Some(1), "{stdout:?} {stderr:?}");
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    stderr[0].strip_prefix(&format!("{program}: ")).unwrap_or_else(|| panic!("{stderr:?}")).to_owned()
}

#[test]
fn echo_server_complains_in_one_line() {
    bounded_with_programs(|| {
        let server = EchoServer::start(&[]);
        let address = server.url.trim_start_matches("ws://");
        let line = complaint("echo_server", &["--listen", address]);
        assert!(line.contains(address), "{line}");
        assert!(complaint("echo_server", &["--bogus"]).contains("--bogus"));
        complaint("echo_server", &["--listen", "nonsense"]);
        complaint("echo_server", &["--listen", "127.0.0.1:0", "--max-message-size", "many"]);
        complaint("echo_server", &["--listen", "127.0.0.1:0", "--handshake-timeout", "-1"]);
    });
}

#[test]
fn echo_client_says_hello_and_closes() {
    bounded_with_programs(|| {
        let server = EchoServer::start(&[]);
        let mut command = Command::new(PROGRAMS.join("echo_client"));
        let (status, stdout, stderr) = Process::start(command.arg(server.url("/echo"))).finish();
        assert_eq!(status.code(), Some(0), "{stderr:?}");
        assert_eq!(stdout, ["received: Hello, WebSocket!", "received: 4 bytes"]);
        assert!(stderr.is_empty(), "{stderr:?}");
    });
}

#[test]
fn echo_client_sends_what_it_says_and_closes_with_1000() {
    bounded_with_programs(|| {
        let (route, take) = hand_over();
        let server = Running::start(Server::new().mount("/", route));
        let mut command = Command::new(PROGRAMS.join("echo_client"));
        let mut client = Process::start(command.arg(server.url("/")));
        let mut handed = take();
        assert_eq!(handed.ws.receive().unwrap().unwrap(), "Hello, WebSocket!");
        handed.ws.send("good day").unwrap();
        assert_eq!(client.line(), "received: good day");
        assert_eq!(handed.ws.receive().unwrap().unwrap().len(), 4);
        handed.ws.send(b"12345").unwrap();
        assert_eq!(client.line(), "received: 5 bytes");
        assert!(handed.ws.receive().unwrap().is_none());
        assert_eq!(handed.ws.close_info().unwrap().code, CloseCode::NORMAL_CLOSURE);
        drop(handed);
        assert!(client.finish().0.success());
    });
}

#[test]
fn echo_client_complains_in_one_line_about_what_is_not_there() {
    bounded_with_programs(|| {
        let listener = RawListener::new();
        let (url, address) = (listener.url("/"), listener.address().to_string());
        drop(listener);
        let line = complaint("echo_client", &[&url]);
        assert!(line.contains(&address), "{line}");
        assert!(complaint("echo_client", &["ftp://127.0.0.1/"]).contains("ws://"));
        assert!(complaint("echo_client", &["nonsense"]).contains("ws://"));
        assert!(complaint("echo_client", &[]).contains("ws://"));
        complaint("echo_client", &["--bogus"]);
    });
}

#[test]
fn echo_client_complains_in_one_line_about_what_it_is_answered() {
    bounded_with_programs(|| {
        let server = EchoServer::start(&[]);
        let line = complaint("echo_client", &[&server.url("/nowhere")]);
        assert!(line.contains("404"), "{line}");
        let page = |_: &_| Err(Response::new(500).text("it is\nall\nbroken\n"));
        let route = Route::new(|_, _| Ok(())).check(page);
        let broken = Running::start(Server::new().mount("/", route).route("/closes", |_, _| Ok(())));
        assert!(complaint("echo_client", &[&broken.url("/")]).contains("500"));
        let line = complaint("echo_client", &[&broken.url("/closes")]);
        assert!(line.contains("closed"), "{line}");
    });
}

/// Runs a client with a server that stops answering, and returns the client's error message, which must appear within
/// the open timeout.
fn complaint_about(silent: impl FnOnce(RawListener) + Send + 'static) -> String {
    let listener = RawListener::new();
    let url = listener.url("/");
    let serving = thread::spawn(move || silent(listener));
    let began = Instant::now();
    let line = complaint("echo_client", &[&url]);
    assert!(began.elapsed() < OPEN_TIMEOUT + SLACK, "{:?}", began.elapsed());
    serving.join().unwrap();
    line
}

#[test]
fn echo_client_does_not_wait_for_ever_for_a_server_that_does_not_open() {
    bounded_with_programs(|| {
        let line = complaint_about(|listener| {
            let mut raw = listener.accept();
            raw.head();
            raw.read(&mut [0]).unwrap();
        });
        assert!(line.contains("open_timeout"), "{line}");
    });
}

#[test]
fn echo_client_does_not_wait_for_ever_for_a_server_that_does_not_echo() {
    bounded_with_programs(|| {
        complaint_about(|listener| {
            let (mut raw, _) = listener.open();
            assert_eq!(raw.frame().opcode, Frame::TEXT);
            // The server answers pings and sends no messages.
            while let Ok(Some(frame)) = raw.try_frame() {
                if frame.opcode == Frame::PING {
                    raw.send_unmasked(&Frame { opcode: Frame::PONG, mask: None, ..frame });
                }
            }
        });
    });
}

#[test]
fn echo_server_survives_a_thousand_clients_that_go_at_once() {
    bounded_with_programs(|| {
        let server = EchoServer::start(&[]);
        for _ in 0..1000 {
            drop(server.raw());
        }
        eventually("it still echoes", || {
            let mut ws = ws_std::connect(&server.url("/")).unwrap();
            ws.send("there?").is_ok() && ws.receive().is_ok_and(|message| message.is_some())
        });
    });
}
