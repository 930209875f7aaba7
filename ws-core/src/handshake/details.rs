//! Details of a request that applications use: query parameters, cookies, the route, and the connection below.

use alloc::{borrow::Cow, string::String, sync::Arc, vec::Vec};
use core::{error::Error, fmt, net::SocketAddr};

use percent_encoding::percent_decode_str;

use super::{Response, server::Request};
use crate::Scheme;

/// Properties of the connection that carries a request. The driver sets them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) peer_addr: Option<SocketAddr>,
    pub(super) local_addr: Option<SocketAddr>,
    pub(super) scheme: Option<Scheme>,
    /// The client's certificate chain, each certificate in DER.
    pub(super) client_certificates: Option<Arc<[Vec<u8>]>>,
}

/// The query and the cookies.
impl Request {
    /// Returns the decoded value of the first query parameter with this name. Returns `Ok(None)` if there is none.
    ///
    /// The query is decoded as a browser encodes a form (`application/x-www-form-urlencoded`): pairs are separated by
    /// `&`, a `+` is a space, and other characters are percent-encoded UTF-8.
    ///
    /// ```
    /// use ws_core::{Response, server::{Accept, Request}};
    ///
    /// fn check(request: &Request) -> Result<Accept, Response> {
    ///     // A malformed query is answered with 400.
    ///     match request.query_parameter("token")? {
    ///         Some(token) if token == "secret" => Ok(Accept::new()),
    ///         _ => Err(Response::new(401)),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns a [`QueryError`] if this parameter or one before it is malformed. [`Response`] implements `From` for it,
    /// as a 400.
    pub fn query_parameter(&self, name: &str) -> Result<Option<Cow<'_, str>>, QueryError> {
        for parameter in self.query_parameters() {
            let (found, value) = parameter?;
            if found == name {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Returns all query parameters in their order, decoded as in [`query_parameter`](Self::query_parameter). A name may
    /// appear several times. A parameter without `=` has an empty value.
    ///
    /// ```
    /// use ws_core::server::Request;
    ///
    /// fn rooms(request: &Request) -> Result<Vec<String>, ws_core::QueryError> {
    ///     let mut rooms = Vec::new();
    ///     for parameter in request.query_parameters() {
    ///         let (name, value) = parameter?;
    ///         if name == "room" {
    ///             rooms.push(value.into_owned());
    ///         }
    ///     }
    ///     Ok(rooms)
    /// }
    /// ```
    pub fn query_parameters(&self) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), QueryError>> {
        let pairs = self.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
    }

    /// Returns the value of the first cookie with this name, unchanged. Cookies have no common encoding.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies().find(|&(found, _)| found == name).map(|(_, value)| value)
    }

    /// Returns the names and values of all cookies in their order (RFC 6265 section 5.4), unchanged.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers()
            .get_all("Cookie")
            .flat_map(|value| value.split(';'))
            .filter_map(|cookie| cookie.trim_matches([' ', '\t']).split_once('='))
    }
}

/// The route and the connection below.
impl Request {
    /// Returns the pattern of the route or page that a [`Router`](super::server::Router) found, such as
    /// `/rooms/:room`. Returns `None` if no pattern matches.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    /// Returns the client's address, if the driver has set it with [`set_peer_addr`](Self::set_peer_addr). `ws-std` and
    /// `ws-smol` set it, except for a Unix-domain socket. Behind a trusted proxy it is the address that the proxy
    /// [reports](Self::apply_forwarded).
    #[must_use]
    pub const fn peer_addr(&self) -> Option<SocketAddr> {
        self.link.peer_addr
    }

    /// Sets the client's address.
    pub const fn set_peer_addr(&mut self, address: Option<SocketAddr>) {
        self.link.peer_addr = address;
    }

    /// Returns the server's address on which the client has connected, if the driver has set it with
    /// [`set_local_addr`](Self::set_local_addr). `ws-std` and `ws-smol` set it, except for a Unix-domain socket.
    #[must_use]
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.link.local_addr
    }

    /// Sets the server's address.
    pub const fn set_local_addr(&mut self, address: Option<SocketAddr>) {
        self.link.local_addr = address;
    }

    /// Returns the scheme of the request: [`Scheme::Https`] over TLS (`wss://`), if the driver has set it with
    /// [`set_scheme`](Self::set_scheme). Default: [`Scheme::Http`].
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.link.scheme.unwrap_or(Scheme::Http)
    }

    /// Sets the scheme of the request: [`Scheme::Https`] over TLS. With `Https`,
    /// [`OriginPolicy::SameHost`](crate::OriginPolicy::SameHost) refuses pages that were loaded without TLS.
    pub const fn set_scheme(&mut self, scheme: Scheme) {
        self.link.scheme = Some(scheme);
    }

    /// Returns the certificates that the client presented in the TLS handshake (mutual TLS), each in DER. The first one
    /// is the client's own, and its issuers may follow. The TLS library has verified the chain against the authorities of
    /// the server. Empty if the client presented none.
    #[must_use]
    pub fn client_certificates(&self) -> &[Vec<u8>] {
        self.link.client_certificates.as_deref().unwrap_or_default()
    }

    /// Sets the client's certificates.
    pub fn set_client_certificates(&mut self, certificates: Vec<Vec<u8>>) {
        self.link.client_certificates = (!certificates.is_empty()).then(|| certificates.into());
    }
}

/// The reason why a query cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueryError {
    /// A percent sign is not followed by two hexadecimal digits.
    InvalidEscape,
    /// The decoded bytes are not UTF-8.
    InvalidUtf8,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidEscape => {
                "the query of the request has a percent sign without two hexadecimal digits: write it as %25"
            }
            Self::InvalidUtf8 => "the query of the request contains percent-encoded bytes that are not UTF-8",
        })
    }
}

impl Error for QueryError {}

/// A response with status 400 and the text of the error.
impl From<QueryError> for Response {
    fn from(error: QueryError) -> Self {
        Self::new(400).text(alloc::format!("{error}.\n"))
    }
}

fn decode(text: &str) -> Result<Cow<'_, str>, QueryError> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let is_escape = |tail: &str| is_digit(tail.as_bytes().first()) && is_digit(tail.as_bytes().get(1));
    if !text.split('%').skip(1).all(is_escape) {
        return Err(QueryError::InvalidEscape);
    }
    let spaced: String = text.chars().map(|char| if char == '+' { ' ' } else { char }).collect();
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| QueryError::InvalidUtf8)?;
    Ok(Cow::Owned(decoded.into_owned()))
}
