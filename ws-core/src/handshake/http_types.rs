//! Conversions from and into the types of the crate `http`.

use alloc::string::ToString;

use bytes::Bytes;
use http::{StatusCode, Version as HttpVersion};

use super::{HandshakeError, Request, Response, client, head::Version};
use crate::{Connection, Timestamp};

/// Reads method, target, version and headers. For an extended CONNECT (RFC 8441), call
/// [`set_protocol`](Request::set_protocol) afterwards, because HTTP libraries keep that value in types of their own.
///
/// ```
/// use ws_core::{HandshakeError, OriginPolicy, server::Request};
///
/// let request = http::Request::get("/chat").header("Host", "example.com").body(()).unwrap();
/// let request = Request::try_from(&request)?;
/// assert_eq!(request.path(), "/chat");
/// assert_eq!(request.upgrade(&OriginPolicy::SameHost).unwrap_err(), HandshakeError::NotAnUpgrade);
/// # Ok::<(), HandshakeError>(())
/// ```
impl<B> TryFrom<&http::Request<B>> for Request {
    type Error = HandshakeError;

    /// # Errors
    ///
    /// Returns the same errors as [`from_parts`](Self::from_parts).
    fn try_from(request: &http::Request<B>) -> Result<Self, HandshakeError> {
        let version = match request.version() {
            HttpVersion::HTTP_2 | HttpVersion::HTTP_3 => Version::Http2,
            HttpVersion::HTTP_11 => Version::Http11,
            _ => Version::Http10,
        };
        let target = request.uri().to_string();
        Self::from_parts_of(version, request.method().as_str(), &target, request.headers())
    }
}

/// Converts the response for an HTTP library, which adds the headers that control the stream. The status is 500 if an
/// invalid header was set. The body can be any type that is made from [`Bytes`], such as the body of axum or the `Full`
/// of `http-body-util`.
///
/// ```
/// let response = http::Response::<bytes::Bytes>::from(ws_core::Response::new(404).text("Nothing here.\n"));
/// assert_eq!((response.status().as_u16(), &response.body()[..]), (404, &b"Nothing here.\n"[..]));
/// ```
impl<B: From<Bytes>> From<Response> for http::Response<B> {
    fn from(response: Response) -> Self {
        let (status, headers, body) = response.into_sendable_parts();
        let mut converted = Self::new(B::from(body));
        *converted.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in headers.iter() {
            // Both cannot fail: this crate accepts fewer names and values.
            if let (Ok(name), Ok(value)) =
                (http::HeaderName::from_bytes(name.as_bytes()), http::HeaderValue::from_bytes(value))
            {
                converted.headers_mut().append(name, value);
            }
        }
        converted
    }
}

impl client::Upgrade {
    /// Returns the request for an HTTP library. For an extended CONNECT, add the value `websocket` of the pseudo-header
    /// `:protocol` in the way of that library. In hyper, for example, it is the extension `hyper::ext::Protocol`.
    ///
    /// # Errors
    ///
    /// Returns the error of the crate `http`. Its rules for targets and headers differ in details.
    pub fn to_http_request(&self) -> http::Result<http::Request<()>> {
        let mut request = http::Request::builder().method(self.method()).uri(self.target());
        if self.method() == "CONNECT" {
            request = request.version(HttpVersion::HTTP_2);
        }
        for (name, value) in self.headers().iter() {
            request = request.header(name, value);
        }
        request.body(())
    }

    /// Checks the server's response, as [`accept`](Self::accept) does.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`accept`](Self::accept).
    pub fn accept_http_response<B>(
        self,
        response: &http::Response<B>,
        now: Timestamp,
    ) -> Result<(Connection, Response), HandshakeError> {
        self.accept(response.status().as_u16(), response.headers(), now)
    }
}
