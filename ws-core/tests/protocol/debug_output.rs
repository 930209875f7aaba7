//! `Debug` output is suitable for logs: no secrets, no megabytes, and no payload as a list of numbers.

use std::{fmt::Debug, sync::Arc};

use ws_core::{
    Cause, Chunk, CloseCode, CloseFrame, Config, Event, HandshakeConfig, HandshakeError, Headers, Message,
    OriginPolicy, PathRouter, PreparedMessage, Response, Timestamp, Transmit, Url, Utf8Decoder, client,
    server,
};

use crate::support::{SEED, http::Head, open, receive, wire::Frame};

/// A secret that must not appear anywhere.
const SECRET: &str = "hush4711";
/// Headers that contain the secret.
const SECRETS: [(&str, &str); 7] = [
    ("Authorization", "Bearer hush4711"),
    ("Proxy-Authorization", "Basic hush4711"),
    ("Cookie", "a=b; session=hush4711"),
    ("Set-Cookie", "session=hush4711"),
    ("X-Auth-Token", "hush4711"),
    ("X-API-Key", "hush4711"),
    ("X-Client-Secret", "hush4711"),
];

/// Works as [`assert_fit_for_a_log`], with a limit of a few hundred characters, for one line among many.
fn assert_short(what: &str, value: &dyn Debug) {
    assert_fit_for_a_log(what, value);
    let shown = format!("{value:?}");
    assert!(shown.len() <= 600, "{what} has {} bytes: {shown}", shown.len());
}

fn assert_fit_for_a_log(what: &str, value: &dyn Debug) {
    for shown in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!shown.contains(SECRET), "{what} tells a secret: {shown}");
        assert!(shown.len() <= 4096, "{what} has {} bytes: {}", shown.len(), &shown[..200]);
        let spaced = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        // The text between commas, without brackets.
        let parts =
            spaced.split(", ").filter_map(|part| part.rsplit(['[', '(']).next()?.split([']', ')']).next());
        let are_numbers: Vec<_> =
            parts.map(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())).collect();
        let is_list = are_numbers.windows(3).any(|run| run.iter().all(|is_number| *is_number));
        assert!(!is_list, "{what} shows a payload as numbers: {shown}");
    }
}

fn with_secrets(head: Head) -> Vec<u8> {
    let head = SECRETS.iter().fold(head, |head, (name, value)| head.with(format!("{name}: {value}")));
    head.with(format!("X-Long: {}", "x".repeat(10_000))).bytes()
}

fn big_text() -> String {
    "a long text ".repeat(100_000)
}

#[test]
fn a_server_shows_no_secret_of_a_request() {
    let target = format!("GET /{} HTTP/1.1", "long/".repeat(500));
    let mut bytes = with_secrets(Head::request().first_line(target));
    for len in [0, 10, bytes.len() - 1] {
        let mut handshake = server::Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
        assert!(handshake.receive(&mut &mut bytes.clone()[..len]).unwrap().is_none());
        assert_fit_for_a_log("a server's handshake", &handshake);
    }
    let mut handshake = server::Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    let request = handshake.receive(&mut &mut bytes[..]).unwrap().unwrap();
    assert_fit_for_a_log("a request", &request);
    assert_fit_for_a_log("its headers", request.headers());
    let upgrade = request.upgrade(&OriginPolicy::default()).unwrap();
    assert_fit_for_a_log("an upgrade", &upgrade);
    let accept =
        SECRETS.iter().fold(server::Accept::new(), |accept, (name, value)| accept.header(name, value));
    assert_fit_for_a_log("an acceptance", &accept);
    assert_fit_for_a_log("values of an acceptance", &server::Accept::new().with(SECRET));
    let mut router = server::RouterBuilder::new();
    router.route("/", server::RouteOptions::default(), SECRET);
    assert_fit_for_a_log("a builder", &router);
    let router = router.build().unwrap();
    assert_fit_for_a_log("a router", &router);
    let mut asked = request.clone();
    asked.set_scheme(ws_core::Scheme::Https);
    if let Ok(found) = router.handle(&mut asked) {
        assert_fit_for_a_log("a route", &found);
    }
    assert_fit_for_a_log("terms", &server::RouteOptions::default().subprotocols(["chat"]));
}

#[test]
fn a_client_shows_no_secret_of_its_own_or_of_a_response() {
    let url: Url = "ws://user:hush4711@host/".parse().unwrap();
    assert_fit_for_a_log("a URL", &url);
    let request =
        SECRETS.iter().fold(client::Request::new(url), |request, (name, value)| request.header(name, value));
    let request = request.header("X-Long", &"x".repeat(1 << 20));
    assert_fit_for_a_log("a client's request", &request);
    let mut handshake = client::Handshake::new(
        &request,
        &HandshakeConfig::default(),
        Arc::new(Config::default()),
        SEED,
        Timestamp::ZERO,
    )
    .unwrap();
    assert_fit_for_a_log("a client's handshake", &handshake);
    let mut response = with_secrets(Head::new(["HTTP/1.1 403 Forbidden"]));
    let (head, end) = response.split_at_mut(500);
    assert!(handshake.receive(&mut &mut head[..]).unwrap().is_none());
    assert_fit_for_a_log("a handshake in the middle of a response", &handshake);
    assert!(handshake.receive(&mut &mut end[..]).unwrap().is_none());
    assert!(handshake.receive(&mut &mut b"a body that goes on".to_vec()[..]).unwrap().is_none());
    assert_fit_for_a_log("a handshake in the middle of a refusal", &handshake);
    let error = handshake.receive_eof();
    assert!(matches!(error, HandshakeError::Refused(_)));
    assert_fit_for_a_log("a refusal", &error);
}

#[test]
fn values_show_the_beginning_of_what_they_hold() {
    let headers = SECRETS.iter().fold(Headers::default(), |mut headers, (name, value)| {
        assert!(headers.push(name, value) && headers.push("X-Long", &big_text()));
        headers
    });
    assert_fit_for_a_log("headers", &headers);
    let response = SECRETS
        .iter()
        .fold(Response::new(200).text(big_text()), |all, (name, value)| all.header(name, value));
    assert_fit_for_a_log("a response", &response);
    let bytes: Vec<u8> = (0..1 << 20).map(|at| at as u8).collect();
    for message in [Message::from(big_text()), Message::from(&bytes), Message::from(&[200, 201, 202, 203])] {
        assert_fit_for_a_log("a message", &message);
        assert_fit_for_a_log("a chunk", &Chunk::new(&message));
        assert_fit_for_a_log("an event", &Event::Message(message.as_borrowed()));
        assert_fit_for_a_log("an event of a chunk", &Event::Chunk(Chunk::last(&message)));
        assert_fit_for_a_log("a prepared message", &PreparedMessage::new(&message));
    }
    let frame = CloseFrame { code: CloseCode::NORMAL_CLOSURE, reason: big_text().into() };
    for event in
        [Event::Ping(bytes.clone().into()), Event::Pong(bytes.into()), Event::Close(Some(frame.clone()))]
    {
        assert_fit_for_a_log("an event", &event);
    }
    assert_fit_for_a_log("a close frame", &frame);
    let mut decoder = Utf8Decoder::default();
    assert!(decoder.decode(b"\xF0\x9F\x98").is_ok());
    assert_fit_for_a_log("a decoder", &decoder);
    let mut routes = PathRouter::new();
    routes.insert("/users/:user", 1).unwrap();
    assert_fit_for_a_log("routes", &routes);
    let long = format!("/users/{}", "u".repeat(10_000));
    assert_fit_for_a_log("parameters", &routes.find(&long).unwrap().1);
    assert_fit_for_a_log("a configuration", &Config::default());
    assert_eq!(format!("{:?}", Message::from("Hello")), "Text(\"Hello\")");
    assert_eq!(format!("{:?}", Event::Ping(b"\x01\xFF"[..].into())), "Ping(b\"\\x01\\xff\")");
}

#[test]
fn the_end_of_a_connection_is_shown_in_a_line() {
    let mut server = open(ws_core::Role::Server);
    let close = Frame::close(1008, &"r".repeat(123)).encode_for(ws_core::Role::Server);
    receive(&mut server, &close);
    let close_info = server.close_info().unwrap();
    assert_eq!(close_info.cause, Cause::Close);
    assert_fit_for_a_log("close information", &close_info);
}

/// Returns a connection with waiting payloads of all kinds, and with messages in progress.
fn busy(role: ws_core::Role) -> ws_core::Connection {
    let mut connection = ws_core::testing::connect(
        role,
        crate::support::config(|config| config.write_buffer_size = usize::MAX),
    );
    connection.send(SECRET).unwrap();
    connection.send(vec![200; 1 << 20]).unwrap();
    connection.send_prepared(&PreparedMessage::new(vec![201; 1 << 20])).unwrap();
    connection.send_chunk(Chunk::new(big_text())).unwrap();
    let begun = [Frame::ping(SECRET), Frame::binary(vec![202; 100_000]).unfinished()];
    receive(&mut connection, &ws_core::testing::wire::stream(role, &begun));
    connection
}

#[test]
fn a_connection_shows_its_state_and_no_payload() {
    for role in crate::support::ROLES {
        let mut connection = busy(role);
        assert_short("a busy connection", &connection);
        let mut taken = Transmit::default();
        connection.take_transmit(&mut taken);
        assert_short("output", &taken);
        assert!(format!("{taken:?}").contains("remaining: 3"), "{taken:?}");
        connection.close(CloseCode::NORMAL_CLOSURE, &"r".repeat(123)).unwrap();
        assert_short("a closing connection", &connection);
        let closing = format!("{connection:?}");
        assert!(closing.contains(&format!("role: {role:?}, state: Closing")), "{closing}");
        receive(&mut connection, &Frame::close(1000, &"r".repeat(123)).encode_for(role));
        assert_short("a closed connection", &connection);
    }
}

#[test]
fn a_url_shows_neither_its_password_nor_more_than_its_beginning() {
    let url: Url = format!("wss://user:{SECRET}@host/?q={}", "q".repeat(1 << 20)).parse().unwrap();
    assert_short("a long URL", &url);
    let url: Url = format!("wss://{SECRET}@host/chat").parse().unwrap();
    assert_eq!(format!("{url:?}"), "Url(\"wss://host/chat\")");
}

#[test]
fn frames_and_the_tools_for_tests_show_the_beginning_of_what_they_hold() {
    use ws_core::{
        frame::{Header, Opcode},
        testing::{Ending, Pair, Peer},
    };
    let header = Header { masking_key: Some([201, 202, 203, 204]), ..Header::new(Opcode::Binary, 70_000) };
    assert_short("a header", &header);
    assert_short("an encoded header", &header.encode());
    let frame = Frame::binary(vec![200; 1 << 20]).masked([201, 202, 203, 204]);
    assert_short("a frame", &frame);
    assert_short("a frame as an ending", &Ending::Receive(frame));
    assert_short("an ending", &Ending::Close(CloseCode::NORMAL_CLOSURE, big_text()));
    assert_short("a failure", &Ending::Fail(CloseCode::NORMAL_CLOSURE, big_text()));
    assert_short("a head", &Head::request().with(format!("Cookie: {SECRET}; {}", big_text())));
    for role in crate::support::ROLES {
        let messages =
            vec![Frame::text(big_text()); 2].into_iter().chain(vec![Frame::ping(vec![200; 4]); 1000]);
        let stream = ws_core::testing::wire::stream(role, &messages.collect::<Vec<_>>());
        let config = crate::support::config(|config| config.max_message_size = usize::MAX);
        let mut connection = ws_core::testing::connect(role, config);
        assert_fit_for_a_log("what was received", &receive(&mut connection, &stream));
        let mut peer = Peer::new(busy(role));
        peer.send_bytes(&stream);
        assert_fit_for_a_log("a peer", &peer);
    }
    let mut pair = Pair::new(busy(ws_core::Role::Client), busy(ws_core::Role::Server));
    pair.take(ws_core::Role::Client);
    for role in crate::support::ROLES {
        pair.write(role, 1 << 20);
        pair.read(role, usize::MAX);
    }
    assert_fit_for_a_log("a pair", &pair);
    assert_fit_for_a_log("an end", pair.end(ws_core::Role::Client));
    assert_fit_for_a_log("a link", pair.link(ws_core::Role::Client));
}
