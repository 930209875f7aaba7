//! The target and the host of a request (RFC 9112 section 3.2).

use ws_core::HandshakeError;

use crate::{
    server_head::assert_malformed,
    support::{
        http::{Head, ask, refused, serve},
        limits,
    },
};

#[test]
fn a_target_is_a_path_or_a_whole_address() {
    for target in ["*", "chat", "server.example.com:80", "?query", "http:/half", "#"] {
        assert_malformed(target, &Head::request().first_line(format!("GET {target} HTTP/1.1")));
    }
    for (target, path, query) in [
        ("/", "/", None),
        ("/chat", "/chat", None),
        ("/chat?", "/chat", Some("")),
        ("/chat?a=b?c", "/chat", Some("a=b?c")),
        ("//twice", "//twice", None),
        ("/caf%C3%A9/../x", "/caf%C3%A9/../x", None),
        ("/a://b", "/a://b", None),
        ("http://server.example.com/chat?x", "/chat", Some("x")),
        ("ws://server.example.com:80/", "/", None),
    ] {
        let head = Head::request().first_line(format!("GET {target} HTTP/1.1"));
        let (request, _) = ask(&limits(|_| {}), &head.bytes(), &[usize::MAX]).unwrap().unwrap();
        assert_eq!((request.target(), request.path(), request.query()), (target, path, query));
    }
}

#[test]
fn a_target_has_no_fragment() {
    // RFC 9112 3.2.
    for target in ["/chat#frag", "/#", "/chat?a#b", "http://server.example.com/chat#frag"] {
        assert_malformed(target, &Head::request().first_line(format!("GET {target} HTTP/1.1")));
    }
}

#[test]
fn the_host_of_a_whole_address_is_there_and_valid() {
    // RFC 9110 4.2.1: an empty host is invalid. RFC 9110 4.2.4: a user before the host is an error.
    for target in [
        "http:///chat",
        "http://",
        "http://?query",
        "http://:80/chat",
        "http://user@server.example.com/chat",
        "http://user:password@server.example.com/chat",
        "http://a:b/chat",
        "http://[::1/chat",
        "ws://[fe80::1%25eth0]/chat",
        "http://a\\b/chat",
        "http://\"a\"/chat",
    ] {
        assert_malformed(target, &Head::request().first_line(format!("GET {target} HTTP/1.1")));
    }
}

#[test]
fn the_host_of_an_absolute_target_replaces_the_header_for_origin_checks() {
    // RFC 9112 3.2.2.
    let head = |version: &str| {
        let head = Head::request().first_line(format!("GET http://one.example:8080/chat {version}"));
        head.set("Host", "two.example")
    };
    let ask = |head: &Head| ask(&limits(|_| {}), &head.bytes(), &[1]).unwrap().unwrap().0;
    assert_eq!(ask(&head("HTTP/1.1")).header("host"), Some("one.example:8080"));
    assert_eq!(ask(&head("HTTP/1.0").without("Host")).header("Host"), Some("one.example:8080"));
    assert!(serve(&head("HTTP/1.1").with("Origin: http://one.example:8080")).is_ok());
    let (error, _) = refused(&head("HTTP/1.1").with("Origin: http://two.example"));
    assert!(matches!(error, HandshakeError::OriginRefused { .. }), "{error:?}");
    // The header still has to be valid.
    let (error, _) = refused(&head("HTTP/1.1").without("Host"));
    assert_eq!(error, HandshakeError::MissingHeader("Host"));
    let (error, _) = refused(&head("HTTP/1.1").set("Host", "a b"));
    assert_eq!(error, HandshakeError::InvalidHeader("Host"));
}

#[test]
fn a_host_that_is_empty_or_no_host_is_refused() {
    // RFC 9112 3.2: 400 for "a Host header field with an invalid field value".
    for value in [
        "",
        " ",
        "a b",
        "a b/c?d@e",
        "a/b",
        "a?b",
        "a#b",
        "user@a",
        "a, b",
        ":80",
        "a:80x",
        "a:b:c",
        "[::1",
        "::1",
        "[fe80::1%25lo]",
        "\"a\"",
        "a%zz",
        "http://a",
        "gr\u{fc}n.example",
    ] {
        for head in [Head::request(), Head::request().without("Upgrade").without("Sec-WebSocket-Key")] {
            let (error, response) = refused_by_parser(&head.set("Host", value));
            assert_eq!(error, HandshakeError::InvalidHeader("Host"), "{value:?}");
            assert!(response.starts_with("HTTP/1.1 400 "));
        }
    }
    for value in ["a", "a:", "A.example:8080", "127.0.0.1:1", "[::1]:9001", "a_b", "caf%C3%A9.example"] {
        assert!(serve(&Head::request().set("Host", value)).is_ok(), "{value:?}");
    }
}

/// Returns the error of a head that is not a valid request, and the answer to it.
fn refused_by_parser(head: &Head) -> (HandshakeError, String) {
    let error = ask(&limits(|_| {}), &head.bytes(), &[3]).unwrap_err();
    let response = String::from_utf8(error.response().to_bytes()).unwrap();
    (error, response)
}

#[test]
fn a_whole_address_without_a_path_asks_for_the_root() {
    // RFC 9112 3.2.2 and RFC 9110 4.2.3: an empty path of an http URI is the same as "/".
    let head = Head::request().first_line("GET http://server.example.com HTTP/1.1");
    let (request, _) = ask(&limits(|_| {}), &head.bytes(), &[usize::MAX]).unwrap().unwrap();
    assert_eq!(request.path(), "/");
}

#[test]
fn a_scheme_that_stands_in_a_query_is_no_whole_address() {
    assert_malformed("no scheme", &Head::request().first_line("GET chat?to=http://elsewhere/path HTTP/1.1"));
    assert_malformed("no scheme", &Head::request().first_line("GET ?to=http://elsewhere/path HTTP/1.1"));
    assert_malformed("no scheme", &Head::request().first_line("GET ://elsewhere/path HTTP/1.1"));
}

#[test]
fn there_is_one_host() {
    let (error, response) = refused(&Head::request().without("Host"));
    assert_eq!(error, HandshakeError::MissingHeader("Host"));
    assert!(response.starts_with("HTTP/1.1 400 "));
    for second in ["Host: server.example.com", "host: evil.example", "HOST:"] {
        let (error, response) = refused(&Head::request().with(second));
        assert_eq!(error, HandshakeError::DuplicateHeader("Host"));
        assert!(response.starts_with("HTTP/1.1 400 "));
    }
}
