//! A client with a request that the server refuses: status, headers, and a part of the body (RFC 9112 sections 6 and
//! 7).

use ws_core::{HandshakeError, Response};

use crate::support::http::{Head, answered, client_request, opening};

/// Splits of the input that must all have the same result.
const CUTS: [&[usize]; 4] = [&[usize::MAX], &[1], &[2, 3], &[1000]];

/// Returns the refusal that these bytes represent when the end of the stream follows.
fn refusal(bytes: &[u8]) -> Response {
    let results = CUTS.map(|sizes| match answered(&client_request(), bytes, sizes) {
        Err(HandshakeError::Refused(response)) => *response,
        other => panic!("{other:?}"),
    });
    for result in &results {
        assert_eq!(result, &results[0], "cutting changes the response");
    }
    results.into_iter().next().unwrap()
}

fn refusal_with(status: &str, headers: &[&str], body: &[u8]) -> Response {
    let head = headers.iter().fold(Head::new([format!("HTTP/1.1 {status}")]), Head::with);
    refusal(&[&head.bytes(), body].concat())
}

/// Returns the number of bytes after which a client returns the refusal without waiting for the end of the stream.
fn bytes_needed(bytes: &[u8]) -> Option<usize> {
    let mut handshake = crate::support::http::start(&client_request());
    bytes.iter().position(|byte| handshake.receive(&mut &mut [*byte][..]).is_err()).map(|at| at + 1)
}

#[test]
fn a_body_with_a_length_is_read_to_its_end_and_no_further() {
    let response =
        refusal_with("403 Forbidden", &["Content-Length: 5", "X-Why: because"], b"sorry, and more");
    assert_eq!((response.status(), response.body_bytes()), (403, &b"sorry"[..]));
    assert_eq!(response.header_value("x-why"), Some("because"));
    let head = Head::new(["HTTP/1.1 403 Forbidden", "Content-Length: 5"]).bytes();
    assert_eq!(bytes_needed(&[&head[..], b"sorry, and more"].concat()), Some(head.len() + 5));
    assert_eq!(bytes_needed(&head), None);
    let cut = refusal_with("403 Forbidden", &["Content-Length: 500"], b"the stream ends early");
    assert_eq!(cut.body_bytes(), b"the stream ends early");
}

#[test]
fn a_body_of_no_bytes_is_not_waited_for() {
    for lines in [
        &["HTTP/1.1 404 Not Found", "Content-Length: 0"][..],
        &["HTTP/1.1 204 No Content"],
        &["HTTP/1.1 304 Not Modified", "Content-Length: 100"],
    ] {
        let head = Head::new(lines).bytes();
        assert_eq!(bytes_needed(&head), Some(head.len()), "{lines:?}");
    }
}

#[test]
fn a_body_without_a_length_goes_to_the_end_of_the_stream() {
    for headers in [&[][..], &["Content-Length: nonsense"], &["Content-Length: -1"], &["Content-Length:"]] {
        let response = refusal_with("500 Internal Server Error", headers, b"to the end");
        assert_eq!((response.status(), response.body_bytes()), (500, &b"to the end"[..]));
    }
}

#[test]
fn a_body_in_chunks_is_put_together() {
    let chunked = |body: &[u8]| refusal_with("502 Bad Gateway", &["Transfer-Encoding: chunked"], body);
    for (body, expected) in [
        (&b"0\r\n\r\n"[..], &b""[..]),
        (b"5\r\nHello\r\n0\r\n\r\n", b"Hello"),
        (b"5\r\nHello\r\n7\r\n, world\r\n0\r\n\r\n", b"Hello, world"),
        (b"A;ext=1\r\n0123456789\r\n00\r\n\r\n", b"0123456789"),
        (b"a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", b"0123456789"),
        // The part of the body that has arrived when the stream ends early.
        (b"5\r\nHel", b"Hel"),
        (b"5\r\nHello", b"Hello"),
        (b"5\r\nHello\r\n", b"Hello"),
        (b"5", b""),
        (b"", b""),
        (b"zz\r\nHello\r\n0\r\n\r\n", b""),
    ] {
        assert_eq!(chunked(body).body_bytes(), expected, "{:?}", String::from_utf8_lossy(body));
    }
    let head = Head::new(["HTTP/1.1 502 Bad Gateway", "Transfer-Encoding: chunked"]).bytes();
    let whole = [&head[..], b"5\r\nHello\r\n0\r\n\r\n"].concat();
    assert_eq!(bytes_needed(&whole), Some(whole.len()), "the last chunk ends the wait");
}

#[test]
fn a_chunk_that_looks_like_the_end_is_not_the_end() {
    // If the input is split directly after bytes that look like the last chunk, the body must not count as complete.
    for (body, expected) in [
        (&b"a\r\n12340\r\n\r\nx\r\n5\r\nHello\r\n0\r\n\r\n"[..], &b"12340\r\n\r\nxHello"[..]),
        (b"10\r\n\r\n0123456789abcd\r\n0\r\n\r\n", b"\r\n0123456789abcd"),
    ] {
        let response = refusal_with("502 Bad Gateway", &["Transfer-Encoding: chunked"], body);
        assert_eq!(response.body_bytes(), expected);
    }
}

#[test]
fn chunks_count_more_than_a_length() {
    // RFC 9112 6.3: "the Transfer-Encoding overrides the Content-Length".
    let headers = ["Content-Length: 3", "Transfer-Encoding: chunked"];
    let response = refusal_with("502 Bad Gateway", &headers, b"5\r\nHello\r\n0\r\n\r\n");
    assert_eq!(response.body_bytes(), b"Hello");
}

#[test]
fn no_more_than_4_kib_of_a_body_is_read() {
    let head = |line: &str| Head::new(["HTTP/1.1 500 Oops", line]).bytes();
    let endless = vec![b'x'; 100_000];
    for line in ["X: endless", "Content-Length: 100000", "Content-Length: 18446744073709551616"] {
        let bytes = [&head(line)[..], &endless].concat();
        assert_eq!(refusal(&bytes).body_bytes(), &endless[..4096], "{line}");
        assert_eq!(bytes_needed(&bytes), Some(head(line).len() + 4096), "{line}");
    }
    let chunks = [&head("Transfer-Encoding: chunked")[..], b"186a0\r\n", &endless].concat();
    let response = refusal(&chunks);
    assert!(response.body_bytes().len() <= 4096 && response.body_bytes().len() > 4000);
    let tiny = [&head("Transfer-Encoding: chunked")[..], &b"1\r\nx\r\n".repeat(50_000)].concat();
    assert!(refusal(&tiny).body_bytes().len() <= 4096);
}

#[test]
fn a_redirection_is_a_refusal_that_says_where() {
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let response = refusal_with(status, &["Location: ws://elsewhere/", "Content-Length: 0"], b"");
        assert_eq!(response.header_value("Location"), Some("ws://elsewhere/"));
        assert_eq!(response.to_string(), status);
    }
}

#[test]
fn any_status_but_101_refuses() {
    for status in [200, 201, 300, 400, 401, 404, 426, 429, 499, 503, 600, 999] {
        let response =
            refusal_with(&format!("{status} Something"), &["Upgrade: websocket", "Content-Length: 0"], b"");
        assert_eq!(response.status(), status);
    }
}

#[test]
fn a_refusal_keeps_its_status_in_every_version_of_http_1() {
    // RFC 9110 2.5. Load balancers answer in HTTP/1.0 while no server is available.
    for version in ["HTTP/1.0", "HTTP/1.1", "HTTP/1.2", "HTTP/1.9"] {
        for status in [302, 401, 503] {
            let head = Head::new([format!("{version} {status} Some Phrase"), "X-Why: because".to_owned()]);
            let response = refusal(&[&head.bytes()[..], b"no server"].concat());
            assert_eq!((response.status(), response.body_bytes()), (status, &b"no server"[..]));
            assert_eq!(response.header_value("X-Why"), Some("because"));
        }
    }
    for version in ["HTTP/2", "HTTP/2.0", "HTTP/1.", "HTTP/1.x", "HTTP/1.10", "http/1.0"] {
        let head = Head::new([format!("{version} 503 Some Phrase")]).bytes();
        let error = answered(&client_request(), &head, &[1]).map(drop).unwrap_err();
        assert!(matches!(error, HandshakeError::MalformedHead(_)), "{version}: {error:?}");
    }
}

#[test]
fn only_http_1_1_opens_a_websocket() {
    for version in ["HTTP/1.0", "HTTP/1.2"] {
        let head = opening().first_line(format!("{version} 101 Switching Protocols"));
        let error = answered(&client_request(), &head.bytes(), &[1]).map(drop).unwrap_err();
        assert!(matches!(error, HandshakeError::MalformedHead(_)), "{version}: {error:?}");
        assert!(error.to_string().contains("HTTP/1.1"), "{error}");
    }
}

#[test]
fn a_refusal_is_told_in_one_line_without_control_characters() {
    for (body, said) in [
        (&b""[..], "503 Service Unavailable"),
        (b"come back later\n", "503 Service Unavailable (\"come back later\")"),
        (b"  first\nsecond", "503 Service Unavailable (\"first\")"),
        (b"<html>page</html>", "503 Service Unavailable"),
        (b"\x1b[31mred\x07", "503 Service Unavailable (\"\\u{1b}[31mred\\u{7}\")"),
        (b"\xFF\xFE", "503 Service Unavailable (\"\u{fffd}\u{fffd}\")"),
    ] {
        let headers = [&format!("Content-Length: {}", body.len())[..]];
        let response = refusal_with("503 Evil\tphrase", &headers, body);
        assert_eq!(response.to_string(), said);
        let error = HandshakeError::Refused(Box::new(response));
        let sentence = format!("the server refused the WebSocket and answered {said}: try again later");
        assert_eq!(error.to_string(), sentence);
        assert!(!error.to_string().contains(char::is_control));
    }
    let long = refusal_with("500 x", &[], "ü".repeat(1000).as_bytes());
    assert!(long.to_string().chars().count() < 200);
}

#[test]
fn a_redirect_names_its_location_without_the_query() {
    let long = format!("Location: https://example.com/{}", "x".repeat(5000));
    for (header, shown) in [
        ("Location: https://example.com/login", "with the location \"https://example.com/login\": connect"),
        ("Location: /chat?token=hush#top", "with the location \"/chat\"..: connect"),
        (&long, "xxx\"..: connect"),
        ("X-Other: 1", "answered 302 Found"),
    ] {
        let error = HandshakeError::Refused(Box::new(refusal_with("302 Found", &[header], b"")));
        let text = error.to_string();
        assert!(text.contains(shown) && text.len() < 500, "{text}");
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn timeouts_early_ends_and_server_failures_are_transient_for_a_client() {
    for status in 200..600 {
        let response = refusal_with(&format!("{status} x"), &["Content-Length: 0"], b"");
        let error = HandshakeError::Refused(Box::new(response));
        assert_eq!(error.is_transient(), matches!(status, 500 | 502 | 503 | 504), "{error}");
    }
    let lasting = [
        HandshakeError::MalformedHead(""),
        HandshakeError::TlsRecord,
        HandshakeError::NotHttp { beginning: "SSH-2.0".into() },
        HandshakeError::FirstLineTooLong { limit: 1 },
        HandshakeError::HeadTooLarge { limit: 1 },
        HandshakeError::TooManyHeaders { limit: 1 },
        HandshakeError::MissingHeader("Host"),
        HandshakeError::DuplicateHeader("Host"),
        HandshakeError::InvalidHeader("Host"),
        HandshakeError::MethodNotAllowed,
        HandshakeError::NotAnUpgrade,
        HandshakeError::UpgradeInHttp10,
        HandshakeError::UnsupportedVersion,
        HandshakeError::UnexpectedBody,
        HandshakeError::OriginRefused { origin: "http://a".into(), target: "b".into() },
        HandshakeError::UnofferedSubprotocol,
        HandshakeError::UnofferedExtension,
        HandshakeError::ExtensionParameter {
            value: "v".into(),
            parameter: "p".into(),
            problem: "is unknown",
        },
        HandshakeError::TooManyInterimResponses,
        HandshakeError::UnsendableHeader,
        HandshakeError::UnsendableSubprotocol,
        HandshakeError::SubprotocolNotOffered,
    ];
    for (errors, expected) in
        [(&lasting[..], false), (&[HandshakeError::Timeout, HandshakeError::Eof][..], true)]
    {
        for error in errors {
            assert_eq!(error.is_transient(), expected, "{error:?}");
        }
    }
}
