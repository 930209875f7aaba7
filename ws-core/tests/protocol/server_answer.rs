//! Answers of a server: the 101 and the additions of an application, or an ordinary response (RFC 6455 section 4.2.2,
//! RFC 9112).

use ws_core::{
    Connection, HandshakeError, OriginPolicy, Response, Role, State, Timestamp, server::Accept,
    testing::drained,
};

use crate::support::{
    at, config, hear,
    http::{
        Head, SAMPLE_ACCEPT, SAMPLE_KEY, answered, ask, client_request, conclude, header_value, opening,
        refused, serve, serve_with,
    },
    limits, receive, secs, text,
    wire::Frame,
    written,
};

fn accept_with(head: &Head, accept: &Accept) -> Result<Connection, HandshakeError> {
    serve_with(&config(|_| {}), &OriginPolicy::default(), &head.bytes(), accept)
}

/// Returns the 101 response to a request.
fn response(head: &Head, accept: &Accept) -> String {
    let mut connection = accept_with(head, accept).unwrap();
    String::from_utf8(written(&mut connection)).unwrap()
}

#[test]
fn the_example_of_the_rfc_is_answered_byte_for_byte() {
    let head =
        Head::request().set("Sec-WebSocket-Key", SAMPLE_KEY).with("Sec-WebSocket-Protocol: chat, superchat");
    let expected = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {SAMPLE_ACCEPT}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    );
    assert_eq!(response(&head, &Accept::new().subprotocol("chat")), expected);
    let without = expected.replace("Sec-WebSocket-Protocol: chat\r\n", "");
    assert_eq!(response(&head, &Accept::new()), without, "a server need not choose");
}

#[test]
fn other_keys_have_other_answers() {
    // Computed with another implementation of SHA-1 and base64.
    for (key, accept) in [
        ("AQIDBAUGBwgJCgsMDQ4PEC==", "OfS0wDaT5NoxF2gqm7Zj2YtetzM="),
        ("x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="),
    ] {
        let head = Head::request().set("Sec-WebSocket-Key", key);
        assert_eq!(header_value(&response(&head, &Accept::new()), "Sec-WebSocket-Accept"), Some(accept));
    }
}

#[test]
fn an_accepted_connection_is_open_and_knows_its_subprotocol() {
    let head = Head::request().with("Sec-WebSocket-Protocol: chat, superchat");
    let accept = Accept::new().subprotocol("superchat");
    assert!(accept.has_subprotocol() && !Accept::new().has_subprotocol());
    let mut server = accept_with(&head, &accept).unwrap();
    assert_eq!((server.role(), server.state()), (Role::Server, State::Open));
    assert_eq!(server.subprotocol(), Some("superchat"));
    assert_eq!(hear(&mut server, &[Frame::text("hi")]), [text("hi")]);
    assert_eq!(accept_with(&head, &Accept::new()).unwrap().subprotocol(), None);
}

#[test]
fn messages_go_out_behind_the_response() {
    let mut server = serve(&Head::request()).unwrap();
    server.send("first").unwrap();
    let output = written(&mut server);
    assert!(output.starts_with(b"HTTP/1.1 101 ") && output.ends_with(b"\r\n\r\n\x81\x05first"));
}

#[test]
fn the_time_of_a_connection_begins_when_it_is_accepted() {
    let config = config(|_| {});
    let (request, _) = ask(&limits(|_| {}), &Head::request().bytes(), &[1]).unwrap().unwrap();
    let upgrade = request.upgrade(&OriginPolicy::Any).unwrap();
    let server = upgrade.accept(&Accept::new(), config, at(100)).unwrap();
    assert_eq!(server.poll_timeout(), Some(at(100) + secs(20)));
}

#[test]
fn a_subprotocol_that_was_not_offered_cannot_be_accepted() {
    for (offer, chosen) in
        [("", "chat"), ("chat", "Chat"), ("chat, superchat", "super"), ("chat", ""), ("chat", "chat\r\nX: y")]
    {
        let head = if offer.is_empty() {
            Head::request()
        } else {
            Head::request().with(format!("Sec-WebSocket-Protocol: {offer}"))
        };
        let error = accept_with(&head, &Accept::new().subprotocol(chosen)).unwrap_err();
        assert_eq!((error.status(), error), (500, HandshakeError::SubprotocolNotOffered));
    }
}

#[test]
fn headers_are_added_to_the_response_as_they_are() {
    let accept =
        Accept::new().header("Set-Cookie", "a=b; Path=/").header("X-Empty", "").header("Set-Cookie", "c=d");
    let response = response(&Head::request(), &accept);
    assert!(
        response.ends_with("Set-Cookie: a=b; Path=/\r\nX-Empty: \r\nSet-Cookie: c=d\r\n\r\n"),
        "{response}"
    );
}

/// Headers that an application must not add, to a response or to a request.
pub(crate) const UNSENDABLE: [(&str, &str); 17] = [
    ("", "value"),
    ("Two words", "value"),
    ("X:", "value"),
    ("X\r\nY", "value"),
    ("Nämé", "value"),
    ("X-A", "a\r\nSet-Cookie: evil=1"),
    ("X-A", "a\nb"),
    ("X-A", "a\rb"),
    ("X-A", "a\0b"),
    ("X-A", "\u{7f}"),
    ("Upgrade", "h2c"),
    ("connection", "close"),
    ("Content-Length", "5"),
    ("TRANSFER-ENCODING", "chunked"),
    ("Sec-WebSocket-Key", "x"),
    ("sec-websocket-extensions", "permessage-deflate"),
    ("Sec-WebSocket-Protocol", "chat"),
];

#[test]
fn a_header_that_would_break_the_response_cannot_be_added() {
    for (name, value) in UNSENDABLE {
        // A valid header beside it does not help.
        let accept = Accept::new().header(name, value).header("X-Good", "good");
        let error = accept_with(&Head::request(), &accept).unwrap_err();
        assert_eq!((error.status(), &error), (500, &HandshakeError::UnsendableHeader), "{name:?}: {value:?}");
        let body = error.response();
        assert_eq!(
            body.body_bytes(),
            b"The server failed to answer this request.\n",
            "no detail for the client"
        );
    }
}

#[test]
fn what_was_received_behind_the_head_belongs_to_the_connection() {
    let early =
        [Frame::text("one").encode_for(Role::Server), Frame::text("two").encode_for(Role::Server)].concat();
    let config = config(|_| {});
    for cut in 0..early.len() {
        let bytes = [&Head::request().bytes()[..], &early[..cut]].concat();
        let (request, rest) = ask(&limits(|_| {}), &bytes, &[usize::MAX]).unwrap().unwrap();
        let upgrade = request.upgrade(&OriginPolicy::Any).unwrap();
        let mut server = upgrade.accept(&Accept::new(), config.clone(), Timestamp::ZERO).unwrap();
        let mut events = receive(&mut server, &rest).events;
        events.extend(receive(&mut server, &early[cut..]).events);
        assert_eq!(events, [text("one"), text("two")]);
    }
}

#[test]
fn a_pipelined_second_request_stays_in_the_input() {
    let both = [Head::request().set("Upgrade", "h2c").bytes(), Head::request().bytes()].concat();
    for sizes in [&[usize::MAX][..], &[1]] {
        let (request, rest) = ask(&limits(|_| {}), &both, sizes).unwrap().unwrap();
        assert_eq!(rest, Head::request().bytes());
        let error = request.upgrade(&OriginPolicy::Any).unwrap_err();
        let response = String::from_utf8(error.response().to_bytes()).unwrap();
        assert!(response.contains("\r\nConnection: close, Upgrade\r\n"), "{response}");
    }
}

#[test]
fn every_refusal_says_what_is_wrong_and_closes() {
    for (head, status, words) in [
        (Head::request().without("Host"), "400 Bad Request", "the peer did not send the header Host"),
        (Head::request().with("Host: b"), "400 Bad Request", "more than once"),
        (
            Head::request().set("Connection", "close"),
            "400 Bad Request",
            "the header Connection with an invalid value",
        ),
        (Head::request().with("Content-Length: 3"), "400 Bad Request", "announced a body"),
        (Head::request().with("Origin: http://evil.example"), "403 Forbidden", "may not connect"),
        (Head::request().first_line("POST /chat HTTP/1.1"), "405 Method Not Allowed", "not a GET"),
        (Head::request().set("Sec-WebSocket-Version", "8"), "426 Upgrade Required", "other than 13"),
        (Head::request().without("Upgrade"), "426 Upgrade Required", "connect to it with ws:// or wss://"),
    ] {
        let (error, response) = refused(&head);
        assert!(response.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{response}");
        let body = String::from_utf8(error.response().body_bytes().to_vec()).unwrap();
        assert!(body.contains(words), "{body}");
        assert_eq!(header_value(&response, "Content-Type"), Some("text/plain; charset=utf-8"));
    }
}

#[test]
fn only_the_origin_of_a_request_is_repeated_in_a_response_or_a_log() {
    let marker = "evil\u{1b}marker";
    for head in [
        Head::request().first_line("GET /<script>evilmarker HTTP/9"),
        Head::request().set("Connection", "evilmarker"),
        Head::request().with(format!("X: {marker}")),
    ] {
        let error = serve(&head).unwrap_err();
        assert!(!error.to_string().contains("evil"), "{error}");
        assert!(!String::from_utf8_lossy(&error.response().to_bytes()).contains("evil"));
    }
}

/// Returns the answer to a request with this method.
fn respond(method: &str, response: &Response) -> String {
    let head = Head::request().first_line(format!("{method} /page HTTP/1.1"));
    let (request, _) = ask(&limits(|_| {}), &head.bytes(), &[1]).unwrap().unwrap();
    String::from_utf8(drained(&mut request.respond(response))).unwrap()
}

#[test]
fn an_ordinary_request_gets_an_ordinary_response() {
    let page = Response::new(200).header("X-A", "1").html("<p>hello</p>");
    let expected = "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Type: text/html; charset=utf-8\r\n\
                    Connection: close\r\nContent-Length: 12\r\n\r\n";
    assert_eq!(respond("GET", &page), format!("{expected}<p>hello</p>"));
    assert_eq!(respond("HEAD", &page), expected, "an answer to HEAD has the length and no body");
    assert_eq!(String::from_utf8(page.to_bytes()).unwrap(), respond("GET", &page));
    assert!(respond("GET", &Response::new(799)).starts_with("HTTP/1.1 799 \r\n"));
}

#[test]
fn a_large_body_is_shared_with_the_response_and_not_copied() {
    use bytes::Buf as _;
    let page = Response::new(200).body(vec![7; 100_000]);
    let (request, _) = ask(&limits(|_| {}), &Head::request().bytes(), &[1]).unwrap().unwrap();
    let mut answers = [request.respond(&page), request.respond(&page.clone())];
    for answer in &mut answers {
        while !answer.chunk().starts_with(&[7]) {
            answer.advance(1);
        }
        assert_eq!(answer.chunk().as_ptr(), page.body_bytes().as_ptr());
        assert_eq!(answer.chunk(), page.body_bytes());
    }
}

#[test]
fn a_response_with_a_header_that_cannot_be_sent_is_a_500() {
    for (name, value) in UNSENDABLE
        .iter()
        .filter(|(name, _)| !name.to_ascii_lowercase().starts_with("sec-") && *name != "Upgrade")
    {
        let response = respond("GET", &Response::new(200).header(name, value).text("secret"));
        assert!(response.starts_with("HTTP/1.1 500 "), "{name:?}: {value:?}");
        assert!(!response.contains("secret") && !response.contains("evil"), "{response}");
    }
}

#[test]
fn a_426_names_the_upgrade_in_connection_beside_close() {
    // RFC 9110 15.5.22 and 7.8: a sender of Upgrade must also list it in Connection.
    for response in [
        HandshakeError::NotAnUpgrade.response(),
        HandshakeError::UnsupportedVersion.response(),
        HandshakeError::UpgradeInHttp10.response(),
        Response::new(426),
        Response::new(426).header("upgrade", "websocket"),
        Response::new(400).header("Upgrade", "h2c, websocket"),
    ] {
        let answer = respond("GET", &response).to_ascii_lowercase();
        assert_eq!(header_value(&answer, "connection"), Some("close, upgrade"), "{answer}");
        assert!(
            header_value(&answer, "upgrade").is_some_and(|value| value.contains("websocket")),
            "{answer}"
        );
    }
    assert_eq!(header_value(&respond("GET", &Response::new(404)), "Connection"), Some("close"));
}

#[test]
fn a_response_without_content_has_neither_a_length_nor_a_body() {
    for status in [204, 304] {
        for response in [Response::new(status), Response::new(status).text("a body that must not be sent")] {
            let answer = respond("GET", &response);
            assert!(!answer.contains("Content-Length") && answer.ends_with("\r\n\r\n"), "{answer}");
            assert_eq!(header_value(&answer, "Connection"), Some("close"));
        }
    }
    let reset = respond("GET", &Response::new(205).text("a body that must not be sent"));
    assert_eq!(header_value(&reset, "Content-Length"), Some("0"));
    assert!(reset.ends_with("\r\n\r\n"), "{reset}");
}

#[test]
fn a_status_that_is_no_final_answer_becomes_500() {
    for status in [0, 1, 99, 100, 101, 103, 199, 1000, u16::MAX] {
        let response = Response::new(status).header("X-A", "1").text("secret");
        assert_eq!(response.status(), 500, "{status}");
        let answer = respond("GET", &response);
        assert!(answer.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{answer}");
        assert!(!answer.contains("secret"), "{answer}");
    }
}

#[test]
fn a_received_response_that_is_passed_on_has_one_framing() {
    let head =
        Head::new(["HTTP/1.1 503 x", "Connection: keep-alive", "Transfer-Encoding: chunked", "X-A: 1"]);
    let bytes = [&head.bytes()[..], b"5\r\nHello\r\n0\r\n\r\n"].concat();
    let error = answered(&client_request(), &bytes, &[1]).map(drop).unwrap_err();
    let HandshakeError::Refused(response) = error else { panic!("{error:?}") };
    let passed_on = String::from_utf8(response.to_bytes()).unwrap();
    let expected =
        "HTTP/1.1 503 Service Unavailable\r\nX-A: 1\r\nConnection: close\r\nContent-Length: 5\r\n\r\nHello";
    assert_eq!(passed_on, expected);
    let (_, opening) = conclude(&opening()).unwrap();
    assert!(opening.to_bytes().starts_with(b"HTTP/1.1 500 "), "a 101 answers one key only");
}
