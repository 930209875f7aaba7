//! Read timeouts, including zero.

use std::{
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use ws_std::{CloseCode, Error, TimeoutKind};
use ws_tests::{
    Raw, SLACK,
    either::{Adapter, Client, Pairing, WebSocket},
    eventually,
    wire::Frame,
    with_both_adapters, with_every_pairing_by_tls,
};

with_both_adapters! {
    try_receive_returns_what_has_come_and_does_not_wait
    try_receive_returns_each_end_as_receive_does
    a_read_timeout_of_zero_returns_a_message_that_lies_in_the_socket
    a_large_message_that_lies_in_the_socket_is_returned_at_once
    a_flood_of_pings_does_not_keep_try_receive
    a_read_timeout_is_exact
}

with_every_pairing_by_tls! {
    try_receive_works_over_tls
}

fn connected(adapter: Adapter) -> (WebSocket, Raw) {
    Client::connected_to_raw(adapter, |client| client)
}

fn is_nothing<T>(received: &Result<Option<T>, Error>) -> bool {
    matches!(received, Err(Error::Timeout(TimeoutKind::Read)))
}

/// Calls a function until it returns a value.
fn poll<T>(mut receive: impl FnMut() -> Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    let mut received = receive();
    eventually("something to receive", || {
        if is_nothing(&received) {
            received = receive();
        }
        !is_nothing(&received)
    });
    received
}

fn try_receive_returns_what_has_come_and_does_not_wait(adapter: Adapter) {
    let (mut ws, mut raw) = connected(adapter);
    let began = Instant::now();
    assert!(is_nothing(&ws.try_receive()));
    assert!(began.elapsed() < SLACK);
    raw.send_unmasked(&Frame::new(Frame::PING, "p"));
    raw.send_unmasked(&Frame::text("first"));
    raw.send_unmasked(&Frame::text("second"));
    for expected in ["first", "second"] {
        assert_eq!(poll(|| ws.try_receive()).unwrap().unwrap(), expected);
    }
    assert!(is_nothing(&ws.try_receive()));
    // Pings are answered, and the connection is still usable.
    let pong = raw.frame();
    assert_eq!((pong.opcode, &*pong.payload), (Frame::PONG, &b"p"[..]));
    ws.send("third").unwrap();
    assert_eq!(raw.frame().payload, b"third");
    raw.send_unmasked(&Frame::text("fourth"));
    assert_eq!(ws.message(), "fourth");
}

fn try_receive_returns_each_end_as_receive_does(adapter: Adapter) {
    for (code, is_normal) in [(1000, true), (1011, false)] {
        let (mut ws, raw) = connected(adapter);
        raw.send_unmasked(&Frame::close(code, ""));
        drop(raw);
        match poll(|| ws.try_receive()) {
            Ok(None) => assert!(is_normal),
            Err(Error::Closed(close_info)) => assert_eq!((close_info.code.get(), is_normal), (1011, false)),
            other => panic!("{other:?}"),
        }
        assert!(matches!(ws.try_receive(), Ok(None)));
    }
}

fn a_read_timeout_of_zero_returns_a_message_that_lies_in_the_socket(adapter: Adapter) {
    let (mut ws, raw) = connected(adapter);
    ws.set_read_timeout(Some(Duration::ZERO));
    assert!(is_nothing(&ws.receive()));
    raw.send_unmasked(&Frame::text("hello"));
    assert_eq!(poll(|| ws.receive()).unwrap().unwrap(), "hello");
}

fn a_large_message_that_lies_in_the_socket_is_returned_at_once(adapter: Adapter) {
    const SIZE: usize = 400_000;
    let (mut ws, raw) = connected(adapter);
    raw.send_unmasked(&Frame::new(Frame::BINARY, vec![7; SIZE]));
    raw.send_unmasked(&Frame::text("behind it"));
    // On the loopback interface, written bytes are in the receiver's socket, or the writer waits.
    assert_eq!(poll(|| ws.try_receive()).unwrap().unwrap().len(), SIZE);
}

fn a_flood_of_pings_does_not_keep_try_receive(adapter: Adapter) {
    let (mut ws, raw) = connected(adapter);
    let socket = raw.socket().try_clone().unwrap();
    let pings = Frame::new(Frame::PONG, "").encode().repeat(50_000);
    let flooding = thread::spawn(move || while (&socket).write_all(&pings).is_ok() {});
    for _ in 0..5 {
        let began = Instant::now();
        assert!(is_nothing(&ws.try_receive()));
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    }
    drop(ws);
    drop(raw);
    flooding.join().unwrap();
}

fn a_read_timeout_is_exact(adapter: Adapter) {
    const TIMEOUT: Duration = Duration::from_millis(1000);
    // A systematic delay occurs each time. A delay by a busy machine does not.
    const LATE: Duration = Duration::from_millis(15);
    let (mut ws, _raw) = connected(adapter);
    ws.set_read_timeout(Some(TIMEOUT));
    let lateness = (0..8).find_map(|_| {
        let began = Instant::now();
        assert!(is_nothing(&ws.receive()));
        let took = began.elapsed();
        assert!(took >= TIMEOUT, "{took:?}");
        (took < TIMEOUT + LATE).then_some(took)
    });
    assert!(lateness.is_some(), "never within {LATE:?}");
}

fn try_receive_works_over_tls(pairing: Pairing) {
    let (_server, mut client) = pairing.echo();
    assert!(is_nothing(&client.try_receive()));
    client.send("hello").unwrap();
    assert_eq!(poll(|| client.try_receive()).unwrap().unwrap(), "hello");
    client.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
}
