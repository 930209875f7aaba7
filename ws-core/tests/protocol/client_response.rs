//! Responses that a client accepts (RFC 6455 section 4.1), from unusual or hostile servers.

use std::sync::Arc;

use ws_core::{Config, HandshakeConfig, HandshakeError, Role, State, Timestamp, client};

use crate::support::{
    SEED, assert_masked, at, hear,
    http::{
        Head, SAMPLE_ACCEPT, accept_of_seed, answered, client_request, conclude, conclude_with, opening,
        start,
    },
    secs, sent, text,
    wire::Frame,
};

fn assert_error(head: &Head, error: &HandshakeError) {
    assert_eq!(conclude(head).map(drop).unwrap_err(), *error, "{head:?}");
}

fn assert_open(head: &Head) {
    assert!(conclude(head).is_ok(), "{:?}: {:?}", conclude(head), head);
}

#[test]
fn a_response_that_obeys_every_rule_opens_the_connection() {
    let (mut client, response) = conclude(&opening().with("X-Served-By: 7")).unwrap();
    assert_eq!((client.role(), client.state()), (Role::Client, State::Open));
    assert_eq!((response.status(), response.header_value("x-served-by")), (101, Some("7")));
    assert_eq!(client.subprotocol(), None);
    client.send("hi").unwrap();
    assert_eq!(sent(&mut client), [Frame::text("hi")]);
    assert_eq!(hear(&mut client, &[Frame::text("hello")]), [text("hello")]);
}

#[test]
fn reason_phrase_case_order_and_further_headers_do_not_matter() {
    let accept = accept_of_seed();
    for head in [
        opening().first_line("HTTP/1.1 101 "),
        opening().first_line("HTTP/1.1 101"),
        opening().first_line("HTTP/1.1 101 Web Socket Protocol Handshake"),
        opening().set("Upgrade", "WebSocket"),
        opening().set("Connection", "upgrade"),
        opening().set("Connection", "keep-alive, Upgrade"),
        opening().set("Connection", "keep-alive").with("Connection: Upgrade"),
        opening().set("Sec-WebSocket-Accept", format!(" \t{accept} ")),
        opening().with("Date: now").with("Server: \u{e9}").with("Set-Cookie: a=b").with("Set-Cookie: c=d"),
        Head::new([
            "HTTP/1.1 101 x",
            &format!("SEC-WEBSOCKET-ACCEPT:{accept}"),
            "CONNECTION:UPGRADE",
            "UPGRADE:WEBSOCKET",
        ]),
    ] {
        assert_open(&head);
    }
}

#[test]
fn the_accept_value_is_exactly_the_one_that_answers_the_key() {
    let right = accept_of_seed();
    let error = HandshakeError::InvalidHeader("Sec-WebSocket-Accept");
    let mut flipped = right.clone();
    flipped.replace_range(0..1, if right.starts_with('A') { "B" } else { "A" });
    for wrong in [
        SAMPLE_ACCEPT,
        "",
        "x",
        &flipped,
        &right[1..],
        right.trim_end_matches('='),
        &format!("{right}="),
        &format!("{right}, {right}"),
        &format!("\"{right}\""),
        &right.to_lowercase(),
        &right.to_uppercase(),
    ] {
        assert_error(&opening().set("Sec-WebSocket-Accept", wrong), &error);
    }
    assert_error(&opening().set("Sec-WebSocket-Accept", [right.as_bytes(), b"\xFF"].concat()), &error);
    let missing = HandshakeError::MissingHeader("Sec-WebSocket-Accept");
    assert_error(&opening().without("Sec-WebSocket-Accept"), &missing);
    let duplicate = HandshakeError::DuplicateHeader("Sec-WebSocket-Accept");
    assert_error(&opening().with(format!("sec-websocket-accept: {right}")), &duplicate);
}

#[test]
fn upgrade_and_connection_say_what_they_must() {
    let invalid = |name| HandshakeError::InvalidHeader(name);
    for value in ["", "h2c", "websocket, h2c", "websockets", "web socket"] {
        assert_error(&opening().set("Upgrade", value), &invalid("Upgrade"));
    }
    for value in ["", "close", "keep-alive", "Upgraded"] {
        assert_error(&opening().set("Connection", value), &invalid("Connection"));
    }
    for name in ["Upgrade", "Connection"] {
        assert_error(&opening().without(name), &HandshakeError::MissingHeader(name));
    }
    let twice = opening().with("Upgrade: websocket");
    assert_error(&twice, &HandshakeError::DuplicateHeader("Upgrade"));
}

#[test]
fn a_subprotocol_is_one_that_was_offered() {
    let request = client_request().subprotocol("v2.chat").subprotocol("v1.chat");
    let answer = |value: &str| {
        conclude_with(&request, &opening().with(format!("Sec-WebSocket-Protocol: {value}")).bytes())
    };
    for chosen in ["v1.chat", "v2.chat"] {
        let (client, _) = answer(chosen).unwrap();
        assert_eq!(client.subprotocol(), Some(chosen));
    }
    let (client, _) = conclude_with(&request, &opening().bytes()).unwrap();
    assert_eq!(client.subprotocol(), None, "a server need not choose");
    for wrong in ["", "v3.chat", "V1.chat", "v1.chat, v2.chat", "v1", "v1.chat;"] {
        assert_eq!(answer(wrong).unwrap_err(), HandshakeError::UnofferedSubprotocol, "{wrong}");
    }
    assert_error(&opening().with("Sec-WebSocket-Protocol: chat"), &HandshakeError::UnofferedSubprotocol);
    let twice = opening().with("Sec-WebSocket-Protocol: v1.chat").with("Sec-WebSocket-Protocol: v1.chat");
    let error = conclude_with(&request, &twice.bytes()).unwrap_err();
    assert_eq!(error, HandshakeError::DuplicateHeader("Sec-WebSocket-Protocol"));
    let no_text = opening().with(&b"Sec-WebSocket-Protocol: \xFF"[..]);
    let error = conclude_with(&request, &no_text.bytes()).unwrap_err();
    assert_eq!(error, HandshakeError::InvalidHeader("Sec-WebSocket-Protocol"));
}

#[test]
fn any_extension_is_refused_because_none_was_offered() {
    for value in [
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=999",
        "x-webkit-deflate-frame",
        "foo",
        "foo, permessage-deflate",
    ] {
        let head = opening().with(format!("Sec-WebSocket-Extensions: {value}"));
        assert_error(&head, &HandshakeError::UnofferedExtension);
    }
    for value in [";", "foo;", "\u{fe}\u{ff}"] {
        let head = opening().with(format!("Sec-WebSocket-Extensions: {value}"));
        assert_error(&head, &HandshakeError::InvalidHeader("Sec-WebSocket-Extensions"));
    }
}

#[test]
fn empty_elements_in_the_list_of_chosen_extensions_are_ignored() {
    // RFC 9110 5.6.1.2.
    for value in ["", ",", ", ,"] {
        assert_open(&opening().with(format!("Sec-WebSocket-Extensions: {value}")));
    }
    let foo = opening().with("Sec-WebSocket-Extensions: ,foo,");
    assert_error(&foo, &HandshakeError::UnofferedExtension);
    let commas = opening().with(format!("Sec-WebSocket-Extensions: {}", ",".repeat(17)));
    assert_error(&commas, &HandshakeError::InvalidHeader("Sec-WebSocket-Extensions"));
}

#[test]
fn the_response_is_strict_http_1_1() {
    for head in [
        opening().first_line("HTTP/1.0 101 Switching Protocols"),
        opening().first_line("HTTP/2 101 Switching Protocols"),
        opening().first_line("HTTP/1.1 1O1 Switching Protocols"),
        opening().first_line("HTTP/1.1 1010 Switching Protocols"),
        opening().first_line("HTTP/1.1 10 Switching Protocols"),
        opening().first_line("HTTP/1.1"),
        opening().with("Name : value"),
        opening().with(" folded"),
        opening().with("No colon"),
        opening().with("X: a\u{1}b"),
    ] {
        let error = conclude(&head).map(drop).unwrap_err();
        assert!(matches!(error, HandshakeError::MalformedHead(_)), "{error:?}: {head:?}");
    }
    for line in ["ICY 101 OK", " HTTP/1.1 101 x", "101 Switching Protocols", "garbage"] {
        let error = conclude(&opening().first_line(line)).map(drop).unwrap_err();
        assert_eq!(error, HandshakeError::NotHttp { beginning: line.into() });
    }
    let bare = String::from_utf8(opening().bytes()).unwrap().replace("\r\n", "\n");
    for (what, bytes) in [("bare LF", bare.as_bytes()), ("blank", b"\r\nHTTP/1.1 101 x\r\n")] {
        let error = answered(&client_request(), bytes, &[1]).map(drop).unwrap_err();
        assert!(matches!(error, HandshakeError::MalformedHead(_)), "{what}: {error:?}");
    }
}

#[test]
fn a_response_is_held_to_the_limits_of_a_head() {
    let conclude = |change: fn(&mut HandshakeConfig), bytes: &[u8]| {
        let mut limits = HandshakeConfig::default();
        change(&mut limits);
        let mut handshake =
            client::Handshake::new(&client_request(), &limits, Arc::default(), SEED, Timestamp::ZERO)
                .unwrap();
        let mut bytes = bytes.to_vec();
        handshake.receive(&mut &mut bytes[..]).map(|opened| opened.is_some())
    };
    let padded = opening().with(format!("X: {}", "x".repeat(20_000))).bytes();
    let limit = 16 << 10;
    assert_eq!(conclude(|_| {}, &padded), Err(HandshakeError::HeadTooLarge { limit }));
    assert_eq!(conclude(|limits| limits.max_head_size = 30_000, &padded), Ok(true));
    assert_eq!(
        conclude(|_| {}, &[&b"HTTP/1.1 "[..], &[b'H'; 20_000]].concat()),
        Err(HandshakeError::FirstLineTooLong { limit })
    );
    let many = (0..126).fold(opening(), |head, number| head.with(format!("X-{number}: x")));
    assert_eq!(conclude(|_| {}, &many.bytes()), Err(HandshakeError::TooManyHeaders { limit: 128 }));
    assert_eq!(conclude(|limits| limits.max_headers = 129, &many.bytes()), Ok(true));
}

#[test]
fn a_response_of_128_header_fields_opens_the_connection_by_default() {
    let head = (3..128).fold(opening(), |head, number| head.with(format!("X-{number}: x")));
    let (_, response) = conclude(&head).unwrap();
    assert_eq!(response.headers().len(), 128);
}

#[test]
fn at_most_four_interim_responses_are_skipped() {
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"]
    {
        for count in 0..=4 {
            let bytes = [interim.repeat(count).as_bytes(), &opening().bytes()].concat();
            assert!(conclude_with(&client_request(), &bytes).is_ok(), "{count}");
        }
        let bytes = [interim.repeat(5).as_bytes(), &opening().bytes()].concat();
        let error = conclude_with(&client_request(), &bytes).map(drop).unwrap_err();
        assert_eq!(error, HandshakeError::TooManyInterimResponses);
    }
}

#[test]
fn the_end_of_the_stream_before_the_response_is_an_error_at_every_byte() {
    let response = opening().bytes();
    for len in 0..response.len() {
        let error = answered(&client_request(), &response[..len], &[7]).map(drop).unwrap_err();
        assert_eq!(error, HandshakeError::Eof, "after {len} bytes");
    }
}

#[test]
fn the_time_of_a_connection_begins_with_the_latest_time_that_was_told() {
    let mut handshake = start(&client_request());
    assert_eq!(handshake.handle_timeout(at(3)), Ok(()));
    assert_eq!(handshake.handle_timeout(at(2)), Ok(()));
    let mut response = opening().bytes();
    let (client, _) = handshake.receive(&mut &mut response[..]).unwrap().unwrap();
    assert_eq!(client.poll_timeout(), Some(at(3) + secs(20)));
}

#[test]
fn a_handshake_that_is_over_never_makes_a_client_that_does_not_mask() {
    let mut handshake = start(&client_request());
    for _ in 0..3 {
        let mut response = opening().bytes();
        if let Ok(Some((mut client, _))) = handshake.receive(&mut &mut response[..]) {
            client.send("secret").unwrap();
            assert_masked(&mut client);
        }
    }
    assert!(handshake.poll_timeout().is_some());
}

#[test]
fn the_nonce_is_not_the_first_masking_key() {
    let request = crate::support::http::encoded(&client_request());
    let (mut client, _) = conclude(&opening()).unwrap();
    client.send("x").unwrap();
    let key = crate::support::wire::frames(&crate::support::written(&mut client)).unwrap()[0].key;
    let mut fresh = ws_core::Connection::client(Arc::new(Config::default()), SEED, Timestamp::ZERO);
    fresh.send("x").unwrap();
    let first = crate::support::wire::frames(&crate::support::written(&mut fresh)).unwrap()[0].key;
    assert_ne!(key, first, "the nonce took its bytes out of the stream");
    assert!(request.contains("Sec-WebSocket-Key: "));
}
