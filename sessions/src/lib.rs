#![forbid(unsafe_code)]
//! What the blocking and the async adapter share above the WebSocket protocol: callbacks, sessions, sets
//! of sessions to broadcast to, counters. The adapters export what is of use to applications.

mod backend;
mod callbacks;
mod deferred;
mod excerpt;
mod guard;
mod report;
mod session;
mod sessions;
mod stats;

pub use backend::SessionBackend;
pub use callbacks::{Attendance, Callbacks};
pub use guard::{Panicked, guard};
pub use report::{CheckError, ConnectionError, ConnectionErrorKind, Origin, Reporter};
pub use session::{Peer, Session, SessionId};
pub use sessions::{Rooms, Sessions};
pub use stats::{AwaitedRequest, CountedConnection, Monitor, ServerStats, SessionStats, Stats};
