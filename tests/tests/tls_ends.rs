//! Ends of connections where TLS ends before TCP: by `close_notify`, or by an invalid record.

use std::{
    io::Write as _,
    panic,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use ws_std::{Callbacks, CloseCode, Error};
use ws_tests::{
    Transport,
    either::{Adapter, Client, Handed, Pairing, Route, Running},
    eventually, kernel, let_pass,
    link::Link,
    tls::RawTls,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    rubbish_behind_the_end_of_tls_is_dropped
    close_does_not_wait_for_tcp_after_close_notify
    a_server_ends_at_once_after_a_close_and_close_notify
    receive_ends_at_once_after_close_notify_without_a_close
    a_message_before_a_broken_record_is_received
    a_close_before_a_broken_record_ends_cleanly
    a_broken_record_behind_a_close_leaves_the_server_idle
    a_broken_record_behind_a_broken_rule_leaves_the_server_idle
}

/// An upper bound. A missed end would take the close timeout, which is ten times as long.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The head of a TLS record with content that is not valid ciphertext of the session.
const BROKEN_RECORD: [u8; 37] = {
    let mut record = [0; 37];
    (record[0], record[1], record[2], record[4]) = (23, 3, 3, 32);
    record
};

fn prompt<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = run();
    let took = began.elapsed();
    assert!(took < AT_ONCE, "{what} took {took:?}");
    result
}

fn hand_over(adapter: Adapter) -> (Running, Handed, Link) {
    let (route, take) = Route::hand_over(adapter);
    let pairing = Pairing::of(adapter, Transport::Tls);
    let server = pairing.serve(route).start();
    let link = Link::open(server.address(), Transport::Tls);
    (server, take(), link)
}

fn close_does_not_wait_for_tcp_after_close_notify(adapter: Adapter) {
    let (mut ws, mut raw) = Client::connected_to_raw_tls(adapter);
    // aiohttp, libwebsockets and others do this: TCP stays open until the client's `close_notify` arrives.
    let answering = thread::spawn(move || {
        assert_eq!(raw.frame().unwrap().code_and_reason().0, 1000);
        raw.write(Frame::close(1000, "").encode());
        raw.notify();
        assert_eq!(raw.frame(), None);
    });
    prompt("closing", || ws.close(CloseCode::NORMAL_CLOSURE, "")).unwrap();
    assert!(ws.close_info().was_clean);
    prompt("the client's `close_notify`", || answering.join()).unwrap();
}

fn a_server_ends_at_once_after_a_close_and_close_notify(adapter: Adapter) {
    let pairing = Pairing::of(adapter, Transport::Tls);
    let callbacks = Route::callbacks(adapter, Callbacks::new());
    for server in [pairing.serve(Route::echo(adapter)).start(), pairing.serve(callbacks).start()] {
        let mut raw = RawTls::open(server.address());
        prompt("the end", || {
            raw.write(Frame::close(1000, "").masked().encode());
            raw.notify();
            assert_eq!(raw.frame().unwrap().code_and_reason().0, 1000);
            assert_eq!(raw.frame(), None);
            drop(raw);
            while server.handle().connections() > 0 {
                thread::yield_now();
            }
        });
    }
}

fn receive_ends_at_once_after_close_notify_without_a_close(adapter: Adapter) {
    let (_server, mut handed, link) = hand_over(adapter);
    let Link::Tls(mut raw) = link else { unreachable!("it is secure") };
    raw.notify();
    let error = prompt("the end", || handed.ws.receive()).unwrap_err();
    assert!(matches!(error, Error::Disconnected(_)), "{error:?}");

    let (mut ws, mut raw) = Client::connected_to_raw_tls(adapter);
    raw.notify();
    let error = prompt("the end", || ws.receive()).unwrap_err();
    assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
    assert_eq!(raw.frame(), None);
}

fn rubbish_behind_the_end_of_tls_is_dropped(adapter: Adapter) {
    let pairing = Pairing::of(adapter, Transport::Tls);
    let (route, panics) = (Route::echo(adapter), Arc::new(AtomicUsize::new(0)));
    let (hook, count) = (panic::take_hook(), panics.clone());
    panic::set_hook(Box::new(move |info| {
        count.fetch_add(1, SeqCst);
        hook(info);
    }));
    let server = pairing.serve(route).start();
    for frame in [Frame::close(1000, ""), Frame::new(3, "")] {
        let mut raw = RawTls::open(server.address());
        raw.write(frame.masked().encode());
        raw.frame().expect("a Close");
        assert_eq!(raw.frame(), None);
        // The server has sent `close_notify`, and reads until the TCP stream ends.
        raw.socket().write_all(&[0; 4096]).unwrap();
        drop(raw);
        eventually("the connection has ended", || server.handle().connections() == 0);
    }
    assert_eq!(panics.load(SeqCst), 0);
}

fn a_message_before_a_broken_record_is_received(adapter: Adapter) {
    let (_server, mut handed, mut link) = hand_over(adapter);
    link.write_with_rubbish(Frame::text("whole").masked().encode(), BROKEN_RECORD);
    assert_eq!(handed.ws.message(), "whole");
    let error = handed.ws.receive().unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
    // Again without a pause, and so probably in one read.
    let (_server, mut handed, mut link) = hand_over(adapter);
    let messages = Frame::text("whole").masked().encode().repeat(1000);
    link.write_with_rubbish(messages, BROKEN_RECORD);
    for _ in 0..1000 {
        assert_eq!(handed.ws.message(), "whole");
    }
    let error = handed.ws.receive().unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
}

fn a_close_before_a_broken_record_ends_cleanly(adapter: Adapter) {
    let (_server, mut handed, mut link) = hand_over(adapter);
    link.write_with_rubbish(Frame::close(1000, "").masked().encode(), BROKEN_RECORD);
    let received = prompt("the end", || handed.ws.receive());
    let close_info = handed.ws.close_info();
    assert_eq!(close_info.code, CloseCode::NORMAL_CLOSURE, "{received:?}");
    assert_eq!(received.unwrap(), None);
}

/// Ends many connections with these frames followed by bytes that are not TLS, and checks that the server is idle
/// afterwards.
fn expect_idle(adapter: Adapter, frame: &Frame) {
    let pairing = Pairing::of(adapter, Transport::Tls);
    let server = pairing.serve(Route::echo(adapter)).start();
    let last = frame.clone().masked().encode();
    let mut links = Vec::new();
    for turn in 0..200 {
        let mut link = Link::open(server.address(), Transport::Tls);
        if turn % 4 == 0 {
            // Both arrive in one read.
            link.write_with_rubbish(&last, [0; 4096]);
        } else {
            // Sometimes the second read finds the invalid record while the reply to the first is not written yet.
            link.write(&last);
            link.write_with_rubbish([], [0; 4096]);
        }
        links.push(link);
    }
    links.iter_mut().for_each(Link::drain);
    let (used, time) = (kernel::cpu_time(), Duration::from_millis(300));
    let_pass(time);
    let used = kernel::cpu_time() - used;
    assert!(used < time / 2, "the idle server used {used:?} of {time:?}");
}

fn a_broken_record_behind_a_close_leaves_the_server_idle(adapter: Adapter) {
    expect_idle(adapter, &Frame::close(1000, ""));
}

fn a_broken_record_behind_a_broken_rule_leaves_the_server_idle(adapter: Adapter) {
    expect_idle(adapter, &Frame::new(3, ""));
}
