//! The opening handshake (RFC 6455 section 4) and the little of HTTP/1.1 that it needs.

pub mod client;
mod error;
mod head;
mod headers;
mod origin;
mod response;
pub mod server;
mod site;
mod url;

pub use error::HandshakeError;
pub use headers::Headers;
pub use response::Response;
pub use url::{Url, UrlError};

use alloc::string::String;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

use self::server::{Accept, Request, Upgrade};

/// The value of `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455 section 4.2.2).
pub(crate) fn accept_value(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}
