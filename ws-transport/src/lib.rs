#![forbid(unsafe_code)]
//! Code below the WebSocket protocol that the blocking and the async adapter share: TLS, socket options, the clock
//! and errors. The adapters re-export the parts that applications need.
//!
//! # Logs
//!
//! With the feature `tracing`, this crate provides the span of a connection ([`ConnectionSpan`]) and writes the events of
//! connections. Their target is `websocket`.
//!
//! | level | event | fields |
//! |---|---|---|
//! | `warn` | a peer reads too slowly: messages are dropped, or it is disconnected. Once until it catches up | `dropped` |
//! | `debug` | a WebSocket is open, an opening handshake of a client failed | `encryption` |
//! | `debug` | a connection has ended | `code`, `clean`, `cause` |
//!
//! The events contain no header, query, user of a URL, payload or reason of a Close.
//!
//! Pages of the guide (folder `guide/en/src` of the repository) about this crate: `cookbook/mio.md` and `faq/errors.md`.

mod addresses;
mod admission;
mod assembler;
mod byte_input;
mod clock;
mod connect;
mod driver;
mod endpoint;
mod error;
mod failures;
#[cfg(feature = "systemd")]
mod inherited;
mod listening;
mod log;
mod memory;
mod observer;
mod outbox;
mod preamble;
mod read_size;
mod recycled;
mod response;
mod socket_options;
mod spare;
pub mod tls;
mod traffic;
pub mod work;

pub use addresses::Addresses;
pub use admission::{
    Admission, AdmissionCounts, AdmissionLimits, AdmittedClient, RefusalReason, descriptor_limit,
};
pub use assembler::{MessageAssembler, SkippedRest};
pub use byte_input::{ByteInput, MAX_BYTE_WRITE};
pub use clock::Clock;
pub use connect::{
    ClientOpening, ClientSettings, ConnectConfig, ConnectStep, Connector, EndRecord, Lookup, Opened,
    ReconnectAttempt, ReconnectStep, Reconnector, RunningLookup,
};
pub use driver::{Driver, InputEnd, Step, Turn};
pub use endpoint::{ConnectOptions, ListenOptions, begin_connect, connect_unix, limit_unsent, write_now};
pub use error::Error;
pub use failures::AddressFailures;
#[cfg(feature = "systemd")]
pub use inherited::inherited_sockets;
pub use listening::{ListeningSocket, accept_failure};
pub use log::ConnectionSpan;
pub use memory::{Evict, Holder, ServerMemory};
pub use observer::{ControlObserver, Observed};
pub use outbox::{Backlog, Network, Outgoing, OutgoingKind, OutgoingPayload, Overflow, SendOutcome};
pub use preamble::{Proxied, ProxyPreamble};
pub use read_size::ReadSize;
pub use recycled::RecycledBuffer;
pub use response::response_timeout;
pub use socket_options::{AddressFamily, SocketOptions};
pub use spare::{SpareDescriptor, dismiss, is_descriptor_shortage};
pub use traffic::{Counter, Traffic};

/// Time between the drop of all handles of a server's connection by its handler and the close of the connection by the
/// library. A handler also drops its handles when it returns, and only its result determines the close code.
pub const DROP_GRACE: std::time::Duration = std::time::Duration::from_millis(50);

/// Returns 32 random bytes from the operating system, for a client's nonce and masking keys.
///
/// # Errors
///
/// Returns an error if the operating system provides no random bytes.
pub fn seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(std::io::Error::from)?;
    Ok(seed)
}
