//! The tutorial programs, tested from the outside with real peers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use ws_std::{Callbacks, Client, CloseCode, Error, HandshakeError, Message, Server, Sessions, WebSocket};
use ws_tests::{
    Folder, Handed, PATIENCE, Process, Raw, RawListener, Running, SLACK, bounded,
    certificates::Authority,
    echo, eventually, hand_over, programs,
    wire::{self, Frame},
};

static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(programs);

/// Creates two tests from a function: for the program of `ws-std` and for that of `ws-smol`, selected by its prefix.
macro_rules! with_both {
    ($($test:ident)*) => {
        mod with_std {
            $(#[test] fn $test() { super::run(|| super::$test("")); })*
        }
        mod with_smol {
            $(#[test] fn $test() { super::run(|| super::$test("smol_")); })*
        }
    };
}

with_both! {
    tutorial_echo_server_echoes
    tutorial_echo_client_says_hello
    the_echo_client_talks_to_the_echo_server
    text_or_binary_answers_in_kind
    authorization_refuses_early_with_401_and_late_with_1008
    tutorial_tls_serves_wss
    thread_pool_serves_by_many_threads
    heartbeat_disconnects_clients_that_miss_two_pings
    closing_tells_how_the_peer_closed
    closing_tells_of_an_abnormal_close_too
    an_echo_client_reports_an_abnormal_close_in_one_line
    closing_closes_with_a_code_of_its_own
    cookies_sends_the_cookies_of_the_server_when_it_reconnects
    timeouts_notices_silence
    timeouts_gives_up_a_server_that_does_not_answer
    tutorial_chat_server_prints_who_comes_and_goes
    tutorial_chat_client_posts_three_lines
    tutorial_chat_client_tells_of_errors
    large_message_sends_64_kib_at_once
}

/// Same as [`bounded`], with the programs built before the clock starts.
fn run(body: impl FnOnce() + Send + 'static) {
    LazyLock::force(&PROGRAMS);
    bounded(body);
}

fn start(program: &str, arguments: &[&str]) -> Process {
    Process::start(Command::new(PROGRAMS.join(program)).args(arguments))
}

/// Starts a server program and returns it with its URL.
fn serve(program: &str, arguments: &[&str]) -> (Process, String) {
    let mut server = start(program, &[arguments, &["127.0.0.1:0"]].concat());
    let line = server.line();
    let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
    (server, url)
}

/// Starts a client program and returns it with the server's end of its connection.
fn connect(program: &str) -> (Running, Process, Handed) {
    let (route, take) = hand_over();
    let server = Running::start(Server::new().mount("/", route));
    let client = start(program, &[&server.url("/")]);
    (server, client, take())
}

fn succeeds(process: Process) -> Vec<String> {
    let (status, stdout, stderr) = process.finish();
    assert!(status.success() && stderr.is_empty(), "{status}: {stderr:?}");
    stdout
}

fn next(ws: &mut WebSocket) -> Message<'static> {
    ws.receive().expect("a message").expect("a message before the end")
}

fn tutorial_echo_server_echoes(prefix: &str) {
    let (_server, url) = serve(&format!("{prefix}tutorial_echo_server"), &[]);
    let mut ws = ws_std::connect(&url).unwrap();
    ws.send("text").unwrap();
    assert_eq!(next(&mut ws), "text");
    ws.send(b"bytes").unwrap();
    assert_eq!(next(&mut ws), b"bytes"[..]);
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
}

fn tutorial_echo_client_says_hello(prefix: &str) {
    let (_server, client, mut handed) = connect(&format!("{prefix}tutorial_echo_client"));
    assert_eq!(next(&mut handed.ws), "Hello, WebSocket!");
    handed.ws.send("Hello, client!").unwrap();
    assert!(handed.ws.receive().unwrap().is_none());
    let close_info = handed.ws.close_info().unwrap();
    assert_eq!((close_info.code, &*close_info.reason), (CloseCode::NORMAL_CLOSURE, "bye"));
    drop(handed);
    assert_eq!(succeeds(client), ["received: Hello, client!"]);
}

fn the_echo_client_talks_to_the_echo_server(prefix: &str) {
    let (_server, url) = serve(&format!("{prefix}tutorial_echo_server"), &[]);
    let client = start(&format!("{prefix}tutorial_echo_client"), &[&url]);
    assert_eq!(succeeds(client), ["received: Hello, WebSocket!"]);
}

fn text_or_binary_answers_in_kind(prefix: &str) {
    let (_server, url) = serve(&format!("{prefix}text_or_binary"), &[]);
    let mut ws = ws_std::connect(&url).unwrap();
    ws.send("grüße").unwrap();
    assert_eq!(next(&mut ws), "GRÜSSE");
    ws.send(&[1, 2, 3]).unwrap();
    assert_eq!(next(&mut ws), [3, 2, 1][..]);
}

fn refusal(client: Client) -> u16 {
    match client.connect().map(drop) {
        Err(Error::Handshake(HandshakeError::Refused(response))) => response.status(),
        other => panic!("{other:?}"),
    }
}

fn authorization_refuses_early_with_401_and_late_with_1008(prefix: &str) {
    let (_server, url) = serve(&format!("{prefix}authorization"), &[]);
    assert_eq!(refusal(Client::new(&url)), 401);
    let late = format!("{url}/late");
    let mut ws = ws_std::connect(&late).unwrap();
    assert!(matches!(ws.receive(), Err(Error::Closed(_))));
    let close_info = ws.close_info().unwrap();
    assert_eq!((close_info.code, &*close_info.reason), (CloseCode::POLICY_VIOLATION, "unauthorized"));
    for url in [url, late] {
        let client = Client::new(&url).header("Authorization", "Bearer 1234");
        assert_eq!(next(&mut client.connect().unwrap()), "welcome");
    }
}

fn tutorial_tls_serves_wss(prefix: &str) {
    let folder = Folder::new();
    let identity = Authority::shared().server();
    let certificate = folder.write("server.pem", identity.chain);
    let key = folder.write("server.key", identity.key);
    let files = [&certificate, &key].map(|path| path.to_str().unwrap());
    let (_server, url) = serve(&format!("{prefix}tutorial_tls"), &files);
    assert!(url.starts_with("wss://"), "{url}");
    let client = Client::new(&url).tls(Authority::shared().trusted());
    assert_eq!(refusal(client.clone()), 401);
    let mut ws = client.header("Authorization", "Bearer 1234").connect().unwrap();
    ws.send("secret").unwrap();
    assert_eq!(next(&mut ws), "secret");
}

fn thread_pool_serves_by_many_threads(prefix: &str) {
    let (server, url) = serve(&format!("{prefix}thread_pool"), &[]);
    let threads = || fs::read_dir(format!("/proc/{}/task", server.id())).unwrap().count();
    // Four executors or eight idle threads, and the accepting thread.
    let at_least = if prefix.is_empty() { 9 } else { 5 };
    eventually("the threads are there", || threads() >= at_least);
    let mut open = Vec::new();
    for _ in 0..128 {
        let mut ws = ws_std::connect(&url).unwrap();
        assert!(next(&mut ws).as_text().unwrap().starts_with("ThreadId("));
        ws.send("there?").unwrap();
        assert_eq!(next(&mut ws), "there?");
        open.push(ws);
    }
    if prefix.is_empty() {
        assert_eq!(threads(), 129);
        assert_eq!(refusal(Client::new(&url)), 503);
    } else {
        assert!(threads() < 10, "{} threads for 128 connections", threads());
    }
}

fn heartbeat_disconnects_clients_that_miss_two_pings(prefix: &str) {
    let (mut server, url) = serve(&format!("{prefix}heartbeat"), &[]);
    let began = Instant::now();
    let mut raw = Raw::connect(url.trim_start_matches("ws://").parse().unwrap());
    raw.write(wire::request("/", &[]));
    raw.head();
    assert!(server.line().ends_with(" is there"));
    assert_eq!([raw.frame().opcode, raw.frame().opcode], [Frame::PING; 2]);
    let line = server.line();
    assert!(line.contains(" is gone: given up: the peer did not answer the pings"), "{line}");
    let took = began.elapsed();
    assert!(took > Duration::from_millis(2900) && took < Duration::from_secs(3) + SLACK, "{took:?}");
}

fn closing_tells_how_the_peer_closed(prefix: &str) {
    let (_server, client, mut handed) = connect(&format!("{prefix}closing"));
    handed.ws.send("hello").unwrap();
    handed.ws.close(CloseCode::GOING_AWAY, "lunch").unwrap();
    assert!(handed.ws.close_info().unwrap().was_clean);
    drop(handed);
    assert_eq!(
        succeeds(client),
        [
            "received: hello",
            "code 1001, reason \"lunch\", was_clean: true",
            "that is: closed by the peer, code 1001 going away (lunch)",
        ]
    );
}

fn closing_tells_of_an_abnormal_close_too(prefix: &str) {
    let (_server, client, mut handed) = connect(&format!("{prefix}closing"));
    handed.ws.close(CloseCode::INTERNAL_ERROR, "database down").unwrap();
    drop(handed);
    let lines = succeeds(client);
    assert_eq!(lines[0], "code 1011, reason \"database down\", was_clean: true");
}

fn an_echo_client_reports_an_abnormal_close_in_one_line(prefix: &str) {
    for program in ["tutorial_echo_client", "echo_client"] {
        let (_server, client, mut handed) = connect(&format!("{prefix}{program}"));
        assert_eq!(next(&mut handed.ws), "Hello, WebSocket!");
        handed.ws.close(CloseCode::INTERNAL_ERROR, "database down").unwrap();
        drop(handed);
        let (status, stdout, stderr) = client.finish();
        assert_eq!((status.code(), stdout.len(), stderr.len()), (Some(1), 0, 1), "{stderr:?}");
        assert!(stderr[0].contains("1011") && stderr[0].contains("database down"), "{stderr:?}");
    }
}

fn closing_closes_with_a_code_of_its_own(prefix: &str) {
    let (_server, client, mut handed) = connect(&format!("{prefix}closing"));
    handed.ws.send("bye").unwrap();
    assert!(matches!(handed.ws.receive(), Err(Error::Closed(_))));
    let close_info = handed.ws.close_info().unwrap();
    assert_eq!((close_info.code.get(), &*close_info.reason), (4000, "good night"));
    drop(handed);
    let lines = succeeds(client);
    assert_eq!(lines[0], "received: bye");
    assert!(lines[1].starts_with("code 4000, "), "{lines:?}");
    assert!(lines[2].starts_with("that is: closed by this end"), "{lines:?}");
}

fn cookies_sends_the_cookies_of_the_server_when_it_reconnects(prefix: &str) {
    let listener = RawListener::new();
    let process =
        Process::start(Command::new(PROGRAMS.join(format!("{prefix}cookies"))).arg(listener.url("/")));
    let sets =
        ["Set-Cookie: session=1; HttpOnly\r\nSet-Cookie: theme=dark", "Set-Cookie: session=2", "X-A: b"];
    let expected = [None, Some("session=1; theme=dark"), Some("session=2; theme=dark")];
    for (set, expected) in sets.into_iter().zip(expected) {
        let mut raw = listener.accept();
        let head = raw.head();
        assert_eq!(wire::header(&head, "Cookie"), expected);
        raw.write(wire::response(&head).replace("\r\n\r\n", &format!("\r\n{set}\r\n\r\n")));
        raw.send_unmasked(&Frame::close(1000, ""));
        raw.frame();
    }
    let (status, _, complaints) = process.finish();
    assert!(status.success(), "{complaints:?}");
}

fn timeouts_notices_silence(prefix: &str) {
    let (_server, mut client, mut handed) = connect(&format!("{prefix}timeouts"));
    handed.ws.send("hello").unwrap();
    assert_eq!(client.line(), "received: hello");
    for _ in 0..2 {
        assert_eq!(next(&mut handed.ws), "anybody there?");
        assert_eq!(client.line(), "no message for a second");
    }
    handed.ws.send("yes").unwrap();
    assert_eq!(client.line(), "received: yes");
    handed.ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    drop(handed);
    succeeds(client);
}

fn timeouts_gives_up_a_server_that_does_not_answer(prefix: &str) {
    let listener = RawListener::new();
    let began = Instant::now();
    let client = start(&format!("{prefix}timeouts"), &[&listener.url("/")]);
    let _raw = listener.accept();
    let (status, _, stderr) = client.finish();
    assert!(!status.success() && stderr.len() == 1, "{stderr:?}");
    assert!(began.elapsed() < Duration::from_secs(3) + SLACK, "{:?}", began.elapsed());
}

fn tutorial_chat_server_prints_who_comes_and_goes(prefix: &str) {
    let (mut server, url) = serve(&format!("{prefix}tutorial_chat_server"), &[]);
    assert!(url.ends_with("/chat"), "{url}");
    let mut clients = Vec::new();
    for number in 1..=3 {
        clients.push(ws_std::connect(&url).unwrap());
        assert_eq!(server.line(), format!("{number} joined, {number} online"));
    }
    for (number, text) in [(1, "one"), (3, "three")] {
        clients[number - 1].send(text).unwrap();
        for client in &mut clients {
            assert_eq!(next(client), *format!("{number}: {text}"));
        }
    }
    clients.remove(1).close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert_eq!(server.line(), "2 left, 2 online");
    drop(clients.remove(0));
    assert_eq!(server.line(), "1 left, 1 online");
}

fn tutorial_chat_client_posts_three_lines(prefix: &str) {
    let (server, url) = serve(&format!("{prefix}tutorial_chat_server"), &[]);
    let mut listener = ws_std::connect(&url).unwrap();
    let mut client = start(&format!("{prefix}tutorial_chat_client"), &[&url]);
    for line in ["2: Hello!", "2: Is anybody here?", "2: Never mind."] {
        assert_eq!(next(&mut listener), line);
        assert_eq!(client.line(), line);
    }
    server.signal(Signal::KILL);
    assert!(client.line().starts_with("the end: "));
}

fn tutorial_chat_client_tells_of_errors(prefix: &str) {
    let everyone = Sessions::new();
    let server = Running::start(Server::new().mount("/", Callbacks::new().sessions(&everyone)));
    let client = start(&format!("{prefix}tutorial_chat_client"), &[&server.url("/")]);
    eventually("its lines are there", || everyone.stats().sum.messages_received == 3);
    assert_eq!(everyone.broadcast("hello"), 1);
    assert!(server.handle().stop(PATIENCE));
    let (status, stdout, _) = client.finish();
    assert!(status.success());
    assert_eq!(stdout[0], "hello");
    assert!(stdout[1].starts_with("the end: "), "{stdout:?}");

    let listener = RawListener::new();
    let client = start(&format!("{prefix}tutorial_chat_client"), &[&listener.url("/")]);
    let (mut raw, _) = listener.open();
    for line in ["Hello!", "Is anybody here?", "Never mind."] {
        assert_eq!(raw.frame().payload, line.as_bytes());
    }
    // A masked frame, which a server must not send.
    raw.send(Frame::text("masked"));
    let (status, stdout, stderr) = client.finish();
    assert!(status.success() && stdout.len() == 1, "{stdout:?}");
    assert!(stderr.len() == 1 && stderr[0].starts_with("error: "), "{stderr:?}");
}

fn large_message_sends_64_kib_at_once(prefix: &str) {
    let (_server, client, mut handed) = connect(&format!("{prefix}large_message"));
    assert_eq!(next(&mut handed.ws), [0xAB; 65536][..]);
    handed.ws.send("thank you").unwrap();
    assert!(handed.ws.receive().unwrap().is_none());
    drop(handed);
    assert_eq!(succeeds(client), ["sent: 65536 bytes", "received: thank you"]);
    let server = Running::start(Server::new().route("/", echo));
    let client = start(&format!("{prefix}large_message"), &[&server.url("/")]);
    assert_eq!(succeeds(client), ["sent: 65536 bytes", "received: 65536 bytes"]);
}

const TUTORIALS: [&str; 12] = [
    "tutorial_echo_server",
    "tutorial_echo_client",
    "text_or_binary",
    "authorization",
    "tutorial_tls",
    "thread_pool",
    "heartbeat",
    "closing",
    "timeouts",
    "tutorial_chat_server",
    "tutorial_chat_client",
    "large_message",
];

#[test]
fn each_program_has_fewer_than_40_lines_says_how_to_run_it_and_is_listed() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (adapter, prefix) in [("adapter-std", ""), ("adapter-smol", "smol_")] {
        let readme = fs::read_to_string(workspace.join(adapter).join("README.md")).unwrap();
        for name in TUTORIALS {
            let name = format!("{prefix}{name}");
            let path = workspace.join(adapter).join("examples").join(format!("{name}.rs"));
            let program = fs::read_to_string(&path).unwrap();
            assert!(program.lines().count() < 40, "{name}");
            assert!(program.contains(&format!("//! `cargo run --example {name} -- ")), "{name}");
            assert!(readme.contains(&format!("`{name}`")), "{name} is not in {adapter}/README.md");
        }
    }
}
