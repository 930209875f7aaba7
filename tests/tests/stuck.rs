//! Timeouts for peers that stop reading.

use std::{io::Write as _, thread, time::Duration};

use ws_std::{CloseCode, Error, TimeoutKind, ws_core::Cause};
use ws_tests::{
    Raw,
    either::{Adapter, Client, Route, Server, WebSocket},
    eventually, takes,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    closing_does_not_wait_longer_for_a_peer_that_does_not_read
    a_returning_handler_waits_no_longer_for_a_client_that_does_not_read
    sending_to_a_peer_that_does_not_read_fails_after_the_write_timeout
    who_receives_sees_that_another_gave_up_sending
    an_echo_to_clients_that_do_not_read_ends
    a_peer_that_reads_slowly_is_waited_for
}

/// The configured timeout.
const SHORT: Duration = Duration::from_millis(200);

/// Size of a message above the buffers of both sockets.
const MUCH: usize = 16 << 20;

fn closing_does_not_wait_longer_for_a_peer_that_does_not_read(adapter: Adapter) {
    let (mut ws, _raw) =
        Client::connected_to_raw(adapter, |client| client.configure(|config| config.close_timeout = SHORT));
    ws.feed(vec![7; MUCH]).unwrap();
    takes(SHORT, || ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap());
    let close_info = ws.close_info();
    assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Close), "{close_info}");
    assert!(matches!(ws.send("more"), Err(Error::Closed(_))));
}

fn a_returning_handler_waits_no_longer_for_a_client_that_does_not_read(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).configure(|config| config.close_timeout = SHORT);
    let server = server.start();
    let _raw = Raw::open(server.address(), "/");
    let handed = take();
    handed.ws.feed(vec![7; MUCH]).unwrap();
    drop(handed);
    eventually("the connection has ended", || server.handle().connections() == 0);
}

fn sending_to_a_peer_that_does_not_read_fails_after_the_write_timeout(adapter: Adapter) {
    let (mut ws, _raw) = Client::connected_to_raw(adapter, |client| client.write_timeout(SHORT));
    let error = takes(SHORT, || send_forever(&ws));
    assert!(matches!(error, Error::Timeout(TimeoutKind::Write)), "{error}");
    assert!(matches!(ws.send("more"), Err(Error::Closed(_))));
    assert!(matches!(ws.receive(), Err(Error::Disconnected(_))));

    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).write_timeout(SHORT).start();
    let _raw = Raw::open(server.address(), "/");
    let mut handed = take();
    let error = takes(SHORT, || send_forever(&handed.ws));
    assert!(matches!(error, Error::Timeout(TimeoutKind::Write)), "{error}");
    assert!(matches!(handed.ws.receive(), Err(Error::Disconnected(_))));
}

fn who_receives_sees_that_another_gave_up_sending(adapter: Adapter) {
    let (ws, _raw) = Client::connected_to_raw(adapter, |client| client.write_timeout(SHORT));
    let sender = ws.sender();
    let (_, mut receiver) = ws.split();
    let receiving = thread::spawn(move || receiver.receive().unwrap_err());
    let error = takes(SHORT, || {
        loop {
            if let Err(error) = sender.send(vec![0; 1 << 20]) {
                return error;
            }
        }
    });
    assert!(matches!(error, Error::Timeout(TimeoutKind::Write)), "{error}");
    let error = receiving.join().unwrap();
    assert!(matches!(error, Error::Disconnected(_)), "{error}");
}

fn an_echo_to_clients_that_do_not_read_ends(adapter: Adapter) {
    let server = Server::new(adapter).mount("/", Route::echo(adapter)).write_timeout(SHORT);
    let server = server.configure(|config| config.close_timeout = SHORT).start();
    let raw = Raw::open(server.address(), "/");
    let ask = Frame::new(Frame::BINARY, vec![7; 100_000]).masked().encode();
    raw.socket().set_write_timeout(Some(SHORT)).unwrap();
    while raw.socket().write_all(&ask).is_ok() {}
    eventually("the connection has ended", || server.handle().connections() == 0);
}

fn a_peer_that_reads_slowly_is_waited_for(adapter: Adapter) {
    let (ws, mut raw) = Client::connected_to_raw(adapter, |client| client.write_timeout(SHORT));
    let sending = thread::spawn(move || ws.send(vec![7; MUCH]));
    // Each pause is shorter than the write timeout, and their sum is longer.
    raw.read_with_pauses(8, 2 << 20, SHORT / 4);
    sending.join().unwrap().unwrap();
}

/// Sends until sending fails.
fn send_forever(ws: &WebSocket) -> Error {
    loop {
        if let Err(error) = ws.send(vec![0; 1 << 20]) {
            return error;
        }
    }
}
