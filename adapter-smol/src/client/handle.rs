use std::{
    error, fmt,
    future::poll_fn,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_io::Timer;
use futures_lite::future;
use ws_core::{CloseCode, Response};
use ws_sessions::{Callbacks, PeerInfo, Session, SessionGuard};

use crate::{Task, WebSocket, current, duplex::Duplex, waker_set::WakerSet};

/// Handle to a client whose callbacks run in a task of their own until the connection ends. Dropping the handle does
/// not stop the client.
pub struct ClientHandle {
    session: Session,
    duplex: Weak<Duplex>,
    ended: Arc<Ended>,
}

/// Records the return of the last callback.
#[derive(Default)]
struct Ended {
    ended: AtomicBool,
    waiting: WakerSet,
}

/// Marks the client as ended when dropped, even if the task panics or is cancelled.
struct EndGuard(Arc<Ended>);

impl ClientHandle {
    pub(super) fn start(
        ws: WebSocket,
        response: Response,
        path: String,
        callbacks: Callbacks,
    ) -> (Self, Task) {
        let attended = attend(ws, path, Arc::new(callbacks));
        let ended = Arc::new(Ended::default());
        let ending = EndGuard(ended.clone());
        let owner = owner(&ended);
        let handle = Self { session: attended.session(), duplex: attended.duplex(), ended };
        let task = async move {
            // Drop this after everything else in the task.
            let _ending = ending;
            // The callbacks have already received the result.
            let _ = attended.run(response, owner, || {}).await;
        };
        (handle, Box::pin(task))
    }

    /// Returns the session. Use it to send messages and to close the connection.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Waits until the connection has ended and the last callback has returned. Inside a callback of this client, it
    /// returns at once, because a callback cannot wait for itself.
    pub async fn wait(&self) {
        if self.is_in_callback() {
            return;
        }
        poll_fn(|cx| {
            self.ended.waiting.add(cx.waker());
            if self.ended.ended.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Closes the connection with 1000 and waits as [`wait`](Self::wait) does, for at most `timeout`. After the
    /// timeout it aborts the connection. Returns `true` if the last callback returned in time.
    ///
    /// Inside a callback of this client, it only starts to close the connection and returns `false`.
    pub async fn stop(self, timeout: Duration) -> bool {
        self.begin_stop();
        if self.is_in_callback() {
            return false;
        }
        let in_time = async {
            self.wait().await;
            true
        };
        let too_late = async {
            Timer::after(timeout).await;
            false
        };
        if future::or(in_time, too_late).await {
            return true;
        }
        if let Some(duplex) = self.duplex.upgrade() {
            duplex.abandon();
        }
        false
    }

    /// Starts to close the connection with 1000 and returns without waiting. The peer must answer within
    /// [`close_timeout`](ws_core::Config::close_timeout).
    pub fn begin_stop(&self) {
        // This cannot fail, because the code and the reason are valid.
        let _ = self.session.close(CloseCode::NORMAL_CLOSURE, "");
    }

    fn is_in_callback(&self) -> bool {
        current::number(owner(&self.ended)).is_some()
    }
}

/// Returns a number that is unique among all clients that currently exist.
fn owner(ended: &Arc<Ended>) -> usize {
    Arc::as_ptr(ended).addr()
}

/// A connection with a session that has not begun.
pub(super) struct Attended {
    attendance: SessionGuard,
    duplex: Arc<Duplex>,
}

/// Creates the session of a connection.
pub(super) fn attend(ws: WebSocket, path: String, callbacks: Arc<Callbacks>) -> Attended {
    let peer = PeerInfo {
        path,
        request: None,
        address: ws.peer_addr(),
        local_address: ws.local_addr(),
        subprotocol: ws.subprotocol(),
    };
    let (duplex, _) = ws.into_parts();
    Attended { attendance: SessionGuard::new(callbacks, duplex.clone(), peer), duplex }
}

impl Attended {
    pub(super) fn session(&self) -> Session {
        self.attendance.session().clone()
    }

    pub(super) fn duplex(&self) -> Weak<Duplex> {
        Arc::downgrade(&self.duplex)
    }

    /// Runs the callbacks until the connection has ended. Calls `at_end` before the last one.
    pub(super) async fn run(
        self,
        response: Response,
        owner: usize,
        at_end: impl FnOnce(),
    ) -> Result<(), Box<dyn error::Error + Send + Sync>> {
        let Self { mut attendance, duplex } = self;
        let key = (owner, 0);
        current::within(key, || attendance.connect(Some(&response)));
        let ended = poll_fn(|cx| {
            current::within(key, || duplex.poll_receive_each(cx, |event| attendance.handle(event)))
        });
        let ended = ended.await;
        at_end();
        current::within(key, || attendance.finish(ended))
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.waiting.wake_all();
    }
}

impl fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandle").field("session", &self.session).finish_non_exhaustive()
    }
}
