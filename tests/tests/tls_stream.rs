//! Start and end of TLS streams, observed by a raw peer.

use std::{
    io::{Read as _, Write as _},
    thread,
};

use ws_std::{CloseCode, Error};
use ws_tests::{
    Transport,
    either::{Adapter, Client, Handed, Pairing, Route, Running},
    tls::RawTls,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    http_1_1_is_agreed_on_as_the_application_protocol
    a_client_that_offers_no_application_protocol_is_served
    a_client_that_speaks_only_another_protocol_is_refused
    a_server_ends_with_a_close_and_close_notify
    a_client_ends_with_a_close_and_close_notify
    a_refusal_ends_with_close_notify
    a_stream_that_is_cut_off_is_disconnected
    a_stream_that_ends_with_close_notify_alone_is_disconnected
    after_a_close_a_missing_close_notify_is_no_error
    garbage_below_tls_is_an_error_and_harms_nobody
    a_failed_connection_tells_why_before_it_ends
    what_was_fed_before_a_failure_leaves_before_the_close
    the_request_may_come_one_byte_in_a_record
}

fn pairing(adapter: Adapter) -> Pairing {
    Pairing::of(adapter, Transport::Tls)
}

fn serve(adapter: Adapter) -> Running {
    pairing(adapter).serve(Route::echo(adapter)).start()
}

fn hand_over(adapter: Adapter) -> (Running, Handed, RawTls) {
    let (route, take) = Route::hand_over(adapter);
    let server = pairing(adapter).serve(route).start();
    let raw = RawTls::open(server.address());
    (server, take(), raw)
}

fn http_1_1_is_agreed_on_as_the_application_protocol(adapter: Adapter) {
    let server = serve(adapter);
    let mut raw = RawTls::connect(server.address(), &["h2", "http/1.1"]);
    raw.handshake().unwrap();
    assert_eq!(raw.protocol(), Some(b"http/1.1".as_slice()));
    let (_ws, raw) = Client::connected_to_raw_tls(adapter);
    assert_eq!(raw.protocol(), Some(b"http/1.1".as_slice()));
}

fn a_client_that_offers_no_application_protocol_is_served(adapter: Adapter) {
    let server = serve(adapter);
    let mut raw = RawTls::connect(server.address(), &[]);
    raw.write(ws_tests::wire::request("/", &[]));
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(raw.protocol(), None);
}

fn a_client_that_speaks_only_another_protocol_is_refused(adapter: Adapter) {
    let server = serve(adapter);
    let error = RawTls::connect(server.address(), &["h2"]).handshake().unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

fn a_server_ends_with_a_close_and_close_notify(adapter: Adapter) {
    let (_server, mut handed, mut raw) = hand_over(adapter);
    let closing = thread::spawn(move || handed.ws.close(CloseCode::new(4000), "over"));
    let close = raw.frame().unwrap();
    assert_eq!(close.code_and_reason(), (4000, "over"));
    raw.write(close.masked().encode());
    assert_eq!(raw.frame(), None);
    raw.end();
    closing.join().unwrap().unwrap();
}

fn a_client_ends_with_a_close_and_close_notify(adapter: Adapter) {
    let (mut ws, mut raw) = Client::connected_to_raw_tls(adapter);
    let closing = thread::spawn(move || ws.close(CloseCode::new(4000), "over").map(|()| ws));
    let close = raw.frame().unwrap();
    assert_eq!(close.code_and_reason(), (4000, "over"));
    raw.write(Frame { mask: None, ..close }.encode());
    raw.end();
    assert_eq!(raw.frame(), None);
    assert!(closing.join().unwrap().unwrap().close_info().was_clean);
}

fn a_refusal_ends_with_close_notify(adapter: Adapter) {
    let server = serve(adapter);
    for request in [ws_tests::wire::request("/elsewhere", &[]), "nonsense\r\n\r\n".to_owned()] {
        let mut raw = RawTls::connect(server.address(), &[]);
        raw.write(request);
        assert!(raw.head().starts_with("HTTP/1.1 40"));
        let mut buffer = [0; 1000];
        while raw.read(&mut buffer).unwrap() > 0 {}
    }
}

fn a_stream_that_is_cut_off_is_disconnected(adapter: Adapter) {
    let (_server, mut handed, mut raw) = hand_over(adapter);
    raw.write(Frame::text("before").masked().encode());
    raw.end_without_notify();
    assert_eq!(handed.ws.message(), "before");
    let error = handed.ws.receive().unwrap_err();
    assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
    assert!(!handed.ws.close_info().was_clean);
    let (mut ws, mut raw) = Client::connected_to_raw_tls(adapter);
    raw.end_without_notify();
    let error = ws.receive().unwrap_err();
    assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
}

fn a_stream_that_ends_with_close_notify_alone_is_disconnected(adapter: Adapter) {
    let (_server, mut handed, mut raw) = hand_over(adapter);
    raw.end();
    let error = handed.ws.receive().unwrap_err();
    assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
    assert!(!handed.ws.close_info().was_clean);
}

fn after_a_close_a_missing_close_notify_is_no_error(adapter: Adapter) {
    let (_server, mut handed, mut raw) = hand_over(adapter);
    raw.write(Frame::close(1000, "").masked().encode());
    raw.end_without_notify();
    assert_eq!(handed.ws.receive().unwrap(), None);
    assert!(handed.ws.close_info().was_clean);
}

fn garbage_below_tls_is_an_error_and_harms_nobody(adapter: Adapter) {
    let (server, mut handed, raw) = hand_over(adapter);
    raw.socket().write_all(&[0x55; 100]).unwrap();
    let error = handed.ws.receive().unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
    assert!(matches!(handed.ws.send("more"), Err(Error::Closed(_))));
    drop(handed);
    drop(raw);
    RawTls::open(server.address());
}

fn a_failed_connection_tells_why_before_it_ends(adapter: Adapter) {
    let (_server, mut handed, mut raw) = hand_over(adapter);
    // Unmasked, although a client's frames must be masked.
    raw.write(Frame::text("plain").encode());
    let receiving = thread::spawn(move || handed.ws.receive().map(|_| ()).unwrap_err());
    let close = raw.frame().expect("a Close before the end");
    assert_eq!(close.code_and_reason().0, 1002);
    assert_eq!(raw.frame(), None);
    assert!(matches!(receiving.join().unwrap(), Error::Protocol(_)));
}

fn what_was_fed_before_a_failure_leaves_before_the_close(adapter: Adapter) {
    let (_server, mut handed, mut raw) = hand_over(adapter);
    // Both frames are in one record, so that the second waits in the buffer while the first is answered.
    raw.write([Frame::text("go").masked().encode(), Frame::text("plain").encode()].concat());
    assert_eq!(handed.ws.message(), "go");
    handed.ws.feed(vec![7; 300_000]).unwrap();
    // `send` returns when the rest is written, which is more than the kernel's buffers hold.
    let receiving = thread::spawn(move || (handed.ws.receive().unwrap_err(), handed));
    assert!(raw.frame().unwrap() == Frame::new(Frame::BINARY, vec![7; 300_000]));
    assert_eq!(raw.frame().expect("a Close before the end").code_and_reason().0, 1002);
    assert_eq!(raw.frame(), None);
    let (error, _handed) = receiving.join().unwrap();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
}

fn the_request_may_come_one_byte_in_a_record(adapter: Adapter) {
    let server = serve(adapter);
    let mut raw = RawTls::connect(server.address(), &[]);
    for byte in ws_tests::wire::request("/", &[]).bytes() {
        raw.write([byte]);
    }
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    for byte in Frame::text("byte by byte").masked().encode() {
        raw.write([byte]);
    }
    assert_eq!(raw.frame().unwrap(), Frame::text("byte by byte"));
}
