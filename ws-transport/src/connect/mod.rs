//! Clients that connect: name resolution, the race between addresses, proxies, TLS, the opening handshake and redirects,
//! without I/O.

mod connector;
mod deadlines;
mod lookup;
mod opening;
mod reconnector;
mod settings;

pub use connector::{ConnectStep, Connector};
pub use lookup::{Lookup, RunningLookup};
pub use opening::{ClientOpening, Opened};
pub use reconnector::{EndRecord, ReconnectAttempt, ReconnectStep, Reconnector};
pub use settings::{ClientSettings, ConnectConfig};
