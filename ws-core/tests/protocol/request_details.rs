//! Query parameters, cookies, the matched route and the connection of a request.

use ws_core::{
    HandshakeConfig, QueryError, Response, Scheme, Timestamp,
    server::{Handshake, Request, RouteOptions, RouterBuilder},
};

use crate::support::http::Head;

fn request(head: &Head) -> Request {
    let mut handshake = Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    handshake.receive(&mut &mut head.bytes()[..]).unwrap().expect("a whole request")
}

fn asking(target: &str) -> Request {
    request(&Head::request().first_line(format!("GET {target} HTTP/1.1")))
}

/// All query parameters, or the first error.
fn parameters(query: &str) -> Result<Vec<(String, String)>, QueryError> {
    let request = asking(&format!("/path{query}"));
    let owned = |pair: (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| (pair.0.into(), pair.1.into());
    request.query_parameters().map(|parameter| parameter.map(owned)).collect()
}

#[test]
fn query_parameters_are_decoded_in_their_order() {
    for (query, expected) in [
        ("", &[][..]),
        ("?", &[]),
        ("?&&", &[]),
        ("?a=1", &[("a", "1")]),
        ("?a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]),
        ("?a", &[("a", "")]),
        ("?a=", &[("a", "")]),
        ("?=1", &[("", "1")]),
        ("?a=b=c", &[("a", "b=c")]),
        ("?a+b=c+d", &[("a b", "c d")]),
        ("?a=1%2B1%20=%202", &[("a", "1+1 = 2")]),
        ("?caf%C3%A9=%e2%82%ac", &[("café", "€")]),
        ("?a=%26%3D&b=1", &[("a", "&="), ("b", "1")]),
        ("?url=/x?y=z", &[("url", "/x?y=z")]),
    ] {
        let expected: Vec<_> = expected.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        assert_eq!(parameters(query), Ok(expected), "{query}");
    }
}

#[test]
fn a_query_with_a_bad_escape_is_an_error_and_never_half_decoded() {
    for query in ["?a=%", "?a=%2", "?a=%zz", "?a=%2g", "?%=1", "?a=%%20", "?a=%+1", "?a=1&b=%F"] {
        assert_eq!(parameters(query), Err(QueryError::InvalidEscape), "{query}");
    }
    for query in ["?a=%FF", "?%C3=1", "?a=%ED%A0%80", "?a=%C3%28"] {
        assert_eq!(parameters(query), Err(QueryError::InvalidUtf8), "{query}");
    }
}

#[test]
fn the_first_parameter_of_a_name_is_returned() {
    let request = asking("/?token=one&token=two&empty&bad=%");
    assert_eq!(request.query_parameter("token").unwrap().as_deref(), Some("one"));
    assert_eq!(request.query_parameter("empty").unwrap().as_deref(), Some(""));
    assert_eq!(request.query_parameter("bad"), Err(QueryError::InvalidEscape));
    assert_eq!(request.query_parameter("none"), Err(QueryError::InvalidEscape));
    assert_eq!(asking("/?a=1").query_parameter("none"), Ok(None));
    assert_eq!(asking("/").query_parameter("none"), Ok(None));
}

#[test]
fn a_malformed_query_is_answered_with_400() {
    for error in [QueryError::InvalidEscape, QueryError::InvalidUtf8] {
        let response = Response::from(error);
        assert_eq!(response.status(), 400);
        assert!(String::from_utf8_lossy(response.body_bytes()).contains("query"));
    }
}

#[test]
fn cookies_of_all_headers_are_returned_unchanged() {
    let request = request(
        &Head::request()
            .with("Cookie: session=abc%20d; theme=\"dark\";  lang=de")
            .with("Cookie: session=second; nameless; =empty; pair=a=b"),
    );
    let cookies: Vec<_> = request.cookies().collect();
    let expected = [
        ("session", "abc%20d"),
        ("theme", "\"dark\""),
        ("lang", "de"),
        ("session", "second"),
        ("", "empty"),
        ("pair", "a=b"),
    ];
    assert_eq!(cookies, expected);
    assert_eq!((request.cookie("session"), request.cookie("Session")), (Some("abc%20d"), None));
    assert_eq!(asking("/").cookies().count(), 0);
}

#[test]
fn the_pattern_of_the_route_or_page_is_returned() {
    let mut router = RouterBuilder::new();
    router.route("/rooms/:room", RouteOptions::default(), ());
    router.page("/users/:name", |request| Response::new(200).text(request.route().unwrap_or("none")));
    let router = router.build().unwrap();
    let mut request = asking("/rooms/blue?x=1");
    assert_eq!(request.route(), None);
    router.handle(&mut request).unwrap();
    assert_eq!(request.route(), Some("/rooms/:room"));

    let head = b"GET /users/ada HTTP/1.1\r\nHost: example.com\r\n\r\n";
    let mut handshake = Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    let mut request = handshake.receive(&mut &mut head.to_vec()[..]).unwrap().unwrap();
    router.handle(&mut request).unwrap_err();
    assert_eq!(request.route(), Some("/users/:name"));

    let mut request = asking("/nowhere");
    router.handle(&mut request).unwrap_err();
    assert_eq!(request.route(), None);
}

#[test]
fn the_driver_sets_addresses_scheme_and_certificates() {
    let mut request = asking("/");
    assert_eq!((request.peer_addr(), request.local_addr()), (None, None));
    assert_eq!(request.scheme(), Scheme::Http);
    assert_eq!(request.client_certificates(), [[0_u8; 0]; 0]);
    let (peer, local) = ("[::1]:5000".parse().unwrap(), "[::1]:443".parse().unwrap());
    request.set_peer_addr(Some(peer));
    request.set_local_addr(Some(local));
    request.set_scheme(Scheme::Https);
    request.set_client_certificates(vec![vec![1, 2], vec![3]]);
    assert_eq!((request.peer_addr(), request.local_addr()), (Some(peer), Some(local)));
    assert_eq!(request.scheme(), Scheme::Https);
    assert_eq!(request.clone().client_certificates(), [vec![1, 2], vec![3]]);
    request.set_client_certificates(Vec::new());
    assert!(request.client_certificates().is_empty());
}
