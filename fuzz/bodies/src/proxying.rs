use ws_core::{
    HandshakeConfig, Url,
    proxy::{Environment, Handshake, Proxy, ProxyError},
    testing::{drained, pieces},
};

use crate::settings::split_first;

/// Checks proxies. The result of a dialogue does not depend on the pieces in which the replies arrive, the memory is bounded,
/// and a connection is reported only after replies that a simple parser over the whole input accepts. URLs and lists of
/// exceptions never fail in another way than by their errors.
pub fn proxy(data: &[u8]) {
    let (byte, replies) = split_first(data);
    let (url, limits) = settings(byte);
    let proxy: Proxy = url.parse().expect("a proxy");
    let host = ["server.test", "192.0.2.7", "2001:db8::7"][usize::from(byte >> 2) % 3];
    let whole = answered(&proxy, host, &limits, replies, &[usize::MAX]);
    for sizes in [&[1][..], &[2], &[3, 7, 50]] {
        assert_eq!(answered(&proxy, host, &limits, replies, sizes), whole, "cut into {sizes:?}");
    }
    match whole {
        Ok(left) => {
            let used = &replies[..replies.len() - left];
            let expected = if url.starts_with("http") {
                http_ends(used)
            } else {
                socks_len(used, byte & 2 != 0) == Some(used.len())
            };
            assert!(expected, "{used:?} is accepted");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    texts(replies);
}

fn settings(byte: u8) -> (&'static str, HandshakeConfig) {
    let url =
        ["http://proxy", "socks5h://proxy", "http://a:b@proxy", "socks5h://a:b@proxy"][usize::from(byte & 3)];
    let mut limits = HandshakeConfig::default();
    limits.max_head_size = [16 << 10, 400, 64][usize::from(byte >> 4) % 3];
    limits.max_headers = [64, 4][usize::from(byte >> 7)];
    (url, limits)
}

/// Returns the number of bytes behind the last reply.
fn answered(
    proxy: &Proxy,
    host: &str,
    limits: &HandshakeConfig,
    replies: &[u8],
    sizes: &[usize],
) -> Result<usize, ProxyError> {
    let mut handshake = Handshake::new(proxy, host, 443, limits).expect("a request that can be sent");
    let mut sent = drained(&mut handshake.transmit()).len();
    let mut left = replies.len();
    for piece in pieces(replies, sizes) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        let before = input.len();
        let connected = handshake.receive(&mut input)?;
        left -= before - input.len();
        sent += drained(&mut handshake.transmit()).len();
        assert!(sent < 1024, "{sent} bytes are sent");
        if connected.is_some() {
            return Ok(left);
        }
        assert!(input.is_empty());
    }
    Err(handshake.receive_eof())
}

/// Returns `true` for the heads of any interim responses and of one 2xx.
fn http_ends(bytes: &[u8]) -> bool {
    let Some(head) = bytes.strip_suffix(b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(head);
    let mut heads: Vec<_> = text.split("\r\n\r\n").collect();
    let last = heads.pop().unwrap_or_default();
    let status = |head: &str| head.get(9..10).map(str::to_owned);
    heads.len() <= 4
        && heads.iter().all(|head| status(head).as_deref() == Some("1"))
        && status(last).as_deref() == Some("2")
}

/// Returns the length of the replies of a SOCKS5 proxy that has connected.
fn socks_len(bytes: &[u8], has_credentials: bool) -> Option<usize> {
    let (at, connect) = match bytes {
        [5, 0, connect @ ..] => (2, connect),
        [5, 2, 1, 0, connect @ ..] if has_credentials => (4, connect),
        _ => return None,
    };
    match connect {
        [5, 0, _, 1, ..] => Some(at + 10),
        [5, 0, _, 4, ..] => Some(at + 22),
        [5, 0, _, 3, len, ..] => Some(at + 7 + usize::from(*len)),
        _ => None,
    }
}

/// Parses the input as URLs of proxies and as a list of exceptions.
fn texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(proxy) = text.parse::<Proxy>() {
        let shown: Proxy = proxy.to_string().parse().expect("its own text");
        assert_eq!((shown.protocol(), shown.port()), (proxy.protocol(), proxy.port()));
        assert!(!proxy.host().is_empty() && proxy.port() != 0);
    }
    let environment = Environment::new(|name| {
        Some(if name.eq_ignore_ascii_case("no_proxy") { text.to_string() } else { "http://proxy".to_owned() })
    });
    for url in ["ws://server.test/", "wss://192.0.2.7/", "ws://[2001:db8::7]/"] {
        let url: Url = url.parse().expect("a URL");
        let proxy = environment.proxy_for(&url).expect("the URL of a proxy");
        // Only a host that the list contains in some form, in upper or lower case, is an exception.
        assert!(
            proxy.is_some()
                || text.contains(['*', '/', '.', ':'])
                || text.to_ascii_lowercase().contains("test"),
            "{text:?}"
        );
    }
}
