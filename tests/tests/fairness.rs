//! Busy connections do not keep others waiting, nor their own deadlines and replies.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use ws_std::{Callbacks, Deflate, Error, Sessions, TimeoutKind};
use ws_tests::{
    PATIENCE, Raw, bounded,
    either::{Adapter, Route, Running, Server},
    takes,
    wire::{self, Frame},
    with_both_adapters,
};

with_both_adapters! {
    the_read_timeout_is_kept_under_a_flood_of_control_frames
    replies_are_written_before_all_messages_of_a_read_are_handled
}

/// What the tests configure as read timeout.
const SHORT: Duration = Duration::from_millis(200);

fn the_read_timeout_is_kept_under_a_flood_of_control_frames(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).read_timeout(SHORT).start();
    let raw = Raw::open(server.address(), "/");
    let mut handed = take();
    let is_over = Arc::new(AtomicBool::new(false));
    let flood = thread::spawn({
        let is_over = is_over.clone();
        let pongs = Frame::new(Frame::PONG, "").masked().encode().repeat(10_000);
        move || while !is_over.load(SeqCst) && raw.try_write(&pongs).is_ok() {}
    });
    for _ in 0..2 {
        let error = takes(SHORT, || handed.ws.receive().unwrap_err());
        assert!(matches!(error, Error::Timeout(TimeoutKind::Read)), "{error}");
    }
    is_over.store(true, SeqCst);
    drop(handed);
    flood.join().unwrap();
}

/// The callback of a late message waits until the client has the answer to a ping in front of the first.
fn replies_are_written_before_all_messages_of_a_read_are_handled(adapter: Adapter) {
    const MESSAGES: usize = 320;
    const WAITING: usize = 300;
    let (answered, is_answered) = mpsc::channel::<()>();
    let is_answered = Mutex::new(is_answered);
    let (over, is_over) = mpsc::channel();
    let count = AtomicUsize::new(0);
    let callbacks = Callbacks::new().on_message(move |_, _| {
        if count.fetch_add(1, SeqCst) + 1 == WAITING {
            let _ = over.send(is_answered.lock().unwrap().recv_timeout(PATIENCE));
        }
    });
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, callbacks)).start();
    let mut raw = Raw::open(server.address(), "/");
    let message = Frame::new(Frame::BINARY, "").masked().encode();
    raw.write([Frame::new(Frame::PING, "").masked().encode(), message.repeat(MESSAGES)].concat());
    assert_eq!(raw.frame().opcode, Frame::PONG);
    let _ = answered.send(());
    assert_eq!(is_over.recv(), Ok(Ok(())));
}

/// A server of `ws-smol`, which runs all connections on one thread. A connection to `/wait` lets that thread wait
/// until the returned function is called, so that everything that others send meanwhile lies ready at once. The
/// others are opened before.
fn one_thread(server: Server, open: impl FnOnce(SocketAddr)) -> (Running, impl FnOnce()) {
    let (release, released) = mpsc::channel::<()>();
    let (waits, is_waiting) = mpsc::channel();
    let released = Mutex::new(released);
    let wait = Callbacks::new().on_message(move |_, _| {
        let _ = waits.send(());
        let _ = released.lock().unwrap().recv_timeout(PATIENCE);
    });
    let server = server.mount("/wait", Route::callbacks(Adapter::Smol, wait)).start();
    open(server.address());
    let raw = Raw::open(server.address(), "/wait");
    raw.send(Frame::text("wait"));
    is_waiting.recv_timeout(PATIENCE).unwrap();
    let go_on = move || {
        release.send(()).unwrap();
        drop(raw);
    };
    (server, go_on)
}

#[test]
fn a_message_that_takes_long_to_inflate_delays_no_other_connection() {
    bounded(|| {
        let (log, logged) = mpsc::channel();
        let busy = log.clone();
        let busy = Callbacks::new().on_message(move |_, message| {
            let _ = busy.send(("busy", message.len()));
        });
        let polite = Callbacks::new().on_message(move |_, message| {
            let _ = log.send(("polite", message.len()));
        });
        let opened = OnceLock::new();
        let server = Server::new(Adapter::Smol)
            .configure(|config| config.deflate = Some(Deflate::default()))
            .mount("/busy", Route::callbacks(Adapter::Smol, busy))
            .mount("/polite", Route::callbacks(Adapter::Smol, polite));
        // Both are open before the thread waits.
        let (server, go_on) = one_thread(server, |address| {
            let mut busy = Raw::connect(address);
            busy.write(wire::request("/busy", &["Sec-WebSocket-Extensions: permessage-deflate"]));
            assert!(busy.head().contains("permessage-deflate"));
            let _ = opened.set((busy, Raw::open(address, "/polite")));
        });
        let (busy, polite) = opened.get().unwrap();
        // Final blocks with one letter each.
        const BLOCKS: usize = 16_000;
        let mut frame = Frame::new(Frame::TEXT, [0x4B, 0x04, 0x00].repeat(BLOCKS)).masked().encode();
        frame[0] |= 0x40;
        busy.write(frame);
        polite.send(Frame::text("polite"));
        go_on();
        assert_eq!(logged.recv_timeout(PATIENCE), Ok(("polite", 6)));
        assert_eq!(logged.recv_timeout(PATIENCE), Ok(("busy", BLOCKS)));
        // The server does not wait for clients that answer no Close.
        drop(opened);
        drop(server);
    });
}

#[test]
fn broadcasts_delay_other_connections_by_a_few_of_them() {
    bounded(|| {
        const AUDIENCE: usize = 20;
        const MESSAGES: usize = 300;
        let broadcasts = Arc::new(AtomicUsize::new(0));
        let audience = Sessions::new();
        let busy = Callbacks::new().on_message({
            let (audience, broadcasts) = (audience.clone(), broadcasts.clone());
            move |_, message| {
                audience.broadcast(message);
                broadcasts.fetch_add(1, SeqCst);
            }
        });
        let (seen, sees) = mpsc::channel();
        let polite = Callbacks::new().on_message(move |_, _| {
            let _ = seen.send(broadcasts.load(SeqCst));
        });
        let opened = OnceLock::new();
        let server = Server::new(Adapter::Smol)
            .mount("/audience", Route::callbacks(Adapter::Smol, Callbacks::new().sessions(&audience)))
            .mount("/busy", Route::callbacks(Adapter::Smol, busy))
            .mount("/polite", Route::callbacks(Adapter::Smol, polite));
        let (server, go_on) = one_thread(server, |address| {
            let audience: Vec<_> = (0..AUDIENCE).map(|_| Raw::open(address, "/audience")).collect();
            let _ = opened.set((Raw::open(address, "/busy"), Raw::open(address, "/polite"), audience));
        });
        let (busy, polite, _) = opened.get().unwrap();
        busy.write(Frame::text("x").masked().encode().repeat(MESSAGES));
        polite.send(Frame::text("polite"));
        go_on();
        let before = sees.recv_timeout(PATIENCE).unwrap();
        assert!(before <= 32, "{before} broadcasts to {AUDIENCE} were not interrupted");
        // The server does not wait for clients that answer no Close.
        drop(opened);
        drop(server);
    });
}
