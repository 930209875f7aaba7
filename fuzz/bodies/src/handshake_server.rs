use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ws_core::{
    Config, Deflate, HandshakeConfig, HandshakeError, OriginPolicy, Timestamp, server,
    testing::{self, pieces},
};

use crate::{
    head::{Head, accept_value, is_token},
    settings::split_first,
};

/// Checks requests of a client. The verdict does not depend on the pieces in which the bytes arrive. A request is
/// accepted only if it obeys the rules, and always if it is obviously valid. Every request is answered with a
/// response.
pub fn handshake_server(data: &[u8]) {
    let (byte, bytes) = split_first(data);
    let (limits, origin, config) = config(byte);
    let whole = ask(&limits, bytes, &[usize::MAX]);
    for sizes in [&[1][..], &[3, 7, 50]] {
        assert_eq!(ask(&limits, bytes, sizes), whole, "cut into {sizes:?}");
    }
    costs(&limits, bytes);

    let upgraded = match &whole {
        Ok(None) => {
            assert!(bytes.len() <= limits.max_head_size && !bytes.windows(4).any(|end| end == b"\r\n\r\n"));
            return;
        }
        Ok(Some((request, _))) => request.upgrade(&origin).map(|upgrade| (request, upgrade)),
        Err(error) => Err(error.clone()),
    };
    let (request, upgrade) = match upgraded {
        Ok(upgraded) => upgraded,
        Err(error) => return refused(&limits, bytes, &error),
    };
    let key = obeys(bytes).unwrap_or_else(|| panic!("{request:?} must not be accepted"));
    let chosen = upgrade.choose_subprotocol(["a", "chat"]);
    let accept = chosen.map_or_else(server::Accept::new, |name| server::Accept::new().subprotocol(name));
    match upgrade.accept(&accept, config, Timestamp::ZERO) {
        Ok(mut connection) => {
            let written = testing::written(&mut connection);
            let (response, rest) = Head::parse(&written).expect("a legal head");
            assert_eq!((response.first, rest), (&b"HTTP/1.1 101 Switching Protocols"[..], &b""[..]));
            assert_eq!(response.single("sec-websocket-accept"), Some(accept_value(key).as_bytes()));
            assert_eq!(response.single("sec-websocket-protocol"), chosen.map(str::as_bytes));
            assert_eq!(
                response.single("sec-websocket-extensions").is_some(),
                connection.is_compression_negotiated()
            );
        }
        Err(error) => assert_eq!(error, HandshakeError::InvalidHeader("Sec-WebSocket-Extensions")),
    }
}

fn config(byte: u8) -> (HandshakeConfig, OriginPolicy, Arc<Config>) {
    let mut limits = HandshakeConfig::default();
    limits.max_head_size = [16 << 10, 400, 200, 64][usize::from(byte & 3)];
    limits.max_headers = [64, 8][usize::from(byte >> 2 & 1)];
    let origin = if byte & 8 == 0 { OriginPolicy::SameHost } else { OriginPolicy::Any };
    let mut config = Config::default();
    config.deflate = (byte & 16 == 0).then(Deflate::default);
    (limits, origin, Arc::new(config))
}

/// A request and the number of bytes that follow it.
type Asked = Option<(server::Request, usize)>;

fn ask(limits: &HandshakeConfig, bytes: &[u8], sizes: &[usize]) -> Result<Asked, HandshakeError> {
    let mut handshake = server::Handshake::new(limits, Timestamp::ZERO);
    let mut left = bytes.len();
    for piece in pieces(bytes, sizes) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        let before = input.len();
        let request = handshake.receive(&mut input)?;
        left -= before - input.len();
        match request {
            Some(request) => return Ok(Some((request, left))),
            None => assert!(input.is_empty()),
        }
    }
    Ok(None)
}

fn refused(limits: &HandshakeConfig, bytes: &[u8], error: &HandshakeError) {
    assert!((400..500).contains(&error.status()), "{error}");
    let response = error.response().to_bytes();
    let (head, body) = Head::parse(&response).expect("a legal head");
    assert!(head.single("connection").is_some() && head.lists("connection", "close"));
    // RFC 9110 7.8.
    assert_eq!(head.lists("connection", "upgrade"), head.single("upgrade").is_some());
    assert_eq!(head.single("content-length"), Some(body.len().to_string().as_bytes()));
    assert!(!is_plain(limits, bytes), "{error}, though every rule is obeyed");
}

/// Returns the key if the request passes the checks of RFC 6455 4.2.1 that a server must make before it accepts.
fn obeys(bytes: &[u8]) -> Option<&[u8]> {
    let (head, _) = Head::parse(without_empty_line(bytes))?;
    let target = head.first.strip_prefix(b"GET ")?.strip_suffix(b" HTTP/1.1")?;
    let key = head.single("sec-websocket-key")?;
    let obeys = !target.is_empty()
        && head.single("host").is_some()
        && head.lists("upgrade", "websocket")
        && head.lists("connection", "upgrade")
        && head.single("sec-websocket-version") == Some(b"13")
        && head.list("sec-websocket-protocol").iter().all(|name| name.is_empty() || is_token(name))
        && head.values("transfer-encoding").next().is_none()
        && head.values("content-length").all(|value| value == b"0")
        && key.len() == 24;
    obeys.then_some(key)
}

/// Skips one empty line before the request, as RFC 9112 2.2 recommends to servers.
fn without_empty_line(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\r\n").unwrap_or(bytes)
}

/// Returns `true` if a request is obviously valid: it contains only the necessary fields.
fn is_plain(limits: &HandshakeConfig, bytes: &[u8]) -> bool {
    const FIELDS: [&str; 6] =
        ["host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "x-more"];
    let Some((head, rest)) = Head::parse(without_empty_line(bytes)) else { return false };
    let target = head.first.strip_prefix(b"GET /").and_then(|rest| rest.strip_suffix(b" HTTP/1.1"));
    obeys(bytes).is_some_and(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16))
        && head.has_only(&FIELDS)
        && target.is_some_and(|target| target.iter().all(u8::is_ascii_alphanumeric))
        && head.single("host").is_some_and(|host| !host.is_empty() && host.iter().all(u8::is_ascii_lowercase))
        && head.len() <= limits.max_headers
        && bytes.len() - rest.len() <= limits.max_head_size
}

/// Checks that the memory stays within the limit for any input.
fn costs(limits: &HandshakeConfig, bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let limit = limits.max_head_size.min(bytes.len()) as u64;
    let costs = allocation_counter::measure(|| {
        let mut handshake = server::Handshake::new(limits, Timestamp::ZERO);
        let _ = handshake.receive(&mut &mut bytes[..]);
    });
    // A field uses some memory of its own and has at least four bytes.
    assert!(costs.bytes_max <= 40 * limit + 4000, "{} bytes for {limit}", costs.bytes_max);
}
