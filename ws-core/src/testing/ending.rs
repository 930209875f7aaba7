use core::{fmt, time::Duration};

use super::{Frame, Pair, receive};
use crate::{CloseCode, Connection, Role, excerpt::Excerpt};

/// An event that ends a connection, or that occurs while it ends. A sequence of these is a way to close.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use ws_core::{CloseCode, Config, Role, testing::{Ending, Pair}};
///
/// let mut pair = Pair::open(Arc::new(Config::default()));
/// // Both ends close at once, while their messages are in transit.
/// for role in [Role::Client, Role::Server] {
///     pair.end(role).connection.send("last words").unwrap();
///     Ending::Close(CloseCode::GOING_AWAY, "bye".into()).apply(&mut pair, role);
/// }
/// pair.run_until_idle();
/// assert!(pair.client().close_info().unwrap().was_clean);
/// assert!(pair.server().close_info().unwrap().was_clean);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Ending {
    /// The application closes the connection. An error of the call is ignored.
    Close(CloseCode, String),
    /// The application fails the connection. An error of the call is ignored.
    Fail(CloseCode, String),
    /// The peer's stream ends.
    Eof,
    /// Time passes, and is reported to this end.
    Wait(Duration),
    /// A frame arrives, as if the peer had sent it.
    Receive(Frame),
}

impl Ending {
    /// Applies the event to one end of a pair.
    pub fn apply(&self, pair: &mut Pair, role: Role) {
        match self {
            Self::Wait(time) => {
                pair.set_now(pair.now() + *time);
                pair.advance_to(role);
            }
            other => other.apply_to(&mut pair.end(role).connection),
        }
    }

    /// Applies the event to a connection. [`Wait`](Self::Wait) has no effect here, because it concerns the driver.
    pub fn apply_to(&self, connection: &mut Connection) {
        match self {
            Self::Close(code, reason) => drop(connection.close(*code, reason)),
            Self::Fail(code, reason) => drop(connection.fail(*code, reason)),
            Self::Eof => connection.receive_eof(),
            Self::Wait(_) => {}
            Self::Receive(frame) => drop(receive(connection, &frame.encode_for(connection.role()))),
        }
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close(code, text) => {
                f.debug_tuple("Close").field(code).field(&Excerpt(text.as_bytes())).finish()
            }
            Self::Fail(code, text) => {
                f.debug_tuple("Fail").field(code).field(&Excerpt(text.as_bytes())).finish()
            }
            Self::Eof => f.write_str("Eof"),
            Self::Wait(time) => f.debug_tuple("Wait").field(time).finish(),
            Self::Receive(frame) => f.debug_tuple("Receive").field(frame).finish(),
        }
    }
}
