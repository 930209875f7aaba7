//! Clients and unusual servers: refusals in other forms, compression without parameters, and unusual URLs.

use std::{thread, time::Duration};

use ws_std::{CloseCode, Deflate, Error, HandshakeError};
use ws_tests::{
    Raw, RawListener,
    certificates::Authority,
    either::{Adapter, Client, Route, Server, WebSocket},
    takes,
    wire::{self, Frame},
    with_both_adapters,
};

with_both_adapters! {
    a_refusal_in_http_1_0_keeps_its_status
    a_refusal_without_a_length_is_reported_when_its_body_pauses
    a_client_with_compression_opens_with_a_bare_answer
    a_ping_that_crosses_our_own_close_is_answered
    a_url_with_neither_user_nor_password_sends_no_authorization
    a_header_that_may_be_there_once_is_not_sent_twice
    a_url_of_http_opens_a_websocket
    a_cookie_of_66_000_bytes_arrives_whole_over_tls
}

/// Connects a client to a raw server that answers the head of the request with these bytes.
fn answered(
    client: impl FnOnce(&str) -> Client,
    answer: impl FnOnce(&str) -> String,
) -> Result<WebSocket, Error> {
    let listener = RawListener::new();
    let client = client(&listener.url("/"));
    let connecting = thread::spawn(move || client.connect());
    let mut raw = listener.accept();
    let head = raw.head();
    raw.write(answer(&head));
    // The server keeps the stream open.
    connecting.join().unwrap()
}

fn refused_with(result: Result<WebSocket, Error>) -> u16 {
    match result {
        Err(Error::Handshake(HandshakeError::Refused(response))) => response.status(),
        other => panic!("{other:?}"),
    }
}

fn a_refusal_in_http_1_0_keeps_its_status(adapter: Adapter) {
    let refusal = "HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let refused = answered(|url| Client::new(adapter, url), |_| refusal.to_owned());
    assert_eq!(refused_with(refused), 503);
}

fn a_refusal_without_a_length_is_reported_when_its_body_pauses(adapter: Adapter) {
    let refusal = "HTTP/1.1 503 Service Unavailable\r\n\r\nlater";
    takes(Duration::from_secs(1), || {
        let refused = answered(|url| Client::new(adapter, url), |_| refusal.to_owned());
        assert_eq!(refused_with(refused), 503);
    });
}

fn a_client_with_compression_opens_with_a_bare_answer(adapter: Adapter) {
    let compressing =
        |url: &str| Client::new(adapter, url).configure(|config| config.deflate = Some(Deflate::default()));
    let bare = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    answered(compressing, |head| wire::response(head).replace("\r\n\r\n", bare)).expect("a connection");
}

fn a_ping_that_crosses_our_own_close_is_answered(adapter: Adapter) {
    let (mut ws, mut raw) = Client::connected_to_raw(adapter, |client| client);
    ws.sender().close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert_eq!(raw.frame().code_and_reason().0, 1000);
    raw.send_unmasked(&Frame::new(Frame::PING, "there?"));
    raw.send_unmasked(&Frame::close(1000, ""));
    assert!(ws.receive().unwrap().is_none());
    let pong = raw.frame();
    assert_eq!((pong.opcode, &*pong.payload), (Frame::PONG, &b"there?"[..]));
}

/// Returns the head of the request for a URL with this scheme and user information.
fn request_for(adapter: Adapter, scheme: &str, user: &str) -> String {
    let listener = RawListener::new();
    let client = Client::new(adapter, &format!("{scheme}://{user}{}/", listener.address()));
    let connecting = thread::spawn(move || client.connect().map(drop));
    let (raw, head) = listener.open();
    drop::<Raw>(raw);
    connecting.join().unwrap().unwrap();
    head
}

fn a_url_with_neither_user_nor_password_sends_no_authorization(adapter: Adapter) {
    for (user, sent) in [("@", None), (":@", None), ("user:pass@", Some("Basic dXNlcjpwYXNz"))] {
        assert_eq!(wire::header(&request_for(adapter, "ws", user), "Authorization"), sent, "{user}");
    }
}

fn a_header_that_may_be_there_once_is_not_sent_twice(adapter: Adapter) {
    let listener = RawListener::new();
    for name in ["Host", "Origin", "Authorization"] {
        let client = Client::new(adapter, &listener.url("/")).header(name, "one.example");
        let error = client.header(name, "two.example").connect().unwrap_err();
        assert!(matches!(error, Error::Handshake(HandshakeError::UnsendableHeader)), "{name}: {error:?}");
    }
}

fn a_url_of_http_opens_a_websocket(adapter: Adapter) {
    assert!(request_for(adapter, "http", "").starts_with("GET / HTTP/1.1\r\n"));
}

fn a_cookie_of_66_000_bytes_arrives_whole_over_tls(adapter: Adapter) {
    let cookie = "c".repeat(66_000);
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).tls(Authority::shared().server().serving());
    let server = server.configure_handshake(|limits| limits.max_head_size = 128 << 10).start();
    let client = Client::new(adapter, &format!("wss://{}/", server.address()));
    let client = client.tls(Authority::shared().trusted()).header("Cookie", &cookie);
    let _client = client.connect().expect("a connection");
    assert_eq!(take().request.header("Cookie"), Some(&*cookie));
}
