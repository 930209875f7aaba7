use std::{
    fmt,
    sync::{
        Arc, Weak,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use ws_core::{CloseCode, Response};
use ws_sessions::{Attendance, Callbacks, Peer, Session};
use ws_transport::Error;

use crate::{WebSocket, duplex::Duplex};

/// A client that runs in a thread of its own, until the connection has ended. Dropping the handle does not
/// end it.
pub struct ClientHandle {
    session: Session,
    duplex: Weak<Duplex>,
    /// Disconnected when the last callback has returned.
    ended: mpsc::Receiver<()>,
}

impl ClientHandle {
    pub(super) fn start(
        ws: WebSocket,
        response: Response,
        path: String,
        callbacks: Callbacks,
    ) -> Result<Self, Error> {
        let peer = Peer { path, request: None, address: ws.peer_addr(), subprotocol: ws.subprotocol() };
        let duplex = ws.into_duplex();
        let mut attendance = Attendance::new(Arc::new(callbacks), duplex.clone(), peer);
        let (ending, ended) = mpsc::channel();
        let handle = Self { session: attendance.session().clone(), duplex: Arc::downgrade(&duplex), ended };
        thread::Builder::new().name("ws-client".into()).spawn(move || {
            attendance.connect(Some(&response));
            let ended = duplex.receive_each(|event| attendance.handle(event));
            // The callbacks were told.
            let _ = attendance.finish(ended);
            drop(ending);
        })?;
        Ok(handle)
    }

    /// The session, to send to and to close.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Waits until the connection has ended and the last callback has returned. Not for callbacks.
    pub fn wait(&self) {
        // Nothing is ever sent; the error is the end.
        let _ = self.ended.recv();
    }

    /// Closes the connection with 1000 and waits as [`wait`](Self::wait) does. What has not ended after
    /// `timeout` is broken off. Tells whether that was not necessary.
    pub fn stop(self, timeout: Duration) -> bool {
        // It cannot fail: this code and reason can be sent.
        let _ = self.session.close(CloseCode::NORMAL_CLOSURE, "");
        if self.ended.recv_timeout(timeout) != Err(RecvTimeoutError::Timeout) {
            return true;
        }
        if let Some(duplex) = self.duplex.upgrade() {
            duplex.abandon();
        }
        self.wait();
        false
    }
}

impl fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandle").field("session", &self.session).finish_non_exhaustive()
    }
}
