//! Keepalive pings, and the verdict on peers that do not answer them.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use ws_std::{
    Client, Error, Keepalive, Server,
    ws_core::{Cause, TimeoutKind},
};
use ws_tests::{
    Handed, PATIENCE, Raw, RawListener, Running, SLACK, bounded, eventually, hand_over, let_pass, wire::Frame,
};

const INTERVAL: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_millis(150);

const KEEPALIVE: Keepalive = Keepalive { interval: INTERVAL, timeout: TIMEOUT, max_missed: Some(1) };
/// Keepalive for tests with a live peer, with a margin for a busy machine.
const PATIENT: Keepalive = Keepalive { interval: INTERVAL, timeout: PATIENCE, max_missed: Some(1) };

fn server(keepalive: Keepalive) -> (Running, impl Fn() -> Handed) {
    let (route, take) = hand_over();
    let server = Server::new().mount("/", route);
    (Running::start(server.configure(|config| config.keepalive = Some(keepalive))), take)
}

fn expect_dead(error: Error, since: Instant) {
    match error {
        Error::Disconnected(close_info) => {
            assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Keepalive));
            assert!(close_info.to_string().contains("did not answer the pings of keepalive"), "{close_info}");
        }
        other => panic!("{other:?}"),
    }
    let took = since.elapsed();
    assert!(took >= TIMEOUT && took < INTERVAL + TIMEOUT + SLACK, "{took:?}");
}

#[test]
fn a_client_that_never_answers_is_noticed() {
    bounded(|| {
        let (server, take) = server(KEEPALIVE);
        let began = Instant::now();
        let mut raw = Raw::open(server.address(), "/");
        let mut handed = take();
        expect_dead(handed.ws.receive().unwrap_err(), began);
        assert!(matches!(handed.ws.send("hello?"), Err(Error::Closed(_))));
        drop(handed);
        assert_eq!(raw.frame().opcode, Frame::PING);
        assert_eq!(raw.next_frame(), None, "nobody is there to read a Close");
    });
}

#[test]
fn a_server_that_never_answers_is_noticed() {
    bounded(|| {
        let began = Instant::now();
        let (mut ws, mut raw) = RawListener::connected(|url| {
            let client = Client::new(url).configure(|config| config.keepalive = Some(KEEPALIVE));
            client.connect().unwrap()
        });
        expect_dead(ws.receive().unwrap_err(), began);
        assert_eq!(raw.frame().opcode, Frame::PING);
    });
}

#[test]
fn a_peer_that_answers_lives_on_while_the_application_sits_in_receive() {
    bounded(|| {
        let (server, take) = server(PATIENT);
        let mut raw = Raw::open(server.address(), "/");
        let mut handed = take();
        let sender = handed.ws.sender();
        let receiving = thread::spawn(move || handed.ws.receive().unwrap().unwrap());
        for _ in 0..5 {
            let ping = raw.frame();
            assert_eq!(ping.opcode, Frame::PING);
            raw.send(Frame { opcode: Frame::PONG, ..ping });
        }
        raw.send(Frame::text("alive"));
        assert_eq!(receiving.join().unwrap(), "alive");
        assert!(sender.latency().is_some());
    });
}

#[test]
fn two_of_our_own_keep_each_other_alive() {
    bounded(|| {
        let (server, take) = server(PATIENT);
        let client = Client::new(&server.url("/"));
        let client = client.configure(|config| config.keepalive = Some(PATIENT));
        let mut ws = client.connect().unwrap();
        let mut there = take();
        let (here, over_there) = (ws.sender(), there.ws.sender());
        let receiving = [
            thread::spawn(move || ws.receive().unwrap().unwrap()),
            thread::spawn(move || there.ws.receive().unwrap().unwrap()),
        ];
        eventually("both measured the latency", || {
            here.latency().is_some() && over_there.latency().is_some()
        });
        here.send("alive").unwrap();
        over_there.send("alive").unwrap();
        for received in receiving {
            assert_eq!(received.join().unwrap(), "alive");
        }
    });
}

#[test]
fn a_peer_that_sends_but_does_not_pong_counts_as_alive() {
    bounded(|| {
        let keepalive = Keepalive { timeout: Duration::from_secs(1), ..KEEPALIVE };
        let (server, take) = server(keepalive);
        let raw = Raw::open(server.address(), "/");
        let (stop, stopped) = mpsc::channel::<()>();
        let sending = thread::spawn(move || {
            // A message every 20 ms, for longer than pings may stay unanswered.
            while stopped.recv_timeout(Duration::from_millis(20)).is_err() {
                raw.send(Frame::text("busy"));
            }
        });
        let mut handed = take();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            assert_eq!(handed.ws.receive().unwrap().unwrap(), "busy");
        }
        stop.send(()).unwrap();
        sending.join().unwrap();
    });
}

#[test]
fn a_peer_is_not_declared_dead_while_the_application_does_not_receive() {
    bounded(|| {
        let (server, take) = server(KEEPALIVE);
        let raw = Raw::open(server.address(), "/");
        let mut handed = take();
        handed.ws.set_read_timeout(Some(Duration::ZERO));
        // One ping is sent, and the application pauses until long after the deadline of its pong.
        let_pass(INTERVAL * 2);
        assert!(matches!(handed.ws.receive(), Err(Error::Timeout(_))));
        raw.send(Frame::text("I was here"));
        let_pass((INTERVAL + TIMEOUT) * 2);
        handed.ws.set_read_timeout(None);
        assert_eq!(handed.ws.receive().unwrap().unwrap(), "I was here");
    });
}

#[test]
fn a_dead_peer_ends_the_send_of_another_thread() {
    bounded(|| {
        let (server, take) = server(KEEPALIVE);
        let began = Instant::now();
        let _raw = Raw::open(server.address(), "/");
        let handed = take();
        let (sender, mut receiver) = handed.ws.split();
        let sending = thread::spawn(move || {
            loop {
                if let Err(error) = sender.send(vec![0; 1 << 20]) {
                    return error;
                }
            }
        });
        expect_dead(receiver.receive().unwrap_err(), began);
        let error = sending.join().unwrap();
        assert!(matches!(error, Error::Disconnected(_) | Error::Closed(_) | Error::Io(_)), "{error}");
    });
}

#[test]
fn without_keepalive_silence_means_nothing() {
    bounded(|| {
        let (route, take) = hand_over();
        let server = Server::new().mount("/", route).configure(|config| config.keepalive = None);
        let server = Running::start(server);
        let raw = Raw::open(server.address(), "/");
        let mut handed = take();
        handed.ws.set_read_timeout(Some(INTERVAL * 4));
        assert!(matches!(handed.ws.receive(), Err(Error::Timeout(_))));
        raw.send(Frame::text("hello"));
        assert_eq!(handed.ws.receive().unwrap().unwrap(), "hello");
    });
}
