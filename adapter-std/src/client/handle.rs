use std::{
    fmt,
    sync::{
        Arc, Weak,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use ws_core::{CloseCode, Response};
use ws_sessions::{Callbacks, PeerInfo, Session, SessionGuard};
use ws_transport::Error;

use crate::{WebSocket, duplex::Duplex};

/// A client that runs in a separate thread until the connection has ended. Dropping the handle does not end the
/// connection.
pub struct ClientHandle {
    session: Session,
    duplex: Weak<Duplex>,
    /// Disconnects when the last callback has returned.
    ended: mpsc::Receiver<()>,
    thread: ThreadId,
}

impl ClientHandle {
    pub(super) fn start(
        ws: WebSocket,
        response: Response,
        path: String,
        callbacks: Callbacks,
    ) -> Result<Self, Error> {
        let (mut attendance, duplex) = attend(ws, path, Arc::new(callbacks));
        let (ending, ended) = mpsc::channel();
        let session = attendance.session().clone();
        let weak = Arc::downgrade(&duplex);
        let thread = thread::Builder::new().name("ws-client".into()).spawn(move || {
            attendance.connect(Some(&response));
            let ended = duplex.receive_each(|event| attendance.handle(event));
            // The callbacks have already received the error.
            let _ = attendance.finish(ended);
            drop(ending);
        })?;
        Ok(Self { session, duplex: weak, ended, thread: thread.thread().id() })
    }

    /// Returns the session, to send and to close.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Waits until the connection has ended and the last callback has returned. Inside a callback of this client, it
    /// returns at once, because a callback cannot wait for itself.
    pub fn wait(&self) {
        if !self.is_in_callback() {
            // No value is ever sent. The error is the end.
            let _ = self.ended.recv();
        }
    }

    /// Closes the connection with 1000, and waits like [`wait`](Self::wait) for at most `timeout`. Then aborts the
    /// connection if it has not ended. Returns `true` if the last callback has returned in time.
    ///
    /// Inside a callback of this client, this only begins to close, and returns `false`.
    pub fn stop(self, timeout: Duration) -> bool {
        self.begin_stop();
        if self.is_in_callback() {
            return false;
        }
        if self.ended.recv_timeout(timeout) != Err(RecvTimeoutError::Timeout) {
            return true;
        }
        if let Some(duplex) = self.duplex.upgrade() {
            duplex.abandon();
        }
        false
    }

    /// Begins to close the connection with 1000, and does not wait. The peer has to answer within
    /// [`close_timeout`](ws_core::Config::close_timeout).
    pub fn begin_stop(&self) {
        // It cannot fail: this code and reason can be sent.
        let _ = self.session.close(CloseCode::NORMAL_CLOSURE, "");
    }

    fn is_in_callback(&self) -> bool {
        thread::current().id() == self.thread
    }
}

/// Begins the session of a connection.
pub(super) fn attend(ws: WebSocket, path: String, callbacks: Arc<Callbacks>) -> (SessionGuard, Arc<Duplex>) {
    let peer = PeerInfo {
        path,
        request: None,
        address: ws.peer_addr(),
        local_address: ws.local_addr(),
        subprotocol: ws.subprotocol(),
    };
    let (duplex, _) = ws.into_parts();
    (SessionGuard::new(callbacks, duplex.clone(), peer), duplex)
}

impl fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandle").field("session", &self.session).finish_non_exhaustive()
    }
}
