//! Peers that use a protocol other than HTTP are recognized by their first bytes, regardless of how these are split.

use ws_core::HandshakeError;

use crate::support::{
    at,
    http::{answered, ask, client_request, start},
    limits,
};

const CUTS: [&[usize]; 4] = [&[usize::MAX], &[1], &[2, 3], &[63, 1]];

/// Returns the error of a client for these bytes, followed by the end of the stream.
fn error_of(bytes: &[u8]) -> HandshakeError {
    let errors = CUTS.map(|sizes| answered(&client_request(), bytes, sizes).map(drop).unwrap_err());
    for error in &errors {
        assert_eq!(error, &errors[0], "cutting changes the error");
    }
    errors.into_iter().next().unwrap()
}

fn not_http(beginning: &str) -> HandshakeError {
    HandshakeError::NotHttp { beginning: beginning.into() }
}

#[test]
fn an_answer_by_tls_is_told_from_a_closed_stream() {
    // Alerts of several servers to a plain request, and a handshake message.
    for bytes in [
        &b"\x15\x03\x03\x00\x02\x02\x0A"[..],
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\x15\x03",
        b"\x16\x03\x03\x00\x7A\x02\x00",
    ] {
        let error = error_of(bytes);
        assert_eq!(error, HandshakeError::TlsRecord);
        assert!(error.to_string().contains("wss://"), "{error}");
    }
}

#[test]
fn a_client_that_speaks_tls_to_a_plain_server_is_told_apart() {
    for before in [&b""[..], b"\r\n"] {
        for sizes in CUTS {
            let bytes = [before, b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"].concat();
            let error = ask(&limits(|_| {}), &bytes, sizes).unwrap_err();
            assert_eq!((error.status(), &error), (400, &HandshakeError::TlsRecord));
        }
    }
}

#[test]
fn the_banner_of_another_protocol_is_quoted() {
    let long = "x".repeat(10_000);
    for (bytes, beginning) in [
        ("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "SSH-2.0-OpenSSH_9.2p1 Debian-2"),
        ("SSH-2.0-OpenSSH_9.2p1\r\nand more", "SSH-2.0-OpenSSH_9.2p1"),
        ("220 mail.example ESMTP\r\n", "220 mail.example ESMTP"),
        ("-ERR unknown command\r\n", "-ERR unknown command"),
        ("+PONG\n", "+PONG"),
        ("no line end", "no line end"),
        ("HTPP", "HTPP"),
        (&long, &long[..64]),
        (&format!("{}\r\n", &long[..70]), &long[..64]),
        ("\u{15}\u{2}", "\u{15}\u{2}"),
        ("\u{1b}[31mred\r\n", "\u{1b}[31mred"),
    ] {
        let error = error_of(bytes.as_bytes());
        assert_eq!(error, not_http(beginning));
        let text = error.to_string();
        assert!(text.contains(&format!("{beginning:?}")) && text.contains("port"), "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}

#[test]
fn a_banner_without_an_end_is_reported_at_the_deadline() {
    let mut handshake = start(&client_request());
    assert!(handshake.receive(&mut &mut b"SSH".to_vec()[..]).unwrap().is_none());
    assert_eq!(handshake.handle_timeout(at(10)), Err(not_http("SSH")));
}

#[test]
fn a_stream_that_ends_in_a_response_has_not_spoken_another_protocol() {
    for bytes in ["", "H", "HTTP/", "HTTP/1.1 101", "HTTP/1.1 101 Switching Protocols\r\nUpgr"] {
        assert_eq!(error_of(bytes.as_bytes()), HandshakeError::Eof, "{bytes}");
    }
}
