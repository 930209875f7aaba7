//! Stops of a server. A server that has to abort connections waits another second for their threads.

use std::{
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use ws_std::{CloseCode, Error, Server};
use ws_tests::{
    PATIENCE, Raw, Running, SLACK, bounded, drain, echo, eventually, waiting_clients, wire, wire::Frame,
};

#[test]
fn stop_closes_every_connection_with_1001_and_serve_returns() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let clients = waiting_clients(&server.url("/"), 20);
        let mut raw = Raw::open(server.address(), "/");
        let stopping = {
            let handle = server.handle().clone();
            thread::spawn(move || handle.stop(PATIENCE))
        };
        assert_eq!(raw.frame().code_and_reason(), (1001, "the server stops"));
        raw.send(Frame::close(1001, ""));
        assert_eq!(raw.next_frame(), None);
        drop(raw);
        for client in clients {
            let close_info = client.join().unwrap();
            assert!(close_info.was_clean, "{close_info}");
            assert_eq!((close_info.code, &*close_info.reason), (CloseCode::GOING_AWAY, "the server stops"));
        }
        assert!(stopping.join().unwrap(), "nothing had to be broken off");
        assert_eq!(server.handle().connections(), 0);
        server.served().unwrap();
    });
}

#[test]
fn a_server_that_has_stopped_accepts_nobody() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let url = server.url("/");
        assert!(server.handle().stop(PATIENCE));
        assert!(server.handle().stop(PATIENCE), "to stop twice does no harm");
        server.served().unwrap();
        assert!(matches!(ws_std::connect(&url), Err(Error::Io(_))));
    });
}

#[test]
fn a_server_may_be_stopped_before_it_serves() {
    bounded(|| {
        let listener = Server::new().route("/", echo).bind("127.0.0.1:0").unwrap();
        assert!(listener.handle().stop(PATIENCE));
        listener.serve().unwrap();
    });
}

#[test]
fn peers_that_do_not_answer_are_broken_off_at_the_deadline() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut silent: Vec<_> = (0..10).map(|_| Raw::open(server.address(), "/")).collect();
        let began = Instant::now();
        assert!(!server.handle().stop(Duration::from_millis(300)));
        assert!(began.elapsed() >= Duration::from_millis(290));
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
        server.served().unwrap();
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
        for raw in &mut silent {
            assert_eq!(raw.frame().code_and_reason(), (1001, "the server stops"));
            assert_eq!(raw.next_frame(), None);
        }
    });
}

#[test]
fn silent_peers_end_at_the_close_timeout_if_that_is_earlier() {
    bounded(|| {
        let close_timeout = Duration::from_millis(200);
        let server = Server::new().configure(|config| config.close_timeout = close_timeout);
        let server = Running::start(server.route("/", echo));
        let _silent = Raw::open(server.address(), "/");
        let began = Instant::now();
        assert!(server.handle().stop(PATIENCE));
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    });
}

#[test]
fn handshakes_in_progress_are_broken_off_at_once() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut begun = [Raw::connect(server.address()), Raw::connect(server.address())];
        begun[1].write_and_see_read(&wire::request("/", &[])[..50]);
        eventually("both were accepted", || server.handle().connections() == 2);
        let began = Instant::now();
        assert!(server.handle().stop(PATIENCE));
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
        server.served().unwrap();
        for raw in &mut begun {
            assert_eq!(raw.rest().unwrap(), b"");
        }
    });
}

#[test]
fn a_handler_that_sends_to_a_peer_that_does_not_read_is_broken_off() {
    bounded(|| {
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let server = Running::start(Server::new().route("/", move |_, ws| {
            let ended = loop {
                if let Err(error) = ws.send(vec![0; 1 << 20]) {
                    break error;
                }
            };
            Ok(tell.lock().unwrap().send(ended)?)
        }));
        let _raw = Raw::open(server.address(), "/");
        let began = Instant::now();
        server.handle().stop(Duration::from_millis(300));
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
        server.served().unwrap();
        let error = told.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(error, Error::Closed(_) | Error::Io(_)), "{error}");
    });
}

#[test]
fn stop_returns_although_a_handler_waits_for_another_event() {
    bounded(|| {
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let server = Running::start(Server::new().route("/", move |_, ws| {
            let _ = released.lock().unwrap().recv();
            assert!(matches!(ws.send("too late"), Err(Error::Closed(_))));
            Ok(())
        }));
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        let began = Instant::now();
        let receiving = thread::spawn(move || {
            let received = ws.receive();
            (matches!(received, Ok(None)), ws.close_info().unwrap().code)
        });
        assert!(!server.handle().stop(Duration::from_millis(300)));
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
        // Sending the Close does not need the handler's thread.
        assert_eq!(receiving.join().unwrap(), (true, CloseCode::GOING_AWAY));
        drop(release);
        server.served().unwrap();
    });
}

#[test]
fn what_is_on_its_way_when_the_server_stops_is_dropped_without_a_reset() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", drain));
        let mut raw = Raw::open(server.address(), "/");
        let handle = server.handle().clone();
        let stopping = thread::spawn(move || handle.stop(PATIENCE));
        assert_eq!(raw.frame().code_and_reason(), (1001, "the server stops"));
        for _ in 0..100 {
            raw.send(Frame::new(Frame::BINARY, vec![0; 64 << 10]));
        }
        raw.send(Frame::close(1001, ""));
        assert_eq!(raw.next_frame(), None);
        drop(raw);
        assert!(stopping.join().unwrap());
    });
}
