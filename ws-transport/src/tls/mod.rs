//! TLS by rustls, without I/O: configuration, sessions that turn bytes into bytes, and errors for each kind of
//! failure.

mod client;
mod error;
mod key_log;
mod pem;
mod server;
mod session;
mod verifier;

pub use rustls;

pub use client::{ClientTls, ClientTlsConfig};
pub use error::TlsError;
pub use server::{Certificates, ServerTls, ServerTlsConfig};
pub use session::TlsSession;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// Returns the cryptography provider. It is selected here and passed to each configuration, so that the result does
/// not depend on other code in the process, and no code panics at start-up.
#[allow(unreachable_code, reason = "which features are on decides which line is the last")]
fn provider() -> Result<Arc<CryptoProvider>, TlsError> {
    #[cfg(feature = "ring")]
    return Ok(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(feature = "aws-lc-rs")]
    return Ok(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Err(TlsError::NoProvider)
}

/// Returns the ALPN protocol names. WebSockets begin as HTTP/1.1 (RFC 6455 section 4), which RFC 7301 calls
/// `http/1.1`.
fn alpn() -> Vec<Vec<u8>> {
    vec![b"http/1.1".to_vec()]
}
