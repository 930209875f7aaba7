#![forbid(unsafe_code)]
//! Layers above the WebSocket protocol that the blocking and the async adapter share: callbacks, sessions, sets of
//! sessions for broadcast, and counters. The adapters re-export the types that applications need.

mod admission;
mod backend;
mod callbacks;
mod deferred;
mod excerpt;
mod guard;
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
