//! The head of a request: strict HTTP/1.1 and exact limits, regardless of the pieces in which it arrives (RFC 9112).

use ws_core::{HandshakeConfig, HandshakeError, OriginPolicy, testing::drained};

use crate::support::{
    http::{Head, ask, refused, serve},
    limits,
};

/// Asserts that a request is refused with 400, and as malformed.
pub(crate) fn assert_malformed(what: &str, head: &Head) {
    let (error, response) = refused(head);
    assert!(matches!(error, HandshakeError::MalformedHead(_)), "{what}: {error:?}");
    assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{what}");
}

/// Asserts the same for bytes that are not lines ended by CR LF, regardless of how they are split.
fn assert_malformed_bytes(what: &str, bytes: &[u8]) {
    for sizes in [&[usize::MAX][..], &[1], &[5]] {
        let error = ask(&limits(|_| {}), bytes, sizes).expect_err(what);
        assert!(matches!(error, HandshakeError::MalformedHead(_)), "{what}: {error:?}");
        assert_eq!(error.status(), 400);
    }
}

#[test]
fn a_bare_line_feed_or_carriage_return_ends_no_line() {
    let good = Head::request().bytes();
    let text = String::from_utf8(good).unwrap();
    let ends: Vec<usize> = text.match_indices("\r\n").map(|(at, _)| at).collect();
    for end in ends {
        let mut bare_lf = text.clone().into_bytes();
        bare_lf.remove(end);
        // The CR of the blank line may be missing, too.
        assert_malformed_bytes("bare LF", &bare_lf);
        let mut bare_cr = text.clone().into_bytes();
        bare_cr.remove(end + 1);
        bare_cr.extend_from_slice(b"\r\n\r\n");
        assert_malformed_bytes("bare CR", &bare_cr);
        let mut doubled = text.clone().into_bytes();
        doubled.insert(end, b'\r');
        assert_malformed_bytes("CR CR LF", &[&doubled[..], b"\r\n"].concat());
    }
    assert_malformed_bytes("all bare", text.replace("\r\n", "\n").as_bytes());
}

#[test]
fn a_folded_line_is_refused() {
    for fold in [" folded", "\tfolded", " Sec-WebSocket-Version: 13", "  "] {
        assert_malformed("obs-fold", &Head::request().with("X-Long: value").with(fold));
    }
    let lines = ["GET / HTTP/1.1", " Host: folded into the first line", "Host: a"];
    assert_malformed("fold after the first line", &Head::new(lines));
}

#[test]
fn a_header_name_is_a_token_and_the_colon_follows_at_once() {
    for line in [
        "Name : value",
        "Name\t: value",
        ": value",
        "No colon",
        "Two words: value",
        "H(st: a",
        "N\u{e9}: a",
        "\u{0}: a",
        "\"Name\": a",
        "N,: a",
    ] {
        assert_malformed(line, &Head::request().with(line));
    }
}

#[test]
fn a_header_value_holds_no_control_characters() {
    for byte in (0..=0x1F).chain([0x7F]).filter(|byte| !b"\t\n".contains(byte)) {
        let line = [&b"X-Value: a"[..], &[byte], b"b"].concat();
        assert_malformed(&format!("{byte:#x}"), &Head::request().with(line));
    }
    for value in
        [&b"a\tb"[..], b"caf\xC3\xA9", b"\xE9\xFF", b"", b"   ", b"a:b:c", b"\"quoted, \\\" string\""]
    {
        let head = Head::request().with([b"X-Value: ", value].concat());
        assert!(serve(&head).is_ok(), "{value:?}");
    }
}

#[test]
fn a_request_is_http_1_1_or_1_0() {
    for line in [
        "GET /chat HTTP/0.9",
        "GET /chat HTTP/1.2",
        "GET /chat HTTP/2.0",
        "GET /chat HTTP/2",
        "GET /chat http/1.1",
        "GET /chat HTTP/1.1 ",
        "GET /chat HTTP/1.",
        "GET /chat HTTP/11",
        "GET /chat",
        "GET",
        "GET ",
        " ",
        "GET /chat ICE/1.1",
    ] {
        assert_malformed(line, &Head::request().first_line(line));
    }
}

#[test]
fn a_page_may_be_asked_for_in_http_1_0_without_a_host() {
    // RFC 9112 3.2 and 2.3. Load balancers use such requests for health checks.
    for lines in [&["GET /health HTTP/1.0"][..], &["GET /health HTTP/1.0", "Host: example.com"]] {
        let (request, _) = ask(&limits(|_| {}), &Head::new(lines).bytes(), &[1]).unwrap().unwrap();
        assert!(!request.is_upgrade() && request.path() == "/health");
        let mut answer = request.respond(&ws_core::Response::new(200).text("fine"));
        let answer = String::from_utf8(drained(&mut answer)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\nConnection: close\r\n"));
    }
    let twice = Head::new(["GET / HTTP/1.0", "Host: a", "Host: b"]).bytes();
    assert_eq!(ask(&limits(|_| {}), &twice, &[1]).unwrap_err(), HandshakeError::DuplicateHeader("Host"));
}

#[test]
fn an_upgrade_in_http_1_0_is_refused_with_the_cure_for_the_proxy() {
    let old = Head::request().first_line("GET /chat HTTP/1.0");
    // A proxy without support for WebSocket forwards only the key.
    for head in [old.clone(), old.clone().without("Host"), old.without("Upgrade").set("Connection", "close")]
    {
        let (error, response) = refused(&head);
        assert_eq!(error, HandshakeError::UpgradeInHttp10);
        assert!(response.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{response}");
        assert!(response.contains("\r\nUpgrade: websocket\r\n"), "{response}");
        let body = String::from_utf8(error.response().body_bytes().to_vec()).unwrap();
        for words in ["HTTP/1.0", "proxy", "HTTP/1.1", "proxy_http_version 1.1"] {
            assert!(body.contains(words), "{body}");
        }
    }
}

#[test]
fn the_first_line_has_single_spaces_and_nothing_before_it() {
    for line in [
        " GET /chat HTTP/1.1",
        "GET  /chat HTTP/1.1",
        "GET /chat  HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET\t/chat HTTP/1.1",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        "G(T /chat HTTP/1.1",
        ": /chat HTTP/1.1",
        "GET /\u{1} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
    ] {
        assert_malformed(line, &Head::request().first_line(line));
    }
    let blank = [b"\r\n\r\n", &Head::request().bytes()[..]].concat();
    assert_malformed_bytes("two empty lines first", &blank);
    assert_malformed_bytes("nothing but empty lines", b"\r\n\r\n");
    assert_malformed_bytes("an empty line that ends in LF", &[b"\n", &Head::request().bytes()[..]].concat());
}

#[test]
fn one_empty_line_before_a_request_is_skipped() {
    // RFC 9112 2.2: a server "SHOULD ignore at least one empty line (CRLF) received prior to the request-line".
    let bytes = [b"\r\n", &Head::request().bytes()[..]].concat();
    for sizes in [&[usize::MAX][..], &[1], &[2], &[3]] {
        let (request, rest) = ask(&limits(|_| {}), &[&bytes[..], b"rest"].concat(), sizes).unwrap().unwrap();
        assert_eq!((request.method(), request.target(), &rest[..]), ("GET", "/chat", &b"rest"[..]));
        assert!(request.upgrade(&OriginPolicy::default()).is_ok());
    }
    let mut handshake = ws_core::server::Handshake::new(&limits(|_| {}), ws_core::Timestamp::ZERO);
    assert!(handshake.receive(&mut &mut b"\r\n".to_vec()[..]).unwrap().is_none());
    assert!(!handshake.has_begun(), "an empty line is no part of a request");
}

/// Returns the first error, or the number of bytes that were passed without an error.
fn bytes_until_error(limits: &HandshakeConfig, bytes: &[u8]) -> Result<usize, (HandshakeError, usize)> {
    let mut handshake = ws_core::server::Handshake::new(limits, ws_core::Timestamp::ZERO);
    for (given, byte) in bytes.iter().enumerate() {
        handshake.receive(&mut &mut [*byte][..]).map_err(|error| (error, given + 1))?;
    }
    Ok(bytes.len())
}

#[test]
fn a_head_one_byte_above_the_limit_is_refused_with_431() {
    let head = Head::request().with(format!("X-Pad: {}", "x".repeat(2000))).bytes();
    let limit = |limit: usize| limits(|limits| limits.max_head_size = limit);
    for sizes in [&[usize::MAX][..], &[1], &[1000]] {
        assert!(ask(&limit(head.len()), &head, sizes).unwrap().is_some());
        assert!(ask(&limit(usize::MAX), &head, sizes).unwrap().is_some());
        // Bytes behind the head do not count.
        assert!(ask(&limit(head.len()), &[&head[..], &[0; 5000]].concat(), sizes).unwrap().is_some());
        let error = ask(&limit(head.len() - 1), &head, sizes).unwrap_err();
        assert_eq!(error, HandshakeError::HeadTooLarge { limit: head.len() - 1 });
        assert_eq!(error.status(), 431);
    }
    // It is refused as soon as it is too large, not when it ends.
    let error = HandshakeError::HeadTooLarge { limit: 1000 };
    assert_eq!(bytes_until_error(&limit(1000), &head), Err((error, 1001)));
}

#[test]
fn an_endless_first_line_is_refused_with_414() {
    for limit in [0, 1, 100, 16 << 10] {
        let limits = limits(|limits| limits.max_head_size = limit);
        let endless = [b"GET /", &[b'a'; 20_000][..]].concat();
        let error = HandshakeError::FirstLineTooLong { limit };
        assert_eq!(error.status(), 414);
        assert_eq!(bytes_until_error(&limits, &endless), Err((error.clone(), limit + 1)));
        assert_eq!(ask(&limits, &endless, &[usize::MAX]).unwrap_err(), error);
    }
}

#[test]
fn as_many_headers_as_allowed_pass_and_one_more_is_refused_with_431() {
    for limit in [5, 6, 64, 1000] {
        let limits = limits(|limits| limits.max_headers = limit);
        let pad = |count: usize| {
            (5..count).fold(Head::request(), |head, number| head.with(format!("X-{number}: a")))
        };
        for sizes in [&[usize::MAX][..], &[1]] {
            let (request, _) = ask(&limits, &pad(limit).bytes(), sizes).unwrap().unwrap();
            assert_eq!(request.headers().len(), limit);
            let error = ask(&limits, &pad(limit + 1).bytes(), sizes).unwrap_err();
            assert_eq!((error.status(), error), (431, HandshakeError::TooManyHeaders { limit }));
        }
    }
    let none = limits(|limits| limits.max_headers = 0);
    let error = ask(&none, &Head::request().bytes(), &[1]).unwrap_err();
    assert_eq!(error, HandshakeError::TooManyHeaders { limit: 0 });
}

#[test]
fn a_request_of_128_header_fields_is_accepted_by_default() {
    // Proxies, cookies and tracing add fields. Other servers accept 100 to 128 of them.
    let pad = |count: usize| {
        (5..count).fold(Head::request(), |head, number| head.with(format!("X-Field-{number}: value")))
    };
    assert!(serve(&pad(128)).is_ok());
    let (error, response) = refused(&pad(129));
    assert_eq!(error, HandshakeError::TooManyHeaders { limit: 128 });
    assert!(response.starts_with("HTTP/1.1 431 "), "{response}");
}

#[test]
fn headers_are_found_whatever_their_case_and_in_order() {
    let head = Head::request().with("X-One: 1").with("x-TWO:2").with("X-One:  \t3 \t");
    let (request, _) = ask(&limits(|_| {}), &head.bytes(), &[1]).unwrap().unwrap();
    assert_eq!(request.header("x-one"), Some("1"));
    assert_eq!(request.header("X-Two"), Some("2"));
    assert_eq!(request.header("X-Three"), None);
    assert_eq!(request.headers().get_all("X-ONE").collect::<Vec<_>>(), ["1", "3"]);
    let last: Vec<_> = request.headers().iter().skip(5).collect();
    assert_eq!(last, [("X-One", &b"1"[..]), ("x-TWO", b"2"), ("X-One", b"3")]);
    assert_eq!((request.method(), request.target()), ("GET", "/chat"));
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let head =
        Head::request().with("Cookie: session=hush").with("authorization: Basic hush").with("X-A: shown");
    let (request, _) = ask(&limits(|_| {}), &head.bytes(), &[1]).unwrap().unwrap();
    let shown = format!("{:?}", request.headers());
    assert!(shown.contains("shown") && !shown.contains("hush"), "{shown}");
}

#[test]
fn a_handshake_knows_whether_it_has_begun() {
    let mut handshake = ws_core::server::Handshake::new(&limits(|_| {}), ws_core::Timestamp::ZERO);
    assert!(!handshake.has_begun());
    assert!(handshake.receive(&mut &mut [b'G'][..]).unwrap().is_none());
    assert!(handshake.has_begun());
}
