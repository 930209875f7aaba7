#![forbid(unsafe_code)]
//! Layers above the WebSocket protocol that the blocking and the async adapter share: callbacks, sessions, sets of
//! sessions for broadcast, and counters. The adapters re-export the types that applications need.
//!
//! # Logs
//!
//! With the feature `tracing`, this crate writes the events of servers. Their target is `websocket`.
//!
//! | level | event | fields |
//! |---|---|---|
//! | `error` | a handler returned an error, or code of the application panicked | `kind`, `peer`, `error` |
//! | `warn` | a request was refused, a TLS handshake failed, or the server is full | `kind`, `peer`, `error` |
//! | `info` | a server listens, begins to stop, has stopped | `address`, `connections` |
//! | `debug` | a page was requested, a client left without a request, a connection is lost | `kind`, `peer` |
//!
//! The events contain no header, query, payload or reason of a Close. Texts of the application are written unchanged.
//!
//! Pages of the guide (folder `guide/en/src` of the repository) about this crate: `cookbook/broadcasting.md`, `cookbook/rooms.md` and `reference/metrics.md`.

mod admission;
mod backend;
mod callbacks;
mod deferred;
mod excerpt;
mod guard;
mod log;
mod reconnect;
mod report;
mod session;
mod sessions;
mod stats;

pub use admission::{AdmissionCheck, AdmissionDecision, Arrival, Gate};
pub use backend::SessionBackend;
pub use callbacks::{Callbacks, SessionGuard};
pub use guard::{Panicked, guard};
pub use reconnect::{ReconnectControl, ReconnectRun, WhileDisconnected};
pub use report::{CheckError, ConnectionError, ConnectionErrorKind, Origin, Reporter};
pub use session::{PeerInfo, Session, SessionId};
pub use sessions::{Rooms, Sessions};
pub use stats::{
    AdmissionStats, AwaitedRequest, CountedConnection, ServerMetrics, ServerStats, SessionStats, Stats,
};
