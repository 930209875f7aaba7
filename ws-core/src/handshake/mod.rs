//! The opening handshake (RFC 6455 section 4) and the part of HTTP/1.1 that it needs.

mod accept;
pub mod client;
mod error;
mod forwarded;
mod head;
mod headers;
mod host;
mod origin;
mod proxy_header;
mod response;
mod router;
pub mod server;
mod target;
mod trusted_proxies;
mod url;
mod values;

pub use error::HandshakeError;
pub use forwarded::ForwardedHeaders;
pub use headers::Headers;
pub(crate) use headers::{MAX_EMPTY_ELEMENTS, is_token, is_token_byte};
pub use response::Response;
pub use trusted_proxies::{NetworkError, TrustedProxies};
pub use url::{Url, UrlError};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

use self::server::{Accept, Request};

/// Returns the value of `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455 section 4.2.2).
pub(crate) fn accept_value(key: &str) -> [u8; 28] {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut value = [0; 28];
    // It cannot fail, because the buffer has the length of 20 bytes in base64.
    let _ = STANDARD.encode_slice(hash.finalize(), &mut value);
    value
}

/// Returns `true` for 16 bytes in base64 (RFC 6455 section 4.2.1, item 5).
fn is_key(key: &str) -> bool {
    key.strip_suffix("==").is_some_and(|digits| {
        digits.len() == 22
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'+' | b'/'))
    })
}
