//! Accepting a request: the response and the connection.

use alloc::{sync::Arc, vec::Vec};

use super::{Accept, HandshakeError, Headers, Request, Response, accept_value, headers::write_field};
use crate::{Config, Connection, Role, Timestamp, connection::HandshakeOutcome, extension};

/// Value of the pseudo-header `:protocol` (RFC 8441 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    WebSocket,
    Other,
}

/// A valid request for a WebSocket, which can be accepted.
#[derive(Clone, Copy, Debug)]
pub struct Upgrade<'r> {
    pub(super) request: &'r Request,
    /// `None` in an extended CONNECT.
    pub(super) key: Option<&'r str>,
}

impl<'r> Upgrade<'r> {
    /// Returns the first of these subprotocols that the client offers too.
    ///
    /// ```
    /// # use ws_core::server::Upgrade;
    /// # fn choose(upgrade: &Upgrade<'_>) {
    /// let chosen = upgrade.choose_subprotocol(["v2.chat", "v1.chat"]);
    /// # }
    /// ```
    pub fn choose_subprotocol<'s>(&self, supported: impl IntoIterator<Item = &'s str>) -> Option<&'r str> {
        self.request.choose_subprotocol(supported)
    }

    /// Opens the connection. The response waits in its [`transmit`](Connection::transmit). If an HTTP library writes
    /// the response, use [`accept_parts`](Self::accept_parts).
    ///
    /// # Errors
    ///
    /// - Returns [`HandshakeError::MethodNotAllowed`] for an extended CONNECT, because HTTP/1.1 cannot answer it.
    /// - Returns [`HandshakeError::SubprotocolNotOffered`] if the application selected a subprotocol that the client
    ///   did not offer.
    /// - Returns [`HandshakeError::UnsendableHeader`] if the application added an invalid header.
    pub fn accept(
        &self,
        accept: &Accept,
        config: Arc<Config>,
        now: Timestamp,
    ) -> Result<Connection, HandshakeError> {
        self.request.open(&self.accept_value()?, accept, config, now)
    }

    /// Opens the connection, and returns the response for an HTTP library, which writes it and hands over the stream. The
    /// response has the status 101. For an [extended CONNECT](Request::set_protocol) it has the status 200, and the
    /// names of its headers are in lower case, as HTTP/2 requires (RFC 9113 section 8.2.1).
    ///
    /// # Errors
    ///
    /// - Returns [`HandshakeError::SubprotocolNotOffered`] if the application selected a subprotocol that the client
    ///   did not offer.
    /// - Returns [`HandshakeError::UnsendableHeader`] if the application added an invalid header.
    /// - Returns [`HandshakeError::InvalidHeader`] if the client's list of extensions is malformed.
    pub fn accept_parts(
        &self,
        accept: &Accept,
        config: Arc<Config>,
        now: Timestamp,
    ) -> Result<(Connection, Response), HandshakeError> {
        let mut headers = Headers::default();
        let accept_value = self.key.map(accept_value);
        let opening = self.request.negotiate(accept_value.as_ref(), accept, &config, |name, value| {
            match accept_value {
                Some(_) => headers.push_bytes(name, value),
                None => headers.push_bytes(&name.to_ascii_lowercase(), value),
            };
        })?;
        let status = if accept_value.is_some() { 101 } else { 200 };
        let connection = Connection::new(Role::Server, config, HandshakeOutcome { now, ..opening });
        Ok((connection, Response::received(status, headers)))
    }

    /// Returns the value for a response in HTTP/1.1.
    pub(super) fn accept_value(&self) -> Result<AcceptValue, HandshakeError> {
        self.key.map(accept_value).ok_or(HandshakeError::MethodNotAllowed)
    }
}

/// The value of `Sec-WebSocket-Accept` that answers the key of a request.
pub(super) type AcceptValue = [u8; 28];

impl Request {
    /// Opens the connection, with the response in its output.
    pub(super) fn open(
        &self,
        accept_value: &AcceptValue,
        accept: &Accept,
        config: Arc<Config>,
        now: Timestamp,
    ) -> Result<Connection, HandshakeError> {
        let mut head = Vec::with_capacity(256);
        head.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        let opening = self.negotiate(Some(accept_value), accept, &config, |name, value| {
            write_field(&mut head, name, value);
        })?;
        head.extend_from_slice(b"\r\n");
        Ok(Connection::new(Role::Server, config, HandshakeOutcome { now, head, ..opening }))
    }

    /// Negotiates subprotocol and extension, and passes the header fields of the response to `field`. In the response
    /// to an extended CONNECT, there is no `accept_value`.
    pub(super) fn negotiate<'a>(
        &self,
        accept_value: Option<&AcceptValue>,
        accept: &'a Accept,
        config: &Config,
        mut field: impl FnMut(&str, &[u8]),
    ) -> Result<HandshakeOutcome<'a>, HandshakeError> {
        if accept.unsendable {
            return Err(HandshakeError::UnsendableHeader);
        }
        let subprotocol = accept.subprotocol.as_deref();
        if subprotocol.is_some_and(|chosen| self.subprotocols().all(|offered| offered != chosen)) {
            return Err(HandshakeError::SubprotocolNotOffered);
        }
        if let Some(value) = accept_value {
            field("Upgrade", b"websocket");
            field("Connection", b"Upgrade");
            field("Sec-WebSocket-Accept", value);
        }
        if let Some(chosen) = subprotocol {
            field("Sec-WebSocket-Protocol", chosen.as_bytes());
        }
        let (extension, response) = extension::accept(&self.headers, config)?.unzip();
        if let Some(response) = response {
            field("Sec-WebSocket-Extensions", response.as_bytes());
        }
        for (name, value) in accept.headers.iter() {
            field(name, value);
        }
        Ok(HandshakeOutcome { subprotocol, extension, ..HandshakeOutcome::default() })
    }
}
