use std::sync::Arc;

use ws_core::{
    Config, Connection, Deflate, HandshakeConfig, HandshakeError, Response, Timestamp, client,
    testing::{self, SEED, pieces},
};

use crate::{
    head::{Head, accept_value},
    settings::split_first,
};

/// Checks responses of a server. The verdict does not depend on the pieces in which the bytes arrive. A connection
/// opens only if the response contains the accept value and chooses among the offers. An `@` in the input stands for
/// the correct accept value, which a fuzzer cannot find.
pub fn handshake_client(data: &[u8]) {
    let (byte, rest) = split_first(data);
    let (settings, request) = (settings(byte), request(byte));
    let accept = accept_value(key(&settings, &request).as_bytes());
    let bytes: Vec<u8> = rest
        .iter()
        .flat_map(|byte| if *byte == b'@' { accept.as_bytes() } else { std::slice::from_ref(byte) })
        .copied()
        .collect();

    let whole = answer(&settings, &request, &bytes, &[usize::MAX]);
    for sizes in [&[1][..], &[3, 7, 50]] {
        let cut = answer(&settings, &request, &bytes, sizes);
        match (&whole, cut) {
            (Ok(whole), Ok(cut)) => assert_eq!((&whole.1, whole.2), (&cut.1, cut.2)),
            (Err(whole), Err(cut)) => assert_eq!(*whole, cut, "cut into {sizes:?}"),
            (whole, cut) => panic!("cut into {sizes:?}: {cut:?} instead of {whole:?}"),
        }
    }
    match whole {
        Ok((connection, response, left)) => {
            let head_len = bytes.len() - left;
            accepted(&connection, &response, &bytes[..head_len], &accept);
        }
        Err(HandshakeError::Refused(response)) => {
            // RFC 9110 15: a client treats a status below 100 as it treats 5xx.
            assert!(!(100..200).contains(&response.status()) && response.body_bytes().len() <= 4096);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Limits of the handshake and the configuration of the connection.
type Settings = (HandshakeConfig, Arc<Config>);

fn settings(byte: u8) -> Settings {
    let mut limits = HandshakeConfig::default();
    limits.max_head_size = [16 << 10, 400, 200, 64][usize::from(byte & 3)];
    limits.max_headers = [64, 8][usize::from(byte >> 2 & 1)];
    let mut config = Config::default();
    config.deflate = (byte & 16 == 0).then(Deflate::default);
    (limits, Arc::new(config))
}

fn request(byte: u8) -> client::Request {
    let request = client::Request::new("ws://host/".parse().expect("a URL"));
    if byte & 8 == 0 { request } else { request.subprotocol("a").subprotocol("chat") }
}

fn start((limits, config): &Settings, request: &client::Request) -> client::Handshake {
    client::Handshake::new(request, limits, config.clone(), SEED, Timestamp::ZERO).expect("a legal request")
}

/// Returns the key that the client sends.
fn key(settings: &Settings, request: &client::Request) -> String {
    let bytes = testing::drained(&mut start(settings, request).transmit());
    let (head, _) = Head::parse(&bytes).expect("a legal head");
    String::from_utf8(head.single("sec-websocket-key").expect("a key").to_vec()).expect("text")
}

/// A connection, the response, and the number of bytes that follow it.
type Opened = (Connection, Response, usize);

fn answer(
    settings: &Settings,
    request: &client::Request,
    bytes: &[u8],
    sizes: &[usize],
) -> Result<Opened, HandshakeError> {
    let mut handshake = start(settings, request);
    let mut left = bytes.len();
    for piece in pieces(bytes, sizes) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        let before = input.len();
        let opened = handshake.receive(&mut input)?;
        left -= before - input.len();
        match opened {
            Some((connection, response)) => return Ok((connection, response, left)),
            None => assert!(input.is_empty()),
        }
    }
    Err(handshake.receive_eof())
}

/// Checks that an accepted response obeys RFC 6455 4.1. Interim responses may precede it.
fn accepted(connection: &Connection, response: &Response, mut bytes: &[u8], accept: &str) {
    assert_eq!(response.status(), 101);
    let head = loop {
        let (head, rest) = Head::parse(bytes).expect("a legal head");
        bytes = rest;
        if bytes.is_empty() {
            break head;
        }
        assert!(head.first.starts_with(b"HTTP/1.1 1") && !head.first.starts_with(b"HTTP/1.1 101"));
    };
    assert!(head.first.starts_with(b"HTTP/1.1 101"));
    assert!(head.single("upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")));
    assert!(head.lists("connection", "upgrade"));
    assert_eq!(head.single("sec-websocket-accept"), Some(accept.as_bytes()));
    assert_eq!(head.single("sec-websocket-protocol"), connection.subprotocol().map(str::as_bytes));
    assert!(matches!(connection.subprotocol(), None | Some("a" | "chat")));
    // RFC 9110 5.6.1.2: a list with only empty elements chooses no extension.
    let mut extensions =
        head.values("sec-websocket-extensions").flat_map(|list| list.split(|&byte| byte == b','));
    let chooses = extensions.any(|element| !element.trim_ascii().is_empty());
    assert_eq!(chooses, connection.is_compression_negotiated());
    assert!(!connection.is_compression_negotiated() || connection.config().deflate.is_some());
}
