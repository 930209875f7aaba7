//! Hand-written heads of requests and responses, and both handshakes driven in all possible ways.

use std::sync::Arc;

use bytes::Buf as _;
pub(crate) use ws_core::testing::Head;
use ws_core::{
    Config, Connection, HandshakeConfig, HandshakeError, OriginPolicy, Response, Role, Timestamp, client,
    server,
};

use super::{SEED, drained, hear, limits, pieces, receive, text, wire::Frame, written};

/// The key in RFC 6455 section 1.3.
pub(crate) const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const SAMPLE_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Returns a response that accepts the request of the client with [`SEED`].
pub(crate) fn opening() -> Head {
    Head::response_to(encoded(&client_request()).as_bytes())
}

/// Ways to split the input.
const CUTS: [&[usize]; 3] = [&[usize::MAX], &[1], &[3, 7, 50]];

/// Passes these bytes to a server in pieces. Returns the bytes behind the head as well.
pub(crate) fn ask(
    limits: &HandshakeConfig,
    bytes: &[u8],
    sizes: &[usize],
) -> Result<Option<(server::Request, Vec<u8>)>, HandshakeError> {
    let mut handshake = server::Handshake::new(limits, Timestamp::ZERO);
    let mut rest = bytes.len();
    for piece in pieces(bytes, sizes) {
        let mut piece = piece.to_vec();
        let len = piece.len();
        let mut input = &mut piece[..];
        let request = handshake.receive(&mut input)?;
        assert!(request.is_some() || input.is_empty());
        rest -= len - input.len();
        if let Some(request) = request {
            return Ok(Some((request, bytes[bytes.len() - rest..].to_vec())));
        }
    }
    Ok(None)
}

/// Returns the result of a server for a request, which is the same for all splits, and also if a frame directly
/// follows it. The frame must not be lost. The result is an error, or a connection whose response waits.
pub(crate) fn serve_with(
    config: &Arc<Config>,
    origin: &OriginPolicy,
    head: &[u8],
    accept: &server::Accept,
) -> Result<Connection, HandshakeError> {
    let early = Frame::text("early").encode_for(Role::Server);
    let mut results = Vec::new();
    for glued in [&[][..], &early] {
        for sizes in CUTS {
            let answered = ask(&limits(|_| {}), &[head, glued].concat(), sizes).and_then(|request| {
                let (request, rest) = request.expect("the head is whole");
                request
                    .upgrade(origin)?
                    .accept(accept, config.clone(), Timestamp::ZERO)
                    .map(|connection| (connection, rest))
            });
            results.push(answered.map(|(mut connection, rest)| {
                assert_eq!(rest, glued, "what lies behind the head stays");
                let events = receive(&mut connection, &rest).events;
                assert_eq!(events.len(), usize::from(!glued.is_empty()));
                connection
            }));
        }
    }
    let errors: Vec<_> = results.iter().map(|result| result.as_ref().err().cloned()).collect();
    assert!(errors.iter().all(|error| *error == errors[0]), "cutting changes the verdict: {errors:?}");
    if let Ok(Some((request, _))) = ask(&limits(|_| {}), head, CUTS[0]) {
        assert_same_from_parts(config, origin, &request, accept, &mut results[0]);
    }
    results.swap_remove(0)
}

/// Asserts that the parts of a request have the same result as its bytes.
fn assert_same_from_parts(
    config: &Arc<Config>,
    origin: &OriginPolicy,
    request: &server::Request,
    accept: &server::Accept,
    result: &mut Result<Connection, HandshakeError>,
) {
    // Parts are those of HTTP/1.1.
    if matches!(result, Err(HandshakeError::UpgradeInHttp10)) {
        return;
    }
    let from_parts =
        server::Request::from_parts(request.method(), request.target(), request.headers().iter()).unwrap();
    let from_parts = from_parts
        .upgrade(origin)
        .and_then(|upgrade| upgrade.accept_parts(accept, config.clone(), Timestamp::ZERO));
    match (from_parts, result) {
        (Err(error), Err(expected)) => assert_eq!(error, *expected),
        (Ok((mut connection, response)), Ok(expected)) => {
            let mut lines = vec!["HTTP/1.1 101 Switching Protocols".to_owned()];
            lines.extend(
                response
                    .headers()
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", std::str::from_utf8(value).unwrap())),
            );
            assert_eq!(
                lines.join("\r\n") + "\r\n\r\n",
                std::str::from_utf8(expected.transmit().chunk()).unwrap()
            );
            assert_eq!(connection.subprotocol(), expected.subprotocol());
            assert_eq!(written(&mut connection), b"", "the HTTP library writes the response");
        }
        (from_parts, result) => panic!("{from_parts:?} and {result:?}"),
    }
}

pub(crate) fn serve(head: &Head) -> Result<Connection, HandshakeError> {
    serve_with(&Arc::new(Config::default()), &OriginPolicy::default(), &head.bytes(), &server::Accept::new())
}

/// Returns the error of a request that must not open a connection, and the head of the response to it.
pub(crate) fn refused(head: &Head) -> (HandshakeError, String) {
    let error = serve(head).expect_err("such a request must be refused");
    let response = String::from_utf8(error.response().to_bytes()).unwrap();
    let (response, body) = response.split_once("\r\n\r\n").unwrap();
    let connection = if error.status() == 426 { "close, Upgrade" } else { "close" };
    assert_eq!(header_value(response, "Connection"), Some(connection), "{response}");
    assert!(response.ends_with(&format!("\r\nContent-Length: {}", body.len())), "{response}");
    (error, response.to_owned())
}

pub(crate) fn client_request() -> client::Request {
    client::Request::new("ws://server.example.com/chat".parse().unwrap())
}

pub(crate) fn start(request: &client::Request) -> client::Handshake {
    let config = Arc::new(Config::default());
    client::Handshake::new(request, &HandshakeConfig::default(), config, SEED, Timestamp::ZERO).unwrap()
}

/// Returns the request that a client sends.
pub(crate) fn encoded(request: &client::Request) -> String {
    String::from_utf8(drained(&mut start(request).transmit())).unwrap()
}

/// Returns the value of a header in a head, if it appears exactly once.
pub(crate) fn header_value<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let prefix = format!("{name}: ");
    let mut values = head.split("\r\n").filter_map(|line| line.strip_prefix(&prefix));
    values.next().filter(|_| values.next().is_none())
}

/// Returns the value with which a server must answer the client with [`SEED`].
pub(crate) fn accept_of_seed() -> String {
    let response = String::from_utf8(opening().bytes()).unwrap();
    header_value(&response, "Sec-WebSocket-Accept").unwrap().to_owned()
}

/// Returns the result of a client for these bytes, passed in pieces and followed by the end of the stream: its error,
/// or the connection and the bytes behind the response.
pub(crate) fn answered(
    request: &client::Request,
    bytes: &[u8],
    sizes: &[usize],
) -> Result<(Connection, Response, Vec<u8>), HandshakeError> {
    let mut handshake = start(request);
    let mut rest = bytes.len();
    for piece in pieces(bytes, sizes) {
        let mut piece = piece.to_vec();
        let len = piece.len();
        let mut input = &mut piece[..];
        let opened = handshake.receive(&mut input)?;
        assert!(opened.is_some() || input.is_empty());
        rest -= len - input.len();
        if let Some((connection, response)) = opened {
            return Ok((connection, response, bytes[bytes.len() - rest..].to_vec()));
        }
    }
    Err(handshake.receive_eof())
}

/// Returns the result of a client for a response, which is the same for all splits, and also if a frame directly
/// follows it. The frame must not be lost.
pub(crate) fn conclude_with(
    request: &client::Request,
    response: &[u8],
) -> Result<(Connection, Response), HandshakeError> {
    let early = Frame::text("early").encode_for(Role::Client);
    let mut results = Vec::new();
    for glued in [&[][..], &early] {
        for sizes in CUTS {
            let result = answered(request, &[response, glued].concat(), sizes);
            results.push(result.map(|(mut connection, response, rest)| {
                assert_eq!(rest, glued, "what lies behind the response stays");
                let events = receive(&mut connection, &rest).events;
                assert_eq!(events.len(), usize::from(!glued.is_empty()));
                (connection, response)
            }));
        }
    }
    let errors: Vec<_> = results[..CUTS.len()].iter().map(|result| result.as_ref().err().cloned()).collect();
    assert!(errors.iter().all(|error| *error == errors[0]), "cutting changes the verdict: {errors:?}");
    assert!(results.iter().all(|result| result.is_ok() == results[0].is_ok()));
    assert_same_from_response_parts(request, response, &results[0]);
    results.swap_remove(0)
}

/// Asserts that the parts of a response have the same result as its bytes, if another parser accepts them.
fn assert_same_from_response_parts(
    request: &client::Request,
    bytes: &[u8],
    result: &Result<(Connection, Response), HandshakeError>,
) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let is_whole = head.parse(bytes).is_ok_and(|status| status.is_complete());
    let (true, Some(status @ (101 | 200..)), Some(1)) = (is_whole, head.code, head.version) else { return };
    let upgrade = client::Upgrade::new(request, Arc::new(Config::default()), SEED).unwrap();
    let fields = head.headers.iter().map(|field| (field.name, field.value));
    match (upgrade.accept(status, fields, Timestamp::ZERO), result) {
        (Ok((connection, response)), Ok((expected, expected_response))) => {
            assert_eq!(connection.subprotocol(), expected.subprotocol());
            assert_eq!(response, *expected_response);
        }
        (Err(HandshakeError::Refused(response)), Err(HandshakeError::Refused(expected))) => {
            assert_eq!((response.status(), response.headers()), (expected.status(), expected.headers()));
        }
        // A parser of this crate has refused the head.
        (Err(_), Err(HandshakeError::MalformedHead(_))) => {}
        (Err(error), Err(expected)) => assert_eq!(error, *expected),
        (parts, bytes) => panic!("{parts:?} and {bytes:?}"),
    }
}

pub(crate) fn conclude(response: &Head) -> Result<(Connection, Response), HandshakeError> {
    conclude_with(&client_request(), &response.bytes())
}

/// Asserts that two ends understand each other.
pub(crate) fn assert_talk(client: &mut Connection, server: &mut Connection) {
    client.send("to and").unwrap();
    assert_eq!(receive(server, &written(client)).events, [text("to and")]);
    server.send("fro").unwrap();
    assert_eq!(receive(client, &written(server)).events, [text("fro")]);
    assert_eq!(hear(client, &[Frame::ping("")]).len(), 1);
}
