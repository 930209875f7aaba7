//! Stops of both adapters: they take effect at once, and they do not wait for handlers that cannot end.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use ws_std::{Callbacks, CloseCode, Keepalive};
use ws_tests::{
    PATIENCE, Raw,
    either::{Adapter, Client, ClientHandle, Handle, Route, Running, Server},
    eventually, let_pass,
    wire::{self, Frame},
    with_both_adapters,
};

with_both_adapters! {
    another_server_can_listen_at_once_when_a_stop_begins
    without_another_server_new_clients_are_refused_at_once
    clients_that_have_connected_when_a_stop_begins_are_answered
    clients_that_have_connected_before_the_server_serves_are_answered_too
    begin_stop_does_not_wait
    stop_in_a_handler_does_not_wait_for_itself
    stop_in_a_callback_does_not_wait_for_itself
    the_timeout_bounds_a_stop_though_a_callback_is_busy
    the_timeout_bounds_the_stop_of_a_client_though_a_callback_is_busy
    the_stop_of_a_client_in_its_own_callback_returns_at_once
    any_duration_is_legal
}

/// An upper bound far below the duration of a stop that waits for its connections a second time.
const AT_ONCE: Duration = Duration::from_millis(900);

fn echo(adapter: Adapter) -> Server {
    Server::new(adapter).mount("/", Route::echo(adapter))
}

fn url(server: &Running) -> String {
    format!("ws://{}/", server.address())
}

fn another_server_can_listen_at_once_when_a_stop_begins(adapter: Adapter) {
    let server = echo(adapter).start();
    let mut silent = Raw::open(server.address(), "/");
    server.handle().begin_stop(PATIENCE);
    let successor = echo(adapter).bind(server.address()).unwrap();
    let mut client = Client::new(adapter, &url(&successor)).connect().unwrap();
    client.send("who is there?").unwrap();
    assert_eq!(client.message(), "who is there?");
    assert_eq!((server.handle().connections(), successor.handle().connections()), (1, 1));
    assert_eq!(silent.frame().code_and_reason(), (1001, "the server stops"));
    silent.send(Frame::close(1001, ""));
    assert_eq!(silent.next_frame(), None);
    drop(silent);
    server.served().unwrap();
}

fn without_another_server_new_clients_are_refused_at_once(adapter: Adapter) {
    let server = echo(adapter).start();
    let _silent = Raw::open(server.address(), "/");
    server.handle().begin_stop(PATIENCE);
    let error = TcpStream::connect(server.address()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

fn clients_that_have_connected_when_a_stop_begins_are_answered(adapter: Adapter) {
    let server = echo(adapter).start();
    let raws = [(); 50].map(|()| Raw::connect(server.address()));
    server.handle().begin_stop(PATIENCE);
    for mut raw in raws {
        raw.write(wire::request("/", &[]));
        let reply = raw.reply();
        assert_eq!(reply.status, 503, "{}", reply.head);
        assert_eq!(wire::header(&reply.head, "Connection"), Some("close"));
        assert_eq!(wire::header(&reply.head, "Retry-After"), Some("1"));
    }
    assert!(server.handle().stop(PATIENCE));
    server.served().unwrap();
}

fn clients_that_have_connected_before_the_server_serves_are_answered_too(adapter: Adapter) {
    let (mut raw, serving) = echo(adapter).stop_and_serve();
    raw.write(wire::request("/", &[]));
    assert_eq!(raw.reply().status, 503);
    serving.join().unwrap().unwrap();
}

fn begin_stop_does_not_wait(adapter: Adapter) {
    let server = echo(adapter).start();
    let mut silent = Raw::open(server.address(), "/");
    let began = Instant::now();
    server.handle().begin_stop(Duration::from_secs(2));
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(server.handle().connections(), 1);
    assert_eq!(silent.frame().code_and_reason(), (1001, "the server stops"));
    server.served().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(1990), "{:?}", began.elapsed());
}

fn stop_in_a_handler_does_not_wait_for_itself(adapter: Adapter) {
    let (handle, (tell, told)) = (Arc::new(OnceLock::new()), mpsc::channel());
    let server = Server::new(adapter).mount("/", Route::stops(adapter, &handle, tell)).start();
    handle.set(server.handle().clone()).unwrap();
    let mut raw = Raw::open(server.address(), "/");
    assert_eq!(raw.frame().code_and_reason(), (1001, "the server stops"));
    assert!(told.recv_timeout(Duration::from_secs(10)).expect("stop returns"));
    raw.send(Frame::close(1001, ""));
    assert_eq!(raw.next_frame(), None);
    drop(raw);
    server.served().unwrap();
}

fn stop_in_a_callback_does_not_wait_for_itself(adapter: Adapter) {
    let (handle, (tell, told)) = (Arc::new(OnceLock::<Handle>::new()), mpsc::channel());
    let (stopped, tell) = (handle.clone(), Mutex::new(tell));
    let callbacks = Callbacks::new().on_message(move |_, _| {
        tell.lock().unwrap().send(stopped.get().unwrap().stop(PATIENCE)).unwrap();
    });
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, callbacks)).start();
    handle.set(server.handle().clone()).unwrap();
    let mut raw = Raw::open(server.address(), "/");
    raw.send(Frame::text("stop"));
    assert!(told.recv_timeout(Duration::from_secs(10)).expect("stop returns"));
    assert_eq!(raw.frame().code_and_reason(), (1001, "the server stops"));
    raw.send(Frame::close(1001, ""));
    assert_eq!(raw.next_frame(), None);
    drop(raw);
    server.served().unwrap();
}

/// Returns a callback that blocks from its first message until the sender is dropped, and a channel that reports the
/// start.
fn busy() -> (Callbacks, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let (begin, released) = (Mutex::new(begin), Mutex::new(released));
    let callbacks = Callbacks::new().on_message(move |_, _| {
        begin.lock().unwrap().send(()).unwrap();
        let _ = released.lock().unwrap().recv();
    });
    (callbacks, release, begun)
}

fn the_timeout_bounds_a_stop_though_a_callback_is_busy(adapter: Adapter) {
    let (callbacks, release, begun) = busy();
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, callbacks)).start();
    let raw = Raw::open(server.address(), "/");
    raw.send(Frame::text("go"));
    begun.recv_timeout(PATIENCE).unwrap();
    let began = Instant::now();
    assert!(!server.handle().stop(Duration::from_millis(200)));
    assert!(began.elapsed() < Duration::from_millis(200) + AT_ONCE, "{:?}", began.elapsed());
    drop(release);
    server.served().unwrap();
}

/// Returns a client with these callbacks, and the server, which has sent it a message.
fn client(adapter: Adapter, callbacks: Callbacks) -> (Raw, ClientHandle) {
    let listener = ws_tests::RawListener::new();
    let client = Client::new(adapter, &listener.url("/"));
    let starting = thread::spawn(move || client.start(callbacks).unwrap());
    let (raw, _) = listener.open();
    let client = starting.join().unwrap();
    raw.send_unmasked(&Frame::text("go"));
    (raw, client)
}

fn the_timeout_bounds_the_stop_of_a_client_though_a_callback_is_busy(adapter: Adapter) {
    let (callbacks, release, begun) = busy();
    let (_raw, client) = client(adapter, callbacks);
    begun.recv_timeout(PATIENCE).unwrap();
    let began = Instant::now();
    assert!(!client.stop(Duration::from_millis(200)));
    assert!(began.elapsed() < Duration::from_millis(200) + AT_ONCE, "{:?}", began.elapsed());
    drop(release);
}

fn the_stop_of_a_client_in_its_own_callback_returns_at_once(adapter: Adapter) {
    let (give, given) = mpsc::channel::<ClientHandle>();
    let (tell, told) = mpsc::channel();
    let (given, tell) = (Mutex::new(given), Mutex::new(tell));
    let callbacks = Callbacks::new().on_message(move |_, _| {
        let client = given.lock().unwrap().recv().unwrap();
        client.wait();
        tell.lock().unwrap().send(client.stop(PATIENCE)).unwrap();
    });
    let (mut raw, client) = client(adapter, callbacks);
    give.send(client).unwrap();
    assert!(!told.recv_timeout(Duration::from_secs(10)).expect("stop returns"));
    assert_eq!(raw.frame().code_and_reason().0, 1000);
}

fn any_duration_is_legal(adapter: Adapter) {
    for timeout in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(u64::MAX / 2), Duration::MAX]
    {
        let server = echo(adapter).configure(|config| config.close_timeout = timeout);
        let server = server.read_timeout(Duration::MAX).write_timeout(Duration::MAX);
        let server = server.page("/page", |_| ws_std::Response::new(200).text("fine")).start();
        let client = Client::new(adapter, &url(&server)).configure(|config| {
            config.close_timeout = timeout;
            config.stall_timeout = Some(Duration::MAX);
            config.keepalive =
                Some(Keepalive { interval: Duration::MAX, timeout: Duration::MAX, max_missed: Some(1) });
        });
        let client = client.configure_handshake(|limits| limits.open_timeout = Some(Duration::MAX));
        let client = client.connect_timeout(Duration::MAX).read_timeout(Duration::MAX);
        let mut client = client.write_timeout(Duration::MAX).connect().unwrap();
        client.send("hello").unwrap();
        assert_eq!(client.message(), "hello");
        let _ = client.close(CloseCode::NORMAL_CLOSURE, "");
        let mut raw = Raw::connect(server.address());
        raw.write("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(raw.head().get(9..12), Some("200"));
        drop((raw, client));
        eventually("all have ended", || server.handle().connections() == 0);
        server.handle().begin_stop(Duration::MAX);
        server.handle().stop(timeout);
        server.served().unwrap();
    }
}

/// Connects as a client during a rolling restart, and returns the result.
fn visit(address: SocketAddr) -> Result<&'static str, std::io::Error> {
    let socket = match TcpStream::connect(address) {
        Ok(socket) => socket,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok("refused"),
        Err(error) => return Err(error),
    };
    let mut raw = Raw::from(socket);
    raw.try_write(wire::request("/", &[]))?;
    let head = raw.try_head()?;
    if head.starts_with("HTTP/1.1 503 ") {
        raw.rest()?;
        return Ok("503");
    }
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    raw.try_write(Frame::text("hello").masked().encode())?;
    let frame = raw.try_frame()?.ok_or(ErrorKind::UnexpectedEof)?;
    let answer = if frame.opcode == Frame::CLOSE { "1001" } else { "echo" };
    raw.try_write(Frame::close(1001, "").masked().encode())?;
    while raw.try_frame()?.is_some() {}
    Ok(answer)
}

/// Drains the old server while the new one serves, and clients connect all the time.
fn rolling_restart(adapter: Adapter) {
    const DRAIN: Duration = Duration::from_millis(1500);
    const CLIENTS: usize = 4;
    let old = echo(adapter).start();
    let address = old.address();
    // These connections keep the old server draining.
    let silent = [(); 3].map(|()| Raw::open(address, "/"));
    let until = Instant::now() + DRAIN + Duration::from_millis(800);
    let clients = [(); CLIENTS].map(|()| {
        thread::spawn(move || {
            let mut answers = Vec::new();
            while Instant::now() < until {
                answers.push(visit(address).expect("an answer"));
                // About 50 connections per second for each of these threads.
                let_pass(Duration::from_millis(15));
            }
            answers
        })
    });
    let_pass(Duration::from_millis(300));
    let began = Instant::now();
    old.handle().begin_stop(DRAIN);
    let new = echo(adapter).bind(address).expect("the address");
    old.served().unwrap();
    assert!(began.elapsed() + Duration::from_millis(10) >= DRAIN, "it drained {:?}", began.elapsed());
    let answers = clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>();
    let count = |answer| answers.iter().filter(|&&it| it == answer).count();
    assert!(answers.len() > 100, "{} clients", answers.len());
    assert!(count("echo") * 10 > answers.len() * 9, "{answers:?}");
    drop((silent, new));
}

mod rolling_restarts {
    use super::*;

    #[test]
    fn no_client_of_a_rolling_restart_of_ws_std_is_left_without_an_answer() {
        ws_tests::bounded(|| rolling_restart(Adapter::Std));
    }

    #[test]
    fn no_client_of_a_rolling_restart_of_ws_smol_is_left_without_an_answer() {
        ws_tests::bounded(|| rolling_restart(Adapter::Smol));
    }
}
