//! The opening handshake (RFC 6455 section 4) and the part of HTTP/1.1 that it needs.

mod accept;
pub mod client;
mod client_upgrade;
mod details;
mod error;
mod expected;
mod forwarded;
mod head;
mod headers;
mod hooks;
mod host;
#[cfg(feature = "http")]
mod http_types;
mod origin;
mod parts;
pub mod proxy;
mod proxy_header;
mod redirect;
mod response;
mod router;
pub mod server;
mod target;
mod trusted_proxies;
mod upgrade;
mod url;
mod url_conversions;
mod values;

pub use details::QueryError;
pub use error::HandshakeError;
pub use forwarded::ForwardedHeaders;
pub use headers::Headers;
pub(crate) use headers::{MAX_EMPTY_ELEMENTS, is_token, is_token_byte};
pub use redirect::RedirectProblem;
pub use response::Response;
pub use trusted_proxies::{NetworkError, TrustedProxies};
pub use url::{Url, UrlError};

use alloc::string::String;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

use self::server::{Accept, Request};

/// Returns the value of `Sec-WebSocket-Accept` that answers this value of `Sec-WebSocket-Key` (RFC 6455 section 4.2.2,
/// item 5.4). Both handshakes of this crate compute it themselves. It is public for programs that negotiate without
/// them.
///
/// ```
/// assert_eq!(ws_core::accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
#[must_use]
pub fn accept_key(key: impl AsRef<[u8]>) -> String {
    accept_value(key).map(char::from).iter().collect()
}

pub(crate) fn accept_value(key: impl AsRef<[u8]>) -> [u8; 28] {
    let mut hash = Sha1::new();
    hash.update(key.as_ref());
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
