//! Leaks of descriptors and threads. This is the only test of its program, because it counts those of the whole
//! process.

use std::{thread, time::Duration};

use ws_std::{CloseCode, Server};
use ws_tests::{
    Raw, Running, bounded, echo, eventually, kernel,
    wire::{self, Frame},
};

/// Runs one of nine kinds of clients, selected by its number.
fn come_and_go(server: &Running, number: usize) {
    let url = server.url("/");
    let partial = &Frame::text("broken off").masked().encode()[..9];
    match number % 9 {
        0 => {
            let mut ws = ws_std::connect(&url).unwrap();
            ws.send("hello").unwrap();
            assert_eq!(ws.receive().unwrap().unwrap(), "hello");
            ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
            assert!(ws.close_info().unwrap().was_clean);
        }
        1 => {
            let mut raw = Raw::open(server.address(), "/");
            raw.send(Frame::text("hello"));
            assert_eq!(raw.frame(), Frame::text("hello"));
            raw.send(Frame::close(1000, ""));
            assert_eq!(raw.frame().code_and_reason(), (1000, ""));
            assert_eq!(raw.next_frame(), None);
        }
        2 => drop(ws_std::connect(&url).unwrap()),
        3 => Raw::open(server.address(), "/").write(partial),
        4 => {
            let raw = Raw::open(server.address(), "/");
            raw.write(partial);
            raw.reset();
        }
        5 => Raw::open(server.address(), "/").reset(),
        6 => drop(Raw::connect(server.address())),
        7 => Raw::connect(server.address()).write(&wire::request("/", &[])[..50]),
        _ => assert!(ws_std::connect(&server.url("/nowhere")).is_err()),
    }
}

#[test]
fn a_thousand_connections_of_all_kinds_leak_no_descriptor_or_thread() {
    bounded(|| {
        let before = (kernel::file_descriptors(), kernel::threads());
        let server = Running::start(Server::new().route("/", echo));
        thread::scope(|scope| {
            for first in 0..8 {
                let server = &server;
                scope.spawn(move || {
                    for number in (first..1000).step_by(8) {
                        come_and_go(server, number);
                    }
                });
            }
        });
        assert!(server.handle().stop(Duration::from_secs(10)), "connections were left");
        assert_eq!(server.handle().connections(), 0);
        server.served().unwrap();
        // A thread that has ended may be visible for another moment.
        eventually("all is as before", || (kernel::file_descriptors(), kernel::threads()) == before);
    });
}
