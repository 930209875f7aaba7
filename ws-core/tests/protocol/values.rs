//! Conversions and text output of plain values.

use std::time::Duration;

use ws_core::{
    CloseCode, CloseFrame, HandshakeError, Message, PathRouter, PreparedMessage, Response, RouteError,
    Timestamp, Url, UrlError, client,
};

#[test]
fn a_message_gives_its_payload_away_and_compares_with_what_it_was_made_of() {
    let (text, binary) = (Message::from("Grüße"), Message::from(&[1, 2, 3][..]));
    assert!(text.is_text() && binary.is_binary() && !text.is_empty() && Message::from("").is_empty());
    assert_eq!((text.as_text(), binary.as_text()), (Some("Grüße"), None));
    assert_eq!(text, *"Grüße");
    assert_eq!(text, "Grüße");
    assert_eq!(binary, [1, 2, 3][..]);
    assert_ne!(Message::from("a"), b"a"[..], "text is not binary");
    assert_eq!(
        (text.clone().into_bytes(), binary.clone().into_bytes()),
        ("Grüße".as_bytes().to_vec(), vec![1, 2, 3])
    );
    for message in [text, binary] {
        assert_eq!(message.clone().into_owned(), message);
        assert_eq!(message.as_borrowed(), message);
        assert_eq!(Message::from(&message), message);
    }
}

#[test]
fn a_prepared_message_is_equal_to_another_of_the_same_content() {
    let prepared = PreparedMessage::new("hello");
    assert_eq!(prepared, PreparedMessage::new("hello".to_owned()));
    assert_ne!(prepared, PreparedMessage::new(b"hello"));
    assert_eq!(format!("{prepared:?}"), "PreparedMessage(Text, 5 bytes)");
    assert!(!prepared.is_empty() && PreparedMessage::new("").is_empty());
}

#[test]
fn a_status_line_names_the_status_where_it_has_a_name() {
    for (status, name) in [
        (200, "OK"),
        (201, "Created"),
        (204, "No Content"),
        (301, "Moved Permanently"),
        (302, "Found"),
        (303, "See Other"),
        (304, "Not Modified"),
        (307, "Temporary Redirect"),
        (308, "Permanent Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (408, "Request Timeout"),
        (409, "Conflict"),
        (410, "Gone"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (421, "Misdirected Request"),
        (426, "Upgrade Required"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (599, ""),
    ] {
        let bytes = Response::new(status).to_bytes();
        let line = format!("HTTP/1.1 {status} {name}\r\n");
        assert!(bytes.starts_with(line.as_bytes()), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn handshake_errors_name_the_side_that_caused_them() {
    for (error, words) in [
        (HandshakeError::MethodNotAllowed, "the client's request is not a GET"),
        (HandshakeError::UnofferedExtension, "the server chose an extension"),
        (HandshakeError::UnofferedSubprotocol, "the server chose a subprotocol"),
        (HandshakeError::TooManyInterimResponses, "the server sent too many interim responses"),
        (HandshakeError::UnexpectedBody, "the client announced a body"),
        (HandshakeError::UnsupportedVersion, "the client asked for a WebSocket version"),
        (HandshakeError::UpgradeInHttp10, "the client asked for a WebSocket in HTTP/1.0"),
        (
            HandshakeError::OriginRefused { origin: "http://a".into(), target: "b".into() },
            "pages of the origin",
        ),
        (HandshakeError::UnsendableHeader, "this application has set a header"),
        (HandshakeError::UnsendableSubprotocol, "this application has set a subprotocol"),
        (HandshakeError::SubprotocolNotOffered, "this application accepted a subprotocol"),
        (HandshakeError::TlsRecord, "the peer speaks TLS"),
        (HandshakeError::NotHttp { beginning: "SSH-2.0".into() }, "the server does not speak HTTP"),
        (HandshakeError::Timeout, "within open_timeout"),
        (HandshakeError::Eof, "closed the stream"),
        (HandshakeError::MissingHeader("Host"), "did not send the header Host"),
        (HandshakeError::DuplicateHeader("Host"), "Host more than once"),
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn routes_report_invalid_patterns_and_return_all_targets() {
    let mut routes = PathRouter::default();
    for (pattern, target) in [("/a/:one/*two", 1), ("/b", 2)] {
        routes.insert(pattern, target).unwrap();
    }
    let (_, parameters) = routes.find("/a/x/y/z").unwrap();
    assert_eq!(parameters.iter().collect::<Vec<_>>(), [("one", "x"), ("two", "y/z")]);
    routes.iter_mut().for_each(|target| *target *= 10);
    assert_eq!(routes.find("/b").unwrap().0, &20);
    let duplicate = routes.insert("/b", 3).unwrap_err();
    assert_eq!(duplicate, RouteError::Duplicate("/b".into()));
    for error in [duplicate, routes.insert("b", 3).unwrap_err()] {
        assert!(error.to_string().contains('b'), "{error}");
    }
}

#[test]
fn a_url_shows_itself_and_an_invalid_one_has_a_reason() {
    let url: Url = "wss://example.com:9001/a%20b?c".parse().unwrap();
    assert_eq!(
        (url.host(), url.port(), url.target(), url.is_secure()),
        ("example.com", 9001, "/a%20b?c", true)
    );
    assert_eq!(client::Request::new(url.clone()).url(), &url);
    let errors = ["ftp://x", "ws://", "ws://x:99999", "ws://x/#part", "nothing"]
        .map(|text| text.parse::<Url>().unwrap_err());
    let texts = errors.iter().map(UrlError::to_string).collect::<Vec<_>>();
    assert!(texts.iter().all(|text| text.len() > 10), "{texts:?}");
}

#[test]
fn a_time_is_shown_as_the_duration_that_it_is() {
    let time = Timestamp::from(Duration::from_millis(1500));
    assert_eq!((time.to_string(), format!("{time:?}")), ("1.5s".to_owned(), "Timestamp(1.5s)".to_owned()));
    assert_eq!(Timestamp::default(), Timestamp::ZERO);
}

#[test]
fn a_reason_is_cut_to_what_a_close_can_carry_between_two_characters() {
    for reason in ["", "short", &"a".repeat(123)] {
        assert_eq!(CloseFrame::truncate_reason(reason), reason);
    }
    for (character, len) in [("a", 123), ("ü", 122), ("€", 123), ("😀", 120)] {
        for before in 0..4 {
            let reason = "x".repeat(before) + &character.repeat(200);
            let cut = CloseFrame::truncate_reason(&reason);
            assert!(reason.starts_with(cut) && cut.len() <= 123 && cut.len() > 123 - character.len());
            assert!(before > 0 || cut.len() == len, "{cut}");
            assert!(CloseFrame::new(CloseCode::INTERNAL_ERROR, cut).is_ok());
        }
    }
}
