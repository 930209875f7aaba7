//! How a connection begins.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use super::{Connection, Role, Subprotocol, keepalive::Pings, outgoing::Outgoing, receive::Incoming};
use crate::{Config, Timestamp, entropy::Entropy, extension::Agreed};

/// Constructors. The opening handshakes in [`server`](crate::server) and [`client`](crate::client) call
/// them; they are here for those who upgraded by other means, such as an HTTP library.
impl Connection {
    /// The server's end of a connection that was opened at `now`.
    #[must_use]
    pub fn server(config: Arc<Config>, now: Timestamp) -> Self {
        Self::new(Role::Server, config, Opening { now, ..Opening::default() })
    }

    /// The client's end of a connection that was opened at `now`. The seed of its masking keys must come
    /// from the operating system: they have to be unpredictable (RFC 6455 section 10.3).
    #[must_use]
    pub fn client(config: Arc<Config>, seed: [u8; 32], now: Timestamp) -> Self {
        let masking = Some(Box::new(Entropy::new(seed)));
        Self::new(Role::Client, config, Opening { masking, now, ..Opening::default() })
    }

    pub(crate) fn new(role: Role, config: Arc<Config>, opening: Opening<'_>) -> Self {
        let codecs = opening.extension.map(|agreed| agreed.codecs(role, &config));
        let (compressor, inflater) = codecs.map(|(out, input)| (Box::new(out), Box::new(input))).unzip();
        Self {
            incoming: Incoming::new(role == Role::Server, inflater),
            outgoing: Outgoing::new(opening.masking, compressor, opening.head),
            closing: None,
            pings: Pings::new(config.keepalive.as_ref(), opening.now),
            now: opening.now,
            subprotocol: opening.subprotocol.map(|name| Box::new(Subprotocol(Box::from(name)))),
            config,
        }
    }
}

/// What an opening handshake leads to.
#[derive(Default)]
pub(crate) struct Opening<'h> {
    pub(crate) now: Timestamp,
    /// Where a client's masking keys come from.
    pub(crate) masking: Option<Box<Entropy>>,
    pub(crate) subprotocol: Option<&'h str>,
    pub(crate) extension: Option<Agreed>,
    /// The server's response, to be sent before anything else.
    pub(crate) head: Vec<u8>,
}
