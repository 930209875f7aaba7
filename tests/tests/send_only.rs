//! Applications that send and do not receive.

use ws_std::{CloseCode, Error, PreparedMessage, State};
use ws_tests::{
    Raw,
    either::{Adapter, Handed, Route, Running, Server},
    eventually,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    send_reports_the_close_of_the_peer
    every_way_to_send_reports_the_close_of_the_peer
    send_reports_that_the_peer_is_lost
    send_reports_the_close_of_the_peer_after_the_receiver_was_dropped
    messages_before_a_close_that_send_reports_wait_for_the_receiver
    messages_that_wait_for_the_receiver_are_bounded_and_complete
    pings_are_answered_by_an_application_that_only_sends
}

/// A server, its connection, and the peer.
fn open(adapter: Adapter) -> (Running, Handed, Raw) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).start();
    let raw = Raw::open(server.address(), "/");
    (server, take(), raw)
}

/// Sends until an error comes back.
fn first_error(mut send: impl FnMut() -> Result<(), Error>) -> Error {
    let mut error = None;
    eventually("an error comes back", || {
        error = send().err();
        error.is_some()
    });
    error.unwrap()
}

/// Receives until the Close, and drops the frames before it.
fn close_of(raw: &mut Raw) -> Frame {
    loop {
        let frame = raw.frame();
        if frame.opcode == Frame::CLOSE {
            return frame;
        }
    }
}

fn send_reports_the_close_of_the_peer(adapter: Adapter) {
    let (_server, mut handed, mut raw) = open(adapter);
    raw.send(Frame::close(4001, "enough"));
    let error = first_error(|| handed.ws.send("hello"));
    assert!(
        matches!(&error, Error::Closed(close_info) if close_info.code == CloseCode::new(4001)),
        "{error:?}"
    );
    assert_eq!(close_of(&mut raw).code_and_reason().0, 4001, "it is answered");
    // The receiver has the error, too, and once.
    let error = handed.ws.receive().unwrap_err();
    assert!(matches!(&error, Error::Closed(close_info) if close_info.reason == "enough"), "{error:?}");
    assert!(handed.ws.receive().unwrap().is_none());
}

/// A way to send something.
type Way<'w> = dyn Fn(&Handed) -> Result<(), Error> + 'w;

fn every_way_to_send_reports_the_close_of_the_peer(adapter: Adapter) {
    let prepared = PreparedMessage::new("prepared");
    let ways: [&Way<'_>; 4] = [
        &|handed| handed.ws.send_prepared(&prepared),
        &|handed| handed.ws.send_chunk(ws_std::Chunk::last("chunk")),
        &|handed| handed.ws.ping(b"ping"),
        &|handed| {
            handed.ws.flush()?;
            handed.ws.feed("fed")
        },
    ];
    for way in ways {
        let (_server, handed, raw) = open(adapter);
        raw.send(Frame::close(1000, ""));
        let error = first_error(|| way(&handed));
        assert!(matches!(&error, Error::Closed(close_info) if close_info.was_clean), "{error:?}");
    }
}

fn send_reports_that_the_peer_is_lost(adapter: Adapter) {
    let (_server, handed, raw) = open(adapter);
    let (sender, receiver) = handed.ws.split();
    drop(raw);
    first_error(|| sender.send("hello"));
    eventually("the end is known", || sender.send("hello").is_err() && sender.state() == State::Closed);
    let error = sender.send("hello").unwrap_err();
    assert!(matches!(error, Error::Closed(_)), "{error:?}");
    drop(receiver);
}

fn send_reports_the_close_of_the_peer_after_the_receiver_was_dropped(adapter: Adapter) {
    let (_server, handed, mut raw) = open(adapter);
    let (sender, receiver) = handed.ws.split();
    drop(receiver);
    for _ in 0..200 {
        raw.send(Frame::new(Frame::BINARY, [7; 1024]));
    }
    raw.send(Frame::close(4001, "enough"));
    let error = first_error(|| sender.send("hello"));
    assert!(
        matches!(&error, Error::Closed(close_info) if close_info.code == CloseCode::new(4001)),
        "{error:?}"
    );
    assert_eq!(close_of(&mut raw).code_and_reason().0, 4001);
}

fn messages_before_a_close_that_send_reports_wait_for_the_receiver(adapter: Adapter) {
    let (_server, mut handed, raw) = open(adapter);
    raw.send(Frame::text("one"));
    raw.send(Frame::new(Frame::PING, "ping"));
    raw.send(Frame::text("two"));
    raw.send(Frame::close(1000, ""));
    let error = first_error(|| handed.ws.send("hello"));
    assert!(matches!(&error, Error::Closed(close_info) if close_info.was_clean), "{error:?}");
    assert_eq!(handed.ws.message(), "one");
    assert_eq!(handed.ws.message(), "two");
    assert!(handed.ws.receive().unwrap().is_none());
}

fn messages_that_wait_for_the_receiver_are_bounded_and_complete(adapter: Adapter) {
    const COUNT: usize = 300;
    let (_server, mut handed, raw) = open(adapter);
    for number in 0..COUNT {
        raw.send(Frame::text(&format!("{number:0>1000}")));
    }
    raw.send(Frame::close(1000, ""));
    // The Close lies behind more messages than are received for a sender.
    for _ in 0..1000 {
        handed.ws.send("hello").unwrap();
    }
    for number in 0..COUNT {
        assert_eq!(handed.ws.message(), format!("{number:0>1000}").as_str());
        if number % 50 == 0 {
            let _ = handed.ws.send("in between");
        }
    }
    assert!(handed.ws.receive().unwrap().is_none());
}

fn pings_are_answered_by_an_application_that_only_sends(adapter: Adapter) {
    let (_server, handed, mut raw) = open(adapter);
    raw.send(Frame::new(Frame::PING, "are you there?"));
    let mut sends = 0_u32;
    loop {
        handed.ws.send("hello").unwrap();
        sends += 1;
        if raw.frame().opcode == Frame::PONG {
            break;
        }
        assert!(sends < 1_000_000);
    }
}
