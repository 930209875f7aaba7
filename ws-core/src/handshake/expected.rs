//! The check of a server's response.

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};

use super::{HandshakeError, Headers, Response, accept_value, headers::single};
use crate::{Config, Connection, Role, Timestamp, connection::HandshakeOutcome, entropy::Entropy, extension};

/// The parts of a client's request that determine which responses are valid.
pub(super) struct Expected {
    /// `None` in an extended CONNECT.
    pub(super) key: Option<String>,
    pub(super) subprotocols: Vec<String>,
    pub(super) config: Arc<Config>,
    /// It is passed on to the connection.
    pub(super) entropy: Box<Entropy>,
}

impl Expected {
    /// Checks everything that "the client MUST validate" in a response that accepts the request (RFC 6455 4.1, RFC 8441
    /// 5), and opens the connection.
    pub(super) fn accept(
        self,
        status: u16,
        headers: Headers,
        now: Timestamp,
    ) -> Result<(Connection, Response), HandshakeError> {
        if let Some(key) = &self.key {
            check_switch(&headers, key)?;
        }
        let extension = extension::confirm(&headers, &self.config)?;
        let subprotocol = match headers.contains("Sec-WebSocket-Protocol") {
            false => None,
            true => Some(single(&headers, "Sec-WebSocket-Protocol")?),
        };
        if subprotocol.is_some_and(|chosen| self.subprotocols.iter().all(|offered| offered != chosen)) {
            return Err(HandshakeError::UnofferedSubprotocol);
        }
        let opening = HandshakeOutcome {
            now,
            masking: Some(self.entropy),
            subprotocol,
            extension,
            ..HandshakeOutcome::default()
        };
        let connection = Connection::new(Role::Client, self.config, opening);
        Ok((connection, Response::received(status, headers)))
    }
}

/// Checks the headers that belong to the status 101.
fn check_switch(headers: &Headers, key: &str) -> Result<(), HandshakeError> {
    if !single(headers, "Upgrade")?.eq_ignore_ascii_case("websocket") {
        return Err(HandshakeError::InvalidHeader("Upgrade"));
    }
    if !headers.contains("Connection") {
        return Err(HandshakeError::MissingHeader("Connection"));
    }
    if !headers.list_contains("Connection", "Upgrade") {
        return Err(HandshakeError::InvalidHeader("Connection"));
    }
    if single(headers, "Sec-WebSocket-Accept")?.as_bytes() != accept_value(key) {
        return Err(HandshakeError::InvalidHeader("Sec-WebSocket-Accept"));
    }
    Ok(())
}
