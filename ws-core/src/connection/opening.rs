//! Constructors of a connection.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use super::{
    Connection, Role, Subprotocol, framing::Framing, keepalive::Pings, outgoing::OutputQueue,
    receive::Incoming,
};
use crate::{Config, Timestamp, entropy::Entropy, extension::Agreed, log::FrameLog};

/// Constructors. The opening handshakes in [`server`](crate::server) and [`client`](crate::client) call them. They
/// are public for applications that upgrade by other means, such as an HTTP library.
impl Connection {
    /// Creates the server's end of a connection that was opened at `now`.
    #[must_use]
    pub fn server(config: Arc<Config>, now: Timestamp) -> Self {
        Self::new(Role::Server, config, HandshakeOutcome { now, ..HandshakeOutcome::default() })
    }

    /// Creates the client's end of a connection that was opened at `now`. `seed` is the seed of the masking keys. It
    /// must come from the operating system, because masking keys have to be unpredictable (RFC 6455 section 10.3).
    #[must_use]
    pub fn client(config: Arc<Config>, seed: [u8; 32], now: Timestamp) -> Self {
        let masking = Some(Box::new(Entropy::new(seed)));
        Self::new(Role::Client, config, HandshakeOutcome { masking, now, ..HandshakeOutcome::default() })
    }

    pub(crate) fn new(role: Role, config: Arc<Config>, opening: HandshakeOutcome<'_>) -> Self {
        let codecs = opening.extension.map(|agreed| agreed.codecs(role, &config));
        let (compressor, inflater) = codecs.map(|(out, input)| (out, Box::new(input))).unzip();
        let log = FrameLog::current();
        Self {
            incoming: Incoming::new(role, inflater, log.clone()),
            outgoing: OutputQueue::new(opening.masking, Framing::new(compressor, &config), opening.head, log),
            closing: None,
            pings: Pings::new(config.keepalive.as_ref(), opening.now),
            now: opening.now,
            subprotocol: opening.subprotocol.map(|name| Box::new(Subprotocol(Box::from(name)))),
            config,
        }
    }
}

/// The result of an opening handshake.
#[derive(Default)]
pub(crate) struct HandshakeOutcome<'h> {
    pub(crate) now: Timestamp,
    /// Source of a client's masking keys.
    pub(crate) masking: Option<Box<Entropy>>,
    pub(crate) subprotocol: Option<&'h str>,
    pub(crate) extension: Option<Agreed>,
    /// The server's response. It has to be sent before any other output.
    pub(crate) head: Vec<u8>,
}
