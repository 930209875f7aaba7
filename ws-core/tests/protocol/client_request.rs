//! The request of a client, byte for byte, and the additions of an application (RFC 6455 section 4.1).

use std::sync::Arc;

use base64_decode::decode;
use ws_core::{Config, HandshakeConfig, HandshakeError, Timestamp, Url, UrlError, client};

use crate::{
    server_answer::UNSENDABLE,
    support::{
        SEED, drained,
        http::{ask, client_request, encoded, header_value},
        limits,
    },
};

/// A minimal base64 decoder to inspect a nonce, for this purpose only.
mod base64_decode {
    pub(super) fn decode(text: &str) -> Vec<u8> {
        const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits = text.trim_end_matches('=');
        let bits: String =
            digits.chars().map(|digit| format!("{:06b}", DIGITS.find(digit).unwrap())).collect();
        let bytes = bits.as_bytes().chunks_exact(8);
        bytes.map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap()).collect()
    }
}

fn request_to(url: &str) -> client::Request {
    client::Request::new(url.parse().unwrap())
}

fn with_seed(seed: [u8; 32]) -> String {
    let config = Arc::new(Config::default());
    let mut handshake =
        client::Handshake::new(&client_request(), &HandshakeConfig::default(), config, seed, Timestamp::ZERO)
            .unwrap();
    String::from_utf8(drained(&mut handshake.transmit())).unwrap()
}

/// Returns the error of a request.
fn error_of(request: &client::Request) -> HandshakeError {
    let config = Arc::new(Config::default());
    client::Handshake::new(request, &HandshakeConfig::default(), config, SEED, Timestamp::ZERO)
        .map(drop)
        .unwrap_err()
}

#[test]
fn a_request_holds_what_the_rfc_asks_for_and_nothing_else() {
    let request = encoded(&client_request());
    let key = header_value(&request, "Sec-WebSocket-Key").unwrap();
    let expected = format!(
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    assert_eq!(request, expected);
}

#[test]
fn the_key_is_a_nonce_of_16_bytes_from_the_seed() {
    let keys: Vec<_> = (0..50)
        .map(|number| {
            let request = with_seed([number; 32]);
            assert_eq!(request, with_seed([number; 32]), "the same seed, the same request");
            header_value(&request, "Sec-WebSocket-Key").unwrap().to_owned()
        })
        .collect();
    for (number, key) in keys.iter().enumerate() {
        assert_eq!((key.len(), decode(key).len()), (24, 16));
        assert!(!keys[..number].contains(key));
    }
}

#[test]
fn the_target_begins_with_a_slash_and_is_escaped() {
    for (url, line) in [
        ("ws://host", "GET / HTTP/1.1"),
        ("ws://host/", "GET / HTTP/1.1"),
        ("ws://host?a=b", "GET /?a=b HTTP/1.1"),
        ("ws://host/a/../b", "GET /a/../b HTTP/1.1"),
        ("ws://host/a b?c d", "GET /a%20b?c%20d HTTP/1.1"),
        ("ws://host/%20?%41", "GET /%20?%41 HTTP/1.1"),
        ("ws://host/Grüße", "GET /Gr%C3%BC%C3%9Fe HTTP/1.1"),
        ("ws://host/\"<>\\^`{|}", "GET /%22%3C%3E%5C%5E%60%7B%7C%7D HTTP/1.1"),
        ("wss://user:pw@host/@x?y@z", "GET /@x?y@z HTTP/1.1"),
    ] {
        let request = encoded(&request_to(url));
        assert_eq!(request.split("\r\n").next(), Some(line), "{url}");
        // Our own server understands every such request.
        let (received, _) = ask(&limits(|_| {}), request.as_bytes(), &[usize::MAX]).unwrap().unwrap();
        assert!(received.path().starts_with('/'));
    }
}

#[test]
fn the_host_header_names_the_port_unless_it_is_the_default() {
    for (url, host) in [
        ("ws://Example.COM/", "example.com"),
        ("ws://example.com:80/", "example.com"),
        ("ws://example.com:443/", "example.com:443"),
        ("wss://example.com:443/", "example.com"),
        ("wss://example.com:80/", "example.com:80"),
        ("ws://127.0.0.1:9001/", "127.0.0.1:9001"),
        ("ws://[::1]/", "[::1]"),
        ("wss://[2001:DB8::1]:9001/", "[2001:db8::1]:9001"),
        ("ws://user@example.com:8080/", "example.com:8080"),
    ] {
        assert_eq!(header_value(&encoded(&request_to(url)), "Host"), Some(host), "{url}");
    }
}

#[test]
fn an_application_may_say_another_host() {
    let request = encoded(&client_request().header("host", "virtual.example"));
    assert_eq!(header_value(&request, "host"), Some("virtual.example"));
    assert!(!request.contains("server.example.com"));
}

#[test]
fn the_urls_user_and_password_appear_only_in_the_authorization_header() {
    for (url, authorization) in [
        ("ws://Aladdin:open%20sesame@host/", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("ws://user@host/", "Basic dXNlcjo="),
        ("ws://:secret@host/", "Basic OnNlY3JldA=="),
        ("ws://a:b:c@host/", "Basic YTpiOmM="),
    ] {
        let request = encoded(&request_to(url));
        assert_eq!(header_value(&request, "Authorization"), Some(authorization), "{url}");
        assert_eq!(header_value(&request, "Host"), Some("host"));
        assert!(request.starts_with("GET / HTTP/1.1\r\n"));
        let url: Url = url.parse().unwrap();
        assert_eq!(
            (url.to_string(), format!("{url:?}")),
            ("ws://host/".to_owned(), "Url(\"ws://host/\")".to_owned())
        );
    }
    assert_eq!(header_value(&encoded(&client_request()), "Authorization"), None);
}

#[test]
fn a_url_with_neither_user_nor_password_sends_no_authorization() {
    for url in ["ws://@host/", "ws://:@host/", "wss://@host:443"] {
        let request = encoded(&request_to(url));
        assert!(!request.contains("Authorization"), "{url}: {request}");
        assert_eq!(header_value(&request, "Host"), Some("host"));
    }
}

#[test]
fn a_header_that_may_be_there_once_cannot_be_sent_twice() {
    for (name, again) in [("Host", "host"), ("Origin", "ORIGIN"), ("Authorization", "authorization")] {
        let request = client_request().header(name, "one.example").header(again, "two.example");
        assert_eq!(error_of(&request), HandshakeError::UnsendableHeader, "{name}");
    }
    let same = client_request().header("Host", "host").header("Host", "host");
    assert_eq!(error_of(&same), HandshakeError::UnsendableHeader);
}

#[test]
fn a_host_that_servers_must_refuse_cannot_be_sent() {
    for host in ["", " ", "a b", "user@host", "host/path", "host:port", "http://host"] {
        let error = error_of(&client_request().header("Host", host));
        assert_eq!(error, HandshakeError::UnsendableHeader, "{host:?}");
    }
    assert!(encoded(&client_request().header("Host", " [::1]:80 ")).contains("\r\nHost: [::1]:80\r\n"));
}

#[test]
fn an_application_may_authorize_otherwise_than_the_url() {
    let request = encoded(&request_to("ws://user:pw@host/").header("AUTHORIZATION", "Bearer token"));
    assert_eq!(header_value(&request, "AUTHORIZATION"), Some("Bearer token"));
    assert!(!request.contains("Basic"));
}

#[test]
fn headers_are_added_in_order_behind_the_handshakes_own() {
    let request = client_request()
        .header("Origin", "http://example.com")
        .header("Cookie", "a=b; c=d")
        .header("X", "1")
        .header("X", " 2\t");
    let request = encoded(&request);
    let end = "\r\nSec-WebSocket-Version: 13\r\n\
               Origin: http://example.com\r\nCookie: a=b; c=d\r\nX: 1\r\nX: 2\r\n\r\n";
    assert!(request.ends_with(end), "{request}");
}

#[test]
fn a_header_that_would_break_the_request_cannot_be_added() {
    for (name, value) in UNSENDABLE {
        let request = client_request().header(name, value).header("X-Good", "good");
        assert_eq!(error_of(&request), HandshakeError::UnsendableHeader, "{name:?}: {value:?}");
    }
}

#[test]
fn subprotocols_are_offered_in_the_order_of_preference() {
    let request =
        encoded(&client_request().subprotocol("v2.chat").subprotocol("v1.chat").subprotocol("V1.chat"));
    assert_eq!(header_value(&request, "Sec-WebSocket-Protocol"), Some("v2.chat, v1.chat, V1.chat"));
    assert_eq!(header_value(&encoded(&client_request()), "Sec-WebSocket-Protocol"), None);
}

#[test]
fn subprotocols_that_are_no_tokens_or_there_twice_cannot_be_offered() {
    for name in ["", " ", "two words", "a,b", "a;b", "a/b", "a\r\nX: y", "\u{e9}", "\"a\"", "a\0"] {
        assert_eq!(
            error_of(&client_request().subprotocol(name)),
            HandshakeError::UnsendableSubprotocol,
            "{name:?}"
        );
    }
    let twice = client_request().subprotocol("chat").subprotocol("other").subprotocol("chat");
    assert_eq!(error_of(&twice), HandshakeError::UnsendableSubprotocol);
}

#[test]
fn what_is_no_address_of_a_websocket_never_becomes_a_request() {
    for (url, error) in [
        ("ftp://host/", UrlError::Scheme),
        ("//host/", UrlError::Scheme),
        ("ws:host", UrlError::Scheme),
        (" ws://host/", UrlError::Scheme),
        ("ws://", UrlError::Host),
        ("ws:///a", UrlError::Host),
        ("ws://user@/", UrlError::Host),
        ("ws://ho st/", UrlError::Host),
        ("ws://host:99999/", UrlError::Port),
        ("ws://host:-1/", UrlError::Port),
        ("ws://host/#fragment", UrlError::Fragment),
        ("ws://host/a\r\nX: y", UrlError::ControlCharacter),
        ("ws://host\r\n/", UrlError::ControlCharacter),
        ("ws://us\ner@host/", UrlError::ControlCharacter),
        ("ws://host/\0", UrlError::ControlCharacter),
        ("ws://host/\u{7f}", UrlError::ControlCharacter),
        ("ws://host/\u{85}", UrlError::ControlCharacter),
    ] {
        assert_eq!(url.parse::<Url>().map(|url| url.to_string()), Err(error), "{url:?}");
    }
}

#[test]
fn an_http_address_means_the_websocket_of_the_same_place() {
    // WHATWG HTML 9.3.1: "If urlRecord's scheme is "http", then set urlRecord's scheme to "ws"".
    for (url, same) in [
        ("http://host/chat?x", "ws://host/chat?x"),
        ("https://host/", "wss://host/"),
        ("HTTP://host:80", "ws://host/"),
        ("https://user:pw@host:443", "wss://host/"),
        ("http://host:443/", "ws://host:443/"),
    ] {
        let url: Url = url.parse().unwrap();
        assert_eq!((url.to_string(), url.is_secure()), (same.to_owned(), same.starts_with("wss")));
    }
}

#[test]
fn the_zone_of_an_address_is_not_sent() {
    // RFC 6874 4: it "has only local significance at the sending host".
    let request = encoded(&request_to("ws://[fe80::1%25lo]:8080/"));
    assert_eq!(header_value(&request, "Host"), Some("[fe80::1]:8080"));
    assert!(!request.contains("%25") && !request.contains("lo"), "{request}");
}

#[test]
fn a_backslash_before_the_path_is_refused() {
    // RFC 3986 has no backslash in an authority. WHATWG's parser ends the host at it, so the two parsers would
    // connect to different hosts. An attacker could bypass a check by one parser and reach the host of the other.
    for url in ["ws://host\\@evil/", "ws://host\\evil/", "ws://user\\:pw@evil/", "ws://host:80\\@evil/"] {
        assert!(url.parse::<Url>().is_err(), "{url}");
    }
}

#[test]
fn a_client_without_extensions_offers_none() {
    assert!(!encoded(&client_request()).contains("Extensions"));
}
