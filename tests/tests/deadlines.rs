//! Timeouts of open connections.

use std::{
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use ws_std::{
    Client, CloseCode, CloseInfo, Delivery, Error, Route, Server, TimeoutKind, WebSocket, ws_core::Cause,
};
use ws_tests::{
    PATIENCE, Raw, RawListener, Running, SLACK, bounded, echo, hand_over, let_pass, takes, wire::Frame,
};

/// The configured timeout.
const SHORT: Duration = Duration::from_millis(200);

/// Returns a server with short timeouts and a route that hands its connections to the test.
fn short_server() -> (Running, impl Fn() -> ws_tests::Handed) {
    let (route, take) = hand_over();
    let server = Server::new().write_timeout(Some(SHORT)).mount("/", route);
    let server = server.configure(|config| {
        config.close_timeout = SHORT;
        config.stall_timeout = Some(SHORT);
    });
    (Running::start(server), take)
}

fn short_client() -> (WebSocket, Raw) {
    RawListener::connected(|url| {
        let client = Client::new(url).write_timeout(Some(SHORT)).configure(|config| {
            config.close_timeout = SHORT;
            config.stall_timeout = Some(SHORT);
        });
        client.connect().unwrap()
    })
}

#[test]
fn after_the_read_timeout_the_connection_goes_on() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut ws = Client::new(&server.url("/")).read_timeout(Some(SHORT)).connect().unwrap();
        for _ in 0..2 {
            let error = takes(SHORT, || ws.receive().unwrap_err());
            assert!(matches!(error, Error::Timeout(TimeoutKind::Read)), "{error}");
        }
        ws.send("still open").unwrap();
        assert_eq!(ws.receive().unwrap().unwrap(), "still open");
        ws.set_read_timeout(None);
        ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        assert!(ws.close_info().unwrap().was_clean);
    });
}

#[test]
fn a_handler_may_have_a_read_timeout_too() {
    bounded(|| {
        let handler = |_, mut ws: WebSocket| loop {
            match ws.receive() {
                Err(Error::Timeout(TimeoutKind::Read)) => ws.send("Are you asleep?")?,
                Err(error) => return Err(error.into()),
                Ok(None) => return Ok(()),
                Ok(Some(_)) => {}
            }
        };
        let server = Server::new().read_timeout(Some(SHORT)).route("/", handler);
        let server = Running::start(server);
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        assert_eq!(ws.receive().unwrap().unwrap(), "Are you asleep?");
        assert_eq!(ws.receive().unwrap().unwrap(), "Are you asleep?");
    });
}

#[test]
fn pings_do_not_put_off_the_read_timeout() {
    bounded(|| {
        let (server, take) = short_server();
        let raw = Raw::open(server.address(), "/");
        let (stop, stopped) = mpsc::channel::<()>();
        let pinging = thread::spawn(move || {
            // Ping for three times the read timeout of the server, and then send a message.
            for _ in 0..3 {
                if stopped.recv_timeout(SHORT / 2).is_ok() {
                    return;
                }
                raw.send(Frame::new(Frame::PING, ""));
                let_pass(SHORT / 2);
            }
            raw.send(Frame::text("much later"));
            let _ = stopped.recv();
        });
        let mut handed = take();
        handed.ws.set_read_timeout(Some(SHORT));
        let received = handed.ws.receive();
        drop(stop);
        assert!(matches!(received, Err(Error::Timeout(TimeoutKind::Read))), "{received:?}");
        pinging.join().unwrap();
    });
}

/// Sends half of a message before the read timeout and half after it.
fn message_around_a_read_timeout(delivery: Delivery) {
    let (mut ws, raw) = RawListener::connected(|url| {
        let client = Client::new(url).read_timeout(Some(SHORT));
        client.configure(|config| config.delivery = delivery).connect().unwrap()
    });
    raw.write([0x81, 10, b'f', b'i', b'r', b's', b't']);
    assert!(matches!(ws.receive(), Err(Error::Timeout(TimeoutKind::Read))));
    raw.write(b" half");
    assert_eq!(ws.receive().unwrap().unwrap(), "first half");
}

#[test]
fn a_message_that_comes_around_a_read_timeout_is_whole() {
    bounded(|| message_around_a_read_timeout(Delivery::Messages));
}

#[test]
fn a_message_in_chunks_that_comes_around_a_read_timeout_is_whole() {
    bounded(|| message_around_a_read_timeout(Delivery::Chunks));
}

/// Sends until sending fails.
fn send_forever(sender: &ws_std::Sender) -> Error {
    loop {
        if let Err(error) = sender.send(vec![0; 1 << 20]) {
            return error;
        }
    }
}

#[test]
fn a_client_that_never_reads_is_given_up_after_the_write_timeout() {
    bounded(|| {
        let (server, take) = short_server();
        let _raw = Raw::open(server.address(), "/");
        let mut handed = take();
        let error = takes(SHORT, || send_forever(&handed.ws.sender()));
        assert!(matches!(error, Error::Timeout(TimeoutKind::Write)), "{error}");
        assert!(matches!(handed.ws.send("more"), Err(Error::Closed(_))));
        assert!(matches!(handed.ws.receive(), Err(Error::Disconnected(_))));
    });
}

#[test]
fn a_server_that_never_reads_is_given_up_after_the_write_timeout() {
    bounded(|| {
        let (mut ws, _raw) = short_client();
        let error = takes(SHORT, || send_forever(&ws.sender()));
        assert!(matches!(error, Error::Timeout(TimeoutKind::Write)), "{error}");
        assert!(matches!(ws.receive(), Err(Error::Disconnected(_))));
    });
}

#[test]
fn a_write_timeout_ends_the_receive_of_another_thread() {
    bounded(|| {
        let (server, take) = short_server();
        let _raw = Raw::open(server.address(), "/");
        let handed = take();
        let (sender, mut receiver) = handed.ws.split();
        let receiving = thread::spawn(move || receiver.receive().unwrap_err());
        assert!(matches!(takes(SHORT, || send_forever(&sender)), Error::Timeout(TimeoutKind::Write)));
        let error = receiving.join().unwrap();
        assert!(matches!(error, Error::Disconnected(_)), "{error}");
    });
}

fn expect_close_timeout(close_info: Option<CloseInfo>) {
    let close_info = close_info.unwrap();
    assert!(!close_info.was_clean, "{close_info}");
    assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Close));
}

#[test]
fn a_client_without_an_answering_close_ends_after_the_close_timeout() {
    bounded(|| {
        let (server, take) = short_server();
        let mut raw = Raw::open(server.address(), "/");
        let mut handed = take();
        takes(SHORT, || handed.ws.close(CloseCode::NORMAL_CLOSURE, "bye").unwrap());
        expect_close_timeout(handed.ws.close_info());
        assert_eq!(raw.frame().code_and_reason(), (1000, "bye"));
        assert_eq!(raw.next_frame(), None);
    });
}

#[test]
fn a_server_without_an_answering_close_ends_after_the_close_timeout() {
    bounded(|| {
        let (mut ws, mut raw) = short_client();
        takes(SHORT, || ws.close(CloseCode::NORMAL_CLOSURE, "bye").unwrap());
        expect_close_timeout(ws.close_info());
        assert_eq!(raw.frame().code_and_reason(), (1000, "bye"));
        assert_eq!(raw.next_frame(), None);
    });
}

#[test]
fn a_peer_that_goes_on_sending_does_not_put_off_the_close_timeout() {
    bounded(|| {
        let (server, take) = short_server();
        let raw = Raw::open(server.address(), "/");
        let mut handed = take();
        let socket = raw.socket().try_clone().unwrap();
        let sending = thread::spawn(move || {
            use std::io::Write as _;
            let frame = Frame::new(Frame::BINARY, vec![0; 60_000]).masked().encode();
            while (&socket).write_all(&frame).is_ok() {}
        });
        takes(SHORT, || handed.ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap());
        expect_close_timeout(handed.ws.close_info());
        drop(handed);
        sending.join().unwrap();
    });
}

#[test]
fn a_server_that_keeps_the_stream_open_is_left_after_the_close_timeout() {
    bounded(|| {
        let (mut ws, mut raw) = short_client();
        let answering = thread::spawn(move || {
            assert_eq!(raw.frame().code_and_reason(), (1000, "bye"));
            raw.send_unmasked(&Frame::close(1000, ""));
            raw
        });
        takes(SHORT, || ws.close(CloseCode::NORMAL_CLOSURE, "bye").unwrap());
        assert!(ws.close_info().unwrap().was_clean);
        drop(answering.join().unwrap());
    });
}

#[test]
fn a_close_by_another_thread_ends_receive_after_the_close_timeout() {
    bounded(|| {
        let (server, take) = short_server();
        let _raw = Raw::open(server.address(), "/");
        let handed = take();
        let sender = handed.ws.sender();
        let (_, mut receiver) = handed.ws.split();
        let (tell, told) = mpsc::channel();
        let receiving = thread::spawn(move || {
            tell.send(()).unwrap();
            receiver.receive()
        });
        told.recv_timeout(PATIENCE).unwrap();
        let began = Instant::now();
        sender.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        assert!(matches!(receiving.join().unwrap(), Err(Error::Disconnected(_))));
        assert!(began.elapsed() < SHORT + SLACK, "{:?}", began.elapsed());
        expect_close_timeout(sender.close_info());
    });
}

#[test]
fn a_message_that_is_begun_and_not_continued_ends_the_connection() {
    bounded(|| {
        let (server, take) = short_server();
        let mut raw = Raw::open(server.address(), "/");
        raw.send(Frame::text("to be conti").unfinished());
        let mut handed = take();
        let error = handed.ws.receive().unwrap_err();
        match error {
            Error::Disconnected(close_info) => {
                assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Stall));
            }
            other => panic!("{other}"),
        }
        assert_eq!(raw.frame().code_and_reason().0, 1008);
    });
}

#[test]
fn a_write_that_waits_for_a_slow_reader_does_not_count_as_stuck() {
    bounded(|| {
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let route =
            Route::new(move |_, ws| Ok(tell.lock().unwrap().send(ws.send(vec![7; 16 << 20]).is_ok())?));
        let server = Running::start(Server::new().write_timeout(Some(SHORT)).mount("/", route));
        let mut raw = Raw::open(server.address(), "/");
        // Each pause is shorter than the write timeout, and their sum is longer.
        raw.read_with_pauses(8, 2 << 20, SHORT / 4);
        assert!(told.recv_timeout(PATIENCE).unwrap());
    });
}
