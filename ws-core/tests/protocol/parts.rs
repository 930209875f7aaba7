//! Opening handshakes through an HTTP library: by parts, by the types of the crate `http`, and by an extended
//! CONNECT (RFC 8441). The tables of the other modules check that the parts have the same result as the bytes.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use ws_core::{
    Config, Connection, HandshakeError, OriginPolicy, Response, Scheme, Timestamp, accept_key,
    client::{self, Upgrade},
    server::{Accept, Request, RouteOptions, RouterBuilder},
    testing::strategies,
};

use crate::support::{
    SEED, cases,
    http::{SAMPLE_ACCEPT, SAMPLE_KEY, ask, assert_talk, client_request},
    limits,
};

const HEADERS: [(&str, &str); 5] = [
    ("host", "example.com"),
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-key", SAMPLE_KEY),
    ("sec-websocket-version", "13"),
];

fn config() -> Arc<Config> {
    Arc::new(Config::default())
}

fn accept(request: &Request, accept: &Accept) -> Result<(Connection, Response), HandshakeError> {
    request.upgrade(&OriginPolicy::default())?.accept_parts(accept, config(), Timestamp::ZERO)
}

/// Returns an extended CONNECT with these headers.
fn connect(protocol: &str, headers: &[(&str, &str)]) -> Request {
    let mut request =
        Request::from_parts("CONNECT", "https://example.com/chat?x=1", headers.iter().copied()).unwrap();
    request.set_protocol(protocol);
    request
}

#[test]
fn the_accept_key_is_that_of_the_rfc() {
    assert_eq!(accept_key(SAMPLE_KEY), SAMPLE_ACCEPT);
    assert_eq!(accept_key(SAMPLE_KEY.as_bytes()), SAMPLE_ACCEPT);
}

#[test]
fn parts_that_no_parser_returns_are_refused() {
    let refused = |method: &str, target: &str, name: &str, value: &[u8]| {
        let field = HEADERS.map(|(name, value)| (name, value.as_bytes())).into_iter().chain([(name, value)]);
        match Request::from_parts(method, target, field) {
            Err(HandshakeError::MalformedHead(_)) => true,
            Err(other) => panic!("{other:?}"),
            Ok(_) => false,
        }
    };
    assert!(!refused("GET", "/", "x", b"a\xFFb\tc"));
    for (method, target, name, value) in [
        ("", "/", "x", &b""[..]),
        ("GE T", "/", "x", b""),
        ("GET\r\n", "/", "x", b""),
        ("GET", "", "x", b""),
        ("GET", "chat", "x", b""),
        ("GET", "*", "x", b""),
        ("GET", "/a b", "x", b""),
        ("GET", "/a\r\nX: y", "x", b""),
        ("GET", "/a#b", "x", b""),
        ("GET", "/", "", b""),
        ("GET", "/", ":protocol", b"websocket"),
        ("GET", "/", "x y", b""),
        ("GET", "/", "x", b"a\r\nb: c"),
        ("GET", "/", "x", b"a\0"),
        ("CONNECT", "example.com:443", "x", b""),
    ] {
        assert!(refused(method, target, name, value), "{method:?} {target:?} {name:?} {value:?}");
    }
}

#[test]
fn an_extended_connect_opens_a_websocket_with_200() {
    let request = connect(
        "websocket",
        &[
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "a, b"),
            ("origin", "https://example.com"),
        ],
    );
    assert!(request.is_upgrade());
    assert_eq!(
        (request.path(), request.query(), request.header("Host")),
        ("/chat", Some("x=1"), Some("example.com"))
    );
    let (connection, response) =
        accept(&request, &Accept::new().subprotocol("b").header("Set-Cookie", "c=d")).unwrap();
    assert_eq!(connection.subprotocol(), Some("b"));
    assert_eq!(response.status(), 200);
    let fields: Vec<_> = response.headers().iter().collect();
    assert_eq!(fields, [("sec-websocket-protocol", &b"b"[..]), ("set-cookie", b"c=d")]);
}

#[test]
fn an_extended_connect_obeys_the_rules_that_remain() {
    let version = ("sec-websocket-version", "13");
    let error = |protocol, headers: &[_]| accept(&connect(protocol, headers), &Accept::new()).unwrap_err();
    assert_eq!(error("webtransport", &[version]), HandshakeError::UnsupportedProtocol);
    assert!(!connect("webtransport", &[version]).is_upgrade());
    assert_eq!(error("websocket", &[]), HandshakeError::UnsupportedVersion);
    assert_eq!(error("websocket", &[version, ("content-length", "1")]), HandshakeError::UnexpectedBody);
    let header = "Sec-WebSocket-Protocol";
    assert_eq!(error("websocket", &[version, (header, "a, a")]), HandshakeError::InvalidHeader(header));
    let foreign = error("websocket", &[version, ("origin", "https://evil.example")]);
    assert!(matches!(foreign, HandshakeError::OriginRefused { .. }), "{foreign:?}");
    let mut request = connect("websocket", &[version, ("origin", "http://example.com")]);
    request.set_scheme(Scheme::Https);
    assert!(matches!(accept(&request, &Accept::new()), Err(HandshakeError::OriginRefused { .. })));

    let mut request = Request::from_parts("GET", "/chat", HEADERS).unwrap();
    request.set_protocol("websocket");
    assert!(matches!(accept(&request, &Accept::new()), Err(HandshakeError::MalformedHead(_))));
    let without_protocol = Request::from_parts("CONNECT", "https://example.com/", HEADERS).unwrap();
    assert_eq!(accept(&without_protocol, &Accept::new()).unwrap_err(), HandshakeError::NotAnUpgrade);
    let nameless = Request::from_parts("CONNECT", "/chat", [version]).unwrap_err();
    assert_eq!(nameless, HandshakeError::MissingHeader("Host"));
}

#[test]
fn refusals_of_http_2_have_neither_426_nor_upgrade() {
    let request = connect("websocket", &[("sec-websocket-version", "8")]);
    let error = accept(&request, &Accept::new()).unwrap_err();
    let response = request.refusal(&error);
    assert_eq!((response.status(), response.header_value("Upgrade")), (400, None));
    assert_eq!(response.headers().iter().next(), Some(("sec-websocket-version", &b"13"[..])));
    let request = connect("webtransport", &[]);
    assert_eq!(request.refusal(&accept(&request, &Accept::new()).unwrap_err()).status(), 501);

    let old = HEADERS.map(|(name, value)| (name, if name == "sec-websocket-version" { "8" } else { value }));
    let request = Request::from_parts("GET", "/chat", old).unwrap();
    let response = request.refusal(&accept(&request, &Accept::new()).unwrap_err());
    assert_eq!((response.status(), response.header_value("Upgrade")), (426, Some("websocket")));
}

#[test]
fn an_extended_connect_is_never_answered_in_http_1() {
    let mut request = connect("websocket", &[("sec-websocket-version", "13")]);
    let upgrade = request.upgrade(&OriginPolicy::default()).unwrap();
    let accepted = upgrade.accept(&Accept::new(), config(), Timestamp::ZERO);
    assert_eq!(accepted.unwrap_err(), HandshakeError::MethodNotAllowed);

    let mut router = RouterBuilder::new();
    router.route("/chat", RouteOptions::default(), ());
    assert!(router.build().unwrap().handle(&mut request).is_err());
}

/// Runs the handshake between both ends by parts alone.
fn shake_hands(upgrade: Upgrade) -> Result<(Connection, Connection), HandshakeError> {
    let mut request = Request::from_parts(upgrade.method(), upgrade.target(), upgrade.headers().iter())?;
    if upgrade.method() == "CONNECT" {
        request.set_protocol("websocket");
    }
    let (server, response) = accept(&request, &Accept::new().subprotocol("b"))?;
    let (client, _) = upgrade.accept(response.status(), response.headers().iter(), Timestamp::ZERO)?;
    Ok((client, server))
}

#[test]
fn both_ends_open_a_connection_by_parts_alone() {
    let request = client_request().subprotocol("a").subprotocol("b").header("Host", "example.com:81");
    for upgrade in [
        Upgrade::new(&request, config(), SEED).unwrap(),
        Upgrade::extended_connect(&request, config(), SEED).unwrap(),
    ] {
        let (mut client, mut server) = shake_hands(upgrade).unwrap();
        assert_eq!((client.subprotocol(), server.subprotocol()), (Some("b"), Some("b")));
        assert_talk(&mut client, &mut server);
    }
}

#[cfg(feature = "deflate")]
#[test]
fn compression_is_negotiated_by_parts() {
    let mut compressing = Config::default();
    compressing.deflate = Some(ws_core::Deflate::default());
    let compressing = Arc::new(compressing);
    for upgrade in [
        Upgrade::new(&client_request(), compressing.clone(), SEED).unwrap(),
        Upgrade::extended_connect(&client_request(), compressing.clone(), SEED).unwrap(),
    ] {
        let mut request =
            Request::from_parts(upgrade.method(), upgrade.target(), upgrade.headers().iter()).unwrap();
        if upgrade.method() == "CONNECT" {
            request.set_protocol("websocket");
        }
        let answer = request.upgrade(&OriginPolicy::Any).unwrap();
        let (mut server, response) =
            answer.accept_parts(&Accept::new(), compressing.clone(), Timestamp::ZERO).unwrap();
        let fields = response.headers().iter();
        let (mut client, _) = upgrade.accept(response.status(), fields, Timestamp::ZERO).unwrap();
        assert!(client.is_compression_negotiated() && server.is_compression_negotiated());
        assert_talk(&mut client, &mut server);
    }
}

#[test]
fn an_extended_connect_has_the_fields_of_http_2() {
    let request = client::Request::new("wss://user:word@example.com/chat?x=1".parse().unwrap());
    let request = request.subprotocol("a").header("X-Trace", "7");
    let upgrade = Upgrade::extended_connect(&request, config(), SEED).unwrap();
    assert_eq!((upgrade.method(), upgrade.target()), ("CONNECT", "https://example.com/chat?x=1"));
    let names: Vec<_> = upgrade.headers().iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["sec-websocket-version", "sec-websocket-protocol", "authorization", "x-trace"]);
}

#[test]
fn a_client_refuses_other_statuses_and_wrong_choices() {
    let refused = |status, fields: &[(&str, &str)], connects: bool| {
        let create = if connects { Upgrade::extended_connect } else { Upgrade::new };
        let upgrade = create(&client_request(), config(), SEED).unwrap();
        upgrade.accept(status, fields.iter().copied(), Timestamp::ZERO).unwrap_err()
    };
    for (status, connects) in [(200, false), (404, false), (101, true), (404, true), (501, true)] {
        match refused(status, &[("x-why", "because")], connects) {
            HandshakeError::Refused(response) => {
                assert_eq!((response.status(), response.header_value("X-Why")), (status, Some("because")));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused(101, &[], false), HandshakeError::MissingHeader("Upgrade"));
    let unoffered = [("sec-websocket-protocol", "a")];
    assert_eq!(refused(200, &unoffered, true), HandshakeError::UnofferedSubprotocol);
    let unoffered = [("sec-websocket-extensions", "permessage-deflate")];
    assert_eq!(refused(200, &unoffered, true), HandshakeError::UnofferedExtension);
    let split = refused(200, &[("a", "b\r\nc")], true);
    assert!(matches!(split, HandshakeError::MalformedHead(_)), "{split:?}");
}

#[test]
fn requests_and_responses_of_the_crate_http_are_converted() {
    let request = client_request().subprotocol("b");
    let upgrade = Upgrade::new(&request, config(), SEED).unwrap();
    let sent = upgrade.to_http_request().unwrap();
    assert_eq!((sent.method().as_str(), sent.uri().path()), ("GET", "/chat"));
    let (mut server, response) =
        accept(&Request::try_from(&sent).unwrap(), &Accept::new().subprotocol("b")).unwrap();
    let response = http::Response::<Bytes>::from(response);
    assert_eq!(response.status(), 101);
    let (mut client, _) = upgrade.accept_http_response(&response, Timestamp::ZERO).unwrap();
    assert_eq!(client.subprotocol(), Some("b"));
    assert_talk(&mut client, &mut server);

    let upgrade = Upgrade::extended_connect(&request, config(), SEED).unwrap();
    let sent = upgrade.to_http_request().unwrap();
    assert_eq!((sent.version(), sent.uri().host()), (http::Version::HTTP_2, Some("server.example.com")));
    let mut received = Request::try_from(&sent).unwrap();
    received.set_protocol("websocket");
    let (mut server, response) = accept(&received, &Accept::new().subprotocol("b")).unwrap();
    let response = http::Response::<Bytes>::from(response);
    let (mut client, _) = upgrade.accept_http_response(&response, Timestamp::ZERO).unwrap();
    assert_talk(&mut client, &mut server);
}

#[test]
fn the_version_of_a_request_of_the_crate_http_counts() {
    let error = |version| {
        let mut request = http::Request::get("http://example.com/chat").version(version);
        for (name, value) in HEADERS {
            request = request.header(name, value);
        }
        let request = Request::try_from(&request.body(()).unwrap()).unwrap();
        accept(&request, &Accept::new()).err()
    };
    assert_eq!(error(http::Version::HTTP_11), None);
    assert_eq!(error(http::Version::HTTP_10), Some(HandshakeError::UpgradeInHttp10));
    assert_eq!(error(http::Version::HTTP_2), Some(HandshakeError::NotAnUpgrade));
}

#[test]
fn refusals_of_the_crate_http_have_their_headers_and_body() {
    let response = http::Response::<Bytes>::from(HandshakeError::NotAnUpgrade.response());
    assert_eq!(response.status(), 426);
    assert_eq!(response.headers()["upgrade"], "websocket");
    assert_eq!(response.headers()["connection"], "Upgrade");
    assert!(response.body().starts_with(b"This is a WebSocket endpoint"));
    let broken = http::Response::<Bytes>::from(Response::new(200).header("a", "b\r\nc"));
    assert_eq!(broken.status(), 500);
}

proptest! {
    #![proptest_config(cases(256))]

    /// The parts of any request that the parser accepts have the same result as its bytes.
    #[test]
    fn parts_have_the_same_result_as_bytes(head in strategies::request()) {
        if let Ok(Some((request, _))) = ask(&limits(|_| {}), &head.bytes(), &[usize::MAX]) {
            let parts = Request::from_parts(request.method(), request.target(), request.headers().iter()).unwrap();
            let result = |request: &Request| match accept(request, &Accept::new()) {
                Ok((_, response)) => Ok(response),
                Err(error) => Err(error),
            };
            let by_bytes = result(&request);
            prop_assume!(by_bytes != Err(HandshakeError::UpgradeInHttp10));
            prop_assert_eq!(result(&parts), by_bytes);
        }
    }

    /// No parts make the functions panic.
    #[test]
    fn any_parts_are_a_request_or_an_error(
        method in "GET|CONNECT|\\PC{0,8}", target in "/[a-z]{0,5}|https://a/|\\PC{0,12}",
        fields in prop::collection::vec((any::<String>(), any::<Vec<u8>>()), 0..4), status in any::<u16>(),
    ) {
        if let Ok(mut request) = Request::from_parts(&method, &target, fields.clone()) {
            request.set_protocol("websocket");
            drop(accept(&request, &Accept::new()));
        }
        let upgrade = Upgrade::extended_connect(&client_request(), config(), SEED).unwrap();
        drop(upgrade.accept(status, fields, Timestamp::ZERO));
    }
}
